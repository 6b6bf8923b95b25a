"""Whether an object does what it is there for, as far as its own status tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Object = dict[str, Any]


class Phase(StrEnum):
    """What to do about an object."""

    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"
    """It won't become ready by itself."""


@dataclass(frozen=True)
class Verdict:
    """A phase and the reason for it, empty when ready."""

    phase: Phase
    reason: str = ""


READY = Verdict(Phase.READY)


def verdict(item: Object) -> Verdict:
    """The verdict on a live object. Kinds without a notion of readiness are ready as soon as they exist."""
    judge = _JUDGES.get(item["kind"])
    return judge(item) if judge else READY


def _waiting(reason: str) -> Verdict:
    return Verdict(Phase.WAITING, reason)


def _condition(item: Object, name: str) -> Object:
    for condition in (item.get("status") or {}).get("conditions") or []:
        if condition["type"] == name:
            return dict(condition)
    return {}


def _said(condition: Object) -> str:
    return ": ".join(text for text in (condition.get("reason"), condition.get("message")) if text)


def _namespace(item: Object) -> Verdict:
    phase = (item.get("status") or {}).get("phase")
    return READY if phase == "Active" else _waiting(f"phase is {phase}")


def _pod(item: Object) -> Verdict:
    status = item.get("status") or {}
    if status.get("phase") == "Failed":
        return Verdict(Phase.FAILED, status.get("message") or "the pod failed")
    ready = _condition(item, "Ready")
    if status.get("phase") == "Succeeded" or ready.get("status") == "True":
        return READY
    return _waiting(_said(ready) or f"phase is {status.get('phase')}")


def _observed(item: Object) -> bool:
    seen = (item.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= item["metadata"].get("generation", 0))


def _deployment(item: Object) -> Verdict:
    if not _observed(item):
        return _waiting("its controller hasn't seen it yet")
    progressing = _condition(item, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return Verdict(Phase.FAILED, _said(progressing))
    status = item.get("status") or {}
    wanted = (item.get("spec") or {}).get("replicas", 1)
    updated, available, total = (status.get(f"{name}eplicas", 0) for name in ("updatedR", "availableR", "r"))
    if updated < wanted or available < wanted or total > updated:
        return _waiting(f"{available} of {wanted} replicas are available, {updated} of them new")
    return READY


def _stateful_set(item: Object) -> Verdict:
    status, wanted = item.get("status") or {}, (item.get("spec") or {}).get("replicas", 1)
    ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    if not _observed(item) or ready < wanted or updated < wanted:
        return _waiting(f"{ready} of {wanted} replicas are ready")
    return READY


def _daemon_set(item: Object) -> Verdict:
    status = item.get("status") or {}
    wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    if not _observed(item) or ready < wanted or status.get("updatedNumberScheduled", 0) < wanted:
        return _waiting(f"{ready} of {wanted} pods are ready")
    return READY


def _job(item: Object) -> Verdict:
    failed = _condition(item, "Failed")
    if failed.get("status") == "True":
        return Verdict(Phase.FAILED, _said(failed))
    return READY if _condition(item, "Complete").get("status") == "True" else _waiting("it hasn't finished")


def _definition(item: Object) -> Verdict:
    established = _condition(item, "Established")
    return (
        READY if established.get("status") == "True" else _waiting(_said(established) or "it isn't served yet")
    )


_JUDGES: dict[str, Callable[[Object], Verdict]] = {
    "CustomResourceDefinition": _definition,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "Job": _job,
    "Namespace": _namespace,
    "Pod": _pod,
    "StatefulSet": _stateful_set,
}
