"""Writes what a run of Ansible does as JSON lines, one event a line."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: events
type: aggregate
short_description: Write events as JSON lines
description:
  - Each task start, each result and the final counts become one line of JSON in a file.
  - The program that started Ansible reads them to show progress and to fill the ledger.
  - A result of a task with C(no_log) carries its status and nothing else.
requirements:
  - enabled in the list of callbacks
options:
  path:
    description: The file to append events to. Without it nothing is written.
    type: path
    env:
      - name: SMARTGOUV_EVENTS
    ini:
      - section: callback_events
        key: path
"""

_MESSAGE_LIMIT = 4000


class CallbackModule(CallbackBase):
    """Appends events to the configured file."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "events"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._file: Any = None

    def set_options(self, *args: Any, **kwargs: Any) -> None:
        super().set_options(*args, **kwargs)
        path = self.get_option("path")
        if path:
            # Open until Ansible ends; a line is written as soon as it is whole.
            self._file = Path(path).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115
        else:
            self.disabled = True

    def _write(self, event: str, **fields: Any) -> None:
        if self._file is not None:
            record = {"event": event, "time": round(time.time(), 3), **fields}
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._write("play", play=play.get_name())

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._write("task", task=task.get_name(), path=task.get_path())

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self.v2_playbook_on_task_start(task, False)

    def _result(self, result: Any, status: str) -> None:
        fields = {"host": result.host.get_name(), "task": result.task.get_name(), "status": status}
        if status in ("failed", "unreachable", "ignored"):
            fields["path"] = result.task.get_path() or ""
            fields["message"] = self._cause(result)
        self._write("result", **fields)

    def _cause(self, result: Any) -> str:
        """Why a task failed, from the parts of its result that people read."""
        if result.task.no_log or result.result.get("_ansible_no_log"):
            return "hidden, because this task handles a secret"
        parts: list[str] = []
        for data in (result.result, *self._failed_items(result.result)):
            label = f"item {data['_ansible_item_label']}: " if "_ansible_item_label" in data else ""
            for key in ("msg", "reason", "stderr", "module_stderr", "stdout", "module_stdout"):
                text = str(data.get(key) or "").strip()
                if text and not any(text in part for part in parts):
                    parts.append(label + text)
        return "\n".join(parts)[:_MESSAGE_LIMIT] or "the module gave no reason"

    @staticmethod
    def _failed_items(data: Any) -> list[Any]:
        items = data.get("results") or []
        return [item for item in items if isinstance(item, dict) and item.get("failed")]

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._write("start", host=host.get_name(), task=task.get_name())

    def v2_runner_on_ok(self, result: Any) -> None:
        self._result(result, "changed" if result.result.get("changed") else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._result(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._result(result, "ignored" if result.task.ignore_unreachable else "unreachable")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._result(result, "skipped")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        self._write("stats", hosts=hosts)
