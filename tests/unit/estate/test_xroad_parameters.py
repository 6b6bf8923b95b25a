"""What `local.ini` may hold: names, types, units, bounds, versions. Examples are written out, not computed."""

from __future__ import annotations

import pytest

from estate.xroad_parameters import PARAMETERS, Kind, Server, Value, problems, rendered

SECURITY, CENTRAL, PROXY = Server.SECURITY, Server.CENTRAL, Server.PROXY

FINE: list[tuple[Server, str, str, Value, str]] = [
    (SECURITY, "proxy", "client-timeout", "45 s", "45000"),
    (SECURITY, "proxy", "client-timeout", "250ms", "250"),
    (SECURITY, "proxy", "health-check-port", 5588, "5588"),
    (SECURITY, "proxy", "health-check-port", 0, "0"),
    (SECURITY, "proxy", "server-connector-so-linger", -1, "-1"),
    (SECURITY, "proxy", "pool-enable-connection-reuse", True, "true"),
    (SECURITY, "proxy", "memory-usage-threshold", 80, "80"),
    (SECURITY, "anti-dos", "max-cpu-load", 0.9, "0.9"),
    (SECURITY, "message-log", "keep-records-for", "60 d", "60"),
    (SECURITY, "message-log", "archive-max-filesize", "32 MiB", "33554432"),
    (SECURITY, "message-log", "archive-interval", "0 0 0/6 1/1 * ? *", "0 0 0/6 1/1 * ? *"),
    (SECURITY, "message-log", "archive-grouping", "member", "member"),
    (SECURITY, "proxy-ui-api", "regular-api-whitelist", ("10.0.0.0/8", "::1"), "10.0.0.0/8, ::1"),
    (SECURITY, "proxy-ui-api", "request-size-limit-regular", "100 KiB", "100KB"),
    (SECURITY, "proxy-ui-api", "acme-renewal-interval", "2 h", "7200"),
    (CENTRAL, "admin-service", "global-configuration-generation-rate-in-seconds", "1 min", "60"),
    (CENTRAL, "center", "minimum-global-configuration-version", 4, "4"),
    (PROXY, "configuration-proxy", "signature-digest-algorithm-id", "SHA-384", "SHA-384"),
]

REFUSED: list[tuple[Server, str, str, Value, str]] = [
    (SECURITY, "proxy", "client-timeout", 30000, "is a duration with its unit, such as 30 s"),
    (SECURITY, "proxy", "client-timeout", "30 MiB", "units are ms, s, min, h, d"),
    (SECURITY, "proxy", "client-timeout", "0 s", "is at least 1 ms"),
    (SECURITY, "proxy", "server-conf-cache-period", "1500 ms", "is counted in whole s"),
    (SECURITY, "proxy", "health-check-port", "5588", "is a port"),
    (SECURITY, "proxy", "health-check-port", 70000, "is 1 to 65535"),
    (SECURITY, "proxy", "health-check-port", True, "is a port"),
    (SECURITY, "proxy", "pool-enable-connection-reuse", "yes", "is true or false"),
    (SECURITY, "proxy", "client-tls-protocols", ("TLSv1.0",), "has 'TLSv1.0', which isn't among"),
    (SECURITY, "proxy", "memory-usage-threshold", 101, "is 1 to 100"),
    (SECURITY, "message-log", "keep-records-for", "36 h", "is counted in whole d"),
    (SECURITY, "message-log", "archive-max-filesize", "32 MB", "units are B, KiB, MiB, GiB"),
    (SECURITY, "message-log", "archive-interval", "0 0 * *", "of six or seven fields"),
    (SECURITY, "message-log", "archive-grouping", "server", "is one of none, member, subsystem"),
    (SECURITY, "message-log", "archive-path", "archive", "is an absolute path"),
    (SECURITY, "message-log", "archive-transfer-command", "a\nb", "is text"),
    (SECURITY, "proxy-ui-api", "regular-api-whitelist", ("10.0.0.1/8",), "has host bits set"),
    (SECURITY, "proxy-ui-api", "regular-api-whitelist", "10.0.0.0/8", "is a list of addresses or networks"),
    (SECURITY, "proxy", "connector-host", "everywhere", "is an IP address"),
    (SECURITY, "proxy", "server-min-supported-client-version", "7.7", "isn't MAJOR.MINOR.PATCH"),
    (
        SECURITY,
        "proxy",
        "client-timout",
        "30 s",
        "has no parameter 'client-timout'; did you mean 'client-timeout'?",
    ),
    (
        SECURITY,
        "message-logs",
        "keep-records-for",
        "30 d",
        "has no section [message-logs]; did you mean 'message-log'?",
    ),
    (SECURITY, "center", "ha-node-name", "one", "security_server has no section [center]"),
    (CENTRAL, "proxy", "client-timeout", "30 s", "central_server has no section [proxy]"),
    (CENTRAL, "management-service", "api-token", "secret", "has no parameter 'api-token'"),
    (SECURITY, "message-log", "messagelog-keystore-password", "secret", "has no parameter"),
]


