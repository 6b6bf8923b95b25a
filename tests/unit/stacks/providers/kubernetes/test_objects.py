"""Objects are applied, compared with what lives, waited for and removed."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from stacks.providers.kubernetes import objects
from stacks.providers.kubernetes.api import Api
from stacks.providers.kubernetes.objects import Objects
from stacks.providers.serving import UNKNOWN, Subject, UnfinishedError

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}}
CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "c", "namespace": "demo"},
    "data": {"a": "1"},
}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "s", "namespace": "demo"},
    "stringData": {"password": "in-clear"},
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d", "namespace": "demo", "annotations": {"pulumi.com/timeoutSeconds": "0.01"}},
    "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "d"}}},
}


def subject(kind: str = "core/v1:ConfigMap") -> Subject:
    return Subject(type=f"kubernetes:{kind}", name="resource", urn="")


@pytest.fixture
def kind(api: Api, monkeypatch: pytest.MonkeyPatch) -> Objects:
    monkeypatch.setattr(objects, "_POLL_SECONDS", 0)
    return Objects(api)


def activate(item: dict[str, Any]) -> None:
    if item["kind"] == "Namespace":
        item["status"] = {"phase": "Active"}


@pytest.fixture
def home(cluster: Any, kind: Objects) -> Objects:
    cluster.settle = activate
    asyncio.run(kind.create(subject(), NAMESPACE, preview=False))
    return kind


def test_check_names_an_object_after_its_resource(kind: Objects) -> None:
    checked = asyncio.run(kind.check(subject(), {"apiVersion": "v1", "kind": "ConfigMap"}))
    assert checked.inputs["metadata"] == {"name": "resource"}
    assert not checked.refusals


@pytest.mark.parametrize("token", ["core/v1:ConfigMapPatch", "core/v1:ConfigMapList"])
def test_check_refuses_types_that_are_not_whole_objects(kind: Objects, token: str) -> None:
    assert asyncio.run(kind.check(subject(token), dict(CONFIG))).refusals


def test_create_returns_the_live_object_without_what_changes_by_itself(home: Objects) -> None:
    created = asyncio.run(home.create(subject(), CONFIG, preview=False))
    assert created.identifier == "demo/c"
    assert created.state["data"] == {"a": "1"}
    assert not {"managedFields", "resourceVersion"} & set(created.state["metadata"])


def test_preview_changes_nothing_and_knows_no_uid(home: Objects, cluster: Any) -> None:
    before = dict(cluster.objects)
    planned = asyncio.run(home.create(subject(), CONFIG, preview=True))
    assert planned.state["metadata"]["uid"] == UNKNOWN
    assert cluster.objects == before


def test_preview_works_before_the_namespace_exists(kind: Objects) -> None:
    planned = asyncio.run(kind.create(subject(), CONFIG, preview=True))
    assert planned.state["data"] == {"a": "1"}


def test_secret_text_is_sent_encoded_and_its_encoding_not_kept(home: Objects, cluster: Any) -> None:
    created = asyncio.run(home.create(subject("core/v1:Secret"), SECRET, preview=False))
    assert cluster.objects["/api/v1/namespaces/demo/secrets/s"]["data"] == {"password": "aW4tY2xlYXI="}
    assert "data" not in created.state
    assert created.state["stringData"] == {"password": "in-clear"}


def test_nothing_differs_right_after_creation(home: Objects) -> None:
    created = asyncio.run(home.create(subject(), CONFIG, preview=False))
    found = asyncio.run(home.diff("demo/c", CONFIG, created.state, CONFIG))
    assert found.updates == found.replacements == ()


def test_drift_shows_without_a_refresh(home: Objects, cluster: Any) -> None:
    created = asyncio.run(home.create(subject(), CONFIG, preview=False))
    cluster.objects["/api/v1/namespaces/demo/configmaps/c"]["data"] = {"a": "someone else's"}
    assert asyncio.run(home.diff("demo/c", CONFIG, created.state, CONFIG)).updates == ("data.a",)


def test_object_that_is_gone_is_made_again(home: Objects, cluster: Any) -> None:
    created = asyncio.run(home.create(subject(), CONFIG, preview=False))
    del cluster.objects["/api/v1/namespaces/demo/configmaps/c"]
    assert asyncio.run(home.diff("demo/c", CONFIG, created.state, CONFIG)).updates
    asyncio.run(home.update(subject(), "demo/c", CONFIG, created.state, CONFIG, preview=False))
    assert "/api/v1/namespaces/demo/configmaps/c" in cluster.objects


def test_another_name_is_another_object(home: Objects) -> None:
    renamed = {**CONFIG, "metadata": {"name": "other", "namespace": "demo"}}
    found = asyncio.run(home.diff("demo/c", CONFIG, {}, renamed))
    assert found.replacements == ("metadata.name",)


def test_fixed_field_means_replacement(home: Objects, cluster: Any) -> None:
    created = asyncio.run(home.create(subject(), CONFIG, preview=False))
    cause = {"field": "data", "message": "field is immutable when `immutable` is set"}
    refusal = httpx.Response(422, json={"message": "invalid", "details": {"causes": [cause]}})
    cluster.refuse = lambda request: refusal if request.method == "PATCH" else None
    assert asyncio.run(home.diff("demo/c", CONFIG, created.state, CONFIG)).replacements == ("data",)


def test_creation_does_not_take_fields_from_others_but_an_update_takes_its_own_back(
    home: Objects, cluster: Any
) -> None:
    forced: list[str] = []

    def note(request: httpx.Request) -> None:
        if request.method == "PATCH":
            forced.append(request.url.params["force"])

    cluster.refuse = note
    created = asyncio.run(home.create(subject(), CONFIG, preview=False))
    asyncio.run(home.update(subject(), "demo/c", CONFIG, created.state, CONFIG, preview=False))
    assert forced == ["false", "true"]


def test_late_workload_is_reported_with_what_its_pods_say(home: Objects, cluster: Any) -> None:
    cluster.objects["/api/v1/namespaces/demo/pods/d-1"] = {
        "metadata": {"name": "d-1"},
        "status": {
            "containerStatuses": [
                {
                    "name": "main",
                    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
                }
            ]
        },
    }
    with pytest.raises(
        UnfinishedError, match="container main of pod d-1: ImagePullBackOff: no such image"
    ) as found:
        asyncio.run(home.create(subject("apps/v1:Deployment"), DEPLOYMENT, preview=False))
    assert found.value.identifier == "demo/d"


def test_delete_removes_and_is_content_when_nothing_is_there(home: Objects, cluster: Any) -> None:
    asyncio.run(home.create(subject(), CONFIG, preview=False))
    for _ in range(2):
        asyncio.run(home.delete(subject(), "demo/c", CONFIG, {}))
    assert "/api/v1/namespaces/demo/configmaps/c" not in cluster.objects


def test_import_of_a_secret_keeps_what_it_holds_out_of_the_state(home: Objects) -> None:
    asyncio.run(home.create(subject("core/v1:Secret"), SECRET, preview=False))
    found = asyncio.run(home.read(subject("core/v1:Secret"), "demo/s", {}, {}))
    assert found is not None
    assert "aW4tY2xlYXI=" not in str(found)
