"""The portal: its namespace, its secrets, its release."""

from __future__ import annotations

from pulumi import ComponentResource, Input, Output, ResourceOptions
from pulumi_kubernetes import core

from estate.project.helm import KEY_SECRET
from stacks.platform.arguments import SystemArgs
from stacks.platform.namespace import Namespace
from stacks.platform.parts import database_secret, release


class Portal(ComponentResource):
    """The public-services portal."""

    namespace: Output[str]

    def __init__(
        self,
        name: str,
        args: SystemArgs,
        *,
        database_password: Input[str],
        session_key: Input[str],
        root_certificate: Input[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("stacks:platform:Portal", name, None, opts)
        child = ResourceOptions(parent=self)
        room = Namespace(name, args.namespace, root_certificate=root_certificate, opts=child)
        password = database_secret(name, room, database_password, child)
        key = core.v1.Secret(
            f"{name}-key",
            metadata={"name": KEY_SECRET, "namespace": room.name},
            string_data={"key": Output.secret(session_key)},
            opts=child,
        )
        release(name, args.release, room, [password, key], self)
        self.namespace = room.name
        self.register_outputs({"namespace": self.namespace})
