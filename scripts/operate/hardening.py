"""The cluster's nodes against the CIS Kubernetes benchmark, by kube-bench.

What the benchmark finds has to be mended, or waived in the site's data with a reason.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, NamedTuple

from estate import Estate
from estate.host import Role
from operate import remote
from operate.acceptance import evidence
from operate.acceptance.result import Check
from operate.run import Run

_NODE = ("node",)
_CONTROL_PLANE = ("master", "etcd", "node")
_CLUSTER = ("controlplane", "policies")
"""Looked at through the API, so by one control plane."""
_SEEN = {"FAIL": "not met", "WARN": "to be judged by a person", "PASS": "met", "INFO": "told only"}
"""What kube-bench's words for a check mean."""
_FOUND = ("FAIL", "WARN")


class Finding(NamedTuple):
    """What one check of the benchmark found on one node."""

    benchmark: str
    """Its name and version, such as cis-1.10."""
    check: str
    """Its number, such as 1.2.3."""
    text: str
    node: str
    met: bool
    seen: str


def compare(run: Run) -> bool:
    """Judge the cluster and leave evidence: whether nothing is open. Failure if a node can't be asked."""
    report, started = run.report, time.monotonic()
    with report.working("hardening"):
        checks = judged(found(run), {waiver.check: waiver.reason for waiver in run.estate.waivers})
    failed = [check for check in checks if not check.passed]
    waived = sum(check.detail.startswith("waived") for check in checks)
    folder = run.workspace.new_run("hardening")
    evidence.write(folder, checks)
    for check in failed:
        report.warning(f"{check.name}: {check.detail}")
    result = "failed" if failed else "ok"
    run.record("hardening", result=result, checks=len(checks), waived=waived, failed=len(failed))
    report.done(
        "hardening",
        time.monotonic() - started,
        f"{len(checks) - waived - len(failed)} checks met, {waived} waived, {len(failed)} open; "
        f"evidence in {folder}",
    )
    report.document(
        {
            "site": run.workspace.site,
            "result": result,
            "evidence": str(folder),
            "checks": [asdict(check) for check in checks],
        }
    )
    return not failed


def found(run: Run) -> list[Finding]:
    """What the benchmark finds on every node of the cluster. Failure if a node can't be asked."""

    def one(node: str, targets: Sequence[str]) -> list[Finding]:
        run.report.progress(node)
        printed = remote.output(
            run.workspace,
            node,
            *("sudo", "cis-benchmark", ",".join(targets)),
            purpose="comparing the node with the CIS benchmark",
        )
        return read(node, json.loads(printed))

    with ThreadPoolExecutor(2) as pool:
        pending = [pool.submit(one, node, targets) for node, targets in _asked(run.estate).items()]
        return [finding for answer in pending for finding in answer.result()]


def _asked(estate: Estate) -> dict[str, tuple[str, ...]]:
    """Which parts of the benchmark each node is asked for."""
    control_planes = [host.name for host in estate.hosts_with(Role.KUBERNETES_CONTROL_PLANE)]
    asked: dict[str, tuple[str, ...]] = {
        host.name: _CONTROL_PLANE if host.name in control_planes else _NODE for host in estate.kubernetes_nodes
    }
    asked[control_planes[0]] += _CLUSTER
    return asked


def read(node: str, document: Mapping[str, Any]) -> list[Finding]:
    """What kube-bench's JSON says of a node."""
    return [
        Finding(
            benchmark=control["version"],
            check=result["test_number"],
            text=" ".join(result["test_desc"].split()),
            node=node,
            met=result["status"] not in _FOUND,
            seen=result.get("reason") or _SEEN[result["status"]],
        )
        for control in document["Controls"]
        for group in control["tests"]
        for result in group["results"]
    ]


def judged(findings: Sequence[Finding], waivers: Mapping[str, str]) -> list[Check]:
    """One result for each check of the benchmark, over all nodes. A waiver that nothing needs fails as well."""
    checks = []
    by_check: dict[str, list[Finding]] = {}
    for finding in findings:
        by_check.setdefault(finding.check, []).append(finding)
    for number, on in sorted(by_check.items(), key=lambda item: [int(part) for part in item[0].split(".")]):
        open_on = [finding for finding in on if not finding.met]
        reason = waivers.get(number)
        if not open_on:
            passed = reason is None
            detail = f"met on {len(on)} nodes" + ("" if passed else "; the waiver isn't needed: remove it")
        else:
            passed = reason is not None
            nodes = ", ".join(finding.node for finding in open_on)
            detail = f"waived: {reason} ({nodes})" if passed else f"{open_on[0].seen} ({nodes})"
        checks.append(Check(on[0].benchmark, f"{number} {on[0].text}", passed, detail))
    unknown = sorted(set(waivers) - set(by_check))
    return checks + [
        Check("waivers", number, False, "is waived, and the benchmark has no such check") for number in unknown
    ]
