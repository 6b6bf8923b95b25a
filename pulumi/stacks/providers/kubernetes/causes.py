"""Why something isn't ready: what its pods and events say, in sentences for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stacks.providers.kubernetes.api import Api, ApiError, Object, Reference

_LIMIT = 8


async def causes(api: Api, reference: Reference, item: Object) -> list[str]:
    """Sentences about an object that isn't ready: its pods' troubles, then warnings about itself."""
    pods = [item] if reference.kind == "Pod" else await _pods(api, reference, item)
    found = [sentence for pod in pods for sentence in troubles(pod)]
    found += await _warnings(api, reference)
    for pod in pods:
        if not any(troubles(pod)):
            found += await _warnings(api, Reference("v1", "Pod", reference.namespace, pod["metadata"]["name"]))
    return list(dict.fromkeys(found))[:_LIMIT]


async def causes_of_label(api: Api, namespace: str, label: str) -> list[str]:
    """Sentences about every pod of a namespace that carries a label."""
    try:
        pods = await api.select("v1", "Pod", namespace, labels=label)
    except ApiError:
        return []
    found = [sentence for pod in pods for sentence in troubles(pod)]
    return list(dict.fromkeys(found))[:_LIMIT]


def troubles(pod: Object) -> Iterator[str]:
    """What a pod's own status says about why it doesn't run."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition.get("status") != "True":
            yield f"pod {name} has no node: {condition.get('message', condition.get('reason', ''))}"
    for container in _containers(status):
        state = container.get("state") or {}
        where = f"container {container['name']} of pod {name}"
        if waiting := state.get("waiting"):
            if waiting.get("reason") not in ("PodInitializing", "ContainerCreating"):
                yield f"{where}: {waiting.get('reason')}: {waiting.get('message', '')}".rstrip(": ")
            if ended := (container.get("lastState") or {}).get("terminated"):
                yield f"{where} ended before: {_ending(ended)}"
        elif (ended := state.get("terminated")) and ended.get("exitCode"):
            yield f"{where} ended: {_ending(ended)}"
        elif "running" in state and not container.get("ready", True):
            yield f"{where} runs but isn't ready"


def _containers(status: Object) -> Iterable[dict[str, Any]]:
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _ending(state: Object) -> str:
    return ", ".join(
        text
        for text in (state.get("reason"), f"exit code {state.get('exitCode')}", state.get("message"))
        if text
    )


async def _pods(api: Api, reference: Reference, item: Object) -> list[Object]:
    labels = ((item.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    if not labels or not reference.namespace:
        return []
    return await api.select(
        "v1", "Pod", reference.namespace, labels=",".join(f"{key}={value}" for key, value in labels.items())
    )


async def _warnings(api: Api, reference: Reference) -> list[str]:
    fields = f"involvedObject.name={reference.name},involvedObject.kind={reference.kind},type=Warning"
    try:
        events = await api.select("v1", "Event", reference.namespace or "default", fields=fields)
    except ApiError:
        return []
    return [f"{reference}: {event.get('reason')}: {event.get('message')}" for event in events[-3:]]
