"""What `installed_packages` makes of the answers of dpkg and apt."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from tests.ansible_source import loaded

UPDATE, POLICY = "apt-get", "apt-cache"
TABLE = """  Version table:
     0.1.0+20261126.182601 500
        500 file:/srv/mirror site/main amd64 Packages
"""


@pytest.fixture(scope="module")
def installed_packages() -> ModuleType:
    return loaded("ansible/plugins/module_utils/installed_packages.py")


def policy(name: str, installed: str, candidate: str) -> str:
    """What `apt-cache policy` prints of a package."""
    return f"{name}:\n  Installed: {installed}\n  Candidate: {candidate}\n{TABLE}"


class Host:
    """As much of an Ansible module as this asks, with programs that answer as told."""

    def __init__(self, answers: dict[str, tuple[int, str, str]], *, check_mode: bool = False) -> None:
        self.check_mode = check_mode
        self._answers = answers
        self.ran: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.warnings: list[str] = []

    def run_command(self, command: list[str], **options: Any) -> tuple[int, str, str]:
        self.ran.append(command)
        self.environments.append(options.get("environ_update", {}))
        return self._answers[command[0]]

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def asked(policies: str, *, update: tuple[int, str, str] = (0, "", ""), check_mode: bool = False) -> Host:
    return Host({UPDATE: update, POLICY: (0, policies, "")}, check_mode=check_mode)


def test_packages_are_missing_that_dpkg_has_not_installed(installed_packages: ModuleType) -> None:
    """One of which only the configuration is left is missing, as is one that dpkg has never heard of."""
    host = Host({"dpkg-query": (1, "chrony installed\nsudo config-files\n", "no packages found")})

    assert installed_packages.missing(host, ["chrony", "sudo", "nosuch"]) == ["sudo", "nosuch"]


@pytest.mark.parametrize("question", ["missing", "outdated"])
def test_nobody_is_asked_about_no_packages(installed_packages: ModuleType, question: str) -> None:
    """Most tasks of a role name none."""
    assert getattr(installed_packages, question)(Host({}), []) == []


@pytest.mark.parametrize(
    ("installed", "candidate", "found"),
    [
        ("0.1.0+2", "0.1.0+2", []),
        ("0.1.0+1", "0.1.0+2", ["trust-services"]),
        ("(none)", "0.1.0+2", ["trust-services"]),
        # A name that only other packages know. What to say of it is apt's.
        ("(none)", "(none)", ["trust-services"]),
    ],
)
def test_a_package_is_outdated_unless_it_is_the_candidate(
    installed_packages: ModuleType, installed: str, candidate: str, found: list[str]
) -> None:
    host = asked(policy("trust-services", installed, candidate) + policy("sudo", "1", "1"))

    assert installed_packages.outdated(host, ["trust-services", "sudo"]) == found


def test_a_package_that_apt_does_not_know_is_outdated(installed_packages: ModuleType) -> None:
    """Apt prints nothing about it, so that it says why when it is asked to install it."""
    assert installed_packages.outdated(asked(""), ["nosuch"]) == ["nosuch"]


def test_the_index_is_read_before_versions_are_compared(installed_packages: ModuleType) -> None:
    """The mirror may have got the package after the host read its index. Answers come in no other language."""
    host = asked(policy("sudo", "1", "1"))
    installed_packages.outdated(host, ["sudo"])

    assert [command[0] for command in host.ran] == [UPDATE, POLICY]
    assert [environment["LC_ALL"] for environment in host.environments] == ["C", "C"]
    assert host.warnings == []


def test_check_mode_compares_with_the_index_that_is_there(installed_packages: ModuleType) -> None:
    """Reading it would change the host."""
    host = asked(policy("sudo", "1", "2"), check_mode=True)

    assert installed_packages.outdated(host, ["sudo"]) == ["sudo"]
    assert [command[0] for command in host.ran] == [POLICY]


def test_a_mirror_out_of_reach_is_told_and_the_index_that_is_there_counts(
    installed_packages: ModuleType,
) -> None:
    """A host that has all it needs can be applied without its mirror."""
    reason = "E: Failed to fetch https://mirror.site.test/dists/site/InRelease  Connection refused"
    host = asked(policy("sudo", "1", "2"), update=(100, "Err:1", f"{reason}\n"))

    assert installed_packages.outdated(host, ["sudo"]) == ["sudo"]
    (warning,) = host.warnings
    assert "Connection refused" in warning
