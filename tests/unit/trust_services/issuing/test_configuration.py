"""What a configuration may say, and how it is told when it says something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.unit.trust_services.issuing.ordering import (
    NAME,
    ORGANIZATION,
    SERVER,
    SERVICE,
    authority,
    ec_key,
    order,
)

from trust_services.issuing.configuration import Configuration, read
from trust_services.issuing.orders import Profile
from trust_services.refusal import Refusal


def content(folder: Path) -> dict[str, Any]:
    """A right configuration, with the certificates that it names."""
    own = authority()
    for name, certificate in (("issuer.pem", own.certificate), ("root.pem", own.root)):
        (folder / name).write_bytes(certificate.public_bytes(Encoding.PEM))
    return {
        "country": "BJ",
        "organization": ORGANIZATION,
        "issuer": {"certificate": str(folder / "issuer.pem"), "above": [str(folder / "root.pem")]},
        "token": {
            "library": "/usr/lib/softhsm/libsofthsm2.so",
            "label": "trust-services",
            "key": "issuing",
            "pin_file": str(folder / "pin"),
        },
        "addresses": {
            "ocsp": "http://ocsp.example.bj/",
            "crl": "http://pki.example.bj/trust.crl",
            "ca_issuers": "http://pki.example.bj/trust.crt",
        },
        "lifetimes": {
            "authentication_hours": 8760,
            "signing_hours": 17520,
            "status_responder_hours": 720,
            "time_stamping_hours": 26280,
        },
        "database": {"connection": "host=/run/postgresql dbname=issuing", "account": "issuing_service"},
        "clients": [
            {"name": "federation", "role": "orderer", "token_sha256": "0" * 64},
            {"name": "officer", "role": "officer", "token_sha256": "1" * 64},
            {
                "name": "stamps",
                "role": "service",
                "token_sha256": "2" * 64,
                "services": [{"profile": "time-stamping", "name": SERVICE}],
            },
        ],
        "automatic": [{"class": "GOV", "code": "HEALTH", "name": NAME, "servers": [SERVER]}],
        "listen": {"port": 8600},
    }


def written(folder: Path, data: dict[str, Any]) -> Path:
    """The file."""
    path = folder / "issuing.json"
    path.write_text(json.dumps(data))
    return path


def loaded(folder: Path) -> Configuration:
    """The right one."""
    return read(written(folder, content(folder)))


def changed(data: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """The same with another value under a dotted key; without the key if the value is ..."""
    *path, last = key.split(".")
    place: Any = data
    for part in path:
        place = place[int(part) if part.isdigit() else part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return data


def test_a_right_configuration(tmp_path: Path) -> None:
    """What it means."""
    found = loaded(tmp_path)
    terms = found.terms()

    assert terms.issuer == authority().certificate
    assert found.issuer.chain() == [authority().certificate, authority().root]
    assert {profile: life.days for profile, life in terms.life.items()} == {
        Profile.AUTHENTICATION: 365,
        Profile.SIGNING: 730,
        Profile.STATUS_RESPONDER: 30,
        Profile.TIME_STAMPING: 1095,
    }


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("country", "Benin", "country: "),
        ("country", ..., "country: "),
        ("more", 1, "more: "),
        ("listen.port", 0, "listen.port: "),
        ("listen.port", "http", "is 'http'"),
        ("listen.host", "ca.example.bj", "listen: `host` isn't an IP address"),
        ("listen.host", "0.0.0.0", "need TLS"),  # noqa: S104 - refused
        ("listen.key", "/etc/key.pem", "go together"),
        ("clients.0.role", "root", "clients.0.role: "),
        ("clients.0.token_sha256", "secret", "clients.0.token_sha256: "),
        ("clients.0.token_sha256", "1" * 64, "same token"),
        ("clients.0.name", "officer", "same name"),
        ("clients.0.services", [{"profile": "time-stamping", "name": SERVICE}], "of role service"),
        ("clients.0.role", "service", "of role service"),
        ("clients.2.services", [], "of role service"),
        ("clients.2.services.0.profile", "signing", "signing certificates are members'"),
        ("clients.2.services.0.name", "stamps1", "isn't a full DNS name"),
        ("organization", " ", "organization: "),
        ("lifetimes.status_responder_hours", 9000, "lifetimes.status_responder_hours: "),
        ("addresses.ocsp", "https://ocsp.example.bj/", "addresses.ocsp: "),
        ("addresses.crl", "ldap://pki.example.bj/", "addresses.crl: "),
        ("lifetimes.signing_hours", 0, "lifetimes.signing_hours: "),
        ("lifetimes.signing_hours", 100000, "lifetimes.signing_hours: "),
        ("automatic.0.code", "HE ALTH", "automatic.0.code: "),
        ("automatic.0.servers", ["SS1"], "automatic.0.servers.0: "),
        ("database.connection", "host=x password=hunter2", "holds a password"),
        ("database.connection", "postgresql://user:hunter2@host/db", "holds a password"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, key: str, value: object, words: str) -> None:
    """With its file and its key; a password isn't repeated."""
    path = written(tmp_path, changed(content(tmp_path), key, value))
    with pytest.raises(Refusal) as caught:
        read(path)

    assert str(path) in caught.value.message
    assert words in caught.value.message
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"country": "BJ"'])
def test_what_isnt_a_configuration(tmp_path: Path, text: str) -> None:
    """The whole file is named."""
    path = tmp_path / "issuing.json"
    path.write_text(text)
    with pytest.raises(Refusal, match="the whole file"):
        read(path)


