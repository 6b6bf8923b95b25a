"""Which Debian packages a host lacks, or has in an older version than its sources offer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible.module_utils.basic import AnsibleModule

_IN_ENGLISH = {"LC_ALL": "C"}


def missing(module: AnsibleModule, packages: Sequence[str]) -> list[str]:
    """Which of the packages aren't installed. A version, as C(name=version) has it, is for apt to judge."""
    if not packages:
        return []
    # It ends with 1 if it doesn't know one of them, and lists the others all the same.
    _, output, _ = module.run_command(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n", *packages]
    )
    installed = {line.split()[0] for line in output.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def outdated(module: AnsibleModule, packages: Sequence[str]) -> list[str]:
    """Which of the packages aren't installed as apt would install them now, by an index read just before."""
    if not packages:
        return []
    if not module.check_mode:
        _read_index(module)
    _, output, _ = module.run_command(
        ["apt-cache", "policy", *packages], check_rc=True, environ_update=_IN_ENGLISH
    )
    shown = re.findall(r"^(\S+):\n  Installed: (\S+)\n  Candidate: (\S+)$", output, re.MULTILINE)
    # It prints nothing about what it doesn't know.
    newest = {name for name, installed, candidate in shown if installed == candidate != "(none)"}
    return [package for package in packages if package not in newest]


def _read_index(module: AnsibleModule) -> None:
    # By itself apt ends well when a source doesn't answer, and nobody would know.
    status, output, errors = module.run_command(
        ["apt-get", "--quiet", "--error-on=any", "update"], environ_update=_IN_ENGLISH
    )
    if status != 0:
        reason = (errors or output).strip()
        module.warn(f"The package index can't be read again, so the one that is there counts: {reason}")
