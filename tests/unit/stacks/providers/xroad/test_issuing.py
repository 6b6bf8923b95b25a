"""Ordering from the trust services CA: what is sent, waited for, repeated and told. The API is a double."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.authority import CertificateOrder
from stacks.providers.xroad.endpoint import Endpoint
from stacks.providers.xroad.errors import UnreachableError
from stacks.providers.xroad.identifiers import MemberId
from stacks.providers.xroad.issuing import IssuingApi, idempotency_key

TOKEN = "token-that-nobody-may-see"
ORDER = "0a4cf2f6-1d6d-4ab5-9cfa-1c7a4e0f3a11"
Answers = Callable[[httpx.Request], httpx.Response]


@cache
def key(whose: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def name() -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Civil Registry")])


@cache
def request() -> bytes:
    built = x509.CertificateSigningRequestBuilder().subject_name(name()).sign(key("ours"), hashes.SHA256())
    return built.public_bytes(Encoding.PEM)


@cache
def issued(whose: str) -> str:
    now = datetime.now(UTC)
    built = x509.CertificateBuilder(
        name(), name(), key(whose).public_key(), 1, now - timedelta(hours=1), now + timedelta(days=1)
    ).sign(key("ca"), hashes.SHA256())
    return built.public_bytes(Encoding.PEM).decode()


def certificate() -> str:
    return issued("ours")


def signing() -> CertificateOrder:
    return CertificateOrder("SIGNING", MemberId("TEST", "GOV", "CIVILREG"), "Civil Registry", request())


def authentication() -> CertificateOrder:
    member = MemberId("TEST", "GOV", "CIVILREG")
    return CertificateOrder("AUTHENTICATION", member, "Civil Registry", request(), "ss1.example.test")


def shown(state: str, **more: Any) -> dict[str, Any]:
    return {"id": ORDER, "state": state, **more}


def problem(status: int, detail: str, **more: str) -> httpx.Response:
    return httpx.Response(status, json={"status": status, "detail": detail, **more})


def ordered(answers: Answers, order: CertificateOrder | None = None, **waits: float) -> bytes:
    """Order from an API that answers so."""
    api = IssuingApi(
        Endpoint(address="127.0.0.1", name="ca1.example.test", port=9444),
        ssl.create_default_context(),
        lambda: TOKEN,
        transport=httpx.MockTransport(answers),
        **{"patience_seconds": 0.0, "approval_seconds": 0.0, "probe_seconds": 0.001, **waits},
    )
    return asyncio.run(api.sign(order or signing()))


def test_an_order_says_who_and_what() -> None:
    """Profile, member, server, request; the token in the header; a key made of the content."""
    seen: list[httpx.Request] = []

    def answer(sent: httpx.Request) -> httpx.Response:
        seen.append(sent)
        return httpx.Response(201, json=shown("issued", certificate=certificate()))

    assert ordered(answer, authentication()) == certificate().encode()
    (sent,) = seen
    assert (sent.method, sent.url.path, sent.headers["host"]) == ("POST", "/orders", "ca1.example.test:9444")
    assert sent.headers["authorization"] == f"Bearer {TOKEN}"
    assert json.loads(sent.content) == {
        "profile": "authentication",
        "member": {"class": "GOV", "code": "CIVILREG", "name": "Civil Registry"},
        "server": "ss1.example.test",
        "csr": request().decode(),
        "idempotency_key": idempotency_key(authentication()),
    }


def test_a_signing_order_names_no_server() -> None:
    """The API refuses one that does."""
    bodies: list[Any] = []

    def answer(sent: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(sent.content))
        return httpx.Response(201, json=shown("issued", certificate=certificate()))

    ordered(answer)
    assert "server" not in bodies[0]


def test_the_key_is_of_the_content() -> None:
    """Line ends of PEM are no other order; another use of the same request is."""
    first = signing()
    with_dos_lines = CertificateOrder(
        first.usage, first.member, first.member_name, first.request.replace(b"\n", b"\r\n")
    )
    assert idempotency_key(with_dos_lines) == idempotency_key(first)
    assert idempotency_key(authentication()) != idempotency_key(first)
    assert len(idempotency_key(authentication())) <= 128


def test_an_officer_is_waited_for() -> None:
    """Asked again until the order is issued; never ordered again."""
    states = iter(["waiting", "approved", "issued"])
    methods: list[str] = []

    def answer(sent: httpx.Request) -> httpx.Response:
        methods.append(f"{sent.method} {sent.url.path}")
        if sent.method == "POST":
            return httpx.Response(202, json=shown("waiting", next_step="an officer decides"))
        state = next(states)
        return httpx.Response(
            200, json=shown(state, **({"certificate": certificate()} if state == "issued" else {}))
        )

    assert ordered(answer, approval_seconds=60.0) == certificate().encode()
    assert methods == ["POST /orders", *[f"GET /orders/{ORDER}"] * 3]


def test_whoever_must_approve_is_named() -> None:
    """With the command, where it is typed, and that nothing is lost."""
    with pytest.raises(
        ProviderError,
        match=rf"order {ORDER} waiting.*authentication certificate of TEST:GOV:CIVILREG.*ss1\.example\.test"
        rf".*officer.*on ca1\.example\.test with `trust-services issuing approve {ORDER}`.*apply again",
    ):
        ordered(lambda _: httpx.Response(202, json=shown("waiting")), authentication())


def test_an_officers_refusal_is_told() -> None:
    """While it was waited for."""

    def answer(sent: httpx.Request) -> httpx.Response:
        if sent.method == "POST":
            return httpx.Response(202, json=shown("waiting"))
        return httpx.Response(200, json=shown("refused", reason="not a member"))

    with pytest.raises(
        ProviderError, match=r"refused the signing certificate.*not a member.*delete the certif"
    ):
        ordered(answer, approval_seconds=60.0)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            problem(422, "the RSA key has 1024 bits", next_step="make a new request"),
            "1024 bits; next: make a new",
        ),
        (problem(422, "not a member", next_step="with a new key", order=ORDER), f"{ORDER}; next: correct"),
        (
            problem(409, "the key is of another member", next_step="make a new key"),
            "another member; next: make",
        ),
        (
            problem(401, "who asks isn't known"),
            "isn't known; next: its token isn't known there: apply the stage",
        ),
        (problem(403, "this is for orderers; 'x' is an officer"), "an officer; next: its token may not order"),
        (problem(500, "this shouldn't happen", next_step="tell the operators"), "happen; next: tell"),
        (httpx.Response(418, text="<html>strange</html>"), "answered 418: <html>strange"),
    ],
)
def test_refusals_keep_the_reason(answer: httpx.Response, told: str) -> None:
    """What is wrong and what to do next; not the token. Such an order isn't sent again."""
    seen: list[str] = []

    def refuse(sent: httpx.Request) -> httpx.Response:
        seen.append(sent.method)
        return answer

    with pytest.raises(ProviderError) as caught:
        ordered(refuse, patience_seconds=60.0)
    assert told in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert seen == ["POST"]


