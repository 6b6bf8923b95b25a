"""Action of module `host_state`: asks apt only where the module finds a package missing or outdated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module, and apt and the module again where packages are missing or outdated."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's result; `changed` if apt changed something too."""
        super().run(tmp, task_vars)
        wanted = dict(self._task.args)
        found = self._module("host_state", wanted, task_vars)
        if not found.get("missing") and not found.get("outdated"):
            return found
        results = [found]
        for apt in _installations(wanted, found):
            results.append(self._module("ansible.builtin.apt", apt, task_vars))
            if results[-1].get("failed"):
                return _last(results)
        # In check mode they were only predicted, and files and units are predicted without them.
        results.append(self._module("host_state", {**wanted, "packages": [], "newest": []}, task_vars))
        return _last(results)

    def _module(self, name: str, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(
            module_name=name, module_args=arguments, task_vars=task_vars
        )
        return found


def _installations(wanted: dict[str, Any], found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What apt is asked for."""
    if found["missing"]:
        # All of the role's, so that it solves them together.
        yield {
            "name": wanted["packages"],
            "state": "present",
            "install_recommends": False,
            "cache_valid_time": 3600,
        }
    # What was missing has just been installed by the index that the module read.
    if outdated := [name for name in found["outdated"] if name not in found["missing"]]:
        yield {"name": outdated, "state": "latest", "install_recommends": False}


def _last(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The last result, with what the others say of changes and warnings."""
    last = {**results[-1], "changed": any(result.get("changed") for result in results)}
    warnings = [warning for result in results for warning in result.get("warnings", [])]
    return {**last, "warnings": warnings} if warnings else last
