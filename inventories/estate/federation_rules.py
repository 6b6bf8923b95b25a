"""Rules about what subsystems offer, where, and to whom: services, endpoints, groups, access rights."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping

from estate.federation import (
    GLOBAL_GROUP,
    LOCAL_GROUP,
    AccessRight,
    Connection,
    Federation,
    Subsystem,
    SubsystemId,
)
from estate.groups import OWNERS, Group
from estate.model import Estate
from estate.problems import Finding, Location, repeated

RESERVED_CODES = frozenset({"listMethods", "allowedMethods", "getOpenAPI", "getWsdl"})
"""X-Road's own services about services (pr-mrest, pr-meta): no other service may have these codes."""


def known(subsystems: Mapping[SubsystemId, Subsystem], text: str, location: Location) -> Iterator[Finding]:
    """A finding unless the text names a subsystem."""
    if SubsystemId.parse(text) not in subsystems:
        yield Finding(location, f"subsystem '{text}' doesn't exist")


def _places(federation: Federation) -> Iterator[tuple[str, Subsystem, Location]]:
    """Each subsystem with its identifier and place."""
    for m, member in enumerate(federation.members):
        for s, subsystem in enumerate(member.subsystems):
            name = f"{member.member_class}/{member.code}/{subsystem.code}"
            yield name, subsystem, ("federation", "members", m, "subsystems", s)


def services_are_distinct(estate: Estate) -> Iterator[Finding]:
    """A subsystem offers no two services of one code, and a service has no endpoint twice."""
    for name, subsystem, where in _places(estate.federation):
        yield from repeated(
            ((item.code, (*where, "services", v, "code")) for v, item in enumerate(subsystem.services)),
            lambda code, name=name: f"'{name}' offers two services '{code}'",  # type: ignore[misc]
        )
        for v, service in enumerate(subsystem.services):
            at = (*where, "services", v)
            if service.code in RESERVED_CODES:
                yield Finding((*at, "code"), f"'{service.code}' is a service of X-Road itself")
            yield from repeated(
                ((str(item), (*at, "endpoints", e)) for e, item in enumerate(service.endpoints)),
                lambda endpoint, code=service.code: f"service '{code}' has endpoint '{endpoint}' twice",  # type: ignore[misc]
            )


def subsystems_have_their_servers(estate: Estate) -> Iterator[Finding]:
    """A subsystem is at a server once; the management services are where the federation says, nowhere else."""
    management = estate.federation.management
    for name, subsystem, where in _places(estate.federation):
        at = (*where, "security_server")
        yield from repeated(
            ((host, at) for host in subsystem.security_servers),
            lambda host, name=name: f"'{name}' is on '{host}' twice",  # type: ignore[misc]
        )
        if not subsystem.security_servers:
            yield Finding(at, f"'{name}' is on no security server")
        if name == management.provider and subsystem.security_servers != (management.security_server,):
            yield Finding(
                at, f"'{name}' offers the management services: it is on '{management.security_server}' alone"
            )
        if subsystem.certificates and subsystem.connection is not Connection.HTTPS:
            yield Finding(
                (*where, "certificates"),
                f"nobody asks '{name}' for a certificate: its connection isn't HTTPS",
            )
        if name == estate.portal.client and estate.portal.security_server not in subsystem.security_servers:
            yield Finding(
                ("portal", "security_server"),
                f"the portal asks at '{estate.portal.security_server}', but '{name}' isn't there",
            )
    monitoring = estate.federation.configuration_parts.monitoring_client
    if monitoring is not None:
        yield from known(
            estate.federation.subsystems(),
            monitoring,
            ("federation", "configuration_parts", "monitoring_client"),
        )


def groups_are_consistent(estate: Estate) -> Iterator[Finding]:
    """Groups have codes of their own and members that exist, and some right is given to each."""
    federation = estate.federation
    used = {(right.client, right.provider) for right in federation.access_rights}
    clients = {client for client, _ in used}
    at: Location = ("federation", "global_groups")
    yield from _groups(
        federation, federation.global_groups, at, "the instance", lambda code: GLOBAL_GROUP + code in clients
    )
    for g, group in enumerate(federation.global_groups):
        if group.code == OWNERS:
            yield Finding((*at, g, "code"), f"group '{OWNERS}' is X-Road's own: it fills it by itself")
    for name, subsystem, where in _places(federation):
        yield from _groups(
            federation,
            subsystem.local_groups,
            (*where, "local_groups"),
            f"'{name}'",
            lambda code, name=name: (LOCAL_GROUP + code, name) in used,  # type: ignore[misc]
        )


