"""What the platform program declares, as recorded: plain data, nothing inside of outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pulumi
import pytest
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks

from estate.load import load
from stacks.platform import PlatformArgs, Secrets, arguments, declare

DIGEST = "sha256:" + "0" * 64
SYSTEMS = {
    "human-resources",
    "payroll",
    "procurement",
    "civil-registry",
    "social-protection",
    "education",
    "justice",
    "health",
}
RELEASE = "kubernetes:helm.sh/v3:Release"
SECRET = "kubernetes:core/v1:Secret"
NAMESPACE = "kubernetes:core/v1:Namespace"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"


class Recorder(Mocks):
    """Keeps every resource that a program registers, by type and name."""

    def __init__(self) -> None:
        self.resources: dict[tuple[str, str], MockResourceArgs] = {}

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        self.resources[args.typ, args.name] = args
        return f"{args.name}-id", dict(args.inputs)

    def call(self, args: MockCallArgs) -> dict[Any, Any]:
        raise AssertionError(f"the program calls {args.token}")

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Inputs of the resources of a type, by name."""
        return {name: args.inputs for (typ, name), args in self.resources.items() if typ == kind}


@pytest.fixture
def deploy() -> Iterator[Callable[[Callable[[], None]], Recorder]]:
    def run(program: Callable[[], None]) -> Recorder:
        recorder = Recorder()
        pulumi.runtime.set_mocks(recorder, preview=False)
        pulumi.runtime.test(program)()
        return recorder

    # Pulumi takes the thread's current loop, and other tests leave none behind.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield run
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def args() -> PlatformArgs:
    estate = load("lab")
    images = {name: image.model_copy(update={"digest": DIGEST}) for name, image in estate.images.items()}
    return arguments(estate.model_copy(update={"images": images}))


@pytest.fixture
def recorded(deploy: Callable[[Callable[[], None]], Recorder], args: PlatformArgs) -> Recorder:
    values = Secrets(
        database_passwords={name: f"password-of-{name}" for name in (*SYSTEMS, "portal")},
        portal_key="key-of-portal",
        root_certificate="root",
        kubeconfig="kubeconfig",
    )
    return deploy(lambda: declare(args, values))


def test_every_system_has_a_release_in_its_own_namespace(recorded: Recorder) -> None:
    releases = recorded.of(RELEASE)
    assert set(releases) == SYSTEMS | {"portal"}
    assert all(inputs["namespace"] == name for name, inputs in releases.items())
    assert set(recorded.of(NAMESPACE)) == set(releases)


def test_values_hold_no_secret(recorded: Recorder) -> None:
    for inputs in recorded.of(RELEASE).values():
        assert "password-of-" not in str(inputs)
        assert "key-of-portal" not in str(inputs)


def test_passwords_reach_their_own_namespace_only(recorded: Recorder) -> None:
    secrets = recorded.of(SECRET)
    for name in SYSTEMS | {"portal"}:
        assert secrets[f"{name}-database"]["metadata"] == {"name": "database", "namespace": name}
        assert f"password-of-{name}" in str(secrets[f"{name}-database"]["stringData"])
    assert secrets["portal-key"]["metadata"]["namespace"] == "portal"


def test_namespaces_are_closed_and_strict(recorded: Recorder) -> None:
    for name, inputs in recorded.of(NAMESPACE).items():
        assert inputs["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        closed = recorded.of(POLICY)[f"{name}-closed"]["spec"]
        assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("name", ["default", "kube-node-lease", "kube-public", "kube-system"])
def test_the_clusters_own_namespaces_are_closed(recorded: Recorder, name: str) -> None:
    closed = recorded.of(POLICY)[f"{name}-closed"]
    assert closed["metadata"] == {"name": "closed", "namespace": name}
    assert closed["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_every_pod_may_ask_the_clusters_dns_and_that_the_api(recorded: Recorder) -> None:
    policy = recorded.of(POLICY)["kube-system-names"]
    assert policy["metadata"]["namespace"] == "kube-system"
    spec = policy["spec"]
    assert spec["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
    (rule,) = spec["ingress"]
    assert rule["from"] == [{"namespaceSelector": {}}]
    assert sorted((port["protocol"], port["port"]) for port in rule["ports"]) == [("TCP", 53), ("UDP", 53)]
    (rule,) = spec["egress"]
    assert [peer["ipBlock"]["cidr"] for peer in rule["to"]] == [f"10.80.40.{last}/32" for last in (11, 12, 13)]
    assert rule["ports"] == [{"port": 6443, "protocol": "TCP"}]


def test_civil_registry_reads_its_own_database_by_name(recorded: Recorder) -> None:
    values = recorded.of(RELEASE)["civil-registry"]["values"]
    assert values["sector"] == "civil-registry"
    assert values["database"]["host"] == "database1.lab.smartgouv.test"
    assert values["database"]["name"] == "civil_registry"
    assert values["service"]["nodePort"] == 30084
    assert values["image"] == {
        "repository": "registry1.lab.smartgouv.test:5000/smartgouv/sector-system",
        "digest": DIGEST,
    }


def test_portal_asks_its_security_server_as_itself(recorded: Recorder) -> None:
    values = recorded.of(RELEASE)["portal"]["values"]
    assert values["exchange"] == {
        "url": "https://ss-portal.lab.smartgouv.test:8443",
        "client": "BJ-LAB/GOV/DIGITAL/PORTAL",
    }
    providers = {entry["collection"]: entry["provider"] for entry in values["catalogue"]}
    assert providers["birth-records"] == "BJ-LAB/GOV/CIVILREG/REGISTRY/birth-records"
    assert len(providers) == 8


def test_arguments_need_the_digests_of_the_images() -> None:
    with pytest.raises(ValueError, match="has no digest yet"):
        arguments(load("lab"))
