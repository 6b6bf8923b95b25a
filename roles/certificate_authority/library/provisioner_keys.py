#!/usr/bin/python
"""Ansible module: key pairs of those who may order certificates of an authority."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: provisioner_keys
short_description: Make the key pairs of provisioners of step-ca
description:
  - Makes what is missing and never replaces a pair that exists. A file is written whole or not at all, so an
    interrupted run is continued by the next one.
  - A pair is a JSON Web Key; its private half is encrypted with the provisioner's password.
options:
  provisioners:
    description: The provisioners by the file of their key pair, with their names.
    type: dict
    required: true
  passwords: {description: Passwords of all provisioners by name., type: dict, required: true}
author: the maintainers of this repository
"""

EXAMPLES = """
- name: Make what hosts order with
  provisioner_keys:
    provisioners: {/etc/smartgouv/ca/infrastructure-tls/provisioner-hosts.json: hosts}
    passwords: {hosts: "…"}
"""

RETURN = """
made:
  description: Files that were made, or would be in check mode.
  type: list
  returned: always
keys:
  description: Public and encrypted private JSON Web Keys by file.
  type: dict
  returned: always
"""

PREDICTED: dict[str, Any] = {"key": {}, "encryptedKey": ""}
"""What stands for a pair that check mode doesn't make."""


def pair(password: str) -> dict[str, Any]:
    """A new pair, in the words of step-ca's configuration."""
    with tempfile.TemporaryDirectory(dir="/run") as work:
        subprocess.run(
            [
                "/usr/bin/step", "crypto", "jwk", "create", f"{work}/public", f"{work}/private",
                "--kty=EC", "--curve=P-256", "--use=sig", "--password-file=/dev/stdin",
            ],
            input=password.encode(), check=True, capture_output=True,
        )  # fmt: skip
        public = json.loads(Path(work, "public").read_text(encoding="utf-8"))
        private = json.loads(Path(work, "private").read_text(encoding="utf-8"))
    parts = ("protected", "encrypted_key", "iv", "ciphertext", "tag")
    return {"key": public, "encryptedKey": ".".join(private[part] for part in parts)}


def write(path: Path, content: str) -> None:
    """Write a file that doesn't exist yet, for root alone."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "provisioners": {"type": "dict", "required": True},
            "passwords": {"type": "dict", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    made: list[str] = []
    keys: dict[str, Any] = {}
    for file, name in sorted(module.params["provisioners"].items()):
        path = Path(file)
        if path.exists():
            keys[file] = json.loads(path.read_text(encoding="utf-8"))
            continue
        made.append(file)
        if module.check_mode:
            keys[file] = PREDICTED
            continue
        try:
            keys[file] = pair(module.params["passwords"][name])
        except subprocess.CalledProcessError as error:
            module.fail_json(msg=f"step couldn't make a key pair: {error.stderr.decode(errors='replace')}")
        write(path, json.dumps(keys[file], sort_keys=True))
    module.exit_json(changed=bool(made), made=made, keys=keys)


if __name__ == "__main__":
    main()
