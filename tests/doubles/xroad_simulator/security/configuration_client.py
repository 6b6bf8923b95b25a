"""Fetching the global configuration, and what follows from it for clients and certificates."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx

from xroad_simulator import parameters_xml
from xroad_simulator.clock import now
from xroad_simulator.global_configuration import Anchor, ConfigurationError, Parameters
from xroad_simulator.identifiers import ServerId
from xroad_simulator.security.records import (
    CertificateRecord,
    CertificateStatus,
    ClientRecord,
    ClientStatus,
    ConfigurationRecord,
    Usage,
)
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.signed_directory import PRIVATE, SHARED, Directory, verify

_LOG = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A verified directory, its parts as they are, and where they came from."""

    directory: Directory
    parts: dict[str, bytes]
    url: str

    def parameters(self) -> Parameters:
        """What the parts say; ConfigurationError if that can't be read."""
        return parameters_xml.read(self.parts[SHARED], self.parts[PRIVATE])


def download(
    anchor: Anchor, known: Mapping[str, bytes] | None = None, more_certificates: Iterable[str] = ()
) -> Downloaded:
    """Fetch a configuration.

    Sources are tried in the anchor's order; ConfigurationError if none gives a valid one. `known` are parts
    that needn't be fetched again if the directory still names them. `more_certificates` may sign as well:
    those that the last configuration told of, so that a new signing key needs no new anchor.
    """
    problem = ConfigurationError("conf_download_failed", "the anchor names no source")
    certificates = tuple(dict.fromkeys((*anchor.verification_certificates, *more_certificates)))
    for url in anchor.download_urls:
        try:
            return _download_from(url, anchor.instance, certificates, known or {})
        except ConfigurationError as error:
            problem = error
        except httpx.HTTPError as error:
            problem = ConfigurationError("conf_download_failed", f"{url}: {error}")
    raise problem


def _download_from(
    url: str, instance: str, certificates: Iterable[str], known: Mapping[str, bytes]
) -> Downloaded:
    address = urlsplit(url)
    # The content is signed: the transport needs no certificate (X-Road can check it as well).
    with httpx.Client(verify=False, timeout=_TIMEOUT_SECONDS, trust_env=False) as http:  # noqa: S501
        document = http.get(url, params={"version": str(parameters_xml.NEWEST)})
        if document.status_code != HTTPStatus.OK:
            raise ConfigurationError("conf_download_failed", f"{url}: {document.status_code}")
        # The web server serves the document without its first line, which says how it is divided.
        whole = f"Content-Type: {document.headers['content-type']}\r\n\r\n".encode() + document.content
        directory = verify(whole, instance, certificates)
        parts = {}
        for identifier, entry in directory.entries.items():
            content = known.get(identifier, b"")
            if not directory.names(identifier, content):
                answer = http.get(f"{address.scheme}://{address.netloc}{entry.location}")
                if answer.status_code != HTTPStatus.OK:
                    # A new generation took its place between the two requests.
                    raise ConfigurationError("global_conf_part_download_failure", entry.location)
                content = directory.accept(identifier, answer.content)
            parts[identifier] = content
    if PRIVATE not in parts:
        raise ConfigurationError("conf_verification.missing_private_params", url)
    return Downloaded(directory, parts, url)


def update(server: SecurityServer) -> bool:
    """Fetch once and act on what changed; False without an anchor or a valid configuration."""
    anchor, previous = server.anchor, server.fetched()
    if anchor is None:
        return False
    known: dict[str, bytes] = {}
    told: list[str] = []
    last = server.last_configuration()
    if previous is not None and last is not None and last.instance == anchor.instance:
        known = {
            SHARED: base64.b64decode(previous.shared),
            PRIVATE: base64.b64decode(previous.private),
        }
        told = [certificate for source in last.sources for certificate in source.internal_certificates]
    try:
        downloaded = download(anchor, known, told)
        parameters = downloaded.parameters()
    except ConfigurationError as problem:
        server.last_problem = problem
        _LOG.warning("global configuration not updated: %s", problem)
        return False
    server.last_problem = None
    record = ConfigurationRecord(
        shared=base64.b64encode(downloaded.parts[SHARED]).decode(),
        private=base64.b64encode(downloaded.parts[PRIVATE]).decode(),
        expires=downloaded.directory.expires,
        fetched_at=now(),
        url=downloaded.url,
    )
    with server.store.transaction():
        server.take(record, parameters)
        reconcile(server, parameters)
    return True


