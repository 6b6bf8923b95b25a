"""A host's small files, compared and written together."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

FILES: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "path": {"type": "path", "required": True},
        "content": {"type": "str", "required": True},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str", "default": "0644"},
        "validate": {"type": "str"},
    },
}
"""The argument that describes files."""

_NO_SUCH_COMMAND = 127
"""How a shell or C(timeout) ends that finds no such command."""


def _current(path: str) -> str | None:
    """The content of a file, or None if there is none."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _attributes_differ(path: str, wanted: dict[str, Any]) -> bool:
    found = Path(path).stat()
    try:
        owner, group = pwd.getpwnam(wanted["owner"]).pw_uid, grp.getgrnam(wanted["group"]).gr_gid
    except KeyError:
        # In check mode the account may be one that an earlier task only predicted.
        return True
    return (found.st_uid, found.st_gid, found.st_mode & 0o7777) != (owner, group, int(wanted["mode"], 8))


def _refuse_invalid(module: AnsibleModule, wanted: dict[str, Any]) -> None:
    command = shlex.split(wanted["validate"])
    # In check mode the checker may come with a package whose installation was only predicted.
    if module.check_mode and shutil.which(command[0]) is None:
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=module.tmpdir, suffix=".conf") as copy:
        copy.write(wanted["content"])
        copy.flush()
        status, output, errors = module.run_command([part.replace("%s", copy.name) for part in command])
    if module.check_mode and status == _NO_SUCH_COMMAND:
        return
    if status != 0:
        module.fail_json(msg=f"{wanted['path']} was refused by {command[0]}: {(errors or output).strip()}")


def _write(path: Path, wanted: dict[str, Any]) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(wanted["content"])
    temporary = Path(name)
    shutil.chown(temporary, wanted["owner"], wanted["group"])
    temporary.chmod(int(wanted["mode"], 8))
    temporary.replace(path)


def _link(path: Path, target: str) -> None:
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(path)


def _strangers(directories: list[str], files: set[str]) -> list[str]:
    """Files in the given directories that are not among `files`."""
    return [
        str(path)
        for directory in directories
        if Path(directory).is_dir()
        for path in sorted(Path(directory).iterdir())
        if str(path) not in files
    ]


@dataclass(frozen=True)
class Pending:
    """What differs from what is wanted. Nothing has been written yet, and each new content was accepted."""

    files: tuple[dict[str, Any], ...]
    links: dict[str, str]
    removed: tuple[str, ...]
    differences: tuple[dict[str, str], ...]
    """Before and after of each file, as Ansible shows them."""

    @property
    def paths(self) -> list[str]:
        """What is to be written, linked or removed."""
        return [*(file["path"] for file in self.files), *self.links, *self.removed]

    def write(self) -> None:
        """Write, link and remove, each atomically."""
        for file in self.files:
            _write(Path(os.path.realpath(file["path"])), file)
        for path, target in self.links.items():
            _link(Path(path), target)
        for path in self.removed:
            Path(path).unlink()


def compare(
    module: AnsibleModule, files: list[dict[str, Any]], links: dict[str, str], directories: list[str]
) -> Pending:
    """Find what differs; ends the module if a checker refuses a new content."""
    changed, differences = [], []
    for wanted in files:
        path = os.path.realpath(wanted["path"])
        before = _current(path)
        if before == wanted["content"] and not _attributes_differ(path, wanted):
            continue
        if wanted["validate"] and before != wanted["content"]:
            _refuse_invalid(module, wanted)
        changed.append(wanted)
        differences.append(
            {
                "before_header": wanted["path"],
                "after_header": wanted["path"],
                "before": before or "",
                "after": wanted["content"],
            }
        )
    missing = {
        path: target
        for path, target in links.items()
        if not (Path(path).is_symlink() and str(Path(path).readlink()) == target)
    }
    removed = _strangers(directories, {wanted["path"] for wanted in files})
    return Pending(tuple(changed), missing, tuple(removed), tuple(differences))
