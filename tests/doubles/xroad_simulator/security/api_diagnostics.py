"""Admin API of the security server: diagnostics."""

import os
import resource
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Literal

import httpx
from fastapi import APIRouter

from xroad_simulator.authentication import allow
from xroad_simulator.certificates import decode
from xroad_simulator.clock import now, timestamp
from xroad_simulator.errors import not_found
from xroad_simulator.global_configuration import ConfigurationError
from xroad_simulator.identifiers import ClientId, ServerId
from xroad_simulator.security import configuration_client
from xroad_simulator.security.contacts import Contact
from xroad_simulator.security.management import pinned
from xroad_simulator.security.permissions import Permission
from xroad_simulator.security.records import TimestampingRecord
from xroad_simulator.security.server import Security

_TIMEOUT_SECONDS = 10
_KIBIBYTE = 1024

routes = APIRouter()


@routes.get("/diagnostics/globalconf", dependencies=[allow(Permission.DIAGNOSTICS)])
def globalconf_diagnostics(server: Security) -> dict[str, Any]:
    """When the configuration was fetched last, and why a later fetch failed."""
    record = server.fetched()
    fetched = now() if record is None else record.fetched_at
    next_update = fetched + timedelta(seconds=server.settings.update_interval)
    view: dict[str, Any] = {
        "status_class": "OK",
        "prev_update_at": timestamp(fetched),
        "next_update_at": timestamp(next_update),
    }
    if record is not None:
        view["last_successful_url"] = record.url
    if record is None:
        view["status_class"] = "WAITING"
    if server.last_problem is not None or (record is not None and now() > record.expires):
        view["status_class"] = "FAIL"
    if server.last_problem is not None:
        problem = server.last_problem
        view["error"] = {"code": problem.code, "metadata": [problem.detail]}
    return view


@routes.get("/diagnostics/timestamping-services", dependencies=[allow(Permission.DIAGNOSTICS)])
def timestamping_diagnostics(server: Security) -> list[dict[str, Any]]:
    """The used services, and how asking each went last."""
    return [
        {
            "url": record.url,
            "cost_type": record.cost_type,
            **_contact_view(server.stamping.contacts.get(record.url), "mlog.timestamper_failed"),
        }
        for record in server.store.all(TimestampingRecord)
    ]


def _contact_view(contact: Contact | None, code: str) -> dict[str, Any]:
    if contact is None:
        return {"status_class": "WAITING", "prev_update_at": timestamp(now())}
    view: dict[str, Any] = {"status_class": "OK", "prev_update_at": timestamp(contact.at)}
    if contact.problem is not None:
        view |= {"status_class": "FAIL", "error": {"code": code, "metadata": [contact.problem]}}
    return view


@routes.get("/diagnostics/ocsp-responders", dependencies=[allow(Permission.DIAGNOSTICS)])
def ocsp_diagnostics(server: Security) -> list[dict[str, Any]]:
    """Approved CAs, and how asking each of their responders went last."""
    interval = timedelta(seconds=server.settings.ocsp_fetch_interval)
    found = []
    for service in server.api_configuration().certification_services:
        responders = []
        for responder in service.responders:
            contact = server.statuses.contacts.get(responder.url)
            next_update = (now() if contact is None else contact.at) + interval
            responders.append(
                {
                    "url": responder.url,
                    "cost_type": responder.cost_type,
                    **_contact_view(contact, "ocsp_connection_error"),
                    "next_update_at": timestamp(next_update),
                }
            )
        name = decode(service.certificate).subject.rfc4514_string()
        found.append({"distinguished_name": name, "ocsp_responders": responders})
    return found


@routes.get("/diagnostics/addon-status", dependencies=[allow(Permission.DIAGNOSTICS, Permission.VIEW_TSPS)])
def addon_status() -> dict[str, bool]:
    """The message log is on, operational monitoring isn't there."""
    return {"messagelog_enabled": True, "opmonitoring_enabled": False}


