#!/usr/bin/python
"""Ansible module: packages, files and units of a role, compared and brought about together."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.installed_packages import missing, outdated
from ansible.module_utils.running_units import UNITS, settle
from ansible.module_utils.written_files import FILES, compare

DOCUMENTATION = """
module: host_state
short_description: Packages, files and units of a role in one task
description:
  - A host's role consists of a few packages, a dozen small files and the units that read them. Each task costs
    the controller and the host a Python start, which on many hosts is most of the time of a run that changes
    nothing; this compares them together and does only what is missing.
  - Packages come first, by M(ansible.builtin.apt), which is asked only if one is missing or outdated.
  - Every file is replaced atomically and only when its content, owner or mode differs. None is written unless
    every validation passes, so a refused file leaves the whole set as it was.
  - Each unit is enabled and started, and restarted or reloaded if its files are newer than its process. A
    changed unit file is a reason for a restart.
  - A handler would be lost when a run is killed between the file and the handler, and knows nothing of a
    certificate that was renewed between two runs; comparing times finds both.
options:
  packages:
    description: Debian packages, without recommended ones. An index older than an hour is read again first.
    type: list
    elements: str
    default: []
  newest:
    description:
      - Those packages, among O(packages) or beside them, that must be as new as the host's sources have them.
        For programs that are made with their settings, and whose new settings an old program may refuse.
      - The index is read again first. If it can't be, the one that is there counts, with a warning; in check
        mode too, which therefore predicts no version that the host hasn't heard of.
    type: list
    elements: str
    default: []
  files:
    description: The files.
    type: list
    elements: dict
    default: []
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
  asks:
    description:
      - Commands that only look at the host, by a name of the task's choice. They run after files are written
        and before units start, in check mode too; what they end with is for the task to judge.
    type: dict
    default: {}
    suboptions:
      argv: {description: The program and its arguments., type: list, elements: str, required: true}
      stdin: {description: Its standard input., type: str}
  units:
    description: The units, in the order in which they are started.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name with its suffix., type: str, required: true}
      enabled:
        description: Whether it must start at boot. Off for units of a generator, which need no enabling.
        type: bool
        default: true
      reads:
        description: Files that the unit reads when it starts; a newer one is a reason for a restart.
        type: list
        elements: path
        default: []
      reloads:
        description: Files that the unit reads again when it is reloaded; a newer one is a reason for a reload.
        type: list
        elements: path
        default: []
author: the maintainers of this repository
"""

EXAMPLES = """
- name: Run Prometheus with its configuration
  host_state:
    packages: [prometheus]
    files:
      - path: /etc/prometheus/prometheus.yml
        content: "{{ lookup('ansible.builtin.template', 'prometheus.yml.j2') }}"
        validate: promtool check config %s
    units:
      - name: prometheus.service
        reloads: [/etc/prometheus/prometheus.yml]

- name: Have one of the site's own programs with the settings of the same day
  host_state:
    packages: [ssl-cert, trust-services]
    newest: [trust-services]
    files:
      - path: /etc/smartgouv/status/settings.json
        content: "{{ lookup('ansible.builtin.template', 'settings.json.j2') }}"
"""

RETURN = """
missing:
  description:
    - Packages that aren't installed. If there are any, or any are outdated, nothing else was looked at; then
      the action asks apt and looks again, so that a task has none of either in its result.
  type: list
  returned: always
outdated:
  description: Packages of O(newest) that aren't installed in the version that apt would choose.
  type: list
  returned: always
paths:
  description: What was written, linked or removed, or would be in check mode.
  type: list
  returned: always
answers:
  description: C(rc) and C(stdout) of each command of C(asks), by its name; 127 for a program that isn't there.
  type: dict
  returned: always
actions:
  description: What was done with units, or would be in check mode, as C(verb unit).
  type: list
  returned: always
"""


def answer(module: AnsibleModule, argv: list[str], stdin: str | None = None) -> dict[str, Any]:
    """How a command ended and what it said."""
    try:
        status, output, _ = module.run_command(argv, data=stdin, handle_exceptions=False)
    except OSError:
        # In check mode the program may come with what was only predicted.
        return {"rc": 127, "stdout": ""}
    return {"rc": status, "stdout": output.strip()}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "default": []},
            "newest": {"type": "list", "elements": "str", "default": []},
            "files": FILES,
            "links": {"type": "dict", "default": {}},
            "directories": {"type": "list", "elements": "path", "default": []},
            "asks": {"type": "dict", "default": {}},
            "units": UNITS,
        },
        supports_check_mode=True,
    )
    wanted = module.params
    packages = {
        "missing": missing(module, wanted["packages"]),
        "outdated": outdated(module, wanted["newest"]),
    }
    if any(packages.values()):
        # For the action, which runs this again when apt is done.
        module.exit_json(changed=False, **packages, paths=[], answers={}, actions=[])
    pending = compare(module, wanted["files"], wanted["links"], wanted["directories"])
    if not module.check_mode:
        pending.write()
    answers = {name: answer(module, **question) for name, question in wanted["asks"].items()}
    actions = settle(module, wanted["units"])
    module.exit_json(
        changed=bool(pending.paths or actions),
        **packages,
        paths=pending.paths,
        answers=answers,
        actions=actions,
        diff=list(pending.differences),
    )


if __name__ == "__main__":
    main()
