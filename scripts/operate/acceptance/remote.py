"""Runs the probe on hosts of the site."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from operate.failure import Failure
from operate.remote import command as ssh_command
from operate.workspace import Workspace

PROBE = Path(__file__).with_name("probe.py")
KUBECTL = ("sudo", "-n", "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf")
"""On a control plane."""
SECONDS = 120
"""The longest that a probe may take, however much it looks at."""


def ask(workspace: Workspace, questions: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Answers of each host to its questions, asked side by side. Failure if a host can't be asked."""
    with ThreadPoolExecutor(8) as pool:
        pending = {host: pool.submit(_ask, workspace, host, asked) for host, asked in questions.items()}
        return {host: answer.result() for host, answer in pending.items()}


def ask_pods(
    workspace: Workspace, control_plane: str, questions: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Answers of a pod of each system, whose namespace and workload have its name."""
    with ThreadPoolExecutor(8) as pool:
        pending = {
            system: pool.submit(_ask, workspace, control_plane, asked, _inside(system))
            for system, asked in questions.items()
        }
        return {system: answer.result() for system, answer in pending.items()}


def _inside(system: str) -> tuple[str, ...]:
    """The words that lead from a control plane into a pod."""
    return (*KUBECTL, "exec", "--stdin", "--namespace", system, f"deployment/{system}", "--")


def _ask(
    workspace: Workspace, host: str, asked: dict[str, Any], inside: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The host's answers, or those from where `inside` leads."""
    question = base64.b64encode(json.dumps(asked).encode()).decode()
    command = ssh_command(workspace, host, *inside, "python3", "-", question)
    try:
        with PROBE.open(encoding="utf-8") as script:
            done = subprocess.run(
                command, stdin=script, capture_output=True, text=True, timeout=SECONDS, check=False
            )
    except subprocess.TimeoutExpired:
        raise Failure(f"the probe on '{host}' took more than {SECONDS} s") from None
    if done.returncode != 0:
        raise Failure(
            f"the probe can't run on '{host}'",
            details=done.stderr.strip()[-500:],
            next_step=f"scripts/lab ssh {host}",
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
