"""Objects of the Kubernetes API as resources."""

# ruff: noqa: ARG002  (the protocol fixes the arguments)
from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

from stacks.providers.kubernetes.api import Api, ApiError, Object, Reference
from stacks.providers.kubernetes.causes import causes
from stacks.providers.kubernetes.differences import contains, differences
from stacks.providers.kubernetes.readiness import Phase, verdict
from stacks.providers.serving import (
    UNKNOWN,
    Checked,
    Difference,
    Properties,
    ProviderError,
    Refusal,
    Snapshot,
    Subject,
    UnfinishedError,
)

SKIP_AWAIT = "pulumi.com/skipAwait"
TIMEOUT = "pulumi.com/timeoutSeconds"
FORCE = "pulumi.com/patchForce"

_DEFAULT_TIMEOUT_SECONDS = 300.0
_POLL_SECONDS = 1.0
_FIXED = ("creationTimestamp", "uid")
"""Metadata that an object keeps for its whole life."""

_SERVERS_OWN = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
"""Metadata that the server writes by itself."""


class Objects:
    """Every kind of object that the API server knows."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def check(self, subject: Subject, inputs: Properties) -> Checked:
        """Refuse what isn't one whole object, and name what has no name."""
        refusals = []
        if "apiVersion" not in inputs or "kind" not in inputs:
            refusals.append(Refusal("kind", f"{subject.type} isn't supported by this provider"))
        elif subject.type.endswith(("Patch", "List")):
            refusals.append(
                Refusal("kind", f"{subject.type} isn't supported by this provider: name whole objects")
            )
        metadata = dict(inputs.get("metadata") or {})
        if "generateName" in metadata:
            refusals.append(Refusal("metadata.generateName", "isn't supported by this provider: give a name"))
        metadata.setdefault("name", subject.name)
        return Checked({**inputs, "metadata": metadata}, tuple(refusals))

    async def diff(
        self, identifier: str, old_inputs: Properties, state: Properties, inputs: Properties
    ) -> Difference:
        """What a server-side apply would change in the live object."""
        if replaced := _identity_changes(old_inputs, inputs):
            return Difference(replacements=replaced)
        if contains(inputs, UNKNOWN):
            return Difference(updates=tuple(differences(old_inputs, inputs)))
        try:
            reference = await self._api.reference(inputs)
            live = await self._api.get(reference)
            if live is None:
                return Difference(updates=("metadata",))
            planned = await self._apply(reference, inputs, dry_run=True, force=True)
        except ApiError as refusal:
            if refusal.immutable_fields:
                return Difference(replacements=refusal.immutable_fields)
            raise ProviderError(str(refusal)) from None
        return Difference(updates=tuple(differences(_comparable(live), _comparable(planned))))

    async def create(self, subject: Subject, inputs: Properties, *, preview: bool) -> Snapshot:
        """Apply the object and wait until it is ready. An object that exists is adopted."""
        if preview:
            return Snapshot("", inputs, await self._foreseen(inputs))
        reference, state = await self._applied(inputs)
        return Snapshot(reference.identifier, inputs, state)

    async def read(
        self, subject: Subject, identifier: str, inputs: Properties, state: Properties
    ) -> Snapshot | None:
        """The live object."""
        known = inputs or state
        reference = _reference(subject, identifier, known)
        try:
            live = await self._api.get(reference)
        except ApiError as refusal:
            # A kind that is gone took its objects along.
            if refusal.status == 404:
                return None
            raise ProviderError(f"{reference}: {refusal}") from None
        if live is None:
            return None
        found = inputs or _importable(live)
        return Snapshot(identifier, found, _state(live, found))

    async def update(
        self,
        subject: Subject,
        identifier: str,
        old_inputs: Properties,
        state: Properties,
        inputs: Properties,
        *,
        preview: bool,
    ) -> Properties:
        """Apply the object and wait until it is ready."""
        if preview:
            foreseen = await self._foreseen(inputs, force=True)
            kept = {
                key: value for key, value in state["metadata"].items() if key in ("uid", "creationTimestamp")
            }
            return {**foreseen, "metadata": {**foreseen["metadata"], **kept}}
        # What the programs made is theirs: a field that somebody else wrote since is taken back.
        _, applied = await self._applied(inputs, force=True)
        return applied

    async def delete(self, subject: Subject, identifier: str, inputs: Properties, state: Properties) -> None:
        """Delete the object and wait until it is gone."""
        reference = _reference(subject, identifier, inputs or state)
        try:
            live = await self._api.get(reference)
            if live is None:
                return
            uid = live["metadata"]["uid"]
            await self._api.delete(reference, uid)
            await self._until_gone(reference, uid, _timeout(inputs))
        except ApiError as refusal:
            if refusal.status != 404:
                raise ProviderError(f"{reference}: {refusal}") from None

    async def _apply(
        self, reference: Reference, inputs: Properties, *, dry_run: bool = False, force: bool = False
    ) -> Object:
        force = force or _annotation(inputs, FORCE) == "true"
        return await self._api.apply(reference, _manifest(inputs), dry_run=dry_run, force=force)

    async def _foreseen(self, inputs: Properties, *, force: bool = False) -> Properties:
        """The state that applying would lead to, as far as it can be known without doing it."""
        unknown = {"metadata": {**inputs["metadata"], "uid": UNKNOWN, "creationTimestamp": UNKNOWN}}
        if contains(inputs, UNKNOWN):
            return {**inputs, **unknown, "status": UNKNOWN}
        try:
            reference = await self._api.reference(inputs)
            planned = await self._apply(reference, inputs, dry_run=True, force=force)
        except ApiError as refusal:
            # Its namespace or its definition may be made in this very deployment, and what can't be changed
            # in place is removed first.
            if refusal.status == 404 or refusal.immutable_fields:
                return {**inputs, **unknown, "status": UNKNOWN}
            raise ProviderError(str(refusal)) from None
        state = _state(planned, inputs)
        return {**state, "metadata": {**state["metadata"], **unknown["metadata"]}, "status": UNKNOWN}

    async def _applied(self, inputs: Properties, *, force: bool = False) -> tuple[Reference, Properties]:
        try:
            reference = await self._api.reference(inputs)
            live = await self._apply(reference, inputs, force=force)
        except ApiError as refusal:
            raise ProviderError(str(refusal)) from None
        if _annotation(inputs, SKIP_AWAIT) != "true":
            live = await self._until_ready(reference, live, inputs)
        return reference, _state(live, inputs)

    async def _until_ready(self, reference: Reference, live: Object, inputs: Properties) -> Object:
        deadline = time.monotonic() + _timeout(inputs)
        while (found := verdict(live)).phase is not Phase.READY:
            late = time.monotonic() > deadline
            if late or found.phase is Phase.FAILED:
                waited = f" within {_timeout(inputs):.0f} s" if late else ""
                reasons = [found.reason, *await causes(self._api, reference, live)]
                text = f"{reference} isn't ready{waited}: " + "; ".join(reasons)
                raise UnfinishedError(reference.identifier, inputs, _state(live, inputs), text)
            await asyncio.sleep(_POLL_SECONDS)
            live = await self._api.get(reference) or live
        return live

    async def _until_gone(self, reference: Reference, uid: str, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while (live := await self._api.get(reference)) is not None and live["metadata"]["uid"] == uid:
            if time.monotonic() > deadline:
                holders = ", ".join(live["metadata"].get("finalizers") or []) or "what it owns"
                said = "; ".join(
                    condition["message"]
                    for condition in (live.get("status") or {}).get("conditions") or []
                    if condition.get("status") == "True" and condition.get("message")
                )
                raise ProviderError(f"{reference} isn't gone within {timeout_seconds:.0f} s: {said or holders}")
            await asyncio.sleep(_POLL_SECONDS)


def _identity_changes(old: Properties, new: Properties) -> tuple[str, ...]:
    """What makes it another object. A namespace that isn't named stays what it was."""
    changes = [key for key in ("apiVersion", "kind") if old.get(key) != new.get(key)]
    before, after = old.get("metadata") or {}, new.get("metadata") or {}
    changes += [f"metadata.{key}" for key in ("name", "namespace") if before.get(key) != after.get(key)]
    return tuple(changes)


def _reference(subject: Subject, identifier: str, known: Properties) -> Reference:
    """The object behind an identifier; its kind is in the type token when nothing else is known."""
    namespace, _, name = identifier.rpartition("/")
    _, group, kind = subject.type.split(":")
    api_version = known.get("apiVersion") or group.removeprefix("core/")
    return Reference(api_version, known.get("kind") or kind, namespace, name)


def _annotation(inputs: Properties, name: str) -> str | None:
    annotations = (inputs.get("metadata") or {}).get("annotations") or {}
    return annotations.get(name) if isinstance(annotations, dict) else None


def _timeout(inputs: Properties) -> float:
    return float(_annotation(inputs, TIMEOUT) or _DEFAULT_TIMEOUT_SECONDS)


def _manifest(inputs: Properties) -> Object:
    """What to send. A Secret's clear text is encoded here: the server doesn't track who owns it."""
    manifest = {key: value for key, value in inputs.items() if key not in ("status", "stringData")}
    if inputs["kind"] == "Secret" and inputs.get("stringData"):
        encoded = {
            key: base64.b64encode(value.encode()).decode() for key, value in inputs["stringData"].items()
        }
        return {**manifest, "data": {**(inputs.get("data") or {}), **encoded}}
    return manifest if inputs["kind"] == "Secret" else {**manifest, **_other_string_data(inputs)}


def _other_string_data(inputs: Properties) -> Properties:
    """Custom kinds may have a field called like a Secret's."""
    return {"stringData": inputs["stringData"]} if "stringData" in inputs else {}


def _state(live: Object, inputs: Properties) -> Properties:
    """What to remember of a live object: nothing that changes by itself, no secret that wasn't an input."""
    metadata = {
        key: value for key, value in live["metadata"].items() if key not in ("managedFields", "resourceVersion")
    }
    state: dict[str, Any] = {**live, "metadata": metadata}
    if live["kind"] == "Secret":
        given = inputs.get("data") or {}
        state.pop("data", None)
        if given:
            state["data"] = {key: value for key, value in (live.get("data") or {}).items() if key in given}
        if "stringData" in inputs:
            state["stringData"] = inputs["stringData"]
    return state


def _as_inputs(live: Object) -> Properties:
    """The part of a live object that somebody may have asked for."""
    metadata = {key: value for key, value in live["metadata"].items() if key not in _SERVERS_OWN}
    return {key: value for key, value in {**live, "metadata": metadata}.items() if key != "status"}


def _importable(live: Object) -> Properties:
    """Inputs for an object that a user imports. A Secret's data stays out: nothing marks it as secret."""
    return {key: value for key, value in _as_inputs(live).items() if live["kind"] != "Secret" or key != "data"}


def _comparable(item: Object) -> Object:
    return _as_inputs(item)
