"""A client of the Kubernetes API: the few verbs that the provider needs, for objects of any kind."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from stacks.providers.kubernetes.access import Access
from stacks.providers.serving import ProviderError

Object = dict[str, Any]
"""An object of the Kubernetes API, as JSON values."""

FIELD_MANAGER = "smartgouv-platform"
"""Under this name the API server remembers which fields the programs of this repository own."""

_IMMUTABLE = re.compile(r"immutable|may not be changed|updates to .* forbidden")
"""How the API server says that a field is fixed; it has no code for it."""

_ATTEMPTS = 5
_BUSY = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Reference:
    """One object: its kind and its name. `namespace` is empty for kinds that stand outside of namespaces."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def identifier(self) -> str:
        """`namespace/name`, or `name`."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def __str__(self) -> str:
        return f"{self.kind} {self.identifier}"


class ApiError(Exception):
    """The API server refused a request. `status` is the HTTP status code."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        details = body.get("details") if isinstance(body, dict) else None
        self.causes: list[dict[str, Any]] = list((details or {}).get("causes") or [])
        message = body.get("message") if isinstance(body, dict) else None
        super().__init__(str(message or f"HTTP status {status}"))

    @property
    def immutable_fields(self) -> tuple[str, ...]:
        """Fields that the server would not change in place; empty when the refusal has another reason."""
        if self.status != httpx.codes.UNPROCESSABLE_ENTITY:
            return ()
        return tuple(
            str(cause.get("field") or "spec")
            for cause in self.causes
            if _IMMUTABLE.search(str(cause.get("message", "")))
        )


@dataclass(frozen=True)
class _Kind:
    plural: str
    namespaced: bool


class Api:
    """One API server."""

    def __init__(
        self,
        access: Access,
        default_namespace: str = "default",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._default_namespace = default_namespace
        self._server = access.server
        self._client = httpx.AsyncClient(
            base_url=access.server,
            verify=access.trust,
            transport=transport,
            headers=access.headers,
            timeout=httpx.Timeout(30, connect=10),
            limits=httpx.Limits(max_connections=20),
        )
        self._kinds: dict[str, dict[str, _Kind]] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def reference(self, item: Object) -> Reference:
        """Which object `item` describes. ApiError 404 if the server doesn't know the kind."""
        metadata = item.get("metadata") or {}
        kind = await self._kind(item["apiVersion"], item["kind"])
        namespace = (metadata.get("namespace") or self._default_namespace) if kind.namespaced else ""
        return Reference(item["apiVersion"], item["kind"], namespace, metadata["name"])

    async def get(self, reference: Reference) -> Object | None:
        """The live object; None if there is none."""
        try:
            return await self._request("GET", await self._path(reference))
        except ApiError as refusal:
            if refusal.status == httpx.codes.NOT_FOUND:
                return None
            raise

    async def labels(self, reference: Reference) -> dict[str, str] | None:
        """The labels of the live object, without reading what it holds; None if there is none."""
        accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        try:
            item = await self._request("GET", await self._path(reference), headers={"Accept": accept})
        except ApiError as refusal:
            if refusal.status == httpx.codes.NOT_FOUND:
                return None
            raise
        return dict(item["metadata"].get("labels") or {})

    async def apply(
        self,
        reference: Reference,
        item: Object,
        *,
        dry_run: bool = False,
        force: bool = False,
        manager: str = FIELD_MANAGER,
    ) -> Object:
        """Server-side apply: make the object, or change the fields that it names and those it named before."""
        parameters = {"fieldManager": manager, "force": "true" if force else "false"}
        if dry_run:
            parameters["dryRun"] = "All"
        metadata = {key: value for key, value in item["metadata"].items() if key != "namespace"}
        if reference.namespace:
            metadata["namespace"] = reference.namespace
        return await self._request(
            "PATCH",
            await self._path(reference),
            params=parameters,
            json={**item, "metadata": metadata},
            headers={"Content-Type": "application/apply-patch+yaml"},
        )

    async def delete(self, reference: Reference, uid: str) -> None:
        """Begin to remove this very object with what it owns; nothing happens if it is gone."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": uid},
        }
        try:
            await self._request("DELETE", await self._path(reference), json=options)
        except ApiError as refusal:
            # A conflict means that the name belongs to another object by now.
            if refusal.status not in (httpx.codes.NOT_FOUND, httpx.codes.CONFLICT):
                raise

    async def select(
        self, api_version: str, kind: str, namespace: str, *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        """The objects of a namespace that match the selectors."""
        path = await self._path(Reference(api_version, kind, namespace, ""))
        parameters = {"labelSelector": labels, "fieldSelector": fields}
        answer = await self._request("GET", path, params={k: v for k, v in parameters.items() if v})
        return list(answer.get("items") or [])

    async def _path(self, reference: Reference) -> str:
        kind = await self._kind(reference.api_version, reference.kind)
        parts = [_group_path(reference.api_version)]
        if kind.namespaced:
            parts += ["namespaces", quote(reference.namespace, safe="")]
        parts.append(kind.plural)
        if reference.name:
            parts.append(quote(reference.name, safe=""))
        return "/".join(parts)

    async def _kind(self, api_version: str, name: str) -> _Kind:
        if name not in self._kinds.get(api_version, {}):
            # Asked again for an unknown kind: its definition may have been made a moment ago.
            answer = await self._request("GET", _group_path(api_version))
            self._kinds[api_version] = _kinds(answer.get("resources") or [])
        try:
            return self._kinds[api_version][name]
        except KeyError:
            raise ApiError(404, {"message": f"the server has no kind {name} in {api_version}"}) from None

    async def _request(self, method: str, path: str, **arguments: Any) -> Object:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                response = await self._client.request(method, path, **arguments)
            except httpx.TransportError as fault:
                # Every verb here may be repeated: reading, applying and deleting one object by its UID.
                if attempt == _ATTEMPTS:
                    raise ProviderError(
                        f"{self._server} doesn't answer: {fault or type(fault).__name__}"
                    ) from None
            else:
                if response.status_code not in _BUSY or attempt == _ATTEMPTS:
                    return _answer(response)
            await asyncio.sleep(0.2 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")


def _answer(response: httpx.Response) -> Object:
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.is_success and isinstance(body, dict):
        return body
    raise ApiError(response.status_code, body)


def _group_path(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _kinds(resources: Iterable[Object]) -> dict[str, _Kind]:
    return {
        item["kind"]: _Kind(item["name"], bool(item["namespaced"]))
        for item in resources
        if "/" not in item["name"]
    }
