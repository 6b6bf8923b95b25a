"""Images are pushed once, by digest; a registry that can't be used is said in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from operate.failure import Failure
from operate.toolchain import images, registry
from operate.toolchain.images import Image

_DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture
def pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that a push runs; inspecting answers that the image is missing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "ca.pem").write_text("certificate\n")
    commands: list[list[str]] = []

    def record(command: list[str], **_: Any) -> str:
        commands.append(command)
        if "inspect" in command:
            raise Failure("asking failed", details="manifest unknown: manifest unknown")
        return ""

    monkeypatch.setattr(registry, "run", record)
    return commands


def _images(tmp_path: Path) -> dict[str, Image]:
    return {"etcd": Image("etcd", "3.6.16", "key", _DIGEST, tmp_path / "layout")}


def test_uploads_what_is_missing(tmp_path: Path, pushed: list[list[str]]) -> None:
    """Under the registry's namespace, checked against the lab's authority, without a password in sight."""
    digests = registry.push(
        "registry.test:5000",
        _images(tmp_path),
        authority=tmp_path / "ca.pem",
        credentials=tmp_path / "auth.json",
    )
    assert digests == {"etcd": _DIGEST}
    copy = pushed[-1]
    assert copy[-2:] == [f"oci:{tmp_path / 'layout'}", "docker://registry.test:5000/smartgouv/etcd:3.6.16"]
    assert f"--dest-authfile={tmp_path / 'auth.json'}" in copy
    assert not any("creds" in word or "tls-verify" in word for word in copy)


def test_skips_what_is_there(tmp_path: Path, pushed: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest is asked for, not the tag."""

    def there(command: list[str], **_: Any) -> str:
        pushed.append(command)
        return "{}"

    monkeypatch.setattr(registry, "run", there)
    registry.push("registry.test:5000", _images(tmp_path), authority=tmp_path / "ca.pem")
    assert [command[1] for command in pushed] == ["inspect"]
    assert pushed[0][-1] == f"docker://registry.test:5000/smartgouv/etcd@{_DIGEST}"


def test_a_registry_without_a_name_service_is_reached_by_its_address(
    tmp_path: Path, pushed: list[list[str]]
) -> None:
    """Its certificate is still checked against its name; the machine's own names stay as they are."""
    registry.push("registry.test:5000", _images(tmp_path), authority=tmp_path / "ca.pem", address="192.0.2.7")
    copy = pushed[-1]
    assert copy[:2] == ["unshare", "--mount"]
    assert "192.0.2.7 registry.test\n" in Path(copy[5]).read_text()
    assert copy[-1] == "docker://registry.test:5000/smartgouv/etcd:3.6.16"


def test_an_unreachable_registry_is_named(
    tmp_path: Path, pushed: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next command, and nothing is pushed."""

    def refused(command: list[str], **_: Any) -> str:
        pushed.append(command)
        raise Failure("asking failed", details="dial tcp 10.0.0.1:5000: connect: connection refused")

    monkeypatch.setattr(registry, "run", refused)
    with pytest.raises(Failure) as caught:
        registry.push("registry.test:5000", _images(tmp_path), authority=tmp_path / "ca.pem")
    assert caught.value.message == "the registry registry.test:5000 can't be used"
    assert "connection refused" in caught.value.details
    assert caught.value.next_step
    assert len(pushed) == 1


def test_the_manifest_names_every_image(tmp_path: Path) -> None:
    """For the programs that come after."""
    shown = json.loads(images.manifest(_images(tmp_path)))
    assert shown["etcd"]["reference"] == "localhost/smartgouv/etcd:key"
    assert shown["etcd"]["digest"] == _DIGEST
