#!/usr/bin/python
"""Ansible module: write all of a host's small configuration files in one go."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: configuration_files
short_description: Write a set of rendered configuration files and links
description:
  - A host's base consists of a dozen small files. Sent one by one each costs a connection and a Python start on
    the host, which on many hosts is most of the run's time; this module compares and writes them together.
  - Every file is replaced atomically and only when its content, owner or mode differs. None is written unless
    every validation passes, so a refused file leaves the whole set as it was.
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Where it lies; a link there is followed., type: path, required: true}
      content: {description: The whole content., type: str, required: true}
      owner: {description: Owner., type: str, default: root}
      group: {description: Group., type: str, default: root}
      mode: {description: Permissions., type: str, default: "0644"}
      validate:
        description: Command that must accept the file; C(%s) stands for a temporary copy of it.
        type: str
  links:
    description: Symbolic links by path, with their targets.
    type: dict
    default: {}
  directories:
    description: Directories that hold nothing but files of this task; other files in them are removed.
    type: list
    elements: path
    default: []
author: the maintainers of this repository
"""

EXAMPLES = """
- name: Write the base configuration
  configuration_files:
    files:
      - path: /etc/ssh/sshd_config.d/10-site.conf
        content: "{{ lookup('template', 'sshd.conf.j2') }}"
        validate: sshd -t -f %s
    links:
      /etc/localtime: /usr/share/zoneinfo/UTC
"""

RETURN = """
paths:
  description: What was written, linked or removed, or would be in check mode.
  type: list
  returned: always
"""


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


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "required": True},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "mode": {"type": "str", "default": "0644"},
                    "validate": {"type": "str"},
                },
            },
            "links": {"type": "dict", "default": {}},
            "directories": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    changed: list[tuple[str, dict[str, Any]]] = []
    differences: list[dict[str, str]] = []
    for wanted in module.params["files"]:
        path = os.path.realpath(wanted["path"])
        before = _current(path)
        if before == wanted["content"] and not _attributes_differ(path, wanted):
            continue
        if wanted["validate"] and before != wanted["content"]:
            _refuse_invalid(module, wanted)
        changed.append((path, wanted))
        differences.append(
            {
                "before_header": wanted["path"],
                "after_header": wanted["path"],
                "before": before or "",
                "after": wanted["content"],
            }
        )
    links = {
        path: target
        for path, target in module.params["links"].items()
        if not (Path(path).is_symlink() and str(Path(path).readlink()) == target)
    }
    removed = _strangers(module.params["directories"], {wanted["path"] for wanted in module.params["files"]})
    if not module.check_mode:
        for path, wanted in changed:
            _write(Path(path), wanted)
        for path, target in links.items():
            _link(Path(path), target)
        for path in removed:
            Path(path).unlink()
    paths = [wanted["path"] for _, wanted in changed] + list(links) + removed
    module.exit_json(changed=bool(paths), paths=paths, diff=differences)


if __name__ == "__main__":
    main()
