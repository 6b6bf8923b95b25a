"""Every role has one shape, and what the estate projects is what roles accept."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from estate import load, sites
from estate.project.ansible import BY_ROLE, EVERYWHERE, roles_of

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if (path / "tasks").is_dir())

SHAPE = (
    "README.md",
    "defaults/main.yml",
    "meta/main.yml",
    "meta/argument_specs.yml",
    "tasks/main.yml",
    "tasks/preflight.yml",
    "molecule/default/molecule.yml",
)


@cache
def read(path: Path) -> Any:
    """A YAML file; an empty one is an empty mapping."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def options(role: str) -> dict[str, Any]:
    """The variables that a role accepts, from its argument specification."""
    spec = read(ROLES / role / "meta/argument_specs.yml")
    found: dict[str, Any] = spec["argument_specs"]["main"]["options"]
    return found


def tasks(role: str) -> Iterator[dict[str, Any]]:
    """Every task of a role, those in blocks too."""
    pending = [task for file in sorted((ROLES / role / "tasks").glob("*.yml")) for task in read(file)]
    while pending:
        task = pending.pop()
        pending += task.get("block", [])
        yield task


def test_roles_exist() -> None:
    """The roles that the estate projects to are there."""
    assert set(NAMES) >= {*EVERYWHERE, *(name for names in BY_ROLE.values() for name in names)}


@pytest.mark.parametrize("role", NAMES)
def test_role_has_the_shape(role: str) -> None:
    """Know one role, know all."""
    assert [name for name in SHAPE if not (ROLES / role / name).is_file()] == []


@pytest.mark.parametrize("role", NAMES)
def test_table_of_contents_only_imports(role: str) -> None:
    """`tasks/main.yml` names the parts and does nothing itself."""
    for task in read(ROLES / role / "tasks/main.yml"):
        assert {"ansible.builtin.import_tasks", "ansible.builtin.include_tasks"} & set(task)


@pytest.mark.parametrize("role", NAMES)
def test_defaults_agree_with_the_specification(role: str) -> None:
    """Each default is specified with the same value, and what has none is required or optional."""
    defaults = read(ROLES / role / "defaults/main.yml")
    specified = options(role)

    assert sorted(set(defaults) - set(specified)) == []
    assert {
        name: value for name, value in defaults.items() if specified[name].get("default", value) != value
    } == {}
    assert (
        sorted(name for name, option in specified.items() if option.get("required") and name in defaults) == []
    )


@pytest.mark.parametrize("role", NAMES)
def test_variables_carry_the_role_as_prefix(role: str) -> None:
    """A variable tells whose it is."""
    assert [name for name in options(role) if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", NAMES)
def test_every_option_is_described(role: str) -> None:
    """The specification is the manual."""
    assert [name for name, option in options(role).items() if not option.get("description")] == []


@pytest.mark.parametrize("role", NAMES)
def test_scenario_has_tests(role: str) -> None:
    """A scenario that verifies nothing isn't a test."""
    tests = list((ROLES / role / "molecule/default/tests").glob("test_*.py"))

    assert tests
    assert any("def test_" in path.read_text(encoding="utf-8") for path in tests)


@pytest.mark.parametrize("role", NAMES)
def test_own_programs_come_as_new_as_their_settings(role: str) -> None:
    """Programs and settings come from one checkout: a package that isn't kept new meets settings that are."""
    debs = read(ROOT / "scripts/toolchain/debs.yml")
    own = {name for name, text in debs.items() if text.get("python")}
    lists = {f"{{{{ {name} }}}}": value for name, value in read(ROLES / role / "vars/main.yml").items()}
    for task in tasks(role):
        given = (task.get("host_state", {}).get(option, []) for option in ("packages", "newest"))
        packages, newest = (set(lists.get(str(names), names)) for names in given)

        assert own & packages <= newest, task["name"]


@pytest.mark.parametrize("site", sites())
def test_projected_variables_are_specified(site: str) -> None:
    """Each variable that comes out of the estate is known to its role, and what is required is there."""
    estate = load(site)
    estate = estate.model_copy(
        update={
            "images": {
                name: image.model_copy(update={"digest": image.digest or "sha256:" + "0" * 64})
                for name, image in estate.images.items()
            }
        }
    )
    for host in estate.hosts:
        for role in roles_of(estate, host):
            variables = import_module(f"estate.project.ansible.{role}").variables(estate, host)
            specified = options(role)
            required = {name for name, option in specified.items() if option.get("required")}

            assert sorted(set(variables) - set(specified)) == [], f"{role} on {host.name}"
            assert sorted(required - set(variables)) == [], f"{role} on {host.name}"
