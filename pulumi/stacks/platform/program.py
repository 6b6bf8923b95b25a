"""The program: a provider, the cluster's own network policies, the sector systems, the portal."""

from __future__ import annotations

import os
from pathlib import Path

import pulumi
import pulumi_kubernetes

from estate.load import load_secret
from estate.model import Estate
from estate.project import helm, pod_flows
from estate.secrets import database_password
from stacks.platform.arguments import (
    ClusterArgs,
    NamespaceArgs,
    PlatformArgs,
    ReleaseArgs,
    Secrets,
    SystemArgs,
)
from stacks.platform.policies import SystemPolicies
from stacks.platform.portal import Portal
from stacks.platform.sector_system import SectorSystem
from stacks.providers.kubernetes import refuse_in
from stacks.providers.xroad.settings import ROOT_VARIABLE

CHARTS = Path(__file__).resolve().parents[3] / "charts"
PORTAL = "portal"


def arguments(estate: Estate) -> PlatformArgs:
    """What the program declares for this estate. ValueError while an image's digest isn't known."""
    return PlatformArgs(
        cluster=ClusterArgs(api_servers=pod_flows.api_servers(estate), api_port=pod_flows.API_PORT),
        portal=_system(PORTAL, "portal", estate.portal.replicas, helm.portal(estate)),
        sector_systems=tuple(
            _system(sector.name, "sector-system", sector.replicas, helm.sector_system(estate, sector))
            for sector in estate.sectors
        ),
    )


def secrets(estate: Estate, kubeconfig: Path) -> Secrets:
    """The values that the program needs, from the secret store and the deployment's files.

    LookupError or OSError, naming what is missing, if one can't be read.
    """
    root = os.environ.get(ROOT_VARIABLE)
    if root is None:
        raise LookupError(f"set {ROOT_VARIABLE} to the file of the site's root certificate")
    databases = {PORTAL: estate.portal.database}
    databases |= {sector.name: sector.database for sector in estate.sectors}
    return Secrets(
        database_passwords={
            name: load_secret(database_password(database)) for name, database in databases.items()
        },
        portal_key=load_secret("portal-django-key"),
        root_certificate=Path(root).read_text(encoding="utf-8"),
        kubeconfig=kubeconfig.read_text(encoding="utf-8"),
    )


def program(estate: Estate, kubeconfig: Path) -> None:
    """Declare the platform of an estate."""
    refuse_in(estate.site.environment)
    declare(arguments(estate), secrets(estate, kubeconfig))


def declare(args: PlatformArgs, values: Secrets) -> None:
    """Declare a platform."""
    provider = pulumi_kubernetes.Provider("cluster", kubeconfig=pulumi.Output.secret(values.kubeconfig))
    options = pulumi.ResourceOptions(providers=[provider])
    SystemPolicies("system", args.cluster, opts=options)
    for system in args.sector_systems:
        name = system.namespace.name
        SectorSystem(
            name,
            system,
            database_password=pulumi.Output.secret(values.database_passwords[name]),
            root_certificate=values.root_certificate,
            opts=options,
        )
    Portal(
        PORTAL,
        args.portal,
        database_password=pulumi.Output.secret(values.database_passwords[PORTAL]),
        session_key=pulumi.Output.secret(values.portal_key),
        root_certificate=values.root_certificate,
        opts=options,
    )
    pulumi.export("systems", [PORTAL, *(system.namespace.name for system in args.sector_systems)])


def _system(name: str, chart: str, replicas: int, values: dict[str, object]) -> SystemArgs:
    # While a new version starts, up to a quarter more pods (at least one) stand beside the old ones.
    pods = replicas + max(1, -(-replicas // 4))
    return SystemArgs(
        namespace=NamespaceArgs(name=name, pods=pods * 2, memory_mib=512 * pods * 2),
        release=ReleaseArgs(chart=CHARTS / chart, values=values),
    )
