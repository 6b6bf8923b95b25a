#!/usr/bin/python
"""Ansible module: keep a file of accounts with their passwords as bcrypt hashes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    import bcrypt
except ImportError:
    bcrypt = None

DOCUMENTATION = """
module: password_file
short_description: Write a file of accounts with bcrypt hashes of their passwords
description:
  - Writes the whole file, so that an account that is no longer listed loses its access in the same moment.
  - A hash that fits its password stays as it is. A hash is salted, so a rendered file would differ at each run.
  - In check mode on a host that has no bcrypt yet, a file is predicted to be written.
options:
  path: {description: Where it lies., type: path, required: true}
  accounts:
    description: Everybody who may log in, in the order of the file.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name of the account., type: str, required: true}
      password: {description: Its password., type: str, required: true}
  rounds:
    description:
      - Binary logarithm of the rounds. A service that checks a password at each request pays for them each
        time, and a generated password needs no more.
    type: int
    default: 10
extends_documentation_fragment: [ansible.builtin.files]
requirements: [bcrypt]
author: the maintainers of this repository
"""

EXAMPLES = """
- name: Write the registry's accounts
  password_file:
    path: /etc/docker/registry/accounts
    accounts: "{{ registry_accounts }}"
    group: docker-registry
    mode: "0640"
"""

RETURN = """
renewed:
  description: Names of the accounts whose hash was made, or would be in check mode.
  type: list
  returned: always
"""


def hashes(text: str) -> dict[str, str]:
    """The hash of each account in a file."""
    lines = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name: kept for name, _, kept in lines}


def unfit(
    accounts: Sequence[dict[str, Any]], kept: dict[str, str], fits: Callable[[str, str], bool]
) -> list[dict[str, Any]]:
    """The accounts that need a new hash."""
    return [one for one in accounts if not fits(one["password"], kept.get(one["name"], ""))]


def rendered(accounts: Sequence[dict[str, Any]], kept: dict[str, str]) -> str:
    """The file."""
    return "".join(f"{one['name']}:{kept[one['name']]}\n" for one in accounts)


def _fits(rounds: int) -> Callable[[str, str], bool]:
    prefix = f"$2b${rounds:02}$"

    def fits(password: str, kept: str) -> bool:
        try:
            return kept.startswith(prefix) and bool(bcrypt.checkpw(password.encode(), kept.encode()))
        except ValueError:
            # What follows the prefix is no hash.
            return False

    return fits


def _made(password: str, rounds: int) -> str:
    return str(bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode())


def _write(module: AnsibleModule, path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    module.atomic_move(name, str(path))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "accounts": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                },
            },
            "rounds": {"type": "int", "default": 10},
        },
        add_file_common_args=True,
        supports_check_mode=True,
    )
    wanted = module.params
    if bcrypt is None:
        if module.check_mode:
            # The library comes with a package whose installation was only predicted.
            module.exit_json(changed=True, renewed=[one["name"] for one in wanted["accounts"]])
        module.fail_json(msg=missing_required_lib("bcrypt"))
    path = Path(wanted["path"])
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    kept = hashes(before)
    renewed = unfit(wanted["accounts"], kept, _fits(wanted["rounds"]))
    kept.update({one["name"]: _made(one["password"], wanted["rounds"]) for one in renewed})
    after = rendered(wanted["accounts"], kept)
    changed = after != before
    if changed and not module.check_mode:
        _write(module, path, after)
    changed = module.set_fs_attributes_if_different(module.load_file_common_arguments(wanted), changed)
    module.exit_json(changed=changed, renewed=[one["name"] for one in renewed])


if __name__ == "__main__":
    main()
