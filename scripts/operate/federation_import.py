"""A federation that exists, as a site's data: what its servers hold, in the words of `federation.yml`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from estate import Estate
from estate.federation import GLOBAL_GROUP, LOCAL_GROUP, Service
from estate.federation import SubsystemId as EstateId
from estate.project.configuration_parts import configuration_parts
from stacks.providers.xroad.existing import Existing
from stacks.providers.xroad.identifiers import MemberId, ServerId, SubsystemId

NO_GROUND = "Imported: state the ground of this right"
_ANY_METHOD = "*"


@dataclass(frozen=True)
class Composed:
    """The data of a federation, and what it can't say."""

    document: Mapping[str, Any]
    """What `federation.yml` holds."""
    untold: tuple[str, ...]
    """What exists and has no place in it, one sentence each."""
    groundless: int
    """Rights whose ground isn't known: the servers don't keep it."""

    def text(self) -> str:
        """As a file."""
        head = "# yaml-language-server: $schema=../estate/schema/estate.schema.json\n"
        return head + yaml.safe_dump(dict(self.document), sort_keys=False, allow_unicode=True, width=120)


def compose(existing: Existing, estate: Estate) -> Composed:
    """Say what exists in the estate's words.

    What no server knows stays as the estate has it: packages, hosts, approvers, grounds of rights. So does the
    order of what the estate knows already.
    """
    return _Composer(existing, estate).compose()


