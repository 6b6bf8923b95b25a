"""The mirror holds what the roles name, and says which list is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from operate.failure import Failure
from operate.toolchain import mirror


def _role(roles: Path, name: str, text: str) -> None:
    folder = roles / name / "vars"
    folder.mkdir(parents=True)
    (folder / "main.yml").write_text(text)


def test_collects_each_roles_list(tmp_path: Path) -> None:
    """Sorted, each package once; roles without packages and other variables don't count."""
    _role(tmp_path, "registry", "__registry_packages: [ssl-cert, docker-registry, ssl-cert]\n__other: [x]\n")
    _role(tmp_path, "base", "---\n")
    seed = tmp_path / "mirror.yml"
    seed.write_text("hosts: [rsyslog]\n")
    assert mirror.wanted(tmp_path, seed) == {
        "registry": ["docker-registry", "ssl-cert"],
        "hosts": ["rsyslog"],
    }


@pytest.mark.parametrize("entry", ["'{{ other }}'", "nginx=1.2", "17", "Bad", "{name: x}"])
def test_refuses_what_is_no_package_name(tmp_path: Path, entry: str) -> None:
    """A version or a template can't be mirrored: the file is named."""
    _role(tmp_path, "web", f"__web_packages:\n  - {entry}\n")
    with pytest.raises(Failure) as caught:
        mirror.wanted(tmp_path, tmp_path / "none.yml")
    assert "web/vars/main.yml" in caught.value.message


def test_names_a_file_that_is_not_yaml(tmp_path: Path) -> None:
    """With the place of the mistake."""
    _role(tmp_path, "web", "__web_packages: [a\n")
    with pytest.raises(Failure) as caught:
        mirror.wanted(tmp_path, tmp_path / "none.yml")
    assert "isn't YAML" in caught.value.message
    assert "line" in caught.value.details
