"""A cluster that lives in memory and answers like an API server, as far as the provider asks."""

from __future__ import annotations

import copy
import json
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from stacks.providers.kubernetes.access import Access
from stacks.providers.kubernetes.api import Api

KINDS = {
    "/api/v1": [
        ("Namespace", "namespaces", False),
        ("ConfigMap", "configmaps", True),
        ("Secret", "secrets", True),
        ("Pod", "pods", True),
        ("Event", "events", True),
    ],
    "/apis/apps/v1": [("Deployment", "deployments", True)],
}

ACCESS = Access("https://cluster.test:6443", ssl.create_default_context(), {}, "", "")


class FakeCluster:
    """Objects by path. Owners of fields and immutability are only as real as the tests need."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.refuse: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
        self.settle: Callable[[dict[str, Any]], None] = lambda _: None
        """Does what a controller would do to an object that was applied."""

    def answer(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        self.requests.append((request.method, request.url.path))
        if (refusal := self.refuse(request)) is not None:
            return refusal
        path = request.url.path
        if path in KINDS:
            resources = [{"kind": k, "name": n, "namespaced": ns} for k, n, ns in KINDS[path]]
            return httpx.Response(200, json={"resources": resources})
        match request.method:
            case "GET" if path in self.objects:
                return httpx.Response(200, json=self.objects[path])
            case "GET" if path.endswith(("/pods", "/events")):
                found = [item for key, item in self.objects.items() if key.startswith(path + "/")]
                return httpx.Response(200, json={"items": found})
            case "PATCH":
                return self._apply(request)
            case "DELETE" if path in self.objects:
                del self.objects[path]
                return httpx.Response(200, json={})
        return httpx.Response(404, json={"message": f"{path} not found"})

    def _apply(self, request: httpx.Request) -> httpx.Response:
        path, wanted = request.url.path, json.loads(request.content)
        _, inside, rest = path.partition("/namespaces/")
        home = f"/api/v1/namespaces/{rest.partition('/')[0]}"
        if inside and "/" in rest and home not in self.objects:
            return httpx.Response(404, json={"message": f"{home} not found"})
        item = copy.deepcopy(self.objects.get(path, {"metadata": {"uid": f"uid-of-{path}", "generation": 1}}))
        metadata = {**item["metadata"], **wanted["metadata"], "managedFields": [], "resourceVersion": "1"}
        item.update({**wanted, "metadata": metadata})
        self.settle(item)
        if request.url.params.get("dryRun") != "All":
            self.objects[path] = item
        return httpx.Response(200, json=item)


@pytest.fixture
def cluster() -> FakeCluster:
    """An empty cluster."""
    return FakeCluster()


@pytest.fixture
def api(cluster: FakeCluster) -> Api:
    """A client of it."""
    return Api(ACCESS, transport=httpx.MockTransport(cluster.answer))