class _Composer:
    def __init__(self, existing: Existing, estate: Estate) -> None:
        self.estate = estate
        self.existing = existing
        self.untold: list[str] = [
            f"server '{server}' couldn't be asked: {reason}" for server, reason in existing.unreachable.items()
        ]
        self.groundless = 0

    def compose(self) -> Composed:
        found: dict[str, Any] = self.estate.federation.model_dump(mode="json", exclude_defaults=True)
        (central,) = self._inputs("CentralServer") or [None]
        if central is None:
            self.untold.append("the central server isn't initialised: nothing else exists")
            return Composed({"federation": found}, tuple(self.untold), 0)
        found.update(instance=central.instance, address=central.address)
        found["management"] = self._management(found["management"])
        found["member_classes"] = self._ordered(
            [{"code": item.code, "description": item.description} for item in self._inputs("MemberClass")],
            lambda item: item["code"],
            [item.code for item in self.estate.federation.member_classes],
        )
        found["members"] = self._members()
        found["security_servers"] = self._ordered(
            [self._server(item) for item in self._inputs("SecurityServer")],
            lambda item: item["host"],
            [item.host for item in self.estate.federation.security_servers],
        )
        found["global_groups"] = [
            self._group(item, item.members)
            for item in sorted(self._inputs("GlobalGroup"), key=lambda item: str(item.code))
        ]
        found["access_rights"] = self._rights()
        self._tell_parts()
        return Composed(
            {"federation": {name: value for name, value in found.items() if value not in ([], {})}},
            tuple(self.untold),
            self.groundless,
        )

    def _inputs(self, kind: str) -> list[Any]:
        return [item.inputs for item in self.existing.resources.get(kind, {}).values()]

    def _management(self, declared: Mapping[str, Any]) -> dict[str, Any]:
        provider = next((_slashes(item.subsystem) for item in self._inputs("ManagementProvider")), None)
        hosts = {item.identity: item.server for item in self._inputs("SecurityServer")}
        host = next((hosts.get(item.identity) for item in self._inputs("ManagementRegistration")), None)
        return {
            "provider": provider or declared["provider"],
            "security_server": host or declared["security_server"],
        }

    def _members(self) -> list[dict[str, Any]]:
        order = [(item.member_class, item.code) for item in self.estate.federation.members]
        members = []
        for item in self._inputs("Member"):
            identifier = MemberId.parse(item.member)
            subsystems = [
                self._subsystem(found)
                for found in self._inputs("Subsystem")
                if SubsystemId.parse(found.subsystem).owner == identifier
            ]
            kept = [found for found in subsystems if found is not None]
            if not kept:
                self.untold.append(f"member {item.member} has no subsystem at a security server")
                continue
            known = [
                found.code
                for member in self.estate.federation.members
                if (member.member_class, member.code) == (identifier.member_class, identifier.code)
                for found in member.subsystems
            ]
            members.append(
                {
                    "member_class": identifier.member_class,
                    "code": identifier.code,
                    "name": item.name,
                    "subsystems": self._ordered(kept, lambda found: found["code"], known),
                }
            )
        return self._ordered(members, lambda item: (item["member_class"], item["code"]), order)

    def _subsystem(self, item: Any) -> dict[str, Any] | None:
        clients = [found for found in self._inputs("Client") if found.subsystem == item.subsystem]
        if not clients:
            self.untold.append(f"subsystem {item.subsystem} is at no security server")
            return None
        first = clients[0]
        for other in clients[1:]:
            if self._offer(other) != self._offer(first):
                self.untold.append(
                    f"subsystem {item.subsystem} isn't the same at {other.server} as at {first.server}"
                )
        servers = sorted(found.server for found in clients)
        digests = [found for found in first.certificates if not found.startswith("-----BEGIN")]
        if digests:
            self.untold.append(
                f"{item.subsystem}: certificates of information systems that only their owners have: "
                f"{', '.join(digests)}"
            )
        certificates = [found for found in first.certificates if found.startswith("-----BEGIN")]
        services, groups = self._offer(first)
        entry = {
            "code": SubsystemId.parse(item.subsystem).code,
            "name": item.name,
            "security_server": servers[0] if len(servers) == 1 else servers,
            "connection": first.connection,
            "certificates": certificates,
            "services": services,
            "local_groups": groups,
        }
        if first.connection == "HTTPS":
            del entry["connection"]
        return {name: value for name, value in entry.items() if value != []}

    def _offer(self, client: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Services and local groups of a client."""
        mine = [
            item
            for item in self._inputs("ServiceDescription")
            if (item.server, item.subsystem) == (client.server, client.subsystem)
        ]
        services = [found for item in mine if (found := self._service(item)) is not None]
        groups = [
            self._group(item, item.members)
            for item in self._inputs("LocalGroup")
            if (item.server, item.subsystem) == (client.server, client.subsystem)
        ]
        return sorted(services, key=lambda item: str(item["code"])), groups

    def _service(self, item: Any) -> dict[str, Any] | None:
        where = f"{item.server}/{item.subsystem}"
        if item.type == "WSDL":
            if not self._is_management(item.subsystem):
                self.untold.append(f"{where} offers SOAP services, which the estate can't declare: {item.url}")
            return None
        url = item.service_url or item.url
        sectors = {self.estate.service_url(sector): sector.name for sector in self.estate.sectors}
        known = self._known_service(item)
        sector = sectors.get(url) or (known.sector if known else None)
        if sector is None:
            self.untold.append(f"{where} offers {item.code} at {url}, where no sector system of the site is")
            return None
        if not item.enabled:
            self.untold.append(f"{where}: {item.code} is disabled, which the estate can't declare")
        entry: dict[str, Any] = {"code": item.code, "type": item.type, "sector": sector}
        if url not in sectors:
            entry["url"] = url
        if item.timeout_seconds != 60:
            entry["timeout"] = item.timeout_seconds
        if not item.verify_tls:
            entry["verify_tls"] = False
        if item.endpoints:
            entry["endpoints"] = [_endpoint(found) for found in item.endpoints]
        return entry

    def _known_service(self, item: Any) -> Service | None:
        """What the estate has under this code at this subsystem."""
        member_class, member, subsystem = item.subsystem.split(":")[1:]
        known = self.estate.federation.subsystems().get(EstateId(member_class, member, subsystem))
        return next((found for found in known.services if found.code == item.code), None) if known else None

    def _group(self, item: Any, members: Iterable[str]) -> dict[str, Any]:
        return {"code": item.code, "description": item.description, "members": [_slashes(m) for m in members]}

    def _server(self, item: Any) -> dict[str, Any]:
        identity = ServerId.parse(item.identity)
        return {"host": item.server, "owner": identity.member, "code": identity.code}

    def _rights(self) -> list[dict[str, Any]]:
        grounds: dict[tuple[str, str, str], str] = {}
        order: list[tuple[str, str]] = []
        for right in self.estate.federation.access_rights:
            order.append((right.client, right.provider))
            for service in right.services:
                for end in [f" {endpoint}" for endpoint in right.endpoints] or [""]:
                    grounds[right.client, right.provider, service + end] = right.reason
        # A provider at several servers grants the same at all of them, or it was told above.
        granted: dict[tuple[str, str], set[str]] = {}
        for item in self._inputs("AccessRights"):
            for holder, services in item.rights.items():
                if not self._is_management(item.provider):
                    granted.setdefault((_client(holder), _slashes(item.provider)), set()).update(services)
        rights: list[dict[str, Any]] = []
        for (client, provider), services in granted.items():
            by_ground: dict[tuple[str, str], list[str]] = {}
            for service in sorted(services):
                ground = grounds.get((client, provider, service))
                self.groundless += ground is None
                code, _, endpoint = service.partition(" ")
                # A right to endpoints is to those of one service.
                by_ground.setdefault((ground or NO_GROUND, code if endpoint else ""), []).append(service)
            for (ground, narrowed), found in by_ground.items():
                entry: dict[str, Any] = {"client": client, "provider": provider}
                if narrowed:
                    entry["services"] = [narrowed]
                    entry["endpoints"] = [_endpoint(item.partition(" ")[2]) for item in found]
                else:
                    entry["services"] = found
                rights.append({**entry, "reason": ground})
        return self._ordered(rights, lambda item: (item["client"], item["provider"]), order)

    def _is_management(self, subsystem: str) -> bool:
        return any(item.subsystem == subsystem for item in self._inputs("ManagementProvider"))

    def _tell_parts(self) -> None:
        declared = {item["part"]: item["content"] for item in configuration_parts(self.estate)}
        for item in self._inputs("ConfigurationPart"):
            if declared.get(item.part) != item.content:
                self.untold.append(f"configuration part {item.part} isn't what the estate has of it")

    def _ordered(
        self, items: list[dict[str, Any]], key: Callable[[dict[str, Any]], Any], known: list[Any]
    ) -> list[dict[str, Any]]:
        """In the estate's order; what it doesn't know last, by name."""
        places = {item: place for place, item in reversed(list(enumerate(known)))}
        return sorted(items, key=lambda item: (places.get(key(item), len(places)), str(key(item))))


def _slashes(identifier: str) -> str:
    """`CLASS/MEMBER/SUBSYSTEM`, without the instance."""
    return "/".join(identifier.split(":")[1:])


def _client(holder: str) -> str:
    """How a right names its holder in the estate."""
    parts = holder.split(":")
    if len(parts) == 4:
        return _slashes(holder)
    return f"{GLOBAL_GROUP}{parts[1]}" if len(parts) == 2 else f"{LOCAL_GROUP}{holder}"


def _endpoint(text: str) -> dict[str, str]:
    method, _, path = text.partition(" ")
    return {"method": method or _ANY_METHOD, "path": path}
