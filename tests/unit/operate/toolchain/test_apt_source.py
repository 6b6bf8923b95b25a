"""The archives of another Debian release are derived from this machine's own configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from operate.failure import Failure
from operate.toolchain import apt_source

_STANZAS = """\
Types: deb
# a remark
URIs: http://archive.test/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://archive.test/debian-security
Suites: bookworm-security
Components: main

Types: deb-src
URIs: http://sources.test/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://disabled.test/debian
Suites: bookworm
Components: main
"""


@pytest.fixture(autouse=True)
def _no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(apt_source.OVERRIDE, raising=False)


def _configuration(folder: Path, **files: str) -> Path:
    parts = folder / "sources.list.d"
    parts.mkdir()
    for name, text in files.items():
        (parts / name.replace("_", ".")).write_text(text)
    return folder


def test_exchanges_the_release(tmp_path: Path) -> None:
    """Backports, sources and disabled entries are left out; the keyring stays."""
    configuration = _configuration(tmp_path, debian_sources=_STANZAS)
    lines = [source.line() for source in apt_source.sources(configuration, "bookworm")]
    keyring = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    assert lines == [
        f"deb {keyring} http://archive.test/debian trixie main",
        f"deb {keyring} http://archive.test/debian trixie-updates main",
        f"deb {keyring} http://archive.test/debian-security trixie-security main",
    ]


def test_reads_one_line_entries(tmp_path: Path) -> None:
    """The older form, with and without options and remarks."""
    text = (
        "# deb http://no.test/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/k/debian-archive-x.gpg] http://one.test/debian bookworm main # here\n"
    )
    (source,) = apt_source.sources(_configuration(tmp_path, debian_list=text), "bookworm")
    assert (source.address, source.keyring) == ("http://one.test/debian", "/k/debian-archive-x.gpg")


def test_third_parties_are_not_asked(tmp_path: Path) -> None:
    """An archive with a key of its own isn't Debian's, even if it names its suite after Debian's release."""
    text = (
        "deb [signed-by=/k/vendor.gpg] http://vendor.test/apt bookworm main\n"
        "deb http://vendor.test/docker bookworm stable\n"
        "deb http://debian.test/debian bookworm main\n"
    )
    (source,) = apt_source.sources(_configuration(tmp_path, all_list=text), "bookworm")
    assert source.address == "http://debian.test/debian"


def test_says_what_to_do_where_there_is_no_debian(tmp_path: Path) -> None:
    """A machine of another distribution names a file."""
    with pytest.raises(Failure) as caught:
        apt_source.sources(_configuration(tmp_path, u_list="deb http://u.test/ubuntu noble main\n"), "noble-x")
    assert apt_source.OVERRIDE in caught.value.next_step


def test_a_named_file_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The override already speaks of the wanted release."""
    file = tmp_path / "own.list"
    file.write_text("deb http://site.test/debian trixie main\n")
    monkeypatch.setenv(apt_source.OVERRIDE, str(file))
    (source,) = apt_source.sources()
    assert source.suite == "trixie"
