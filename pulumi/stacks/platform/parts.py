"""Resources that the portal and the sector systems have in common."""

from __future__ import annotations

from collections.abc import Sequence

from pulumi import Input, Output, Resource, ResourceOptions
from pulumi_kubernetes import core, helm

from estate.project.helm import DATABASE_SECRET
from stacks.platform.arguments import ReleaseArgs
from stacks.platform.namespace import Namespace


def database_secret(
    name: str, namespace: Namespace, password: Input[str], options: ResourceOptions
) -> core.v1.Secret:
    """The password of a system's database, where its chart looks for it."""
    return core.v1.Secret(
        f"{name}-database",
        metadata={"name": DATABASE_SECRET, "namespace": namespace.name},
        string_data={"password": Output.secret(password)},
        opts=options,
    )


def release(
    name: str, args: ReleaseArgs, namespace: Namespace, needed: Sequence[Resource], parent: Resource
) -> helm.v3.Release:
    """A system's release; ready when its pods are. Removed before what it needs."""
    return helm.v3.Release(
        name,
        name=name,
        chart=str(args.chart),
        namespace=namespace.name,
        values=args.values,
        timeout=args.timeout_seconds,
        opts=ResourceOptions(parent=parent, depends_on=[namespace, *needed]),
    )
