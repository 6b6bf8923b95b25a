"""Inventory plugin: the hosts, groups and variables that an estate projects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import trust_as_template

from estate import EstateError, load
from estate.project.ansible import inventory
from estate.project.ansible.secret import PREFIX

DOCUMENTATION = """
name: estate
short_description: Inventory of a site of this repository
description:
  - Reads C(inventories/SITE/site.yml) and its sister files through the typed model.
  - The deployment's overlay is the file that E(SMARTGOUV_OVERLAY) names.
options: {}
"""


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]
    """Wraps `estate.project.ansible.inventory`."""

    NAME = "estate"

    def verify_file(self, path: str) -> bool:
        """Accept a site's main file."""
        return Path(path).name == "site.yml"

    def parse(self, inventory_data: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Load the site and add what it projects; a refused site is a parser error."""
        super().parse(inventory_data, loader, path, cache)
        try:
            found = inventory(load(Path(path).parent))
        except EstateError as error:
            raise AnsibleParserError(str(error)) from error
        variables = found.pop("_meta")["hostvars"]
        for host, values in variables.items():
            inventory_data.add_host(host)
            for name, value in values.items():
                inventory_data.set_variable(host, name, _trusted(value))
        for group, members in found.items():
            inventory_data.add_group(group)
            for host in members["hosts"]:
                inventory_data.add_host(host, group=group)


def _trusted(value: Any) -> Any:
    """`value` with secrets' marks as lookups; only these may be templates."""
    if isinstance(value, dict):
        return {key: _trusted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_trusted(item) for item in value]
    if isinstance(value, str) and value.startswith(PREFIX):
        return trust_as_template(f"{{{{ lookup('secret', '{value.removeprefix(PREFIX)}') }}}}")
    return value
