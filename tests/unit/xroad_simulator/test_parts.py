"""Parts of the simulator that need no process: identifiers, token, configuration, endpoints."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from xroad_simulator import global_configuration as gc
from xroad_simulator.central.configuration import signing_certificate
from xroad_simulator.certificates import encode
from xroad_simulator.clock import now, timestamp
from xroad_simulator.identifiers import ClientId, ServerId, ServiceId
from xroad_simulator.security.message_server import matches
from xroad_simulator.security.records import EndpointRecord, Usage
from xroad_simulator.software_token import (
    KeyAlgorithm,
    SoftwareToken,
    TokenLoggedOutError,
    WrongPinError,
    generate_private_key,
)
from xroad_simulator.store import Store


@pytest.mark.parametrize("text", ["A:B:C", "A:B:C:D"])
def test_client_identifiers_round_trip(text: str) -> None:
    assert str(ClientId.parse(text)) == text


@pytest.mark.parametrize("text", ["", "A", "A:B", "A:B:C:D:E", "A::C", "A:B:C/D", "A:B:C;D", "A:B:%43"])
def test_malformed_client_identifiers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="isn't"):
        ClientId.parse(text)


def test_paths_are_percent_encoded() -> None:
    client = ClientId.parse("A/B/c%3Dd", "/")
    assert client.member_code == "c=d"
    assert client.path == "A/B/c%3Dd"
    assert str(ServerId.parse("A:B:C:S").owner) == "A:B:C"
    assert ServiceId.parse("A:B:C:D:s").path == "A/B/C/D/s"


@pytest.mark.parametrize(
    ("method", "path", "called", "is_match"),
    [
        ("*", "**", ("GET", ""), True),
        ("GET", "/x/*", ("GET", "/x/1"), True),
        ("GET", "/x/*", ("GET", "/x/1/2"), False),
        ("GET", "/x/**", ("GET", "/x/1/2"), True),
        ("GET", "/x/{id}/y", ("GET", "/x/1/y"), True),
        ("POST", "/x", ("GET", "/x"), False),
        ("GET", "/x.y", ("GET", "/xzy"), False),
    ],
)
def test_endpoints(method: str, path: str, called: tuple[str, str], is_match: bool) -> None:
    endpoint = EndpointRecord(id=1, client="A:B:C:D", service="s", method=method, path=path, generated=False)
    assert matches(endpoint, *called) is is_match


def test_token_gives_keys_only_with_its_pin(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    token = SoftwareToken(store)
    token.initialize("first-pin")
    with pytest.raises(WrongPinError) as wrong:
        token.log_in("other-pin")
    assert wrong.value.tries_left == 2
    token.log_in("first-pin")
    record, key = token.generate("label", Usage.SIGNING, KeyAlgorithm.EC, 2048)
    store.put(record)
    token.change_pin("first-pin", "second-pin")
    again = SoftwareToken(store)
    with pytest.raises(TokenLoggedOutError):
        again.private_key(record)
    again.log_in("second-pin")
    assert again.private_key(record).public_key() == key.public_key()


def test_a_failed_change_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")

    def fail() -> None:
        with store.transaction():
            store.next_number("thing")
            SoftwareToken(store).initialize("a-pin")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not SoftwareToken(store).is_initialized
    assert store.next_number("thing") == 1


def make_configuration(lifetime: timedelta) -> tuple[bytes, bytes, gc.Anchor]:
    """Content, signed directory, and the anchor that accepts it."""
    key = generate_private_key(KeyAlgorithm.EC)
    certificate = encode(signing_certificate(key))
    content = (
        gc.Parameters(
            instance="TEST",
            member_classes=(),
            members=(),
            security_servers=(),
            global_groups=(),
            certification_services=(),
            timestamping_services=(),
            management_service_provider=None,
            registration_address="https://cs",
            registration_certificate=certificate,
        )
        .model_dump_json()
        .encode()
    )
    document = gc.publish("TEST", content, "/V6/1/x.json", now() + lifetime, key, certificate)
    anchor = gc.Anchor(
        instance="TEST",
        generated_at=timestamp(now()),
        download_urls=("http://cs/internalconf",),
        verification_certificates=(certificate,),
    )
    return content, document, anchor


def test_configuration_is_accepted_by_its_anchor() -> None:
    content, document, anchor = make_configuration(timedelta(minutes=1))
    read = gc.Anchor.parse(anchor.xml())
    assert read == anchor
    assert gc.verify(document, read).accept(content).instance == "TEST"


def test_configuration_of_another_signer_is_refused() -> None:
    _, document, _ = make_configuration(timedelta(minutes=1))
    _, _, anchor = make_configuration(timedelta(minutes=1))
    with pytest.raises(gc.ConfigurationError, match="cert_not_found"):
        gc.verify(document, anchor)


def test_expired_configuration_is_refused() -> None:
    _, document, anchor = make_configuration(timedelta(seconds=-1))
    with pytest.raises(gc.ConfigurationError, match="conf_expired"):
        gc.verify(document, anchor)


def test_changed_configuration_is_refused() -> None:
    content, document, anchor = make_configuration(timedelta(minutes=1))
    with pytest.raises(gc.ConfigurationError, match="signature_invalid"):
        gc.verify(document.replace(b"Version: 6", b"Version: 5"), anchor)
    with pytest.raises(gc.ConfigurationError, match="hash mismatch"):
        gc.verify(document, anchor).accept(content + b" ")
