"""Action of module `xroad_release`: judges the step from the installed version by the estate's table."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from estate.xroad_versions import RefusedStepError, refuse_before_central, step


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module, then `estate.xroad_versions`."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's result with the step, or a failure that says why it isn't taken."""
        super().run(tmp, task_vars)
        wanted = self._task.args.get("wanted")
        found: dict[str, Any] = self._execute_module(
            module_name="xroad_release",
            module_args={"package": self._task.args["package"]},
            task_vars=task_vars,
        )
        if found.get("failed") or wanted is None:
            return found
        try:
            taken = step(found["installed"], str(wanted))
        except RefusedStepError as refusal:
            return {**found, "failed": True, "msg": str(refusal)}
        found |= {"step": taken.kind, "told": taken.told}
        if "central" not in self._task.args:
            return found
        try:
            refuse_before_central(self._task.args["central"], str(wanted))
        except RefusedStepError as refusal:
            if not self._task.check_mode:
                return {**found, "failed": True, "msg": str(refusal)}
            # A preview neither installs nor upgrades the central server, which an apply comes to earlier.
            if self._task.args["central"]:
                found["warnings"] = [*found.get("warnings", []), str(refusal)]
        return found
