#!/usr/bin/python
"""Ansible module: which version of an X-Road package a host has; its action judges the step to another."""

from __future__ import annotations

import re

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: xroad_release
short_description: Which version of X-Road a host has, and whether another may be installed
description:
  - Asks the host's package manager. With O(wanted) the step from the installed version to that one is judged by
    the estate's table of versions; a jump, a step back or one beyond the central server's version fails.
options:
  package: {description: The package whose version is the server's., type: str, required: true}
  wanted: {description: The version to install., type: str}
  central:
    description: Version that the central server has; empty if it has none. Left out for other servers.
    type: str
author: the maintainers of this repository
"""

EXAMPLES = """
- name: Refuse a step that isn't taken
  xroad_release:
    package: xroad-proxy
    wanted: 7.8.0
    central: 7.8.0
"""

RETURN = """
installed:
  description: The installed version as MAJOR.MINOR.PATCH; empty if there is none.
  type: str
  returned: success
step:
  description: C(none), C(install) or C(upgrade).
  type: str
  returned: with O(wanted)
told:
  description: The step in words.
  type: str
  returned: with O(wanted)
"""

_NUMBERS = re.compile(r"(?:\d+:)?(\d+\.\d+\.\d+)")


def version(answer: str) -> str:
    """The numbers of an installed package's version, as a package manager tells; empty for any other state."""
    state, _, shown = answer.strip().partition(" ")
    found = _NUMBERS.match(shown)
    return found[1] if state == "installed" and found else ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"package": {"type": "str", "required": True}}, supports_check_mode=True
    )
    package = module.params["package"]
    if module.get_bin_path("dpkg-query"):
        asked = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", package]
    else:
        asked = ["rpm", "--query", "--queryformat=installed %{VERSION}", package]
    # Both end with 1 for a package that they don't know.
    status, output, _ = module.run_command(asked)
    module.exit_json(changed=False, installed=version(output) if status == 0 else "")


if __name__ == "__main__":
    main()
