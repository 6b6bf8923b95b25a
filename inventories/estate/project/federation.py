"""Projects an estate to the arguments of the federation program. Pure; names secrets, holds none."""

from __future__ import annotations

from typing import Any

from estate.federation import (
    GLOBAL_GROUP,
    LOCAL_GROUP,
    Member,
    SecurityServer,
    ServiceType,
    Subsystem,
    SubsystemId,
)
from estate.groups import Group
from estate.host import Host, Role
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.project.configuration_parts import configuration_parts
from estate.secrets import api_key, pin

MANAGEMENT_SERVICES = (
    "addressChange",
    "authCertDeletion",
    "clientDeletion",
    "clientDisable",
    "clientEnable",
    "clientReg",
    "clientRename",
    "maintenanceModeDisable",
    "maintenanceModeEnable",
    "ownerChange",
)
"""Services of the central server that security servers use through the management subsystem.

`authCertReg` isn't among them: a server that isn't registered yet can't send messages.
"""


def ocsp_responders(estate: Estate) -> list[str]:
    """Where security servers ask for certificate status: one name for all responders."""
    return [f"http://{estate.status_name}/"] if estate.hosts_with(Role.STATUS_RESPONDER) else []


def timestamping(estate: Estate) -> list[dict[str, str]]:
    """Time-stamping authorities: where they answer, and the hosts whose certificates they have."""
    port = LISTENERS[Endpoint.TIME_STAMPS].port
    return [
        {"url": f"http://{estate.fqdn(host)}:{port}/", "host": host.name}
        for host in estate.hosts_with(Role.TIME_STAMPING)
    ]


def federation(estate: Estate) -> dict[str, Any]:
    """Arguments of the whole federation, JSON-plain."""
    return {
        "settings": _settings(estate),
        "instance": _instance(estate),
        "security_servers": [_security_server(estate, item) for item in estate.federation.security_servers],
    }


def _settings(estate: Estate) -> dict[str, Any]:
    hosts = estate.managed_servers
    authority = estate.hosts_with(Role.CERTIFICATE_AUTHORITY)[0]
    return {
        "central": estate.federation.central_server,
        "servers": {
            host.name: {
                "endpoint": _endpoint(estate, host, Endpoint.ADMIN_API),
                "api_key": api_key(host.name),
                "pin": pin(host.name),
            }
            for host in hosts
        },
        "trust_services": {
            "endpoint": _endpoint(estate, authority, Endpoint.TRUST_SERVICES),
            "token": "trust-services-federation",
        },
        "configuration_interval_seconds": estate.federation.configuration_interval,
    }


def _endpoint(estate: Estate, host: Host, endpoint: Endpoint) -> dict[str, Any]:
    return {"address": str(host.address), "name": estate.fqdn(host), "port": LISTENERS[endpoint].port}


def _instance(estate: Estate) -> dict[str, Any]:
    model = estate.federation
    return {
        "instance": model.instance,
        "server": model.central_server,
        "address": model.address,
        "member_classes": [
            {"code": item.code, "description": item.description} for item in model.member_classes
        ],
        "members": [
            {
                "member": _member_id(estate, member),
                "member_class": member.member_class,
                "name": member.name,
                "subsystems": [
                    {"subsystem": _colons(estate, SubsystemId(*_key(member, item))), "name": item.name}
                    for item in member.subsystems
                ],
            }
            for member in model.members
        ],
        "management_provider": _colons(estate, SubsystemId.parse(model.management.provider)),
        "certification": {
            "name": estate.trust.trust_services.name,
            "ocsp_responders": ocsp_responders(estate),
            "intermediates": list(model.intermediates),
        },
        "timestamping": timestamping(estate),
        "global_groups": [_group(estate, group) for group in model.global_groups],
        "configuration_parts": configuration_parts(estate),
    }


def _group(estate: Estate, group: Group) -> dict[str, Any]:
    members = sorted(_colons(estate, SubsystemId.parse(item)) for item in group.members)
    return {"code": group.code, "description": group.description, "members": members}


def _holder(estate: Estate, client: str) -> str:
    """Who a right is given to, as the provider `xroad` names it."""
    code = client.partition("/")[2]
    if client.startswith(LOCAL_GROUP):
        return code
    if client.startswith(GLOBAL_GROUP):
        return f"{estate.federation.instance}:{code}"
    return _colons(estate, SubsystemId.parse(client))


def _security_server(estate: Estate, server: SecurityServer) -> dict[str, Any]:
    model = estate.federation
    owner = model.member(server.owner)
    management = SubsystemId.parse(model.management.provider)
    represented = {
        identifier: subsystem
        for identifier, subsystem in model.subsystems().items()
        if server.host in subsystem.security_servers
    }
    return {
        "server": server.host,
        "identity": f"{_member_id(estate, owner)}:{server.code}",
        "address": server.cluster.address if server.cluster else estate.fqdn(server.host),
        "owner": _member_id(estate, owner),
        "owner_name": owner.name,
        "country": estate.trust.country,
        "clients": [
            {
                "subsystem": _colons(estate, identifier),
                "services": _services(estate, subsystem),
                "connection": subsystem.connection.value,
                "certificates": list(subsystem.certificates),
                "local_groups": [_group(estate, group) for group in subsystem.local_groups],
            }
            for identifier, subsystem in represented.items()
            if identifier != management
        ],
        "signing": [
            {"member": _member_id(estate, member), "name": member.name}
            for member in model.members
            if member is not owner
            and any(
                (item.member_class, item.member) == (member.member_class, member.code) for item in represented
            )
        ],
        "access_rights": [
            {
                "provider": _colons(estate, SubsystemId.parse(right.provider)),
                "holder": _holder(estate, right.client),
                "services": sorted(right.services)
                if not right.endpoints
                else sorted(f"{right.services[0]} {endpoint}" for endpoint in right.endpoints),
                "reason": right.reason,
            }
            for right in model.access_rights
            if SubsystemId.parse(right.provider) in represented
        ],
        "timestamping": [item["url"] for item in timestamping(estate)],
        "management": _management(estate) if server.host == model.management.security_server else None,
    }


def _services(estate: Estate, subsystem: Subsystem) -> list[dict[str, Any]]:
    services = []
    for service in subsystem.services:
        url = service.url or estate.service_url(estate.sector(service.sector))
        description = url
        if service.type is ServiceType.OPENAPI3:
            description = f"{url.rsplit('/', 1)[0]}/openapi.json"
        services.append(
            {
                "code": service.code,
                "type": service.type.value,
                "url": url,
                "description_url": description,
                "timeout_seconds": service.timeout,
                "verify_tls": service.verify_tls,
                "endpoints": sorted(str(endpoint) for endpoint in service.endpoints),
            }
        )
    return services


def _management(estate: Estate) -> dict[str, Any]:
    model = estate.federation
    port = LISTENERS[Endpoint.MANAGEMENT_SERVICES].port
    return {
        "subsystem": _colons(estate, SubsystemId.parse(model.management.provider)),
        "wsdl_url": f"http://{model.address}/managementservices.wsdl",
        "services_url": f"https://{model.address}:{port}/managementservice/manage/",
        "services": list(MANAGEMENT_SERVICES),
    }


def _key(member: Member, subsystem: Subsystem) -> tuple[str, str, str]:
    return member.member_class, member.code, subsystem.code


def _member_id(estate: Estate, member: Member) -> str:
    return f"{estate.federation.instance}:{member.member_class}:{member.code}"


def _colons(estate: Estate, subsystem: SubsystemId) -> str:
    return ":".join((estate.federation.instance, *subsystem))
