"""A pair of key and certificate that is replaced: a killed process leaves the old pair or the new one."""

from __future__ import annotations

from pathlib import Path

from xroad_simulator.listeners import TlsFiles, make_self_signed


def pair(folder: Path, suffix: str = "") -> tuple[bytes, bytes]:
    return (folder / f"x.crt{suffix}").read_bytes(), (folder / f"x.key{suffix}").read_bytes()


def test_half_a_new_pair_is_dropped(tmp_path: Path) -> None:
    TlsFiles(tmp_path, "x", ["server.test"])
    before = pair(tmp_path)
    (tmp_path / "x.key.new").write_bytes(b"the key of a pair whose certificate was never written")
    TlsFiles(tmp_path, "x", ["server.test"])
    assert pair(tmp_path) == before
    assert not (tmp_path / "x.key.new").exists()


def test_a_whole_new_pair_is_put_in_place(tmp_path: Path) -> None:
    """Also if the key was in place already when the process ended."""
    for moved in (False, True):
        TlsFiles(tmp_path, "x", ["server.test"])
        make_self_signed(tmp_path / "x.crt.new", tmp_path / "x.key.new", ["server.test"])
        after = pair(tmp_path, ".new")
        if moved:
            (tmp_path / "x.key.new").replace(tmp_path / "x.key")
        TlsFiles(tmp_path, "x", ["server.test"])
        assert pair(tmp_path) == after
        assert not list(tmp_path.glob("*.new"))
