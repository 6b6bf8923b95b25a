"""The tree keeps its shape: import arrows, thin programs, no shadowed packages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = {
    "estate": ROOT / "inventories/estate",
    "stacks": ROOT / "pulumi/stacks",
    "operate": ROOT / "scripts/operate",
    "trust_services": ROOT / "scripts/toolchain/debs/trust-services/trust_services",
    "xroad_simulator": ROOT / "tests/doubles/xroad_simulator",
}

FORBIDDEN = {
    "estate": {
        "stacks",
        "operate",
        "trust_services",
        "xroad_simulator",
        "ansible",
        "pulumi",
        "pulumi_kubernetes",
    },
    "stacks": {"operate", "trust_services", "xroad_simulator", "ansible"},
    "operate": {"xroad_simulator"},
    "trust_services": {"estate", "stacks", "operate", "xroad_simulator", "ansible", "pulumi"},
    "xroad_simulator": {"estate", "stacks", "operate", "trust_services", "ansible", "pulumi"},
}
"""What a package may not import: the arrows are operate → stacks → estate, and operate → trust_services."""


def imports(path: Path) -> Iterator[str]:
    """Top-level names that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_follow_the_arrows(package: str) -> None:
    """A package imports only what lies below it."""
    modules = list(PACKAGES[package].rglob("*.py"))
    wrong = {
        str(path.relative_to(ROOT)): sorted(FORBIDDEN[package] & set(imports(path)))
        for path in modules
        if FORBIDDEN[package] & set(imports(path))
    }

    assert modules
    assert wrong == {}


def test_ansible_plugins_import_only_the_estate() -> None:
    """Plugins are thin wrappers over the model."""
    plugins = list((ROOT / "ansible/plugins").rglob("*.py"))
    wrong = [path.name for path in plugins if {"operate", "stacks"} & set(imports(path))]

    assert plugins
    assert wrong == []


def test_only_the_loader_reads_files() -> None:
    """The model is pure: its other modules open nothing and run nothing."""
    wrong = [
        str(path.relative_to(ROOT))
        for path in PACKAGES["estate"].rglob("*.py")
        if path.name != "load.py" and {"os", "subprocess", "yaml", "socket"} & set(imports(path))
    ]

    assert wrong == []


@pytest.mark.parametrize("folder", ["ansible", "pulumi"])
def test_no_top_level_package_shadows_an_engine(folder: str) -> None:
    """An `__init__.py` there would hide the engine of that name."""
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize(
    "program", sorted((ROOT / "pulumi").glob("*/__main__.py")), ids=lambda p: p.parent.name
)
def test_programs_only_wire(program: Path) -> None:
    """A program is at most 40 lines; logic lives in `pulumi/stacks`."""
    assert len(program.read_text(encoding="utf-8").splitlines()) <= 40


def test_no_module_is_a_drawer() -> None:
    """A module is named for what it answers."""
    drawers = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    found = [path.name for folder in PACKAGES.values() for path in folder.rglob("*.py") if path.name in drawers]

    assert found == []