def test_an_order_is_sent_again_while_the_ca_cant_issue() -> None:
    """Also after a connection that broke when the order may have arrived: it has a name."""
    bodies: list[bytes] = []

    def answer(sent: httpx.Request) -> httpx.Response:
        bodies.append(sent.content)
        if len(bodies) == 1:
            raise httpx.ReadError("the connection broke")
        if len(bodies) == 2:
            return problem(503, "the record can't be reached", next_step="send the same order again")
        return httpx.Response(200, json=shown("issued", certificate=certificate()))

    assert ordered(answer, patience_seconds=60.0) == certificate().encode()
    assert len(bodies) == 3
    assert len(set(bodies)) == 1


def test_a_ca_that_stays_away_is_told() -> None:
    """With its last reason."""
    with pytest.raises(UnreachableError, match="the token is locked; next: log in; gave up after 0 s"):
        ordered(lambda _: problem(503, "the token is locked", next_step="log in"))

    def unreachable(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    with pytest.raises(UnreachableError, match=r"ca1\.example\.test:9444 can't be reached: .*no route"):
        ordered(unreachable)


def test_a_certificate_of_another_key_is_refused() -> None:
    """Nothing else could be imported, and somebody should know."""
    with pytest.raises(ProviderError, match="a certificate of another key"):
        ordered(lambda _: httpx.Response(201, json=shown("issued", certificate=issued("other"))))


def test_the_chain_needs_no_token() -> None:
    """A plan can be made before anybody may order."""

    def token() -> str:
        raise AssertionError

    seen: list[httpx.Request] = []

    def answer(sent: httpx.Request) -> httpx.Response:
        seen.append(sent)
        return httpx.Response(200, text=certificate() + issued("other"))

    api = IssuingApi(
        Endpoint(address="127.0.0.1", name="ca1.example.test", port=9444),
        ssl.create_default_context(),
        token,
        transport=httpx.MockTransport(answer),
    )
    assert [item.decode() for item in asyncio.run(api.certificates())] == [certificate(), issued("other")]
    assert "authorization" not in seen[0].headers
