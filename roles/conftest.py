"""The one place that knows how testinfra reaches the hosts of a Molecule scenario.

A role's tests take the fixture ``host`` and run once for every host of their scenario; a test that concerns
one host says so with ``@pytest.mark.on("name")``. The fixture ``machine`` gives any host by its name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from testinfra.host import Host


def _kept(name: str) -> Path:
    """A file that the create step left."""
    return Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], name)


def _addresses() -> dict[str, str]:
    """Addresses of the scenario's hosts by name."""
    return dict(json.loads(_kept("addresses.json").read_text(encoding="utf-8")))


@cache
def _over_ssh() -> bool:
    """Whether Ansible reaches the hosts over SSH: it does unless the role closes SSH."""
    path = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"], "inventory", "hosts.yml")
    scenario = yaml.safe_load(path.read_text(encoding="utf-8"))["all"]
    return bool(scenario.get("vars", {}).get("ansible_connection") != "containers.podman.podman")


def _container(name: str) -> str:
    """The container that stands for a host."""
    role = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]).name.replace("_", "-")
    return f"{role}-{os.environ.get('SMARTGOUV_MOLECULE_RUN', 'local')}-{name}"


def _hostname(name: str) -> str:
    """What testinfra calls a host."""
    return name if _over_ssh() else _container(name)


def _uri(name: str) -> str:
    """How testinfra reaches a host: as Ansible does."""
    if _over_ssh():
        return f"ssh://{_hostname(name)}?ssh_config={_kept('ssh_config')}"
    return f"podman://{_hostname(name)}"


def pytest_configure(config: pytest.Config) -> None:
    """Point testinfra at the containers instead of at Ansible's inventory."""
    config.addinivalue_line("markers", "on(name, …): run the test on these hosts of the scenario only")
    if config.option.hosts is None:
        config.option.hosts = ",".join(_uri(name) for name in _addresses())


def _concerned(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("on")
    if mark is None or not isinstance(item, pytest.Function):
        return True
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if "_testinfra_host" not in parameters:
        # It asks no host of its own: it names the machines that it looks at.
        return True
    backend = parameters["_testinfra_host"].backend
    return backend.hostname in {_hostname(name) for name in mark.args}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests on hosts that they do not concern."""
    kept = [item for item in items if _concerned(item)]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


@pytest.fixture(scope="session")
def addresses() -> dict[str, str]:
    """Addresses of the scenario's hosts by name."""
    return _addresses()


@pytest.fixture(scope="session")
def machine() -> Callable[[str], Host]:
    """Any host of the scenario by its name."""

    def named(name: str) -> Host:
        return testinfra.get_host(_uri(name))

    return named


@pytest.fixture(scope="session")
def container() -> Callable[[str], str]:
    """The container that stands for a host, by the host's name: for what isn't done on the host but to it."""
    return _container


@pytest.fixture
def admin_api(host: Host) -> Callable[[str], Any]:
    """What the admin API of an X-Road server answers to the key that lies on its host."""
    key = host.file("/etc/smartgouv/xroad/api-key").content_string

    def answer(path: str) -> Any:
        asked = f"curl -sk -H 'Authorization: X-Road-ApiKey token={key}' https://localhost:4000/api/v1{path}"
        return json.loads(host.check_output(asked))

    return answer


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add failed units and the last lines of the journal to a failure's report."""
    report = yield
    host = getattr(item, "funcargs", {}).get("host")
    if report.when == "call" and report.failed and isinstance(host, Host):
        shown = host.run("systemctl --failed --no-legend; journalctl --no-pager --lines 40 --output short-iso")
        report.sections.append((f"journal of {host.backend.hostname}", shown.stdout))
    return report
