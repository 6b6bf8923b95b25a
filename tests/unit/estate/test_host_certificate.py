"""Who takes a host's renewed certificate."""

from __future__ import annotations

import pytest

from estate import load
from estate.host import Role
from estate.load import sites
from estate.project.ansible import host_certificate


@pytest.mark.parametrize("site", sites())
def test_the_registry_itself_is_left_alone(site: str) -> None:
    """It would have to restart; what ends TLS before it is reloaded."""
    estate = load(site)
    hosts = estate.hosts_with(Role.REGISTRY)
    told = [host_certificate.variables(estate, host)["host_certificate_reload_units"] for host in hosts]

    assert told == [["registry-tls.service"]] * len(hosts)


def test_a_registry_on_a_load_balancer_has_a_proxy_of_its_own() -> None:
    estate = load("lab")
    host = estate.host("registry1").model_copy(update={"roles": (Role.REGISTRY, Role.LOAD_BALANCER)})
    told = host_certificate.variables(estate, host)["host_certificate_reload_units"]

    assert told == ["registry-tls.service", "haproxy.service"]
