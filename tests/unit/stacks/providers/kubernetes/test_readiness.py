"""An object's own status decides whether it is ready."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.providers.kubernetes.readiness import Phase, verdict


def deployment(**status: Any) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"generation": 2},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 2, **status},
    }


DONE = {"updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too slow"}


@pytest.mark.parametrize(
    ("item", "phase"),
    [
        (deployment(**DONE), Phase.READY),
        (deployment(**DONE, observedGeneration=1), Phase.WAITING),
        (deployment(**{**DONE, "availableReplicas": 1}), Phase.WAITING),
        (deployment(**{**DONE, "replicas": 3}), Phase.WAITING),
        (deployment(conditions=[LATE]), Phase.FAILED),
        ({"kind": "Namespace", "metadata": {}, "status": {"phase": "Active"}}, Phase.READY),
        ({"kind": "Namespace", "metadata": {}, "status": {"phase": "Terminating"}}, Phase.WAITING),
        ({"kind": "Pod", "metadata": {}, "status": {"phase": "Failed"}}, Phase.FAILED),
        ({"kind": "Pod", "metadata": {}, "status": {"phase": "Succeeded"}}, Phase.READY),
        (
            {"kind": "Job", "metadata": {}, "status": {"conditions": [{"type": "Failed", "status": "True"}]}},
            Phase.FAILED,
        ),
        (
            {"kind": "Job", "metadata": {}, "status": {"conditions": [{"type": "Complete", "status": "True"}]}},
            Phase.READY,
        ),
        ({"kind": "ConfigMap", "metadata": {}}, Phase.READY),
    ],
)
def test_verdict(item: dict[str, Any], phase: Phase) -> None:
    assert verdict(item).phase is phase


def test_failure_says_why() -> None:
    assert verdict(deployment(conditions=[LATE])).reason == "ProgressDeadlineExceeded: too slow"
