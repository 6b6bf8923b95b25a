"""Admin API of the security server: maintenance, and its key and certificate towards information systems."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from xroad_simulator import own_certificates
from xroad_simulator.authentication import allow
from xroad_simulator.bodies import Body, RawBody
from xroad_simulator.certificates import details
from xroad_simulator.errors import conflict, not_found
from xroad_simulator.security import management
from xroad_simulator.security.permissions import Permission
from xroad_simulator.security.server import Security, SecurityServer

routes = APIRouter()


class MaintenanceModeMessage(Body):
    """Body of the beginning of maintenance."""

    message: str | None = Field(default=None, max_length=255, pattern=r"^[a-zA-Z0-9\-_,.;:!? ]*$")


class DistinguishedName(Body):
    """Body of a certificate request."""

    name: str = Field(min_length=1, max_length=255)


def _is_provider(server: SecurityServer) -> bool:
    """Whether the management services are on this server."""
    parameters, registered = server.last_configuration(), server.registered()
    if parameters is None or registered is None:
        return False
    return parameters.management_service_provider in registered.clients


@routes.get("/system/maintenance-mode", dependencies=[allow(Permission.TOGGLE_MAINTENANCE_MODE)])
def maintenance_mode(server: Security) -> dict[str, Any]:
    """Whether the server is in maintenance, or waits for the configuration to say so."""
    pending, registered = server.pending.maintenance, server.registered()
    if pending is not None:
        begins, message = pending
        status = f"PENDING_{'ENABLE' if begins else 'DISABLE'}_MAINTENANCE_MODE"
    elif registered is not None and registered.in_maintenance:
        status, message = "ENABLED_MAINTENANCE_MODE", registered.maintenance_message
    else:
        status, message = "DISABLED_MAINTENANCE_MODE", None
    view: dict[str, Any] = {"status": status, "is_management_services_provider": _is_provider(server)}
    if message:
        view["message"] = message
    return view


def _require_settled(server: SecurityServer) -> bool:
    """Whether the server is in maintenance; 409 while a change of that is under way."""
    if server.pending.maintenance is not None:
        raise conflict("maintenance_mode_change_request_already_submitted")
    registered = server.registered()
    return registered is not None and registered.in_maintenance


@routes.put(
    "/system/maintenance-mode/enable",
    dependencies=[allow(Permission.TOGGLE_MAINTENANCE_MODE)],
    status_code=204,
)
def begin_maintenance(server: Security, body: MaintenanceModeMessage) -> None:
    """Ask the central server to announce maintenance; not on the server of the management services."""
    if _is_provider(server):
        raise conflict("forbidden_enable_maintenance_mode_for_management_service")
    if _require_settled(server):
        raise conflict("already_enabled_maintenance_mode")
    fields = {} if body.message is None else {"message": body.message}
    management.send(server, "maintenanceModeEnable", **fields)
    server.pending.maintenance = (True, body.message)


@routes.put(
    "/system/maintenance-mode/disable",
    dependencies=[allow(Permission.TOGGLE_MAINTENANCE_MODE)],
    status_code=204,
)
def end_maintenance(server: Security) -> None:
    """Ask the central server to announce the end of maintenance."""
    if not _require_settled(server):
        raise conflict("already_disabled_maintenance_mode")
    management.send(server, "maintenanceModeDisable")
    server.pending.maintenance = (False, None)


@routes.get("/system/certificate", dependencies=[allow(Permission.VIEW_INTERNAL_TLS_CERT)])
def get_certificate(server: Security) -> dict[str, Any]:
    """The certificate that information systems see."""
    return details(own_certificates.certificate(server.internal_tls))


@routes.post(
    "/system/certificate", dependencies=[allow(Permission.GENERATE_INTERNAL_TLS_KEY_CERT)], status_code=204
)
def generate_key(server: Security) -> None:
    """A new key and a self-signed certificate."""
    server.internal_tls.renew()


@routes.get("/system/certificate/export", dependencies=[allow(Permission.EXPORT_INTERNAL_TLS_CERT)])
def export_certificate(server: Security) -> Response:
    """The certificate in an archive."""
    return Response(
        own_certificates.archive(server.internal_tls, "cert"),
        media_type="application/gzip",
        headers={"Content-Disposition": 'attachment; filename="certs.tar.gz"'},
    )


@routes.post(
    "/system/certificate/csr", dependencies=[allow(Permission.GENERATE_INTERNAL_TLS_CSR)], status_code=201
)
def generate_request(server: Security, body: DistinguishedName) -> Response:
    """A certificate request of the key."""
    return Response(
        own_certificates.request(server.internal_tls, body.name),
        status_code=201,
        media_type="application/octet-stream",
        headers={"Content-Disposition": 'attachment; filename="request.csr"'},
    )


@routes.post("/system/certificate/import", dependencies=[allow(Permission.IMPORT_INTERNAL_TLS_CERT)])
def import_certificate(server: Security, content: RawBody) -> dict[str, Any]:
    """Use another certificate of the key."""
    taken = own_certificates.take(server.internal_tls, content, other_key=not_found, known=conflict)
    return details(taken)
