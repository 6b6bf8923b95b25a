"""A security server of the federation: identity, clients, services, rights."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from stacks.federation.arguments import ClientArgs, ManagementArgs, SecurityServerArgs, SigningArgs
from stacks.federation.instance import Instance
from stacks.providers.xroad.identifiers import OWNERS_GROUP, ServerId, SubsystemId
from stacks.providers.xroad.resource import Resource
from stacks.providers.xroad.resources.access_rights import AccessRightsInputs
from stacks.providers.xroad.resources.client import ClientInputs
from stacks.providers.xroad.resources.client_registration import ClientRegistrationInputs
from stacks.providers.xroad.resources.groups import LocalGroupInputs
from stacks.providers.xroad.resources.management import ManagementRegistrationInputs
from stacks.providers.xroad.resources.security_server import SecurityServerInputs
from stacks.providers.xroad.resources.service_description import ServiceDescriptionInputs
from stacks.providers.xroad.resources.signing_certificate import SigningCertificateInputs


class SecurityServer(pulumi.ComponentResource):
    """A registered server. Its clients register through the management services, which come first."""

    management: list[pulumi.Resource]
    """What offers the management services, if this is their server."""

    def __init__(
        self,
        name: str,
        args: SecurityServerArgs,
        instance: Instance,
        management: list[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`management` is what must exist before clients can be registered here."""
        super().__init__("stacks:federation:SecurityServer", name, None, opts)
        self._args = args
        self._instance = instance
        self.server = Resource(
            args.server,
            SecurityServerInputs(
                server=args.server,
                identity=args.identity,
                address=args.address,
                owner_name=args.owner_name,
                country=args.country,
                timestamping=args.timestamping,
            ),
            self._after(instance.members[args.owner], *instance.configuration),
        )
        self.management = self._management(args.management) if args.management else []
        self._clients(args.clients, [*management, *self.management])
        self.register_outputs({"identity": args.identity})

    def _management(self, args: ManagementArgs) -> list[pulumi.Resource]:
        """Offer the management services to every owner of a security server."""
        registered = Resource(
            f"{self._args.server}/management",
            ManagementRegistrationInputs(subsystem=args.subsystem, identity=self._args.identity),
            self._after(self.server),
        )
        client = Resource(
            f"{self._args.server}/{args.subsystem}",
            ClientInputs(server=self._args.server, subsystem=args.subsystem),
            self._after(registered),
        )
        description = Resource(
            f"{self._args.server}/{args.subsystem}/services",
            ServiceDescriptionInputs(
                server=self._args.server,
                subsystem=args.subsystem,
                type="WSDL",
                url=args.wsdl_url,
                service_url=args.services_url,
                verify_tls=False,
            ),
            self._after(client),
        )
        owners = f"{ServerId.parse(self._args.identity).instance}:{OWNERS_GROUP}"
        rights = self._rights(args.subsystem, {owners: args.services}, [description])
        return [self._registration(args.subsystem, [rights])]

    def _clients(self, clients: tuple[ClientArgs, ...], before: list[pulumi.Resource]) -> None:
        """All clients. A member's signing certificate needs one of them, and they need it to register."""
        added = {item.subsystem: self._added(item) for item in clients}
        signing = {item.member: self._signing(item, added) for item in self._args.signing}
        for item in clients:
            own = signing.get(str(SubsystemId.parse(item.subsystem).owner))
            offers = self._offers(item, added[item.subsystem])
            self._registration(
                item.subsystem, [added[item.subsystem], *offers, *([own] if own else []), *before]
            )

    def _added(self, args: ClientArgs) -> Resource:
        return Resource(
            f"{self._args.server}/{args.subsystem}",
            ClientInputs(
                server=self._args.server,
                subsystem=args.subsystem,
                connection=args.connection,
                certificates=args.certificates,
            ),
            self._after(self.server, self._instance.subsystems[args.subsystem]),
        )

    def _signing(self, args: SigningArgs, added: Mapping[str, Resource]) -> Resource:
        clients = [item for name, item in added.items() if str(SubsystemId.parse(name).owner) == args.member]
        return Resource(
            f"{self._args.server}/{args.member}/signing",
            SigningCertificateInputs(
                server=self._args.server,
                member=args.member,
                member_name=args.name,
                country=self._args.country,
            ),
            self._after(*clients),
        )

    def _offers(self, args: ClientArgs, client: Resource) -> list[pulumi.Resource]:
        """All that a client offers, to whom: there before it is registered, and as long as it is."""
        groups = {
            group.code: Resource(
                f"{self._args.server}/{args.subsystem}/{group.code}",
                LocalGroupInputs(
                    server=self._args.server,
                    subsystem=args.subsystem,
                    code=group.code,
                    description=group.description,
                    members=tuple(sorted(group.members)),
                ),
                self._after(client, *(self._instance.subsystems[member] for member in group.members)),
            )
            for group in args.local_groups
        }
        descriptions = [
            Resource(
                f"{self._args.server}/{args.subsystem}/{service.code}",
                ServiceDescriptionInputs(
                    server=self._args.server,
                    subsystem=args.subsystem,
                    type=service.type,
                    url=service.description_url,
                    code=service.code,
                    service_url=service.url,
                    timeout_seconds=service.timeout_seconds,
                    verify_tls=service.verify_tls,
                    endpoints=service.endpoints,
                ),
                self._after(client),
            )
            for service in args.services
        ]
        rights: dict[str, tuple[str, ...]] = {}
        for right in self._args.access_rights:
            if right.provider == args.subsystem:
                rights[right.holder] = (*rights.get(right.holder, ()), *right.services)
        offers: list[pulumi.Resource] = [*groups.values(), *descriptions]
        if rights:
            known = {**self._instance.subsystems, **self._instance.groups, **groups}
            holders = [known[holder] for holder in rights]
            offers.append(self._rights(args.subsystem, rights, [*descriptions, *holders]))
        return offers

    def _rights(
        self, provider: str, rights: Mapping[str, tuple[str, ...]], after: list[pulumi.Resource]
    ) -> Resource:
        return Resource(
            f"{self._args.server}/{provider}/rights",
            AccessRightsInputs(
                server=self._args.server,
                provider=provider,
                rights={holder: tuple(sorted(grants)) for holder, grants in sorted(rights.items())},
            ),
            self._after(*after),
        )

    def _registration(self, subsystem: str, after: list[pulumi.Resource]) -> Resource:
        return Resource(
            f"{self._args.server}/{subsystem}/registration",
            ClientRegistrationInputs(
                server=self._args.server, identity=self._args.identity, subsystem=subsystem
            ),
            self._after(*after),
        )

    def _after(self, *needed: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=list(needed))