@routes.get("/diagnostics/backup-encryption-status", dependencies=[allow(Permission.DIAGNOSTICS)])
def backup_encryption(server: Security) -> dict[str, Any]:
    """Whether backups are encrypted, and for which keys besides the server's own."""
    settings = server.settings
    keys = settings.backup_encryption_keys if settings.backup_encryption else ()
    return {"backup_encryption_status": settings.backup_encryption, "backup_encryption_keys": list(keys)}


@routes.get("/diagnostics/message-log-encryption-status", dependencies=[allow(Permission.DIAGNOSTICS)])
def message_log_encryption() -> dict[str, Any]:
    """Neither the log nor its archives are encrypted here."""
    return {
        "message_log_archive_encryption_status": False,
        "message_log_database_encryption_status": False,
        "message_log_grouping_rule": "none",
        "members": [],
    }


@routes.get("/diagnostics/proxy-memory-usage-status", dependencies=[allow(Permission.DIAGNOSTICS)])
def memory_usage() -> dict[str, Any]:
    """What the process uses at most, of what the machine has."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE
    return {
        "max_memory": total,
        "total_memory": total,
        "used_memory": used,
        "usage_percent": round(100 * used / total, 1),
        "is_used_over_threshold": False,
    }


def _connection(code: str | None, *metadata: str) -> dict[str, Any]:
    """`ConnectionStatus`. It must have an error, also where there is none."""
    if code is None:
        return {"status_class": "OK", "error": {"code": "none"}}
    return {"status_class": "FAIL", "error": {"code": code, "metadata": list(metadata)}}


@routes.get("/diagnostics/auth-cert-req-status", dependencies=[allow(Permission.DIAGNOSTICS)])
def registration_service_status(server: Security) -> dict[str, Any]:
    """Whether the central server's registration service answers, with the certificate that is announced."""
    parameters = server.api_configuration()
    try:
        with httpx.Client(
            verify=pinned(parameters.registration_certificate), timeout=_TIMEOUT_SECONDS, trust_env=False
        ) as http:
            # It takes POST requests only: any answer shows that it is there.
            http.get(parameters.registration_address)
    except httpx.HTTPError as error:
        return _connection("network_error", str(error))
    return _connection(None)


@routes.get("/diagnostics/global-conf-status", dependencies=[allow(Permission.DIAGNOSTICS)])
def configuration_sources_status(server: Security) -> list[dict[str, Any]]:
    """Whether each source of the anchor gives a valid configuration."""
    anchor = server.anchor
    if anchor is None:
        raise not_found("anchor_not_found")
    found = []
    for url in anchor.download_urls:
        try:
            configuration_client.download(anchor.model_copy(update={"download_urls": (url,)}))
            status = _connection(None)
        except ConfigurationError as problem:
            status = _connection(problem.code, problem.detail)
        found.append({"download_url": url, "connection_status": status})
    return found


@routes.get("/diagnostics/other-security-server-status", dependencies=[allow(Permission.DIAGNOSTICS)])
def other_server_status(
    server: Security,
    protocol_type: Literal["REST", "SOAP"],
    client_id: str,
    target_client_id: str,
    security_server_id: str,
) -> dict[str, Any]:
    """Whether another server represents a client and answers on its message port.

    X-Road asks it for `listMethods`; here a connection is enough.
    """
    del protocol_type, client_id
    parameters = server.api_configuration()
    other = parameters.server(ServerId.parse(security_server_id))
    if other is None:
        return _connection("security_server_not_found", security_server_id)
    if str(ClientId.parse(target_client_id)) not in other.clients:
        return _connection("unknown_member", target_client_id)
    port = server.settings.listening.port(server.settings.ocsp_port)
    try:
        answer = httpx.get(f"http://{other.address}:{port}/", timeout=_TIMEOUT_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        return _connection("network_error", str(error))
    failed = answer.status_code >= HTTPStatus.BAD_GATEWAY
    return _connection("http_error" if failed else None, str(answer.status_code))