def _groups(
    federation: Federation,
    groups: tuple[Group, ...],
    at: Location,
    owner: str,
    is_used: Callable[[str], bool],
) -> Iterator[Finding]:
    subsystems = federation.subsystems()
    yield from repeated(
        ((group.code, (*at, g, "code")) for g, group in enumerate(groups)),
        lambda code: f"{owner} has two groups '{code}'",
    )
    for g, group in enumerate(groups):
        for m, member in enumerate(group.members):
            yield from known(subsystems, member, (*at, g, "members", m))
        yield from repeated(
            ((member, (*at, g, "members", m)) for m, member in enumerate(group.members)),
            lambda member, code=group.code: f"'{member}' is in group '{code}' twice",  # type: ignore[misc]
        )
        if not is_used(group.code):
            yield Finding((*at, g, "code"), f"no right is given to group '{group.code}' of {owner}: remove it")


def access_rights_lead_somewhere(estate: Estate) -> Iterator[Finding]:
    """A right is given once, to somebody who exists, for services and endpoints that somebody offers."""
    subsystems = estate.federation.subsystems()
    given: list[tuple[Hashable, Location]] = []
    whole = {
        (right.client, right.provider, code)
        for right in estate.federation.access_rights
        if not right.endpoints
        for code in right.services
    }
    for index, right in enumerate(estate.federation.access_rights):
        location: Location = ("federation", "access_rights", index)
        yield from _client(estate.federation, right, (*location, "client"))
        provider = subsystems.get(SubsystemId.parse(right.provider))
        if provider is None:
            yield Finding((*location, "provider"), f"subsystem '{right.provider}' doesn't exist")
            continue
        yield from _endpoints(right, provider, location)
        offered = {service.code for service in provider.services}
        for s, code in enumerate(right.services):
            place = (*location, "services", s)
            if code not in offered:
                yield Finding(
                    place, f"access right to service '{code}', which '{right.provider}' doesn't offer"
                )
            if right.endpoints and (right.client, right.provider, code) in whole:
                yield Finding(
                    (*location, "endpoints"),
                    f"'{right.client}' may call all of '{code}' already: a right to some endpoints is none",
                )
            parts: list[str] = [f" {endpoint}" for endpoint in right.endpoints] or [""]
            given += [((right.client, right.provider, code + part), place) for part in parts]
    yield from repeated(given, lambda key: f"the right {key} is given twice")


def _client(federation: Federation, right: AccessRight, location: Location) -> Iterator[Finding]:
    code = right.client.partition("/")[2]
    subsystems = federation.subsystems()
    if right.client.startswith(GLOBAL_GROUP):
        if code not in {group.code for group in federation.global_groups}:
            yield Finding(location, f"global group '{code}' doesn't exist")
    elif right.client.startswith(LOCAL_GROUP):
        keepers = [
            str(name)
            for name, item in subsystems.items()
            if code in {group.code for group in item.local_groups}
        ]
        if not keepers:
            yield Finding(location, f"'{right.provider}' has no local group '{code}'")
        elif right.provider not in keepers:
            yield Finding(
                location, f"local group '{code}' is of '{keepers[0]}': '{right.provider}' can't give it rights"
            )
    else:
        yield from known(subsystems, right.client, location)


def _endpoints(right: AccessRight, provider: Subsystem, location: Location) -> Iterator[Finding]:
    if right.endpoints and len(right.services) > 1:
        yield Finding((*location, "endpoints"), "a right to endpoints is to those of one service: divide it")
        return
    declared = {
        str(endpoint)
        for service in provider.services
        if service.code in right.services
        for endpoint in service.endpoints
    }
    for e, endpoint in enumerate(right.endpoints):
        if str(endpoint) not in declared:
            yield Finding(
                (*location, "endpoints", e),
                f"access right to endpoint '{endpoint}', which service '{right.services[0]}' doesn't have",
            )


def approvals_can_be_given(estate: Estate) -> Iterator[Finding]:
    """There are enough approvers, and each signs with a key that no other has."""
    policy = estate.federation.approvals
    if policy is None:
        return
    location: Location = ("federation", "approvals")
    if policy.required > len(policy.approvers):
        yield Finding(
            (*location, "required"),
            f"{policy.required} approvals are required of {len(policy.approvers)} approvers",
        )
    for fact in ("name", "key"):
        yield from repeated(
            (
                (getattr(approver, fact), (*location, "approvers", index, fact))
                for index, approver in enumerate(policy.approvers)
            ),
            lambda value, fact=fact: f"two approvers have the {fact} '{value}'",  # type: ignore[misc]
        )


FEDERATION_RULES: tuple[Callable[[Estate], Iterator[Finding]], ...] = (
    services_are_distinct,
    subsystems_have_their_servers,
    groups_are_consistent,
    access_rights_lead_somewhere,
    approvals_can_be_given,
)
