"""What the roles of the exchange would write on a host: their own expressions over the estate's variables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from tests.ansible_source import loaded

from estate import Estate
from estate.project.ansible import role_variables

ROLES = Path(__file__).resolve().parents[4] / "roles"
# Ansible's programs do that when they start.
init_plugin_loader()

FAMILIES = {"ubuntu": "Debian", "rhel": "RedHat"}

Files = dict[str, str]
"""Content by path."""


def read(path: Path) -> Any:
    """A YAML file; an empty one is an empty mapping."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}


def trusted(value: Any) -> Any:
    """A value of a role whose text is templates, as Ansible has it from the role's files."""
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) else value


class Host:
    """A host of an estate, as the roles see it. Secrets are their names."""

    def __init__(self, estate: Estate, name: str, role: str, facts: Mapping[str, Any] | None = None) -> None:
        self._estate, self._role = estate, role
        projected = role_variables(estate, estate.host(name))
        system = projected.get("xroad_server_repository", {}).get("operating_system", "")
        self.family = FAMILIES.get(system.partition("-")[0], "")
        self.variables: dict[str, Any] = {}
        for each in ("xroad_server", role):
            for part in ("defaults/main", "vars/main", *(["vars/" + self.family] if self.family else [])):
                self.variables |= trusted(read(ROLES / each / f"{part}.yml"))
        self.variables |= projected
        self.variables |= {
            "inventory_hostname": name,
            "ansible_managed": "Ansible managed: change the estate instead.",
            "ansible_check_mode": False,
            "xroad_server_software": trusted("{{ " + SOFTWARE[role] + " }}") if role in SOFTWARE else {},
            **(facts or {}),
        }

    def value(self, template: Any, role: str = "xroad_server", **variables: Any) -> Any:
        """What a template of a role comes to."""
        search = {"role_path": str(ROLES / role), "ansible_search_path": [str(ROLES / role)]}
        own = {name: trusted(value) for name, value in variables.items()}
        templar = Templar(loader=DataLoader(), variables={**self.variables, **search, **own})
        return templar.template(trusted(template))

    def tasks(self, role: str, file: str) -> Iterator[dict[str, Any]]:
        """Tasks of a role's file, those of blocks too."""
        pending = list(read(ROLES / role / "tasks" / f"{file}.yml"))
        while pending:
            task = pending.pop(0)
            pending = [*task.get("block", []), *pending]
            yield task

    def task(self, role: str, file: str, words: str) -> dict[str, Any]:
        """The one task of a file whose name has these words."""
        (found,) = (task for task in self.tasks(role, file) if words in task["name"])
        return found

    def argument(self, role: str, file: str, words: str, *path: str) -> Any:
        """The value of an argument of a task, with the task's own variables."""
        task = self.task(role, file, words)
        found: Any = task
        for name in path:
            found = found[name]
        return self.value(found, role, **task.get("vars", {}))

    def written(self, role: str, file: str, words: str) -> Files:
        """Files that a task of module `host_state` would write."""
        files = self.argument(role, file, words, "host_state", "files")
        return {item["path"]: item["content"] for item in files}

    def local_ini(self) -> str:
        """`local.ini` on a host whose packages wrote nothing into it."""
        module = loaded("ansible/plugins/module_utils/local_ini.py")
        settings = self.value(self.variables["xroad_server_settings"])
        text: str = module.written(module.merged(settings, {}, []))
        return text


SOFTWARE = {
    "central_server": "__central_server_software",
    "security_server": "__security_server_software",
    "configuration_proxy": "__configuration_proxy_software",
}
"""Where a role says in what its server differs."""


def server(host: Host) -> Files:
    """Everything that role xroad_server would write, and what it would have installed and started."""
    role = "xroad_server"
    found = dict(host.written(role, "configure", "Have the configuration"))
    found["/etc/xroad/conf.d/local.ini"] = host.local_ini()
    links = host.argument(role, "configure", "Have the configuration", "host_state", "links")
    units = host.argument(role, "configure", "Have the configuration", "host_state", "units")
    summary: dict[str, Any] = {"links": links, "units": units}
    software = host.value("{{ xroad_server_software }}")
    summary["packages"] = software["packages"]
    if host.family:
        found |= host.written(role, "system", "Name the repository")
        family = {"Debian": "Debian's", "RedHat": "RHEL's"}[host.family]
        manager = {"Debian": "ansible.builtin.apt", "RedHat": "ansible.builtin.dnf"}[host.family]
        summary["packages"] = host.argument(role, "packages", f"Packages | {family}", manager, "name")
    if host.family == "Debian":
        said = host.argument(role, "debian", "Answer", "ansible.builtin.command", "stdin")
        summary["answers"] = said.splitlines()
    if host.family == "RedHat":
        summary["first"] = host.argument(role, "redhat", "Have the locale", "ansible.builtin.dnf", "name")
    if host.value("{{ xroad_server_database }}"):
        found |= host.written(role, "database", "Let nobody else")
        found["/etc/xroad/db.properties"] = host.argument(
            role, "database", "Say where", "ansible.builtin.copy", "content"
        )
        packages = host.argument(role, "database", "Have the client", "ansible.builtin.package", "name")
        summary["first"] = packages
        block = host.argument(role, "administrator", "Administrator", "ansible.builtin.blockinfile", "block")
        found["/etc/xroad.properties"] = block
    found["summary.json"] = json.dumps(summary, indent=2, sort_keys=True) + "\n"
    return found


def cluster(host: Host) -> Files:
    """Everything that role security_server_cluster would write, with keys that stand for those of the hosts."""
    role = "security_server_cluster"
    host.variables |= {
        "__security_server_cluster_keys": {
            "results": [
                {"item": node, "content": "c3NoLWVkMjU1MTkgQUFBQSB4cm9hZEBub2RlCg=="}
                for node in host.variables["security_server_cluster_secondaries"]
            ]
        },
        "__security_server_cluster_host_key": {"content": "c3NoLWVkMjU1MTkgQkJCQiByb290QHByaW1hcnkK"},
    }
    found = dict(host.written(role, "configure", "Have the packages"))
    if host.variables["security_server_cluster_type"] == "primary":
        return found | host.written(role, "primary", "Let them read")
    return found | host.written(role, "secondary", "Fetch configuration files")
