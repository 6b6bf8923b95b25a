"""The status of certificates: the server's own are asked for ahead, peers show theirs.

The CAs between a certificate and its approved CA need a good status as well. While the configuration
names no responder for a CA, nobody is asked and its certificates count as good.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

import httpx
from cryptography import x509

from xroad_simulator import ocsp
from xroad_simulator.certificates import decode, der, fingerprint, is_current, issuer_among
from xroad_simulator.clock import now
from xroad_simulator.global_configuration import ConfigurationError, Parameters
from xroad_simulator.ocsp import OcspError, Statement, Status
from xroad_simulator.security.contacts import Contact
from xroad_simulator.security.message import read_multipart
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
    named = [] if issuer is None else parameters.responders(issuer)
    if issuer is None or not named:
        return None
    registered = tuple(decode(item.certificate) for item in named if item.certificate is not None)
    return Responders(issuer, tuple(item.url for item in named), registered)


def below_approved(certificate: x509.Certificate, parameters: Parameters) -> list[x509.Certificate]:
    """A certificate and the CAs above it whose status counts: all that lie below the approved CA."""
    chain, authorities = [certificate], parameters.authorities()
    while len(chain) <= len(authorities):
        issuer = issuer_among(chain[-1], authorities)
        if issuer is None or not parameters.is_intermediate(issuer):
            break
        chain.append(issuer)
    return chain


def carried_authorities(certificate: x509.Certificate, parameters: Parameters) -> list[x509.Certificate]:
    """The CAs that a signature carries with it: all that are known and aren't a root."""
    chain = below_approved(certificate, parameters)
    approved = issuer_among(chain[-1], parameters.authorities())
    if approved is not None and approved.issuer != approved.subject:
        chain.append(approved)
    return chain[1:]


class CertificateStatuses:
    """What one server knows about certificates' status."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._peers: OrderedDict[str, tuple[bytes, ...]] = OrderedDict()
        self.contacts: dict[str, Contact] = {}
        """By a responder's address."""

    def own(self, certificate: x509.Certificate) -> bytes | None:
        """The answer about an own certificate that is shown to others; None without one."""
        record = self._store.get(OcspRecord, fingerprint(certificate))
        return None if record is None else base64.b64decode(record.answer)

    def shown(self, certificate: x509.Certificate, parameters: Parameters) -> list[bytes]:
        """What is shown with an own certificate: the answers about it and the CAs above it."""
        answers = [self.own(item) for item in below_approved(certificate, parameters)]
        return [answer for answer in answers if answer is not None]

    def known_of(self, certificate: x509.Certificate) -> tuple[bytes, ...]:
        """The answers that a peer showed last."""
        return self._peers.get(fingerprint(certificate), ())

    def keep(self, certificate: x509.Certificate, answers: Sequence[bytes]) -> None:
        """Remember what a peer showed, until its answers are too old."""
        self._peers[fingerprint(certificate)] = tuple(answers)
        self._peers.move_to_end(fingerprint(certificate))
        while len(self._peers) > _PEERS:
            self._peers.popitem(last=False)

    def require_good(
        self, certificate: x509.Certificate, answers: Sequence[bytes], parameters: Parameters
    ) -> None:
        """OcspError unless answers show that the certificate and the CAs above it are good now.

        Where the configuration names nobody who could be asked, no answer is needed.
        """
        for item in below_approved(certificate, parameters):
            responders = responders_for(item, parameters)
            if responders is not None:
                self._require_one(item, answers, responders, parameters)

    def _require_one(
        self,
        certificate: x509.Certificate,
        answers: Sequence[bytes],
        responders: Responders,
        parameters: Parameters,
    ) -> None:
        problem = OcspError("OCSP response for the certificate is not available")
        for answer in answers:
            try:
                self._read(answer, certificate, responders).require_good(_freshness(parameters), now())
            except OcspError as error:
                # An answer about another certificate of the chain says less than one about this.
                problem = problem if "does not apply" in error.detail and len(answers) > 1 else error
            else:
                return
        raise problem

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
        """Ask about an own certificate, and about CAs above it whose status isn't known, and keep the answers.

        OcspError if no responder gives one to rely on.
        """
        for item in below_approved(certificate, parameters):
            if item is certificate or self.status(item, parameters) is not Status.GOOD:
                self.fetch_one(item, parameters)

    def fetch_one(self, certificate: x509.Certificate, parameters: Parameters) -> None:
        """Ask about one certificate and keep the answer; OcspError if no responder gives one to rely on."""
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


async def ask_peer(server: SecurityServer, address: str, certificate: x509.Certificate) -> Sequence[bytes]:
    """What a provider's server shows about its certificate on port 5577; nothing if it can't be asked.

    Answers that were shown before are used again while they are fresh, as X-Road does.
    """
    parameters = server.configuration()
    wanted = [item for item in below_approved(certificate, parameters) if responders_for(item, parameters)]
    if not wanted:
        return ()
    known = server.statuses.known_of(certificate)
    if known:
        try:
            server.statuses.require_good(certificate, known, parameters)
        except OcspError:
            pass
        else:
            return known
    port = server.settings.listening.port(server.settings.ocsp_port)
    host = f"[{address}]" if ":" in address else address
    # By SHA-1 and by SHA-256, as X-Road asks (`CertHashBasedOcspResponderClient`).
    named = {
        "cert": [sha1(item) for item in wanted],
        "cert_hash": [fingerprint(item).lower() for item in wanted],
    }
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as http:
            answer = await http.get(f"http://{host}:{port}/", params=named)
        answer.raise_for_status()
        parts = read_multipart("multipart/related", answer.headers.get("content-type", ""), answer.content)
    except (httpx.HTTPError, ValueError) as error:
        _LOG.warning("no OCSP response from %s: %r", address, error)
        return ()
    answers = [content for kind, content in parts if kind == ocsp.RESPONSE_TYPE]
    server.statuses.keep(certificate, answers)
    return answers


def sha1(certificate: x509.Certificate) -> str:
    """How servers name a certificate when they ask each other for its status."""
    return hashlib.sha1(der(certificate), usedforsecurity=False).hexdigest()


def own_certificates(server: SecurityServer) -> Iterator[x509.Certificate]:
    """Certificates whose status matters: within validity, not on their way out; and the CAs above them."""
    parameters, told = server.last_configuration(), set()
    for record in server.store.all(CertificateRecord):
        certificate = decode(record.certificate)
        if record.status is CertificateStatus.DELETION_IN_PROGRESS or not is_current(certificate):
            continue
        for item in [certificate] if parameters is None else below_approved(certificate, parameters):
            if fingerprint(item) not in told:
                told.add(fingerprint(item))
                yield item


def refresh(server: SecurityServer) -> None:
    """Ask for the status of every own certificate that is due."""
    try:
        parameters = server.configuration()
    except ConfigurationError:
        return
    for certificate in own_certificates(server):
        if not server.statuses.is_due(certificate, parameters, server.settings.ocsp_fetch_interval):
            continue
        try:
            server.statuses.fetch_one(certificate, parameters)
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
