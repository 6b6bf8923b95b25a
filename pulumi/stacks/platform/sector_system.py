"""A sector system: its namespace, its database password, its release."""

from __future__ import annotations

from pulumi import ComponentResource, Input, Output, ResourceOptions

from stacks.platform.arguments import SystemArgs
from stacks.platform.namespace import Namespace
from stacks.platform.parts import database_secret, release


class SectorSystem(ComponentResource):
    """A service of an administration over a database of its own."""

    namespace: Output[str]

    def __init__(
        self,
        name: str,
        args: SystemArgs,
        *,
        database_password: Input[str],
        root_certificate: Input[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("stacks:platform:SectorSystem", name, None, opts)
        child = ResourceOptions(parent=self)
        room = Namespace(name, args.namespace, root_certificate=root_certificate, opts=child)
        password = database_secret(name, room, database_password, child)
        release(name, args.release, room, [password], self)
        self.namespace = room.name
        self.register_outputs({"namespace": self.namespace})
