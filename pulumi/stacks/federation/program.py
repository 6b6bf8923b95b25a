"""The program: a provider, the instance, then every security server."""

from __future__ import annotations

import pulumi

from estate.model import Estate
from estate.project.federation import federation
from stacks import large_program
from stacks.federation.arguments import FederationArgs
from stacks.federation.instance import Instance
from stacks.federation.security_server import SecurityServer
from stacks.providers.xroad.resource import Provider


def arguments(estate: Estate) -> FederationArgs:
    """What the program declares for this estate."""
    return FederationArgs.model_validate(federation(estate))


async def program(estate: Estate) -> None:
    """Declare the federation of an estate."""
    await declare(arguments(estate))


async def declare(args: FederationArgs) -> None:
    """Declare a federation.

    The management security server comes before the clients of all others, since their registrations
    travel through it; apart from that, servers don't wait for one another.
    """
    async with large_program.declaring():
        provider = Provider(args.instance.instance, args.settings)
        options = pulumi.ResourceOptions(providers=[provider])
        instance = Instance(args.instance.instance, args.instance, options)
        servers = sorted(args.security_servers, key=lambda item: item.management is None)
        management: list[pulumi.Resource] = []
        for item in servers:
            server = SecurityServer(item.server, item, instance, management, options)
            management.extend(server.management)
        pulumi.export("instance", args.instance.instance)
        pulumi.export("security_servers", [item.identity for item in args.security_servers])
