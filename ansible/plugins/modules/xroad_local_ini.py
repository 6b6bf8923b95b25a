#!/usr/bin/python
"""Ansible module: X-Road's `local.ini`, the estate's but for what X-Road's own packages write into it."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.local_ini import differing, merged, read, written
from ansible.module_utils.written_files import compare

DOCUMENTATION = """
module: xroad_local_ini
short_description: Write X-Road's local.ini and keep what its packages wrote there
description:
  - The file holds exactly O(settings), and of what it held before only O(keeps). X-Road's packages write tokens
    of their own services and paths of their own programs into it, without which these services stop.
  - Replaced atomically and only when something differs. What is kept is neither answered nor shown.
options:
  path: {description: Where it lies., type: path, default: /etc/xroad/conf.d/local.ini}
  settings: {description: Values by section and name., type: dict, required: true}
  keeps:
    description: Parameters that stay as the host has them, as C(section/name).
    type: list
    elements: str
    default: []
author: the maintainers of this repository
"""

EXAMPLES = """
- name: Have the settings
  xroad_local_ini:
    settings:
      proxy: {health-check-port: "5588"}
    keeps: [proxy-ui-api/wsdl-validator-command]
"""

RETURN = """
parameters:
  description: Names of parameters that were added, changed or removed, as C(section/name).
  type: list
  returned: always
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": "/etc/xroad/conf.d/local.ini"},
            "settings": {"type": "dict", "required": True},
            "keeps": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    path = Path(module.params["path"])
    try:
        present = read(path.read_text(encoding="utf-8")) if path.exists() else {}
    except configparser.Error as error:
        module.fail_json(
            msg=f"{path} can't be read: {error}. Next: mend or remove it on the host, then apply again"
        )
    wanted = merged(module.params["settings"], present, module.params["keeps"])
    file = {
        "path": os.fspath(path),
        "content": written(wanted),
        "owner": "xroad",
        "group": "xroad",
        "mode": "0640",
        "validate": None,
    }
    pending = compare(module, [file], {}, [])
    if not module.check_mode:
        pending.write()
    names = differing(present, wanted)
    shown = {
        "before": "",
        "after": "".join(f"{name}\n" for name in names),
        "after_header": f"{path}, what differs",
    }
    module.exit_json(changed=bool(pending.paths), parameters=names, diff=[shown] if pending.paths else [])


if __name__ == "__main__":
    main()
