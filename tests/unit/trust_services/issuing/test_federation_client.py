"""The federation's client and the authority understand each other: the real API answers the real client."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import pytest
from cryptography import x509
from tests.unit.trust_services.issuing.conftest import Place
from tests.unit.trust_services.issuing.ordering import (
    NAME,
    SERVER,
    Memory,
    authority,
    fresh_key,
    pem,
    request,
    subject,
)

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.authority import CertificateOrder
from stacks.providers.xroad.endpoint import Endpoint
from stacks.providers.xroad.errors import UnreachableError
from stacks.providers.xroad.identifiers import MemberId
from stacks.providers.xroad.issuing import IssuingApi
from trust_services.issuing.api import Reader, application
from trust_services.issuing.configuration import Client
from trust_services.issuing.orders import Order
from trust_services.issuing.record import Record
from trust_services.issuing.service import Service
from trust_services.issuing.signing import Authority

TOKEN = "f" * 40
T = TypeVar("T")


def ordering(
    place: Place, holder: Memory, work: Callable[[IssuingApi], Awaitable[T]], token: str = TOKEN, **waits: float
) -> T:
    """Do something with the client of an authority that expects every member but STRANGE."""

    def expects(sent: Order) -> bool:
        return sent.member.code != "STRANGE"

    own = authority()
    service = Service(Authority(own.terms(), holder), place.connect, expects)
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    known = (Client(name="federation", role="orderer", token_sha256=digest),)
    made = application(service, Reader(place.connect), known, [own.certificate, own.root])
    arguments: dict[str, Any] = {
        "patience_seconds": 0.0,
        "approval_seconds": 0.0,
        "probe_seconds": 0.05,
        **waits,
    }

    async def act() -> T:
        async with made.router.lifespan_context(made):
            client = IssuingApi(
                Endpoint(address="127.0.0.1", name="ca1.example.test", port=9444),
                ssl.create_default_context(),
                lambda: token,
                transport=httpx.ASGITransport(made, raise_app_exceptions=False),
                **arguments,
            )
            try:
                return await work(client)
            finally:
                await client.close()

    return asyncio.run(act())


def an_order(profile: str, code: str = "HEALTH") -> CertificateOrder:
    csr = pem(request(subject(profile, code=code), fresh_key())).encode()
    member = MemberId("TEST", "GOV", code)
    if profile == "signing":
        return CertificateOrder("SIGNING", member, NAME, csr)
    return CertificateOrder("AUTHENTICATION", member, NAME, csr, SERVER)


@pytest.mark.parametrize("profile", ["authentication", "signing"])
def test_certificates_of_both_kinds_and_the_same_again(place: Place, holder: Memory, profile: str) -> None:
    """Another run with the same request gets the same certificate."""
    order = an_order(profile)

    async def twice(client: IssuingApi) -> tuple[bytes, bytes, list[bytes]]:
        return await client.sign(order), await client.sign(order), await client.certificates()

    first, second, chain = ordering(place, holder, twice)
    assert first == second
    issuer = x509.load_pem_x509_certificate(chain[0])
    x509.load_pem_x509_certificate(first).verify_directly_issued_by(issuer)
    assert place.rows("SELECT count(*) FROM issuing.certificates") == [(1,)]


def test_an_order_that_waits_is_taken_up_after_approval(place: Place, holder: Memory) -> None:
    """The first run ends with what to do; the next one, after the officer, with the certificate."""
    order = an_order("signing", "STRANGE")
    with pytest.raises(ProviderError, match="trust-services issuing approve"):
        ordering(place, holder, lambda client: client.sign(order))
    with place.connect() as connection:
        record = Record(connection)
        (entry,) = record.orders()
        record.approve(entry.id, "console:officer", "")

    certificate = ordering(place, holder, lambda client: client.sign(order), approval_seconds=60.0)
    assert b"BEGIN CERTIFICATE" in certificate
    assert place.rows("SELECT count(*) FROM issuing.orders") == [(1,)]


def test_what_the_authority_refuses(place: Place, holder: Memory) -> None:
    """A key that another member has: the API's own sentence and next step."""
    key = fresh_key()

    async def both(client: IssuingApi) -> None:
        for code in ("HEALTH", "JUSTICE"):
            csr = pem(request(subject("signing", code=code), key)).encode()
            await client.sign(CertificateOrder("SIGNING", MemberId("TEST", "GOV", code), NAME, csr))

    with pytest.raises(ProviderError, match=r"answered 409: .*another member.*; next: "):
        ordering(place, holder, both)


def test_a_token_that_nobody_has(place: Place, holder: Memory) -> None:
    """401, with what to apply again."""
    with pytest.raises(ProviderError, match=r"answered 401: .*apply the stage `trust-services` again"):
        ordering(place, holder, lambda client: client.sign(an_order("signing")), token="x" * 40)


def test_an_authority_whose_token_is_away(place: Place, holder: Memory) -> None:
    """503: not now."""
    holder.trouble = "the token can't be reached"
    with pytest.raises(UnreachableError, match="the token can't be reached"):
        ordering(place, holder, lambda client: client.sign(an_order("signing")))
