"""What the roles of the exchange would write, held against files that people have read.

After a change that is meant: `RENEW_GOLDEN=1 scripts/bootstrap pytest tests/unit/roles/exchange`, then read the
difference before it is committed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import exchange_estates as estates
from tests.unit.roles.exchange.rendered_role import Files, Host, cluster, server

from estate import Estate, load

GOLDEN = Path(__file__).resolve().parents[3] / "golden/exchange"
RENEW = "RENEW_GOLDEN"

Case = tuple[Callable[[], Estate], str, str]

CASES: dict[str, Case] = {
    "central-server/ubuntu-22.04": (lambda: estates.on("ubuntu-22.04"), "central1", "central_server"),
    "central-server/ubuntu-24.04": (lambda: estates.on("ubuntu-24.04"), "central1", "central_server"),
    "central-server/elsewhere": (estates.with_everything_elsewhere, "central1", "central_server"),
    "central-server/simulator": (lambda: load("lab"), "central1", "central_server"),
    "security-server/ubuntu-22.04": (lambda: estates.on("ubuntu-22.04"), "ss-health", "security_server"),
    "security-server/ubuntu-24.04": (lambda: estates.on("ubuntu-24.04"), "ss-health", "security_server"),
    "security-server/rhel-9": (estates.with_rhel, "ss-health", "security_server"),
    "security-server/elsewhere": (estates.with_everything_elsewhere, "ss-health", "security_server"),
    "security-server/simulator": (lambda: load("lab"), "ss-health", "security_server"),
    "security-server/primary": (estates.with_a_cluster, "ss-health", "security_server"),
    "security-server/secondary": (estates.with_a_cluster, "ss-health-2", "security_server"),
    "configuration-proxy/ubuntu-24.04": (
        estates.with_a_configuration_proxy,
        "confproxy1",
        "configuration_proxy",
    ),
    "cluster/primary": (estates.with_a_cluster, "ss-health", "security_server_cluster"),
    "cluster/secondary": (estates.with_a_cluster, "ss-health-2", "security_server_cluster"),
}
"""By folder: an estate, a host of it, the role."""


def rendered(case: Case) -> Files:
    """Files of a case, and those that its role writes beside the server's."""
    make, name, role = case
    host = Host(make(), name, role)
    if role == "security_server_cluster":
        return cluster(host)
    found = server(host)
    if role == "central_server" and host.variables["central_server_parameters"]:
        found |= host.written(role, "parameters", "Have the program")
    if role == "configuration_proxy":
        found |= host.written(role, "instances", "Have the program")
    if role == "security_server" and host.variables["security_server_node_type"]:
        found |= host.written(role, "node", "Write its type")
    return found


def kept(folder: Path) -> Files:
    """Files of a golden folder by the path that they have on a host."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_is_what_people_have_read(name: str) -> None:
    """Every file of the case, and no other."""
    found = {path.lstrip("/"): text for path, text in rendered(CASES[name]).items()}
    folder = GOLDEN / name
    if os.environ.get(RENEW):
        shutil.rmtree(folder, ignore_errors=True)
        for path, text in found.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")

    assert kept(folder) == found


def test_no_golden_file_is_left_over() -> None:
    """A case that went takes its files along."""
    folders = {str(path.relative_to(GOLDEN)) for path in GOLDEN.glob("*/*")}

    assert folders == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_no_secret_is_where_others_read(name: str) -> None:
    """Secrets are written for root alone, by tasks of their own."""
    allowed = {"/etc/xroad.properties", "/etc/smartgouv/cluster/password"}
    files = {path: text for path, text in rendered(CASES[name]).items() if path not in allowed}

    assert [path for path, text in files.items() if "estate-secret:" in text] == []
