"""What a security server accepts from its peers: answers, addresses, versions, the status of certificates."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from cryptography import x509
from tests.unit.operate.messages.conftest import Authorities, request, response

from federation_rig.trust_services import TrustServices, serving
from xroad_simulator import management_protocol
from xroad_simulator.certificates import encode
from xroad_simulator.global_configuration import Authority, CertificationService, Parameters, Responder
from xroad_simulator.listeners import TlsFiles, make_self_signed
from xroad_simulator.ocsp import OcspError
from xroad_simulator.security.certificate_status import (
    CertificateStatuses,
    below_approved,
    carried_authorities,
)
from xroad_simulator.security.message import REST_RESPONSE, Envelope, MessageError, Response
from xroad_simulator.security.message_client import open_answer
from xroad_simulator.security.message_server import MessageApplication
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.security.transport import Address, Transport
from xroad_simulator.settings import Common, Ini, SecuritySettings
from xroad_simulator.store import Store


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities()


class Believing:
    """A server that believes every certificate: what is left to check is the message."""

    def is_issued_by_approved(self, _certificate: x509.Certificate) -> bool:
        return True

    def require_good(self, _certificate: x509.Certificate, _answers: Sequence[bytes]) -> None:
        """Nothing is asked."""


def sent(authorities: Authorities, answered: Response, code: str = "CIVIL") -> Envelope:
    """A response as a member's server sends it."""
    parts = [answered.head(), answered.body] if answered.body else [answered.head()]
    signature = authorities.sign(parts, authorities.members[code])
    return Envelope(REST_RESPONSE, answered.head(), answered.body, signature)


def taken(envelope: Envelope) -> Envelope:
    """What the consumer's server makes of an answer."""
    return open_answer(Believing(), request(b"Kossi"), HTTPStatus.OK, *envelope.encode())  # type: ignore[arg-type]


def _signed(sealed: Envelope, **change: object) -> Envelope:
    return replace(sealed, signature=replace(sealed.signature, **change))  # type: ignore[arg-type]


def test_an_answer_to_the_request(authorities: Authorities) -> None:
    """With a body or without."""
    asked = replace(request(b"Kossi"), request_id="r")
    for body in (b"{}", b""):
        envelope = sent(authorities, response(asked, body))
        opened = open_answer(Believing(), asked, HTTPStatus.OK, *envelope.encode())  # type: ignore[arg-type]
        assert (opened.head, opened.body) == (envelope.head, body)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"body": b"Afi"}, "message hash"),
        ({"path": "/124"}, "message hash"),
        ({"headers": ()}, "message hash"),
        ({"message_id": "other"}, "message id"),
        ({"request_id": "other"}, "message request id"),
        ({"client": replace(request().client, subsystem_code="OTHER")}, "client id"),
        ({"service": replace(request().service, code="marriages")}, "service id"),
    ],
)
def test_an_answer_to_another_request(authorities: Authorities, change: dict[str, object], told: str) -> None:
    """A provider that signs well, but what the consumer didn't ask: the request's hash binds both."""
    asked = replace(request(b"Kossi"), request_id="r")
    other = replace(asked, **change)  # type: ignore[arg-type]
    envelope = sent(authorities, response(other))
    with pytest.raises(MessageError, match=f"Response {told} does not match") as caught:
        open_answer(Believing(), asked, HTTPStatus.OK, *envelope.encode())  # type: ignore[arg-type]
    assert caught.value.type == "Server.ClientProxy.InconsistentResponse"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda sealed: replace(sealed, body=b"other"), "InvalidSignatureValue"),
        (lambda sealed: replace(sealed, head=sealed.head + b"X-Own:1\r\n"), "InvalidSignatureValue"),
        (lambda sealed: replace(sealed, body=b""), "InvalidSignatureValue"),
        (
            lambda sealed: replace(sealed, signature=replace(sealed.signature, proof=None)),
            "InvalidSignatureValue",
        ),
        (
            lambda sealed: replace(sealed, signature=replace(sealed.signature, xml="<a/>")),
            "InvalidSignatureValue",
        ),
        (lambda sealed: replace(sealed, content_type="application/x-road-rest-request"), "InvalidMessage"),
    ],
)
def test_an_answer_that_was_changed(
    authorities: Authorities, change: Callable[[Envelope], Envelope], error: str
) -> None:
    """After the member signed it."""
    with pytest.raises(MessageError) as caught:
        taken(change(sent(authorities, response(request(b"Kossi")))))
    assert caught.value.type == f"Server.ClientProxy.{error}"


def test_an_answer_of_another_member(authorities: Authorities) -> None:
    """The client can't answer itself."""
    with pytest.raises(MessageError, match="does not match name in message"):
        taken(sent(authorities, response(request(b"Kossi")), "DIGITAL"))


def test_the_providers_errors_pass_as_they_are() -> None:
    """Type, text and detail are those of the side that made them."""
    fault = management_protocol.fault("Server.ServerProxy.AccessDenied", "Request is not allowed | 1-2-3")
    with pytest.raises(MessageError) as caught:
        open_answer(Believing(), request(), HTTPStatus.OK, "text/xml", fault)  # type: ignore[arg-type]
    told = caught.value
    assert (told.type, told.message, told.detail) == (
        "Server.ServerProxy.AccessDenied",
        "Request is not allowed",
        "1-2-3",
    )


def made(folder: Path, **settings: object) -> SecurityServer:
    read = SecuritySettings.model_validate({"state": folder, "tls": folder, **settings})
    return SecurityServer(read, TlsFiles(folder, "internal", ["security.example.test"]))


