"""Action of module `host_state`: asks apt only where the module finds a package missing."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module, and apt and the module again where packages are missing."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's result; `changed` if apt changed something too."""
        super().run(tmp, task_vars)
        wanted = dict(self._task.args)
        result = self._module("host_state", wanted, task_vars)
        if not result.get("missing"):
            return result
        apt = {
            "name": wanted["packages"],
            "state": "present",
            "install_recommends": False,
            "cache_valid_time": 3600,
        }
        installed = self._module("ansible.builtin.apt", apt, task_vars)
        if installed.get("failed"):
            return installed
        # In check mode they were only predicted, and files and units are predicted without them.
        result = self._module("host_state", {**wanted, "packages": []}, task_vars)
        return {**result, "changed": True} if not result.get("failed") else result

    def _module(self, name: str, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(
            module_name=name, module_args=arguments, task_vars=task_vars
        )
        return found
