"""smartgouv hardening: what kube-bench says, and what a site may live with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from estate.platform import Waiver
from operate import hardening, remote
from operate.cli import application
from operate.hardening import Finding, judged, read
from operate.workspace import open_workspace

REASON = "the node's own firewall does it, which the acceptance proves"


def result(number: str, status: str, **more: Any) -> dict[str, Any]:
    return {"test_number": number, "test_desc": "Ensure it\n (Manual)", "status": status, **more}


def document(*results: dict[str, Any]) -> dict[str, Any]:
    """As kube-bench prints it."""
    return {"Controls": [{"version": "cis-1.10", "tests": [{"results": [item]} for item in results]}]}


def finding(number: str, node: str, *, met: bool) -> Finding:
    return Finding("cis-1.10", number, "Ensure it", node, met, "not met")


@pytest.mark.parametrize(
    ("status", "met", "seen"),
    [
        ("PASS", True, "met"),
        ("INFO", True, "told only"),
        ("FAIL", False, "not met"),
        ("WARN", False, "to be judged by a person"),
    ],
)
def test_what_kube_bench_says(status: str, met: bool, seen: str) -> None:
    assert read("worker1", document(result("4.1.1", status))) == [
        Finding("cis-1.10", "4.1.1", "Ensure it (Manual)", "worker1", met, seen)
    ]
    told = read("worker1", document(result("4.1.1", status, reason="no such file")))
    assert told[0].seen == "no such file"


def test_one_node_that_fails_fails_the_check() -> None:
    checks = judged(
        [finding("1.2.10", "control1", met=True), finding("1.2.10", "control2", met=False)], waivers={}
    )
    assert [(check.passed, check.detail) for check in checks] == [(False, "not met (control2)")]


def test_a_waiver_has_to_be_needed() -> None:
    """One that outlived its reason would hide the next failure."""
    findings = [finding("1.2.10", "control1", met=False), finding("1.2.9", "control1", met=True)]
    checks = judged(findings, {"1.2.10": REASON, "1.2.9": REASON, "9.9.9": REASON})

    assert [(check.name.split()[0], check.passed) for check in checks] == [
        ("1.2.9", False),
        ("1.2.10", True),
        ("9.9.9", False),
    ]
    assert checks[0].detail == "met on 1 nodes; the waiver isn't needed: remove it"
    assert checks[1].detail == f"waived: {REASON} (control1)"


@pytest.mark.parametrize("bad", [{"check": "1.2"}, {"check": "1.2.0"}, {"reason": "because"}])
def test_a_waiver_says_what_and_why(bad: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Waiver.model_validate({"check": "1.2.3", "reason": REASON, **bad})


def test_the_command_asks_every_node_and_leaves_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("SMARTGOUV_SECRETS", raising=False)
    asked: dict[str, str] = {}

    def answer(_workspace: object, node: str, *words: str, **_: object) -> str:
        asked[node] = words[-1]
        return json.dumps(document(result("4.9.9", "FAIL" if node == "worker2" else "PASS")))

    monkeypatch.setattr(remote, "output", answer)
    monkeypatch.setattr(hardening, "judged", lambda findings, _: judged(findings, {}))
    run = CliRunner().invoke(application, ("hardening", "staging", "--json"))

    assert run.exit_code == 1, run.output
    told = json.loads(run.stdout)
    assert [check["detail"] for check in told["checks"]] == ["not met (worker2)"]
    assert asked["control1"] == "master,etcd,node,controlplane,policies"
    assert (asked["control2"], asked["worker1"]) == ("master,etcd,node", "node")
    assert {path.name for path in Path(told["evidence"]).iterdir()} >= {"acceptance.xml", "acceptance.json"}
    (entry,) = open_workspace("staging").ledger.entries()
    assert (entry["stage"], entry["result"], entry["failed"]) == ("hardening", "failed", 1)
