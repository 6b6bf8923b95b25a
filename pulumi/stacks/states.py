"""Where the engine keeps what it knows of a stack."""

from __future__ import annotations

from pathlib import Path

from pulumi import automation


def state_backend(folder: Path) -> automation.ProjectBackend:
    """States in files of a folder, each of which is replaced as a whole.

    By default the engine's file store (Go CDK, blob/fileblob) keeps a second file beside each, `.attrs`, which
    it writes in place. An engine that is killed meanwhile leaves it empty, and no later run can read the state.
    """
    return automation.ProjectBackend(url=f"{folder.as_uri()}?metadata=skip")
