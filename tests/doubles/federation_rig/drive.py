"""Runs one operation of the federation program through the Automation API and prints what it did.

    python -m federation_rig.drive up|preview|plan|refresh|destroy|recover|export FOLDER [URN…]

A plan is a preview that asks the servers first. The folder holds `arguments.json` and everything that the
engine writes; `stack.prepared` makes the environment.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pulumi import automation

from stacks.engine_files import engine_home, state_backend
from stacks.federation.arguments import FederationArgs
from stacks.federation.program import declare


def main() -> None:
    """Run the operation; the last line of output is JSON."""
    operation, folder, targets = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    args = FederationArgs.model_validate_json((folder / "arguments.json").read_text(encoding="utf-8"))
    for name in ("state", "work"):
        (folder / name).mkdir(exist_ok=True)
    stack = automation.create_or_select_stack(
        stack_name="test",
        project_name="federation",
        program=lambda: declare(args),
        opts=automation.LocalWorkspaceOptions(
            work_dir=str(folder / "work"),
            pulumi_home=engine_home(folder / "home"),
            project_settings=automation.ProjectSettings(
                name="federation",
                runtime="python",
                backend=state_backend(folder / "state"),
            ),
        ),
    )
    if operation == "recover":
        stack.cancel()
        exported = stack.export_stack()
        state = dict(exported.deployment or {})
        state.pop("pending_operations", None)
        stack.import_stack(automation.Deployment(version=exported.version, deployment=state))
        return
    if operation == "export":
        print(json.dumps(stack.export_stack().deployment))
        return
    counts: dict[str, Any] = {}

    def hear(event: automation.EngineEvent) -> None:
        if event.summary_event is not None:
            counts.update({str(key): value for key, value in event.summary_event.resource_changes.items()})

    getattr(stack, "preview" if operation == "plan" else operation)(
        on_event=hear,
        on_output=lambda line: print(line, file=sys.stderr),
        **({"refresh": True} if operation == "plan" else {}),
        **({"target": targets} if targets else {}),
    )
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
