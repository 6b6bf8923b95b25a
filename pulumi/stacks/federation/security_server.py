"""A security server of the federation: identity, clients, services, rights."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from stacks.federation.arguments import ClientArgs, ManagementArgs, SecurityServerArgs
from stacks.federation.instance import Instance
from stacks.providers.xroad.identifiers import OWNERS_GROUP, ServerId
from stacks.providers.xroad.resource import Resource
from stacks.providers.xroad.resources.access_rights import AccessRightsInputs
from stacks.providers.xroad.resources.client import ClientInputs
from stacks.providers.xroad.resources.client_registration import ClientRegistrationInputs
from stacks.providers.xroad.resources.management import ManagementRegistrationInputs
from stacks.providers.xroad.resources.security_server import SecurityServerInputs
from stacks.providers.xroad.resources.service_description import ServiceDescriptionInputs


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
        for item in args.clients:
            self._client(item, [*management, *self.management])
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

    def _client(self, args: ClientArgs, before: list[pulumi.Resource]) -> None:
        """A client with all that it offers, which is there before it is registered and as long as it is."""
        client = Resource(
            f"{self._args.server}/{args.subsystem}",
            ClientInputs(server=self._args.server, subsystem=args.subsystem, connection=args.connection),
            self._after(self.server, self._instance.subsystems[args.subsystem]),
        )
        offers: list[pulumi.Resource] = [
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
                ),
                self._after(client),
            )
            for service in args.services
        ]
        rights = {
            right.holder: right.services
            for right in self._args.access_rights
            if right.provider == args.subsystem
        }
        if rights:
            holders = [self._instance.subsystems[holder] for holder in rights]
            offers.append(self._rights(args.subsystem, rights, [*offers, *holders]))
        self._registration(args.subsystem, [client, *offers, *before])

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
