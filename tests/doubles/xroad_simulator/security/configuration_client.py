"""Fetching the global configuration, and what follows from it for clients and certificates."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx

from xroad_simulator.clock import now
from xroad_simulator.global_configuration import (
    Anchor,
    ConfigurationError,
    Directory,
    Parameters,
    verify,
)
from xroad_simulator.security.records import (
    CertificateRecord,
    CertificateStatus,
    ClientRecord,
    ClientStatus,
    ConfigurationRecord,
    Usage,
)
from xroad_simulator.security.server import SecurityServer

_LOG = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 10


def download(anchor: Anchor, known: bytes = b"") -> tuple[Directory, bytes, str]:
    """A verified directory, the content that it names, and where they came from.

    Sources are tried in the anchor's order; ConfigurationError if none gives a valid one.
    `known` is content that needn't be fetched again if the directory still names it.
    """
    problem = ConfigurationError("conf_download_failed", "the anchor names no source")
    for url in anchor.download_urls:
        try:
            return (*_download_from(url, anchor, known), url)
        except ConfigurationError as error:
            problem = error
        except httpx.HTTPError as error:
            problem = ConfigurationError("conf_download_failed", f"{url}: {error}")
    raise problem


def _download_from(url: str, anchor: Anchor, known: bytes) -> tuple[Directory, bytes]:
    address = urlsplit(url)
    # The content is signed: the transport needs no certificate (X-Road can check it as well).
    with httpx.Client(verify=False, timeout=_TIMEOUT_SECONDS, trust_env=False) as http:  # noqa: S501
        document = http.get(url, params={"version": "6"})
        if document.status_code != HTTPStatus.OK:
            raise ConfigurationError("conf_download_failed", f"{url}: {document.status_code}")
        directory = verify(document.content, anchor)
        if directory.names(known):
            return directory, known
        content = http.get(f"{address.scheme}://{address.netloc}{directory.location}")
        if content.status_code != HTTPStatus.OK:
            # A new generation took its place between the two requests.
            raise ConfigurationError("conf_download_failed", f"{directory.location} is gone")
    directory.accept(content.content)
    return directory, content.content


def update(server: SecurityServer) -> bool:
    """Fetch once and act on what changed; False without an anchor or a valid configuration."""
    anchor, previous = server.anchor, server.fetched()
    if anchor is None:
        return False
    try:
        known = b"" if previous is None else previous.content.encode()
        directory, content, url = download(anchor, known)
        parameters = directory.accept(content)
    except ConfigurationError as problem:
        server.last_problem = problem
        _LOG.warning("global configuration not updated: %s", problem)
        return False
    server.last_problem = None
    record = ConfigurationRecord(content=content.decode(), expires=directory.expires, fetched_at=now(), url=url)
    with server.store.transaction():
        server.take(record, parameters)
        reconcile(server, parameters)
    return True


def reconcile(server: SecurityServer, parameters: Parameters) -> None:
    """Bring the status of clients and authentication certificates up to the configuration."""
    identifier = server.server_id
    if identifier is None:
        return
    registered = parameters.server(identifier)
    clients = set() if registered is None else set(registered.clients)
    certificates = set() if registered is None else set(registered.authentication_certificates)
    for client in server.store.all(ClientRecord):
        status = _client_status(client, client.id in clients)
        if status is not client.status:
            _LOG.info("client %s: %s", client.id, status)
            server.store.put(client.having(status=status))
    for certificate in server.store.all(CertificateRecord):
        if certificate.usage is not Usage.AUTHENTICATION:
            continue
        new = _certificate_status(certificate, certificate.certificate in certificates)
        if new is certificate.status:
            continue
        _LOG.info("authentication certificate %s: %s", certificate.hash, new)
        activates = new is CertificateStatus.REGISTERED and server.settings.activate_authentication_certificate
        server.store.put(certificate.having(status=new, active=certificate.active or activates))


def _client_status(client: ClientRecord, is_registered: bool) -> ClientStatus:
    if is_registered and client.status in (
        ClientStatus.SAVED,
        ClientStatus.REGISTRATION_IN_PROGRESS,
        ClientStatus.GLOBAL_ERROR,
    ):
        return ClientStatus.REGISTERED
    if not is_registered and client.status is ClientStatus.REGISTERED:
        return ClientStatus.GLOBAL_ERROR
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
