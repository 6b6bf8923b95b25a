"""Rules about the servers of the federation, each with what breaks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.exchange_estates import KEY, varied, with_a_cluster, with_a_configuration_proxy

from estate import Estate, load
from estate.checks import check
from estate.load import SITES
from estate.problems import EstateError
from estate.project.ansible import host_certificate, load_balancer, role_variables
from estate.project.federation import federation


def refusal(**changes: Any) -> str:
    """What is said about the production template with these changes."""
    with pytest.raises(ValueError) as error:  # noqa: PT011 - its text is what the tests look at
        varied(**changes)
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": "7.9.0"}, "X-Road 7.9.0 isn't known here; servers go 7.6 → 7.7 → 7.8"),
        ({"version": "7.5.1"}, "X-Road 7.5.1 isn't known here"),
        ({"version": "7.8"}, "'7.8' isn't MAJOR.MINOR.PATCH"),
        ({"operating_system": "debian-13"}, "X-Road has no packages for Debian"),
        ({"operating_system": "rhel-9"}, "X-Road's central server runs on Ubuntu alone"),
        ({"repository": None}, "X-Road's packages need a 'repository'"),
        ({"distribution": "simulator"}, "the simulator is test equipment, not for production"),
        ({"servers": {"ss-health": {"operating_system": "rhel-9"}}}, "and the repository no 'rpm_url'"),
        ({"servers": {"ss-health": {"operating_system": "debian-13"}}}, "X-Road has no packages for Debian"),
    ],
)
def test_software_that_is_not_supported_is_refused(changes: dict[str, Any], why: str) -> None:
    assert why in refusal(**changes)


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("configuration-client", "global-conf-tls-cert-verification"),
        ("configuration-client", "global-conf-hostname-verification"),
        ("proxy", "ssl-enabled"),
        ("proxy", "verify-client-cert"),
    ],
)
def test_production_verifies_what_x_road_verifies(section: str, name: str) -> None:
    settings = {"settings": {section: {name: False}}}

    assert f"'{name}' may be turned off in tests only" in refusal(servers={"ss-health": settings})


def test_a_wrong_setting_is_told_with_file_and_line(tmp_path: Path) -> None:
    """And with the value and the name that may have been meant."""
    for source in (SITES / "lab").glob("*.yml"):
        data = yaml.safe_load(source.read_text(encoding="utf-8"))
        if source.name == "federation.yml":
            data["federation"]["security_servers"][2]["settings"] = {"proxy": {"client-timeuot": "30 s"}}
        (tmp_path / source.name).write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    with pytest.raises(EstateError) as error:
        load(tmp_path)
    (problem,) = error.value.problems
    lines = (tmp_path / "federation.yml").read_text(encoding="utf-8").splitlines()

    assert problem.file.name == "federation.yml"
    assert "client-timeuot" in lines[problem.line - 1]
    assert problem.value == "30 s"
    assert problem.message == "[proxy] has no parameter 'client-timeuot'; did you mean 'client-timeout'?"


DATABASE = {"host": "db1.smartgouv.example", "version": 16}


def test_servers_do_not_share_a_database_service() -> None:
    assert "whose databases have the same names" in refusal(
        central_server_database=DATABASE, servers={"ss-health": {"database": DATABASE}}
    )


def test_the_administrators_password_is_brought_by_a_person() -> None:
    estate = varied(central_server_database=DATABASE)
    (secret,) = (item for item in estate.secrets if item.name == "xroad-database-central1")

    assert not secret.generated


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ({**KEY, "fingerprint": "ABCD"}, "String should match pattern"),
        ({**KEY, "armoured": "-----BEGIN PGP PRIVATE KEY BLOCK-----\n"}, "String should match pattern"),
        (
            {**KEY, "armoured": f"{KEY['armoured']}-----BEGIN PGP PRIVATE KEY BLOCK-----\n"},
            "a private key doesn't belong into the estate",
        ),
    ],
)
def test_only_public_keys_stand_in_the_estate(key: dict[str, str], why: str) -> None:
    assert why in refusal(backups={"keys": (key,)})


@pytest.mark.parametrize(
    ("destination", "why"),
    [
        ({"url": "sftp://archive.example/xroad"}, "sftp needs account and host_key"),
        ({"url": "https://archive.example/xroad", "account": "xroad"}, "sftp needs account and host_key"),
        ({"url": "ftp://archive.example/"}, "String should match pattern"),
        ({"url": "https://archive.example/a b"}, "String should match pattern"),
        ({"url": "https://archive.example/$(id)"}, "String should match pattern"),
    ],
)
def test_files_go_only_where_the_other_side_is_known(destination: dict[str, str], why: str) -> None:
    assert why in refusal(archives={"keys": (KEY,), "destination": destination})


def test_a_real_production_names_who_can_read_its_backups() -> None:
    estate = load("production")
    site = estate.site.model_copy(update={"template": False})
    messages = [finding.message for finding in check(estate.model_copy(update={"site": site}))]

    assert any("'backups' is missing" in message for message in messages)


def broken(estate: Estate, change: Any) -> list[str]:
    """What is said about an estate whose data were changed."""
    data = estate.model_dump()
    change(data)
    return [finding.message for finding in check(Estate.model_validate(data))]


def _health(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(s for s in data["federation"]["security_servers"] if s["host"] == "ss-health")
    return found


def _without_flow(data: dict[str, Any], name: str) -> None:
    data["flows"] = [flow for flow in data["flows"] if flow["name"] != name]


def _elsewhere(data: dict[str, Any]) -> None:
    _health(data)["cluster"]["balancer"] = "monitor1"


def _twice(data: dict[str, Any]) -> None:
    _health(data)["cluster"]["secondaries"] = ("ss-justice",)


def _second_cluster(data: dict[str, Any]) -> None:
    for server in data["federation"]["security_servers"]:
        if server["host"] == "ss-justice":
            server["cluster"] = {**_health(data)["cluster"], "secondaries": ("ss-education",)}


def _stranger(data: dict[str, Any]) -> None:
    for host in data["hosts"]:
        if host["name"] == "ss-justice":
            host["roles"] = (*host["roles"], "security_server_cluster")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_elsewhere, "'monitor1' isn't a host with role 'load_balancer'"),
        (_twice, "'ss-justice' is a node of 'ss-justice' already"),
        (_second_cluster, "'balancer1' balances 'ss-justice' already"),
        (_stranger, "which 'ss-justice' isn't in the federation"),
        (lambda data: _without_flow(data, "cluster-of-health"), "no flow lets 'ss-health-2' replicate"),
        (lambda data: _without_flow(data, "balanced-health"), "ask 'ss-health-2' for its health"),
        (lambda data: _health(data).update(database=DATABASE), "a cluster replicates a database of its own"),
        (lambda data: _health(data).update(operating_system="rhel-9"), "a cluster's nodes run on Ubuntu"),
    ],
)
def test_a_cluster_that_would_not_hold_together_is_refused(change: Any, why: str) -> None:
    assert any(why in message for message in broken(with_a_cluster(), change))


def test_a_secondary_has_its_primarys_pin_and_no_key_of_its_own() -> None:
    estate = with_a_cluster()
    primary, secondary = (role_variables(estate, estate.host(name)) for name in ("ss-health", "ss-health-2"))
    names = {secret.name for secret in estate.secrets}

    assert secondary["xroad_server_pin"] == primary["xroad_server_pin"] == "estate-secret:xroad-pin-ss-health"
    assert (primary["xroad_server_api_key_name"], secondary["xroad_server_api_key_name"]) == (
        "xroad-api-key-ss-health",
        "",
    )
    assert "xroad-pin-ss-health-2" not in names
    assert {"xroad-admin-ss-health-2", "xroad-serverconf-ss-health"} <= names


def test_others_know_a_cluster_by_one_name() -> None:
    """In the global configuration, and in the certificates that its nodes show to information systems."""
    estate = with_a_cluster()
    told = federation(estate)
    (server,) = (item for item in told["security_servers"] if item["server"] == "ss-health")

    assert server["address"] == "ss-health.exchange.smartgouv.example"
    assert "ss-health-2" not in told["settings"]["servers"]
    for name in ("ss-health", "ss-health-2"):
        names = host_certificate.variables(estate, estate.host(name))["host_certificate_names"]
        assert names[0] == f"{name}.smartgouv.example"
        assert "ss-health.exchange.smartgouv.example" in names


def test_the_balancer_of_a_cluster_passes_connections_on_to_its_nodes() -> None:
    estate = with_a_cluster()

    assert load_balancer.variables(estate, estate.host("balancer1"))["load_balancer_passed_routes"] == [
        {
            "name": "ss-health",
            "ports": [5500, 5577, 8080, 8443],
            "health_port": 5588,
            "servers": [
                {"name": "ss-health", "address": "10.16.50.28"},
                {"name": "ss-health-2", "address": "10.16.50.48"},
            ],
        }
    ]
    assert load_balancer.variables(estate, estate.host("balancer2"))["load_balancer_passed_routes"] == []


def _not_a_proxy(data: dict[str, Any]) -> None:
    data["federation"]["configuration_proxies"][0]["host"] = "central1"


def _same_names(data: dict[str, Any]) -> None:
    data["federation"]["configuration_proxies"][0]["instances"] = ({"name": "BJ"}, {"name": "BJ"})


def _idle(data: dict[str, Any]) -> None:
    data["federation"]["configuration_proxies"] = ()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_not_a_proxy, "'central1' isn't a host with role 'configuration_proxy'"),
        (_same_names, "two instances of 'confproxy1' are called 'BJ'"),
        (_idle, "'confproxy1' proxies no configuration of the federation"),
    ],
)
def test_a_configuration_proxy_that_would_do_nothing_is_refused(change: Any, why: str) -> None:
    assert any(why in message for message in broken(with_a_configuration_proxy(), change))
