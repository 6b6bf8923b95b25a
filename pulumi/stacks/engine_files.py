"""What the engine keeps on the disk, and what it doesn't look for elsewhere."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from pulumi import automation

BY_ITSELF = {
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    # The engine is built from a pinned module and the SDK from the lock; both are of version 3.
    "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
}
"""Environment in which the engine asks nobody for news, versions or plugins."""


def state_backend(folder: Path) -> automation.ProjectBackend:
    """States in files of a folder, each of which is replaced as a whole.

    By default the engine's file store (Go CDK, blob/fileblob) keeps a second file beside each, `.attrs`, which
    it writes in place. An engine that is killed meanwhile leaves it empty, and no later run can read the state.
    """
    return automation.ProjectBackend(url=f"{folder.as_uri()}?metadata=skip")


def engine_home(folder: Path) -> str:
    """Make the engine's own folder, in which it can't keep its logs.

    It would log what it does in all detail, every property of every resource, and has no setting against that
    (Pulumi 3.259, `pkg/logging`). Of a large federation's plan this took a third of its time; what people need
    comes as events. Without a folder for logs it does without them.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    logs = folder / "logs"
    with contextlib.suppress(NotADirectoryError, FileNotFoundError):
        shutil.rmtree(logs)
    logs.touch()
    return str(folder)