@pytest.mark.parametrize(("server", "section", "name", "value", "text"), FINE)
def test_a_value_becomes_what_x_road_counts(
    server: Server, section: str, name: str, value: Value, text: str
) -> None:
    settings = {section: {name: value}}

    assert list(problems(server, "7.8.0", settings)) == []
    assert rendered(server, "7.8.0", settings) == {section: {name: text}}


@pytest.mark.parametrize(("server", "section", "name", "value", "why"), REFUSED)
def test_what_x_road_would_not_understand_is_refused(
    server: Server, section: str, name: str, value: Value, why: str
) -> None:
    """X-Road itself would start with a default, or not at all."""
    (found,) = problems(server, "7.8.0", {section: {name: value}})

    assert why in found.message


@pytest.mark.parametrize(
    ("version", "section", "name", "value"),
    [
        ("7.6.3", "proxy", "memory-usage-threshold", 80),
        ("7.6.0", "proxy-ui-api", "automatic-activate-auth-certificate", True),
        ("7.7.1", "configuration-client", "downloader-read-timeout", "30 s"),
        ("7.7.0", "signer", "ocsp-prioritization-strategy", "FREE_FIRST"),
    ],
)
def test_a_parameter_that_the_version_does_not_have_is_refused(
    version: str, section: str, name: str, value: Value
) -> None:
    (found,) = problems(SECURITY, version, {section: {name: value}})

    assert f"'{name}' exists since X-Road 7." in found.message
    assert f"the version is {version}" in found.message
    assert list(problems(SECURITY, "7.8.0", {section: {name: value}})) == []


def test_what_the_site_asks_for_is_left_out_where_the_version_has_it_not() -> None:
    """A central server has had this list since 7.8; hardening must not stop an older one."""
    settings = {
        "admin-service": {"regular-api-whitelist": ("127.0.0.0/8",), "allowed-hostnames": ("central1",)}
    }

    assert rendered(CENTRAL, "7.7.1", settings) == {"admin-service": {"allowed-hostnames": "central1"}}


def test_later_layers_win() -> None:
    layers = (
        {"proxy": {"client-timeout": "30 s", "server-port": 5500}},
        {"proxy": {"client-timeout": "1 min"}},
    )

    assert rendered(SECURITY, "7.8.0", *layers) == {"proxy": {"client-timeout": "60000", "server-port": "5500"}}


def test_no_parameter_stands_twice_for_a_server() -> None:
    for server in Server:
        names = [(item.section, item.name) for item in PARAMETERS if server in item.servers]

        assert len(names) == len(set(names))


def test_what_is_counted_has_a_unit_and_nothing_else_has() -> None:
    counted = {Kind.DURATION, Kind.SIZE}

    assert [item.name for item in PARAMETERS if bool(item.unit) != (item.kind in counted)] == []


def test_no_parameter_takes_a_secret() -> None:
    """Those are made on the hosts by X-Road's own packages."""
    secrets = ("password", "api-token")

    assert [item.name for item in PARAMETERS if item.name.endswith(secrets)] == []