def test_a_file_that_isnt_there(tmp_path: Path) -> None:
    """Named."""
    with pytest.raises(Refusal, match=r"nowhere\.json"):
        read(tmp_path / "nowhere.json")


def test_a_chain_that_doesnt_hold_together(tmp_path: Path) -> None:
    """Whose root is another's."""
    found = loaded(tmp_path)
    other = authority(key=ec_key("of another root"))
    (tmp_path / "root.pem").write_bytes(other.certificate.public_bytes(Encoding.PEM))
    with pytest.raises(Refusal, match="didn't issue"):
        found.issuer.chain()
    (tmp_path / "issuer.pem").write_text("nonsense")
    with pytest.raises(Refusal, match=r"issuer\.pem"):
        found.terms()


@pytest.mark.parametrize(
    ("profile", "more", "expected"),
    [
        ("signing", {}, True),
        ("authentication", {}, True),
        ("signing", {"code": "JUSTICE"}, False),
        ("signing", {"name": "Another name"}, False),
    ],
)
def test_which_orders_are_expected(tmp_path: Path, profile: str, more: dict[str, str], expected: bool) -> None:
    """By class, code, name and server, all of them."""
    assert loaded(tmp_path).expects(order(profile, **more)) is expected


def test_another_server_isnt_expected(tmp_path: Path) -> None:
    """Although its member is."""
    data = changed(content(tmp_path), "automatic.0.servers", ["other.example.bj"])
    found = read(written(tmp_path, data))

    assert found.expects(order("signing"))
    assert not found.expects(order("authentication"))


def test_which_services_are_expected(tmp_path: Path) -> None:
    """Those that a client is there for, by profile and name."""
    found = loaded(tmp_path)

    assert found.expects(order("time-stamping"))
    assert not found.expects(order("status-responder"))


@pytest.mark.parametrize(
    ("client", "profile", "words"),
    [
        ("federation", "signing", ""),
        ("federation", "authentication", ""),
        ("federation", "time-stamping", "orders members' certificates"),
        ("officer", "signing", "is an officer"),
        ("officer", "time-stamping", "is an officer"),
        ("stamps", "time-stamping", ""),
        ("stamps", "status-responder", f"may order time-stamping for {SERVICE} and nothing else"),
        ("stamps", "signing", "and nothing else"),
    ],
)
def test_who_may_order_what(tmp_path: Path, client: str, profile: str, words: str) -> None:
    """And why not, in a sentence."""
    (who,) = [known for known in loaded(tmp_path).clients if known.name == client]
    told = who.forbidden(order(profile))

    assert words in told
    assert bool(words) == bool(told)
