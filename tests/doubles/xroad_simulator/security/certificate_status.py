"""The status of certificates: the server's own are asked for ahead, peers show theirs.

While the configuration names no responder for a CA, nobody is asked and its certificates count as good.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

import httpx
from cryptography import x509

from xroad_simulator import ocsp
from xroad_simulator.certificates import decode, fingerprint, is_current, issuer_among
from xroad_simulator.clock import now
from xroad_simulator.global_configuration import ConfigurationError, Parameters
from xroad_simulator.ocsp import OcspError, Statement, Status
from xroad_simulator.security.contacts import Contact
from xroad_simulator.security.records import CertificateRecord, CertificateStatus
from xroad_simulator.store import Record, Store

if TYPE_CHECKING:
    from xroad_simulator.security.server import SecurityServer

_LOG = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 20
_MAXIMUM_BYTES = 64 * 1024
_PEERS = 1024


class OcspRecord(Record):
    """The last good answer about one of the server's own certificates, or the last bad one."""

    KIND: ClassVar[str] = "ocsp_response"
    hash: str
    answer: str
    fetched_at: datetime

    @property
    def key(self) -> str:
        """The certificate's hash."""
        return self.hash


@dataclass(frozen=True, slots=True)
class Responders:
    """A CA whose certificates' status is asked for, and whom."""

    issuer: x509.Certificate
    urls: tuple[str, ...]
    certificates: tuple[x509.Certificate, ...]


def responders_for(certificate: x509.Certificate, parameters: Parameters) -> Responders | None:
    """Who knows a certificate's status; None if the configuration names nobody."""
    issuer = issuer_among(certificate, parameters.authorities())
    if issuer is None:
        return None
    named = parameters.responders(issuer)
    if not named:
        return None
    registered = tuple(decode(item.certificate) for item in named if item.certificate is not None)
    return Responders(issuer, tuple(item.url for item in named), registered)


class CertificateStatuses:
    """What one server knows about certificates' status."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._peers: OrderedDict[str, bytes] = OrderedDict()
        self.contacts: dict[str, Contact] = {}
        """By a responder's address."""

    def own(self, certificate: x509.Certificate) -> bytes | None:
        """The answer about an own certificate that is shown to others; None without one."""
        record = self._store.get(OcspRecord, fingerprint(certificate))
        return None if record is None else base64.b64decode(record.answer)

    def known_of(self, certificate: x509.Certificate) -> bytes | None:
        """The answer that a peer showed last."""
        return self._peers.get(fingerprint(certificate))

    def keep(self, certificate: x509.Certificate, answer: bytes) -> None:
        """Remember what a peer showed, until its answer is too old."""
        self._peers[fingerprint(certificate)] = answer
        while len(self._peers) > _PEERS:
            self._peers.popitem(last=False)

    def require_good(self, certificate: x509.Certificate, answer: bytes | None, parameters: Parameters) -> None:
        """OcspError unless an answer shows that the certificate is good now, where anybody can be asked."""
        responders = responders_for(certificate, parameters)
        if responders is None:
            return
        if answer is None:
            raise OcspError("OCSP response for the certificate is not available")
        self._read(answer, certificate, responders).require_good(_freshness(parameters), now())

    def status(self, certificate: x509.Certificate, parameters: Parameters) -> Status:
        """An own certificate's status, as the admin API tells it."""
        answer, responders = self.own(certificate), responders_for(certificate, parameters)
        if responders is None:
            return Status.GOOD
        if answer is None:
            return Status.UNKNOWN
        try:
            statement = self._read(answer, certificate, responders)
        except OcspError:
            return Status.UNKNOWN
        try:
            statement.require_good(_freshness(parameters), now())
        except OcspError as error:
            return statement.status if error.code == "cert_validation" else Status.UNKNOWN
        return Status.GOOD

    def fetch(self, certificate: x509.Certificate, parameters: Parameters) -> None:
        """Ask about an own certificate and keep the answer; OcspError if no responder gives one to rely on."""
        responders = responders_for(certificate, parameters)
        if responders is None:
            return
        problem = OcspError("OCSP response for the certificate is not available")
        for url in responders.urls:
            try:
                answer = _ask(url, ocsp.request(certificate, responders.issuer))
                statement = self._read(answer, certificate, responders)
                if statement.status is Status.GOOD:
                    statement.require_good(_freshness(parameters), now())
            except OcspError as error:
                self.contacts[url] = Contact(now(), error.detail)
                problem = error
                continue
            self.contacts[url] = Contact(now())
            kept = base64.b64encode(answer).decode()
            self._store.put(OcspRecord(hash=fingerprint(certificate), answer=kept, fetched_at=now()))
            return
        raise problem

    def is_due(self, certificate: x509.Certificate, parameters: Parameters, interval: float) -> bool:
        """Whether an own certificate's status should be asked for: it isn't good, or the answer is old."""
        record = self._store.get(OcspRecord, fingerprint(certificate))
        if record is None or now() - record.fetched_at >= timedelta(seconds=interval):
            return True
        return self.status(certificate, parameters) is not Status.GOOD

    @staticmethod
    def _read(answer: bytes, certificate: x509.Certificate, responders: Responders) -> Statement:
        return ocsp.read(answer, certificate, responders.issuer, responders.certificates)


