"""The ceremony's container and its folders, without starting either."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from estate.load import load
from operate import ceremony
from operate.ceremony import Folders
from operate.failure import ExitCode, Failure
from operate.toolchain.images import Image
from operate.workspace import Workspace

IMAGE = Image("ceremony", "0.1.0", "0123", "sha256:00", Path("/cache"))


@pytest.fixture
def place(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "ceremony", tmp_path / "shares")


@pytest.mark.parametrize("site", ["lab", "production"])
def test_the_container_can_reach_nothing(site: str, place: Folders) -> None:
    command = ceremony.container("name", IMAGE, load(site), place)
    assert {"--network=none", "--read-only", "--cap-drop=all", "--pull=never"} <= set(command)
    assert f"--volume={place.inbox}:/ceremony/inbox:ro" in command
    assert not any("privileged" in word and "no-new-privileges" not in word for word in command)


def test_hardware_is_handed_in(place: Folders) -> None:
    """Its library and its device files, and no token in software."""
    command = ceremony.container("name", IMAGE, load("production"), place)
    assert "--device=/dev/hsm0" in command
    assert "--volume=/opt/hsm/lib/pkcs11.so:/opt/hsm/lib/pkcs11.so:ro" in command
    assert not any(str(place.tokens) in word for word in command)


def test_shares_have_no_place_outside_a_lab(tmp_path: Path) -> None:
    """Nobody writes them to a disk by forgetting an option."""
    workspace = Workspace("production", tmp_path)
    with pytest.raises(Failure, match="custodians' own media") as refused:
        ceremony.folders(workspace, load("production"), None)
    assert refused.value.code is ExitCode.BAD_INPUT
    assert ceremony.folders(workspace, load("production"), Path("/media")).shares == Path("/media")
    assert ceremony.folders(workspace, load("lab"), None).shares == tmp_path / "ceremony" / "shares"


def test_the_inbox_holds_what_was_named_and_nothing_else(place: Folders, tmp_path: Path) -> None:
    """A request of an earlier, interrupted ceremony doesn't slip in."""
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    for path in (first, second):
        path.write_text("{}", encoding="utf-8")
    (tmp_path / "second.json.sig").write_bytes(b"signature")
    ceremony.prepare(place, load("lab"), [first])
    ceremony.prepare(place, load("lab"), [second])
    names = sorted(path.name for path in (place.inbox / "requests").iterdir())
    assert names == ["second.json", "second.json.sig"]
    agenda = json.loads((place.inbox / "agenda.json").read_text(encoding="utf-8"))
    assert agenda["authorities"]["trust-services"]["common_name"] == "SMARTGOUV Lab Trust Services CA"
    with pytest.raises(Failure, match="no request"):
        ceremony.prepare(place, load("lab"), [tmp_path / "third.json"])


def test_every_site_can_hold_one(place: Folders) -> None:
    """What the estate says makes an agenda that the ceremony takes."""
    for site in ("lab", "staging", "production"):
        ceremony.prepare(place, load(site), [])
        lines = ceremony.describe(ceremony.examine(place, []))
        assert lines[0].startswith(f"ceremony 1 of site '{site}'")
        assert any("any" in line and "open the token" in line for line in lines)
