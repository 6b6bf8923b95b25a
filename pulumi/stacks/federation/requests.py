"""Registrations that wait at the central server though nothing declares them."""

from __future__ import annotations

from stacks.federation.arguments import FederationArgs, SecurityServerArgs
from stacks.providers.xroad.central import ManagementRequest
from stacks.providers.xroad.errors import UnreachableError
from stacks.providers.xroad.servers import Servers


async def undeclared_requests(args: FederationArgs, servers: Servers) -> list[str]:
    """A sentence for each waiting request that no apply will approve, newest first. Only GET requests.

    The provider approves a certificate for a declared server at its declared address if that server has it, and
    a client at a server where it is declared. Everything else is somebody else's and left alone.
    """
    return [
        _sentence(request)
        async for request in servers.central.waiting_requests()
        if not await _is_declared(request, args, servers)
    ]


async def _is_declared(request: ManagementRequest, args: FederationArgs, servers: Servers) -> bool:
    server = next(
        (item for item in args.security_servers if item.identity == str(request.security_server_id)), None
    )
    if server is None or request.origin != "SECURITY_SERVER":
        return False
    if request.type == "AUTH_CERT_REGISTRATION_REQUEST":
        return request.address == server.address and await _has_certificate(request, server, servers)
    if request.type == "CLIENT_REGISTRATION_REQUEST":
        return str(request.client_id) in {item.subsystem for item in server.clients}
    return False


async def _has_certificate(request: ManagementRequest, server: SecurityServerArgs, servers: Servers) -> bool:
    details = (await servers.central.management_request(request.id)).certificate_details
    if details is None:
        return False
    try:
        tokens = await servers.security(server.server).tokens()
    except UnreachableError:
        return False
    held = {item.hash for token in tokens for key in token.keys for item in key.certificates}
    return _plain(details.hash) in map(_plain, held)


def _plain(digest: str) -> str:
    return digest.replace(":", "").upper()


def _sentence(request: ManagementRequest) -> str:
    about = request.client_id or request.address or "no client"
    return (
        f"request {request.id} waits at the central server, and nothing declares it: {request.type} of "
        f"{request.security_server_id} for {about}; it is left alone; next: declare it, or decline it there"
    )
