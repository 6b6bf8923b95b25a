"""Helm releases of charts in local folders as resources."""

# ruff: noqa: ARG002  (the protocol fixes the arguments)
from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stacks.providers.kubernetes.api import Api, ApiError, Object, Reference
from stacks.providers.kubernetes.causes import causes_of_label
from stacks.providers.kubernetes.differences import contains, differences
from stacks.providers.kubernetes.helm import Helm, HelmError
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

UNDERSTOOD = frozenset(
    {
        "atomic",
        "chart",
        "compat",
        "createNamespace",
        "description",
        "maxHistory",
        "name",
        "namespace",
        "skipAwait",
        "takeOwnership",
        "timeout",
        "values",
        "version",
        "waitForJobs",
    }
)
"""Inputs that do what Pulumi's provider does with them. Others are refused when set, never ignored."""

DIGEST = "chartDigest"
"""Added to the inputs: a changed chart is a change of the release, though its path stays the same."""

HELMS_FIELD_MANAGER = "helm"

_DEFAULT_TIMEOUT_SECONDS = 300
_DEPLOYED = "deployed"
_SENSITIVE = re.compile(r"(password|secret|token|passphrase|private|key)$", re.IGNORECASE)


class Releases:
    """Helm releases."""

    def __init__(self, api: Api, helm: Helm) -> None:
        self._api = api
        self._helm = helm

    async def check(self, subject: Subject, inputs: Properties) -> Checked:
        """Refuse charts that aren't in a local folder and options that this provider doesn't have."""
        refusals = [
            Refusal(key, "isn't supported by this provider")
            for key, value in inputs.items()
            if key not in UNDERSTOOD and value not in (None, False, [], {})
        ]
        known = {key: value for key, value in inputs.items() if key in UNDERSTOOD and value is not None}
        known.setdefault("name", subject.name)
        known.setdefault("namespace", "default")
        chart = Path(str(known.get("chart")))
        if (chart / "Chart.yaml").is_file():
            known[DIGEST] = chart_digest(chart)
        else:
            refusals.append(Refusal("chart", f"{chart} isn't the folder of a chart; others aren't supported"))
        return Checked(known, tuple(refusals))

    async def diff(
        self, identifier: str, old_inputs: Properties, state: Properties, inputs: Properties
    ) -> Difference:
        """What was asked for differently, and what an interruption or a refresh showed to be amiss."""
        # The folder's place may differ between machines: what it holds decides.
        old, new = ({k: v for k, v in each.items() if k != "chart"} for each in (old_inputs, inputs))
        changes = tuple(differences(old, new))
        replacements = tuple(path for path in changes if path in ("name", "namespace"))
        amiss = [] if replacements else [path async for path in self._amiss(state)]
        return Difference(
            updates=tuple(path for path in (*changes, *amiss) if path not in replacements),
            replacements=replacements,
        )

    async def create(self, subject: Subject, inputs: Properties, *, preview: bool) -> Snapshot:
        """Install the release, or upgrade one of this name that exists."""
        identifier = f"{inputs['namespace']}/{inputs['name']}"
        state = _foreseen(inputs) if preview else await self._deploy(inputs)
        return Snapshot(identifier, inputs, state)

    async def read(
        self, subject: Subject, identifier: str, inputs: Properties, state: Properties
    ) -> Snapshot | None:
        """The release as the cluster has it, with the objects of it that are gone or changed."""
        if not inputs:
            raise ProviderError(
                "a release can't be imported: nothing in the cluster tells where its chart lies"
            )
        namespace, _, name = identifier.partition("/")
        try:
            status = await self._helm.status(namespace, name)
            if status is None:
                return None
            manifest = await self._helm.manifest(namespace, name)
        except HelmError as failure:
            raise ProviderError(f"release {identifier}: {failure}") from None
        items = documents(manifest)
        drift = await asyncio.gather(*(self._drift(item, namespace, name) for item in items))
        return Snapshot(identifier, inputs, _state(inputs, status, items, [one for one in drift if one]))

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
        """Upgrade the release."""
        return _foreseen(inputs) if preview else await self._deploy(inputs)

    async def delete(self, subject: Subject, identifier: str, inputs: Properties, state: Properties) -> None:
        """Uninstall the release and wait until its objects are gone."""
        namespace, _, name = identifier.partition("/")
        timeout = inputs.get("timeout") or _DEFAULT_TIMEOUT_SECONDS
        try:
            await self._helm.run(
                "uninstall", name, "--namespace", namespace, "--ignore-not-found", "--wait",
                "--cascade", "foreground", "--timeout", f"{timeout:.0f}s",
            )  # fmt: skip
        except HelmError as failure:
            raise ProviderError(f"release {identifier}: {failure}") from None

    async def _amiss(self, state: Properties) -> AsyncIterator[str]:
        """What an interruption, a refresh or a look at the cluster shows to be wrong."""
        if state.get("drift"):
            yield "drift"
        status = state.get("status") or {}
        namespace = str(status.get("namespace"))
        # Helm keeps each revision in a Secret whose labels tell how it went.
        revision = Reference(
            "v1", "Secret", namespace, f"sh.helm.release.v1.{status.get('name')}.v{status.get('revision')}"
        )
        try:
            labels = await self._api.labels(revision)
            if status.get("status") != _DEPLOYED or labels is None or labels.get("status") != _DEPLOYED:
                yield "status"
            for kind, names in (state.get("resourceNames") or {}).items():
                for name in names:
                    if await self._api.labels(await self._named(kind, name, namespace)) is None:
                        yield "resourceNames"
        except ApiError as refusal:
            raise ProviderError(f"release {namespace}/{status.get('name')}: {refusal}") from None

    async def _named(self, kind: str, name: str, namespace: str) -> Reference:
        """The object behind an entry of `resourceNames`."""
        kind, _, api_version = kind.partition("/")
        own, _, name = name.rpartition("/")
        item = {"apiVersion": api_version, "kind": kind}
        return await self._api.reference({**item, "metadata": {"name": name, "namespace": own or namespace}})

    async def _deploy(self, inputs: Properties) -> Properties:
        namespace, name = inputs["namespace"], inputs["name"]
        try:
            await self._recover(namespace, name)
            await self._helm.run("upgrade", *_arguments(inputs), values=inputs.get("values"))
        except HelmError as failure:
            raise await self._explained(inputs, failure) from None
        status = await self._helm.status(namespace, name) or {}
        return _state(inputs, status, documents(await self._helm.manifest(namespace, name)), [])

    async def _recover(self, namespace: str, name: str) -> None:
        """End what an interrupted helm left unfinished: it would refuse to touch the release again."""
        revisions = await self._helm.history(namespace, name)
        if not revisions or not str(revisions[-1]["status"]).startswith("pending"):
            return
        usable = [item for item in revisions if item["status"] in (_DEPLOYED, "superseded")]
        if usable:
            await self._helm.run("rollback", name, str(usable[-1]["revision"]), "--namespace", namespace)
        else:
            await self._helm.run("uninstall", name, "--namespace", namespace, "--wait")

    async def _explained(self, inputs: Properties, failure: HelmError) -> ProviderError:
        namespace, name = inputs["namespace"], inputs["name"]
        label = f"app.kubernetes.io/instance={name}"
        reasons = [str(failure), *await causes_of_label(self._api, namespace, label)]
        text = redacted(f"release {namespace}/{name}: " + "; ".join(reasons), inputs.get("values"))
        status = await self._helm.status(namespace, name)
        if status is None:
            return ProviderError(text)
        return UnfinishedError(f"{namespace}/{name}", inputs, _state(inputs, status, [], []), text)

    async def _drift(self, item: Object, namespace: str, name: str) -> str | None:
        """How a live object departs from what the release says; None if it doesn't."""
        item = _as_helm_applies(item, namespace, name)
        try:
            reference = await self._api.reference(item)
            live = await self._api.get(reference)
            if live is None:
                return f"{reference} is gone"
            planned = await self._api.apply(
                reference, item, dry_run=True, force=True, manager=HELMS_FIELD_MANAGER
            )
        except ApiError as refusal:
            return f"{item['kind']} {item['metadata']['name']}: {refusal}"
        changed = [path for path in differences(live, planned) if not path.startswith(_OUT_OF_SIGHT)]
        return f"{reference}: {', '.join(changed)}" if changed else None