def _freshness(parameters: Parameters) -> timedelta:
    return timedelta(seconds=parameters.ocsp_freshness_seconds)


def _ask(url: str, question: bytes) -> bytes:
    headers = {"Content-Type": ocsp.REQUEST_TYPE, "Accept": ocsp.RESPONSE_TYPE}
    try:
        with httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False) as http:
            answer = http.post(url, content=question, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OcspError(f"OCSP responder {url} can't be reached: {error!r}") from error
    if answer.status_code != 200 or len(answer.content) > _MAXIMUM_BYTES:
        raise OcspError(f"OCSP responder {url} answered {answer.status_code}")
    return answer.content


async def ask_peer(server: SecurityServer, address: str, certificate: x509.Certificate) -> bytes | None:
    """What a provider's server shows about its certificate on port 5577; None if it shows nothing.

    An answer that was shown before is used again while it is fresh, as X-Road does.
    """
    parameters = server.configuration()
    if responders_for(certificate, parameters) is None:
        return None
    known = server.statuses.known_of(certificate)
    if known is not None:
        try:
            server.statuses.require_good(certificate, known, parameters)
        except OcspError:
            pass
        else:
            return known
    port = server.settings.listening.port(server.settings.ocsp_port)
    host = f"[{address}]" if ":" in address else address
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as http:
            answer = await http.get(f"http://{host}:{port}/", params={"cert": fingerprint(certificate)})
    except httpx.HTTPError as error:
        _LOG.warning("no OCSP response from %s: %r", address, error)
        return None
    if answer.status_code != 200:
        return None
    server.statuses.keep(certificate, answer.content)
    return answer.content


def _own(server: SecurityServer) -> Iterator[x509.Certificate]:
    """Certificates whose status matters: within validity and not on their way out."""
    for record in server.store.all(CertificateRecord):
        certificate = decode(record.certificate)
        if record.status is not CertificateStatus.DELETION_IN_PROGRESS and is_current(certificate):
            yield certificate


def refresh(server: SecurityServer) -> None:
    """Ask for the status of every own certificate that is due."""
    try:
        parameters = server.configuration()
    except ConfigurationError:
        return
    for certificate in _own(server):
        if not server.statuses.is_due(certificate, parameters, server.settings.ocsp_fetch_interval):
            continue
        try:
            server.statuses.fetch(certificate, parameters)
        except OcspError as error:
            _LOG.warning("status of %s: %s", fingerprint(certificate), error.detail)


async def keep_fresh(server: SecurityServer) -> None:
    """Ask on the interval for as long as the server runs; after a failure, on the shorter one."""
    while True:
        try:
            await asyncio.to_thread(refresh, server)
        except Exception:  # noqa: BLE001 - logged; the loop must go on
            _LOG.exception("certificates' status not asked for")
        await asyncio.sleep(server.settings.ocsp_retry_delay)