def reconcile(server: SecurityServer, parameters: Parameters) -> None:
    """Bring owner, clients and certificates up to the configuration (`GlobalConfChecker.java`)."""
    _follow_owner(server, parameters)
    identifier = server.server_id
    if identifier is None:
        return
    registered = parameters.server(identifier)
    server.pending.settle(registered, parameters)
    clients = set() if registered is None else set(registered.clients)
    for client in server.store.all(ClientRecord):
        status = _client_status(client, client.id in clients)
        if status is not client.status:
            _LOG.info("client %s: %s", client.id, status)
            server.store.put(client.having(status=status))
    for certificate in server.store.all(CertificateRecord):
        if certificate.usage is not Usage.AUTHENTICATION:
            continue
        new = _certificate_status(
            certificate, registered is not None and registered.has(certificate.certificate)
        )
        if new is certificate.status:
            continue
        _LOG.info("authentication certificate %s: %s", certificate.hash, new)
        activates = new is CertificateStatus.REGISTERED and server.settings.activate_authentication_certificate
        server.store.put(certificate.having(status=new, active=certificate.active or activates))


def _follow_owner(server: SecurityServer, parameters: Parameters) -> None:
    """Belong to the other member, if the configuration has this server's certificate at that one's server."""
    identifier, identity = server.server_id, server.identity
    if identifier is None or parameters.server(identifier) is not None:
        return
    certificates = [
        record for record in server.store.all(CertificateRecord) if record.usage is Usage.AUTHENTICATION
    ]
    for record in server.store.all(ClientRecord):
        client = record.client
        if client.subsystem_code is not None or client == identifier.owner:
            continue
        other = parameters.server(
            ServerId(client.instance, client.member_class, client.member_code, identifier.server_code)
        )
        if other is None or not any(other.has(found.certificate) for found in certificates):
            continue
        _LOG.info("this server is %s now", other.id)
        owned = identity.having(owner_class=client.member_class, owner_code=client.member_code)
        server.store.put(owned)
        for found in certificates:
            server.store.put(found.having(owner=str(client)))
        return


def _client_status(client: ClientRecord, is_registered: bool) -> ClientStatus:
    if is_registered and client.status in (
        ClientStatus.SAVED,
        ClientStatus.REGISTRATION_IN_PROGRESS,
        ClientStatus.GLOBAL_ERROR,
        ClientStatus.ENABLING_IN_PROGRESS,
    ):
        return ClientStatus.REGISTERED
    if not is_registered and client.status is ClientStatus.REGISTERED:
        return ClientStatus.GLOBAL_ERROR
    if not is_registered and client.status is ClientStatus.DISABLING_IN_PROGRESS:
        return ClientStatus.DISABLED
    return client.status


def _certificate_status(certificate: CertificateRecord, is_registered: bool) -> CertificateStatus:
    if is_registered and certificate.status in (
        CertificateStatus.SAVED,
        CertificateStatus.REGISTRATION_IN_PROGRESS,
        CertificateStatus.GLOBAL_ERROR,
    ):
        return CertificateStatus.REGISTERED
    if not is_registered and certificate.status is CertificateStatus.REGISTERED:
        return CertificateStatus.GLOBAL_ERROR
    return certificate.status


async def keep_updating(server: SecurityServer) -> None:
    """Fetch on the interval for as long as the server runs."""
    while True:
        try:
            await asyncio.to_thread(update, server)
        except Exception:  # noqa: BLE001 - logged; the loop must go on
            # The last configuration stays in use until it expires, as in X-Road.
            _LOG.exception("global configuration not updated")
        await asyncio.sleep(server.settings.update_interval)
