"""Answers GET requests of both admin APIs as servers would on which a declared federation exists."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import httpx
from cryptography import x509

from stacks.federation.arguments import ClientArgs, FederationArgs, ManagementArgs, SecurityServerArgs
from stacks.providers.xroad.identifiers import OWNERS_GROUP, MemberId, SubsystemId
from stacks.providers.xroad.resources.certification_service import BASIC_PROFILE, fingerprint

_MOMENT = "2026-01-01T00:00:00.000Z"
Answer = Any


class Answers(httpx.AsyncBaseTransport):
    """All servers of a federation. The name that a request is for says which of them answers."""

    def __init__(self, args: FederationArgs, authority: bytes, stamps: bytes) -> None:
        """`authority` and `stamps` are certificates (PEM) of the authority and of the time stamps."""
        self._args = args
        self._authority = authority
        self._stamps = stamps
        self._servers = {server.server: _Security(self, server) for server in args.security_servers}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        name = request.headers["Host"].partition(":")[0]
        path = unquote(request.url.path.removeprefix("/api/v1"))
        server = self._servers.get(name)
        if request.method != "GET":
            return _refused(request, 405, "method_not_allowed")
        found = server.answer(path) if server else self.central(path, dict(request.url.params))
        if found is None:
            return _refused(request, 404, "not_found")
        return httpx.Response(200, json=found, request=request)

    def central(self, path: str, query: dict[str, str]) -> Answer:
        """The central server's answer; None if it has none."""
        instance = self._args.instance
        fixed: dict[str, Callable[[], Answer]] = {
            "/initialization/status": lambda: {
                "instance_identifier": instance.instance,
                "central_server_address": instance.address,
                "software_token_init_status": "INITIALIZED",
            },
            "/tokens": lambda: [self._central_token()],
            "/member-classes": lambda: [item.model_dump() for item in instance.member_classes],
            "/clients": lambda: _page("clients", self._clients(query.get("client_type")), query),
            "/security-servers": lambda: _page("items", self._registered, query),
            "/management-services-configuration": self._management,
            "/certification-services": lambda: [
                {"id": 1, "name": self.authority_name, "not_before": _MOMENT, "not_after": _MOMENT}
            ],
            "/certification-services/1": lambda: {
                "id": 1,
                "name": self.authority_name,
                "not_before": _MOMENT,
                "not_after": _MOMENT,
                "certificate_profile_info": BASIC_PROFILE,
                "tls_auth": False,
                "default_csr_format": "PEM",
            },
            "/certification-services/1/certificate": lambda: certificate(
                self.authority_name, fingerprint(self._authority)
            ),
            "/certification-services/1/ocsp-responders": lambda: [
                {"id": number, "url": url, "cost_type": "FREE", "has_certificate": False}
                for number, url in enumerate(instance.certification.ocsp_responders, 1)
            ],
            "/certification-services/1/intermediate-cas": list,
            "/configuration-sources/INTERNAL/configuration-parts": list,
            "/global-groups": lambda: [
                {
                    "code": OWNERS_GROUP,
                    "description": "Owners",
                    "member_count": len(self._registered),
                    "created_at": _MOMENT,
                    "updated_at": _MOMENT,
                }
            ],
            "/timestamping-services": lambda: [
                {
                    "id": number,
                    "url": item.url,
                    "cost_type": "FREE",
                    "name": item.host,
                    "timestamping_interval": 60,
                    "certificate": certificate(self.authority_name, fingerprint(self._stamps)),
                }
                for number, item in enumerate(instance.timestamping, 1)
            ],
        }
        if path in fixed:
            return fixed[path]()
        match path.strip("/").split("/"):
            case ["members", member, "subsystems"]:
                return self._subsystems(member)
            case ["security-servers", identity, "clients"]:
                return [
                    {"client_id": client_id(name), "member_name": "Some member"}
                    for name in self._registered_at(identity)
                ]
        return None

    def _central_token(self) -> Answer:
        return {
            "id": "0",
            "name": "softToken-0",
            "logged_in": True,
            "available": True,
            "active": True,
            "status": "OK",
            "configuration_signing_keys": [
                {
                    "id": source,
                    "active": True,
                    "source_type": source,
                    "token_identifier": "0",
                    "label": {"label": source.lower()},
                    "available": True,
                    "created_at": _MOMENT,
                    "key_hash": source,
                    "possible_actions": [],
                }
                for source in ("INTERNAL", "EXTERNAL")
            ],
        }

    def _clients(self, kind: str | None) -> list[Answer]:
        return self._members if kind == "MEMBER" else [*self._members, *self._all_subsystems]

    @cached_property
    def _members(self) -> list[Answer]:
        return [
            {"client_id": client_id(item.member), "member_name": item.name}
            for item in self._args.instance.members
        ]

    @cached_property
    def _all_subsystems(self) -> list[Answer]:
        return [
            {"client_id": client_id(item.subsystem), "member_name": member.name}
            for member in self._args.instance.members
            for item in member.subsystems
        ]

    @cached_property
    def _names(self) -> dict[str, list[tuple[str, str]]]:
        return {
            member.member: [(item.subsystem, item.name) for item in member.subsystems]
            for member in self._args.instance.members
        }

    def _subsystems(self, member: str) -> Answer:
        if member not in self._names:
            return None
        return [
            {"subsystem_id": client_id(name), "subsystem_name": title, "used_security_servers": []}
            for name, title in self._names[member]
        ]

    @cached_property
    def _registered(self) -> list[Answer]:
        return [
            {
                "server_id": server_id(item.identity),
                "server_address": item.address,
                "owner_name": item.owner_name,
                "in_maintenance_mode": False,
            }
            for item in self._args.security_servers
        ]

    def _registered_at(self, identity: str) -> list[str]:
        found = next(item for item in self._args.security_servers if item.identity == identity)
        management = [found.management.subsystem] if found.management else []
        return [*management, *(item.subsystem for item in found.clients)]

    def _management(self) -> Answer:
        (server,) = (item for item in self._args.security_servers if item.management)
        return {
            "service_provider_id": f"SUBSYSTEM:{self._args.instance.management_provider}",
            "security_server_id": f"SERVER:{server.identity}",
            "services_address": server.management.services_url if server.management else "",
            "wsdl_address": server.management.wsdl_url if server.management else "",
            "security_server_owners_global_group_code": OWNERS_GROUP,
        }

    @cached_property
    def authority_name(self) -> str:
        """What X-Road calls the authority."""
        subject = x509.load_pem_x509_certificate(self._authority).subject
        return str(subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


class _Security:
    """One security server."""

    def __init__(self, federation: Answers, args: SecurityServerArgs) -> None:
        self._federation = federation
        self._args = args
        self._clients: dict[str, ClientArgs | ManagementArgs] = {item.subsystem: item for item in args.clients}
        if args.management is not None:
            self._clients[args.management.subsystem] = args.management

    def answer(self, path: str) -> Answer:
        """The answer; None if there is none."""
        stamps = [{"name": url, "url": url, "cost_type": "FREE"} for url in self._args.timestamping]
        fixed: dict[str, Callable[[], Answer]] = {
            "/initialization/status": lambda: {
                "is_anchor_imported": True,
                "is_server_code_initialized": True,
                "is_server_owner_initialized": True,
                "software_token_init_status": "INITIALIZED",
                "enforce_token_pin_policy": False,
            },
            "/tokens": lambda: [self._token],
            "/system/timestamping-services": lambda: stamps,
            "/timestamping-services": lambda: stamps,
            "/security-servers": lambda: [{"id": self._args.identity}],
            "/clients": lambda: [self._client(name) for name in self._clients],
        }
        if path in fixed:
            return fixed[path]()
        match path.strip("/").split("/"):
            case ["clients", name]:
                return self._client(name) if name in self._clients else None
            case ["clients", name, "service-descriptions"]:
                return self._descriptions(name)
            case ["clients", _, "tls-certificates" | "local-groups"]:
                return []
            case ["services", service, "service-clients"]:
                return [{"id": item, "name": item} for item in self._holders.get(service, ())]
        return None

    @cached_property
    def _token(self) -> Answer:
        owner = self._args.owner
        keys = [_key("authentication", "AUTHENTICATION", owner, self._federation.authority_name)]
        for member in (owner, *(item.member for item in self._args.signing)):
            parsed = MemberId.parse(member)
            label = f"signing-{parsed.member_class}-{parsed.code}"
            keys.append(_key(label, "SIGNING", member, self._federation.authority_name))
        return {
            "id": "0",
            "name": "softToken-0",
            "type": "SOFTWARE",
            "keys": keys,
            "status": "OK",
            "logged_in": True,
            "available": True,
            "saved_to_configuration": True,
            "read_only": False,
            "has_unsaved_keys": False,
            "serial_number": "0",
            "token_infos": [],
        }

    def _client(self, name: str) -> Answer:
        parsed = SubsystemId.parse(name)
        return {
            "id": name,
            "instance_id": parsed.instance,
            "member_class": parsed.member_class,
            "member_code": parsed.member,
            "subsystem_code": parsed.code,
            "owner": False,
            "is_management_services_provider": isinstance(self._clients[name], ManagementArgs),
            "connection_type": "HTTPS",
            "status": "REGISTERED",
        }

    def _descriptions(self, name: str) -> Answer:
        client = self._clients.get(name)
        if client is None:
            return None
        if isinstance(client, ManagementArgs):
            return [
                _description(name, "WSDL", client.wsdl_url, client.services_url, client.services, tls=False)
            ]
        return [
            _description(name, item.type, item.description_url, item.url, (item.code,), tls=item.verify_tls)
            for item in client.services
        ]

    @cached_property
    def _holders(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for right in self._args.access_rights:
            for code in right.services:
                found.setdefault(f"{right.provider}:{code}", []).append(right.holder)
        if (management := self._args.management) is not None:
            owners = f"{MemberId.parse(self._args.owner).instance}:{OWNERS_GROUP}"
            found |= {f"{management.subsystem}:{code}": [owners] for code in management.services}
        return found


def _refused(request: httpx.Request, status: int, code: str) -> httpx.Response:
    body = json.dumps({"status": status, "error": {"code": code}})
    return httpx.Response(status, content=body, request=request)


def _page(key: str, items: list[Answer], query: dict[str, str]) -> Answer:
    limit, offset = int(query["limit"]), int(query["offset"])
    shown = items[limit * offset : limit * (offset + 1)]
    metadata = {"total_items": len(items), "items": len(shown), "limit": limit, "offset": offset}
    return {key: shown, "paging_metadata": metadata}


def _key(label: str, usage: str, owner: str, issuer: str) -> Answer:
    shown = certificate(issuer, f"{usage}{owner}".encode().hex().upper())
    return {
        "id": f"{usage}-{owner}",
        "name": label,
        "label": label,
        "usage": usage,
        "key_algorithm": "EC",
        "available": True,
        "saved_to_configuration": True,
        "certificate_signing_requests": [],
        "certificates": [
            {
                "owner_id": owner,
                "active": True,
                "saved_to_configuration": True,
                "certificate_details": shown,
                "status": "REGISTERED",
                "ocsp_status": "OCSP_RESPONSE_GOOD",
            }
        ],
    }


def _description(
    client: str, kind: str, url: str, service: str, codes: tuple[str, ...], *, tls: bool
) -> Answer:
    return {
        "id": f"{client}/{codes[0]}",
        "url": url,
        "type": kind,
        "disabled": False,
        "disabled_notice": "",
        "refreshed_at": _MOMENT,
        "client_id": client,
        "services": [
            {
                "id": f"{client}:{code}",
                "full_service_code": code,
                "service_code": code,
                "timeout": 60,
                "ssl_auth": tls,
                "url": service,
                "endpoints": [],
            }
            for code in codes
        ],
    }


def certificate(issuer: str, digest: str) -> Answer:
    """Details of a certificate that began yesterday and is good for a month."""
    now = datetime.now(UTC)
    begins, ends = (f"{moment:%Y-%m-%dT%H:%M:%S.000Z}" for moment in (now - timedelta(1), now + timedelta(30)))
    return {
        "hash": digest,
        "issuer_distinguished_name": f"CN={issuer}",
        "issuer_common_name": issuer,
        "subject_distinguished_name": "C=BJ, CN=subject",
        "subject_common_name": "subject",
        "subject_alternative_names": "DNS:subject",
        "not_before": begins,
        "not_after": ends,
        "serial": "1",
        "version": 3,
        "signature_algorithm": "SHA256withECDSA",
        "signature": "00",
        "public_key_algorithm": "RSA",
        "rsa_public_key_modulus": "00",
        "rsa_public_key_exponent": 65537,
        "key_usages": [],
    }


def client_id(text: str) -> Answer:
    """A member's or subsystem's identifier in parts."""
    parts = dict(
        zip(("instance_id", "member_class", "member_code", "subsystem_code"), text.split(":"), strict=False)
    )
    return {**parts, "type": "SUBSYSTEM" if "subsystem_code" in parts else "MEMBER", "encoded_id": text}


def server_id(text: str) -> Answer:
    """A security server's identifier in parts."""
    parts = dict(
        zip(("instance_id", "member_class", "member_code", "server_code"), text.split(":"), strict=True)
    )
    return {**parts, "type": "SERVER", "encoded_id": text}