@pytest.mark.parametrize(
    ("minimum", "told", "accepted"),
    [
        (None, None, True),
        ("7.6.0", "7.8.0", True),
        ("7.8.0", "7.8.0-simulator", True),
        ("7.10.0", "7.9.9", False),
        ("7.6.0", "6.26.0", False),
        ("7.6.0", "unknown", False),
        ("7.6.0", None, False),
    ],
)
def test_servers_that_are_too_old(
    tmp_path: Path, minimum: str | None, told: str | None, accepted: bool
) -> None:
    """`server-min-supported-client-version`; compared by numbers, not by letters."""
    application = MessageApplication(made(tmp_path, minimum_client_version=minimum))
    if accepted:
        application._check_version(told)
        return
    with pytest.raises(MessageError) as caught:
        application._check_version(told)
    assert caught.value.type == "Server.ServerProxy.ClientProxyVersionNotSupported"


def test_the_server_that_answers_first_is_used_until_it_is_down(tmp_path: Path) -> None:
    """Of two providers of a service: a dead one costs nothing, and one that dies is replaced by the other."""
    make_self_signed(tmp_path / "s.crt", tmp_path / "s.key", ["127.0.0.1"])
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.load_cert_chain(tmp_path / "s.crt", tmp_path / "s.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def drop(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def listen(port: int = 0) -> tuple[asyncio.Server, Address]:
        server = await asyncio.start_server(drop, "127.0.0.1", port, ssl=listening)
        return server, ("127.0.0.1", server.sockets[0].getsockname()[1])

    async def journey() -> list[Address]:
        first, one = await listen()
        second, two = await listen()
        second.close()
        await second.wait_closed()
        transport, used = Transport(made(tmp_path)), []

        async def connect() -> None:
            connection = await transport.connect([one, two], context)
            used.append(connection.address)
            await connection.close()

        await connect()
        await connect()
        first.close()
        second, two = await listen(two[1])
        await connect()
        first, one = await listen(one[1])
        await connect()
        for server in (first, second):
            server.close()
        with pytest.raises(OSError, match=r"[Cc]onnect"):
            await transport.connect([one, two], context)
        return [address for address in used if address in (one, two)] + [one, two]

    *used, one, two = asyncio.run(journey())
    assert used == [one, one, two, two]


def test_a_server_that_is_slow_to_connect_has_the_time_that_its_setting_gives(tmp_path: Path) -> None:
    """`client-timeout` bounds the connection alone; then `client-httpclient-timeout` counts, which is off."""

    async def wait(seconds: float) -> bool:
        silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        address = ("127.0.0.1", silent.sockets[0].getsockname()[1])
        transport = Transport(made(tmp_path, connect_timeout=0.05))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds) as patience:
                await transport.connect([address], ssl.create_default_context())
        silent.close()
        return patience.expired()

    assert not asyncio.run(wait(8))


@pytest.mark.parametrize(
    ("written", "connect", "answer"),
    [
        ("", 30, None),
        ("client-timeout=45000\nclient-httpclient-timeout=5000", 45, 5),
        ("client-httpclient-timeout=-1", 30, None),
    ],
)
def test_times_of_the_connection(tmp_path: Path, written: str, connect: float, answer: float | None) -> None:
    """As the file gives them, in milliseconds."""
    (tmp_path / "local.ini").write_text(f"[proxy]\n{written}\n")
    read = SecuritySettings.read(Ini(tmp_path), Common(state=tmp_path, tls=tmp_path))
    assert (read.connect_timeout, read.answer_timeout) == (connect, answer)


def parameters(authorities: Authorities, trust: TrustServices, root_status: TrustServices) -> Parameters:
    """A configuration that approves the root, with the issuing CA below it."""
    issuing = Authority(
        certificate=encode(authorities.issuer), responders=(Responder(url=trust.url, cost_type="FREE"),)
    )
    root = CertificationService(
        name="root",
        certificate=encode(authorities.root),
        certificate_profile_info="",
        authentication_only=False,
        default_csr_format="PEM",
        responders=(Responder(url=root_status.url, cost_type="FREE"),),
        intermediates=(issuing,),
    )
    return Parameters(
        instance="TEST",
        member_classes=(),
        members=(),
        security_servers=(),
        global_groups=(),
        certification_services=(root,),
        timestamping_services=(),
        management_service_provider=None,
        registration_address="",
        registration_certificate="",
    )


def test_authorities_below_the_approved_one_need_a_status(tmp_path: Path, authorities: Authorities) -> None:
    """Each is asked for where the CA above it has a responder; a revoked one ends everything below it."""
    own, _ = authorities.members["CIVIL"]
    with (
        serving(authorities.trust) as trust,
        serving(TrustServices(authorities.root, authorities.root_key)) as root,
    ):
        known = parameters(authorities, trust, root)
        assert below_approved(own, known) == [own, authorities.issuer]
        assert carried_authorities(own, known) == [authorities.issuer]
        statuses = CertificateStatuses(Store(tmp_path / "x.db"))
        statuses.fetch(own, known)
        shown = statuses.shown(own, known)
        assert len(shown) == 2
        for order in (shown, shown[::-1]):
            statuses.require_good(own, order, known)
        for part in ([shown[0]], [shown[1]], []):
            with pytest.raises(OcspError):
                statuses.require_good(own, part, known)
        root.revoked[authorities.issuer.serial_number] = datetime.now(UTC)
        statuses.fetch_one(authorities.issuer, known)
        with pytest.raises(OcspError, match="REVOKED"):
            statuses.require_good(own, statuses.shown(own, known), known)