_OUT_OF_SIGHT = ("metadata.managedFields", "metadata.generation", "metadata.resourceVersion", "status")


def chart_digest(folder: Path) -> str:
    """A digest of a chart's files and their names."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def documents(manifest: str) -> list[Object]:
    """The objects of a manifest."""
    return [item for item in YAML(typ="safe").load_all(manifest) if item]


def redacted(text: str, values: Any) -> str:
    """`text` without any value that stands under a name such as password or token."""
    for secret in _sensitive(values):
        text = text.replace(secret, "[redacted]")
    return text


def _sensitive(values: Any, key: str = "") -> list[str]:
    if isinstance(values, dict):
        return [found for name, item in values.items() for found in _sensitive(item, name)]
    if isinstance(values, list):
        return [found for item in values for found in _sensitive(item, key)]
    return [values] if isinstance(values, str) and values and _SENSITIVE.search(key) else []


def _as_helm_applies(item: Object, namespace: str, name: str) -> Object:
    """An object of a manifest with what helm adds to each as it applies it."""
    metadata = item.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
    origin = {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace}
    annotations = {**(metadata.get("annotations") or {}), **origin}
    added = {"labels": labels, "annotations": annotations}
    return {**item, "metadata": {"namespace": namespace, **metadata, **added}}


def _arguments(inputs: Properties) -> list[str]:
    timeout = inputs.get("timeout") or _DEFAULT_TIMEOUT_SECONDS
    found = [inputs["name"], inputs["chart"], "--install", "--namespace", inputs["namespace"], "--values", "-"]
    found += ["--timeout", f"{timeout:.0f}s", "--history-max", f"{inputs.get('maxHistory') or 5:.0f}"]
    if inputs.get("atomic"):
        found.append("--rollback-on-failure")
    if not inputs.get("skipAwait") or inputs.get("atomic"):
        found.append("--wait")
    options = {"createNamespace": "--create-namespace", "waitForJobs": "--wait-for-jobs"}
    options["takeOwnership"] = "--take-ownership"
    found += [option for key, option in options.items() if inputs.get(key)]
    if inputs.get("version"):
        found += ["--version", inputs["version"]]
    if inputs.get("description"):
        found += ["--description", inputs["description"]]
    return found


def _foreseen(inputs: Properties) -> Properties:
    state: Properties = {**inputs, "status": UNKNOWN, "resourceNames": UNKNOWN}
    return state if not contains(inputs, UNKNOWN) else {**state, "values": UNKNOWN}


def _state(inputs: Properties, status: Properties, items: list[Object], drift: list[str]) -> Properties:
    info = status.get("info") or {}
    names: dict[str, list[str]] = {}
    for item in items:
        metadata = item["metadata"]
        namespace = metadata.get("namespace")
        label = f"{namespace}/{metadata['name']}" if namespace else metadata["name"]
        names.setdefault(f"{item['kind']}/{item['apiVersion']}", []).append(label)
    return {
        **inputs,
        "status": {
            "name": inputs["name"],
            "namespace": inputs["namespace"],
            "revision": status.get("version"),
            "status": info.get("status"),
        },
        "resourceNames": {kind: sorted(found) for kind, found in sorted(names.items())},
        "drift": sorted(drift),
    }
