"""What monitoring is told to look at, and whether the site lets it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from estate import load
from estate.host import Role
from estate.load import sites
from estate.model import Estate
from estate.network import LISTENERS, Endpoint
from estate.project.ansible import monitoring, node_exporter


@pytest.fixture(params=sites())
def estate(request: pytest.FixtureRequest) -> Estate:
    """Each of the sites in this repository."""
    return load(request.param)


def variables(estate: Estate) -> dict[str, Any]:
    return monitoring.variables(estate, estate.hosts_with(Role.MONITORING)[0])


def instances(estate: Estate) -> list[tuple[str, str, int]]:
    """Job, host and port of everything that is scraped or probed."""
    found = []
    told = variables(estate)
    for group in (*told["monitoring_targets"], *told["monitoring_probes"]):
        for instance in group["instances"]:
            address = instance["address"]
            parts = urlsplit(address if "//" in address else f"//{address}")
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
            found.append((group["job"], instance["host"], port))
    return found


def test_monitoring_may_reach_what_it_looks_at(estate: Estate) -> None:
    """A probe that the firewall drops would be an alert for ever."""
    watcher = estate.hosts_with(Role.MONITORING)[0]
    rules = [rule for rule in estate.rules() if any(watcher.address in net for net in rule.sources)]
    addresses = {named.name: named.address for named in estate.names()}
    closed = [
        (job, name, port)
        for job, name, port in instances(estate)
        if name != watcher.name
        and not any(rule.destination == addresses[name] and port in rule.ports for rule in rules)
    ]

    assert closed == []


def test_every_certificate_that_can_be_asked_for_is_looked_at(estate: Estate) -> None:
    """Two ways of TLS are beyond the prober: PostgreSQL's, and that of messages between security servers."""
    seen = {(name, port) for _, name, port in instances(estate)}
    missing = {
        endpoint
        for endpoint, listener in LISTENERS.items()
        if listener.tls is not None
        for host in estate.offering(endpoint)
        if (host.name, listener.tls.port) not in seen
    }

    assert missing == {Endpoint.MESSAGE_TRANSPORT}
    jobs = {job for job, _, port in instances(estate) if port == 5432}
    assert jobs == {"postgresql"}


def test_no_address_is_probed_twice(estate: Estate) -> None:
    """One cause is one alert. Prometheus labels what it measures by its address."""
    for probe in variables(estate)["monitoring_probes"]:
        addresses = [(instance["address"], instance["host"]) for instance in probe["instances"]]

        assert len(addresses) == len(set(addresses)), probe["job"]
    probed = [
        (name, port)
        for job, name, port in instances(estate)
        if job
        in {"certificates", "registry", "certificate_authority", "issuing", "postgresql", "kubernetes_api"}
    ]
    assert len(probed) == len(set(probed))


def test_both_revocation_lists_are_fetched_as_relying_parties_do() -> None:
    """Under the names that stand in certificates, which follow the authority's generation."""
    estate = load("lab")
    trust = estate.trust
    second = trust.trust_services.model_copy(update={"generation": 2})
    successor = estate.model_copy(update={"trust": trust.model_copy(update={"trust_services": second})})

    for site, name in ((estate, "trust-services-1"), (successor, "trust-services-2")):
        (probe,) = (
            probe for probe in variables(site)["monitoring_probes"] if probe["job"] == "revocation_lists"
        )

        assert probe["module"] == "http"
        assert [instance["address"] for instance in probe["instances"]] == [
            "http://status.lab.smartgouv.test/crl/root.crl",
            f"http://status.lab.smartgouv.test/crl/{name}.crl",
        ]


def test_budgets_are_the_estates() -> None:
    told = variables(load("lab"))["monitoring_thresholds"]

    assert told["certificate_seconds"] == 5 * 86_400
    assert told["certificate_share"] == 6
    assert told["status_freshness_seconds"] == 3_600


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("citizen1", "/etc/smartgouv/tls/host.crt"),
        ("citizen1", "/etc/smartgouv/tls/root.crt"),
        ("ca1", "/etc/smartgouv/root/root.crl"),
        ("ca1", "/etc/smartgouv/ca/*/ca.crt"),
        ("ca1", "/var/lib/smartgouv-status/state/responder.pem"),
        ("status1", "/etc/smartgouv/status/*.crt"),
        ("timestamp1", "/var/lib/smartgouv-time-stamping/certificate.pem"),
        ("timestamp1", "/var/lib/smartgouv-time-stamping/chain.pem"),
        ("control1", "/etc/kubernetes/pki/**/*.crt"),
        ("control1", "/etc/kubernetes/*.conf"),
        ("worker1", "/var/lib/kubelet/pki/*-current.pem"),
        ("central1", "/etc/xroad/ssl/*.crt"),
        ("ss-health", "/etc/xroad/ssl/*.crt"),
    ],
)
def test_files_follow_the_roles(host: str, path: str) -> None:
    estate = load("lab")

    assert path in node_exporter.variables(estate, estate.host(host))["node_exporter_certificates"]


def test_no_pattern_is_meant_for_keys() -> None:
    """The kubelet's `*-current.pem` and kubeadm's access files hold both; the program leaves keys alone."""
    patterns = {path for paths in node_exporter.BY_ROLE.values() for path in paths}

    assert [path for path in patterns if "key" in path] == []
