"""Which authorities a site has, under which names, and what the root's ceremony is told of them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from estate.load import load
from estate.project.ansible.kubernetes import variables
from estate.project.ceremony import agenda
from estate.trust import KubernetesAuthorities
from trust_services.ceremony.agenda import Agenda


def test_the_root_certifies_the_clusters_authorities_too() -> None:
    told = Agenda.model_validate(agenda(load("lab")))
    assert list(told.authorities) == [
        "trust-services",
        "infrastructure-tls",
        "kubernetes",
        "kubernetes-etcd",
        "kubernetes-front-proxy",
    ]
    front = told.authorities["kubernetes-front-proxy"]
    assert (front.common_name, front.key, front.lifetime_days) == ("Kubernetes front proxy CA", "ec-p256", 3650)
    subject = told.subject(told.authorities["kubernetes-etcd"].common_name)
    assert subject.rfc4514_string() == "CN=Kubernetes etcd CA,O=SMARTGOUV Lab,C=BJ"


def test_generation_and_beginning_are_in_each_name() -> None:
    made = KubernetesAuthorities(common_name="Site Cluster", generation=2)
    assert list(made.names.values()) == [
        "Site Cluster CA G2",
        "Site Cluster etcd CA G2",
        "Site Cluster front proxy CA G2",
    ]


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"lifetime": 1459}, "lifetime"),
        ({"common_name": ""}, "common_name"),
        ({"common_name": "a" * 41}, "common_name"),
        ({"generation": 0}, "generation"),
        ({"key": "rsa-2048"}, "key"),
        ({"token": {"slot": 1}}, "token"),
    ],
)
def test_what_the_model_refuses(wrong: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as refused:
        KubernetesAuthorities.model_validate(wrong)
    assert [problem["loc"] for problem in refused.value.errors()] == [(where,)]


def test_longest_name_fits_into_a_certificate() -> None:
    """RFC 5280 has room for 64 characters (ub-common-name)."""
    longest = KubernetesAuthorities(common_name="a" * 40, generation=99)
    assert max(map(len, longest.names.values())) <= 64


def test_every_node_is_told_the_same_authorities() -> None:
    estate = load("lab")
    for host in estate.kubernetes_nodes:
        # Digests come from the built images; here any will do.
        images = {
            name: image.model_copy(update={"digest": "sha256:" + "0" * 64})
            for name, image in estate.images.items()
        }
        told = variables(estate.model_copy(update={"images": images}), host)
        assert told["kubernetes_authority_organization"] == "SMARTGOUV Lab"
        assert told["kubernetes_authorities"][1] == {
            "name": "kubernetes-etcd",
            "common_name": "Kubernetes etcd CA",
            "key": "ec-p256",
            "generation": 1,
        }
