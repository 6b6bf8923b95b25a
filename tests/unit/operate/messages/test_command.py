"""`smartgouv message verify`: exit codes, what people read, what programs read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.serialization import Encoding
from tests.unit.operate.messages.conftest import Authorities, Files, exchange
from typer.testing import CliRunner

from operate.cli import application
from xroad_simulator.security import containers


def run(*arguments: str | Path) -> Result:
    """The command."""
    return CliRunner(env={"NO_COLOR": "1"}).invoke(application, ["message", "verify", *map(str, arguments)])


def test_the_command_needs_nothing_of_the_simulator(files: Files) -> None:
    """In a process that can't import it."""
    paths = [path for path in sys.path if not path.endswith("tests/doubles")]
    file = files.container(exchange(files.authorities)[0])
    told = subprocess.run(
        [sys.executable, "-m", "operate", "message", "verify", str(file), "--root", str(files.root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert "ok      certificate status" in told.stdout


def test_a_valid_container(files: Files) -> None:
    """Who, to whom, when, and each check."""
    asked = exchange(files.authorities, b"Kossi")[0]
    told = run(files.container(asked), "--root", files.root)

    assert (told.exit_code, told.stderr) == (0, "")
    for text in (
        "request message-1: POST /r1/TEST/GOV/CIVIL/REGISTRY/birth-records/123",
        "from     TEST/GOV/DIGITAL/PORTAL",
        "to       TEST/GOV/CIVIL/REGISTRY/birth-records",
        "for      BJ123, as the client says",
        "ok      signature",
        "ok      certificate status",
        "Trust services root",
    ):
        assert text in told.stdout
    assert "failed" not in told.stdout


def test_a_changed_container(files: Files) -> None:
    """Exit code 1, and the reason; as JSON once, on standard output."""
    record = exchange(files.authorities, b"Kossi")[0]
    object.__setattr__(record, "body", b"Afi..")
    path = files.container(record)
    told = run(path, "--root", files.root)
    assert told.exit_code == 1
    assert "failed  content" in told.stdout
    assert "proves nothing: content: attachment1 isn't what was signed" in told.stdout
    document = json.loads(run(path, "--root", files.root, "--json").stdout)
    assert document["result"] == "invalid"
    (one,) = document["containers"]
    assert one["valid"] is False
    assert [check["name"] for check in one["checks"] if check["result"] == "failed"] == ["content"]


def test_json(files: Files) -> None:
    """For programs: one document."""
    told = run(files.container(exchange(files.authorities)[1]), "--root", files.root, "--json")
    document = json.loads(told.stdout)

    assert told.exit_code == 0
    assert (document["result"], document["links"]) == ("valid", None)
    assert document["containers"][0]["kind"] == "response"


def test_several(files: Files, authorities: Authorities) -> None:
    """A whole download; one bad container spoils it."""
    asked, answered = exchange(authorities)
    good = run(files.write(containers.bundle([asked, answered]), "x.zip"), "--root", files.root)
    assert (good.exit_code, good.stdout.count("ok      signature")) == (0, 2)
    object.__setattr__(answered, "body", b"other")
    bad = run(files.write(containers.bundle([asked, answered]), "x.zip"), "--root", files.root)
    assert (bad.exit_code, bad.stdout.count("failed  content")) == (1, 1)


@pytest.mark.parametrize(
    ("content", "told"), [(b"nothing", "can't be used as the root certificate"), (None, "can't be read")]
)
def test_a_root_that_is_none(files: Files, content: bytes | None, told: str) -> None:
    """Exit code 2: nothing was checked."""
    path = files.folder / "other.crt"
    if content is not None:
        path.write_bytes(content)
    result = run(files.container(exchange(files.authorities)[0]), "--root", path)
    assert result.exit_code == 2
    assert told in result.stdout


def test_an_intermediate_authority_is_no_root(files: Files) -> None:
    path = files.write(files.authorities.issuer.public_bytes(Encoding.DER), "issuer.der")
    result = run(files.container(exchange(files.authorities)[0]), "--root", path)
    assert result.exit_code == 2
    assert "there is no root in it" in result.stdout


def test_bad_input(files: Files) -> None:
    """No file, no container, no root, two roots: exit code 2 with the reason and the next step."""
    file = files.container(exchange(files.authorities)[0])
    for arguments, told in (
        ((files.folder / "missing", "--root", files.root), "No such file"),
        ((files.write(b"x"), "--root", files.root), "no ZIP file"),
        ((file,), "say which root is believed"),
        ((file, "--root", files.root, "--site", "lab"), "say which root is believed"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert told in result.stdout
        assert "next:" in result.stdout
