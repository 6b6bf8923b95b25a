"""A security server of the federation: identity, clients, services, rights."""

from __future__ import annotations

import pulumi

from stacks.federation.arguments import AccessRightArgs, ClientArgs, ManagementArgs, SecurityServerArgs
from stacks.federation.instance import Instance
from stacks.providers.xroad.identifiers import OWNERS_GROUP, ServerId
from stacks.providers.xroad.resource import Resource
from stacks.providers.xroad.resources.access_right import AccessRightInputs
from stacks.providers.xroad.resources.client import ClientInputs
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
        before_clients = [*management, *self.management]
        offers = {item.subsystem: self._client(item, before_clients) for item in args.clients}
        for right in args.access_rights:
            self._access_right(right, offers[right.provider])
        self.register_outputs({"identity": args.identity})

    def _management(self, args: ManagementArgs) -> list[pulumi.Resource]:
        """Offer the management services to every owner of a security server."""
        registration = Resource(
            f"{self._args.server}/management",
            ManagementRegistrationInputs(subsystem=args.subsystem, identity=self._args.identity),
            self._after(self.server),
        )
        client = Resource(
            f"{self._args.server}/{args.subsystem}",
            ClientInputs(server=self._args.server, identity=self._args.identity, subsystem=args.subsystem),
            self._after(registration),
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
        rights = Resource(
            f"{self._args.server}/{args.subsystem}/{owners}",
            AccessRightInputs(
                server=self._args.server,
                provider=args.subsystem,
                holder=owners,
                services=tuple(sorted(args.services)),
            ),
            self._after(description),
        )
        return [rights]

    def _client(self, args: ClientArgs, before: list[pulumi.Resource]) -> list[pulumi.Resource]:
        """Register a client and describe what it offers; returns what access rights need."""
        client = Resource(
            f"{self._args.server}/{args.subsystem}",
            ClientInputs(
                server=self._args.server,
                identity=self._args.identity,
                subsystem=args.subsystem,
                connection=args.connection,
            ),
            self._after(self.server, self._instance.subsystems[args.subsystem], *before),
        )
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
                ),
                self._after(client),
            )
            for service in args.services
        ]
        return [client, *descriptions]

    def _access_right(self, args: AccessRightArgs, offered: list[pulumi.Resource]) -> None:
        Resource(
            f"{self._args.server}/{args.provider}/{args.holder}",
            AccessRightInputs(
                server=self._args.server,
                provider=args.provider,
                holder=args.holder,
                services=tuple(sorted(args.services)),
            ),
            self._after(*offered, self._instance.subsystems[args.holder]),
        )

    def _after(self, *needed: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=list(needed))
