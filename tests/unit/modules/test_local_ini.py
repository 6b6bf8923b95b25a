"""What `local.ini` holds after a run, whatever it held before."""

from __future__ import annotations

from types import ModuleType

import pytest
from tests.ansible_source import loaded

HELD = """
; written by crudini
[management-service]
api-token = abc=def%ghi
[proxy]
client-timeout=1000
hand-made = yes
[proxy-ui-api]
wsdl-validator-command=/usr/share/xroad/wsdlvalidator/bin/wsdlvalidator_wrapper.sh
"""
KEEPS = [
    "management-service/api-token",
    "registration-service/api-token",
    "proxy-ui-api/wsdl-validator-command",
]


@pytest.fixture(scope="module")
def local_ini() -> ModuleType:
    return loaded("ansible/plugins/module_utils/local_ini.py")


def text(local_ini: ModuleType, settings: dict[str, dict[str, str]], held: str = HELD) -> list[str]:
    """Lines of the file but for comments and empty ones."""
    written: str = local_ini.written(local_ini.merged(settings, local_ini.read(held), KEEPS))
    return [line for line in written.splitlines() if line and not line.startswith(";")]


def test_the_packages_own_values_stay_and_nothing_else_does(local_ini: ModuleType) -> None:
    """Without its token the central server's registration service can't ask the admin API."""
    assert text(local_ini, {"proxy": {"health-check-port": "5588"}}) == [
        "[management-service]",
        "api-token = abc=def%ghi",
        "[proxy]",
        "health-check-port = 5588",
        "[proxy-ui-api]",
        "wsdl-validator-command = /usr/share/xroad/wsdlvalidator/bin/wsdlvalidator_wrapper.sh",
    ]


def test_what_the_estate_says_goes_before_what_is_kept(local_ini: ModuleType) -> None:
    settings = {"proxy-ui-api": {"wsdl-validator-command": "/opt/validator"}}

    assert "wsdl-validator-command = /opt/validator" in text(local_ini, settings)


def test_the_file_that_was_written_is_read_as_it_was(local_ini: ModuleType) -> None:
    """Else each run would change it."""
    sections = local_ini.merged({"a": {"X": "1, 2", "b": "0 15 3 * * ?"}}, local_ini.read(HELD), KEEPS)

    assert local_ini.read(local_ini.written(sections)) == sections


def test_what_differs_is_told_by_name_alone(local_ini: ModuleType) -> None:
    before, after = {"s": {"kept": "1", "gone": "secret"}}, {"s": {"kept": "1", "new": "secret"}}

    assert local_ini.differing(before, after) == ["s/gone", "s/new"]
