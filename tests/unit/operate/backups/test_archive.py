"""A backup says what it is only when the key of the server that made it opens it whole."""

from __future__ import annotations

import pytest
from tests.unit.operate.backups.conftest import IDENTITY, Maker

from operate.backups.archive import Archive, ArchiveError, opened


@pytest.mark.parametrize(("sealed", "encrypted"), [("encrypted", True), ("signed", False)])
def test_whose_it_is(maker: Maker, sealed: str, encrypted: bool) -> None:
    assert opened(maker.backup(sealed=sealed), maker.key) == Archive(
        "security", "XROAD_7.1", IDENTITY, encrypted
    )


def test_what_is_cut_off_or_changed_anywhere_is_refused(maker: Maker) -> None:
    whole = maker.backup()
    damaged = [whole[:-40], whole[: len(whole) // 2], b""]
    for at in (len(whole) // 3, len(whole) // 2, len(whole) - 60):
        damaged.append(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    for content in damaged:
        with pytest.raises(ArchiveError):
            opened(content, maker.key)


def test_another_servers_backup_is_refused(maker: Maker, stranger: Maker) -> None:
    """Whether its key is asked for to open it, or to have signed it."""
    for sealed in ("encrypted", "signed"):
        with pytest.raises(ArchiveError):
            opened(stranger.backup(sealed=sealed), maker.key)


@pytest.mark.parametrize(
    ("label", "sealed", "why"),
    [
        ("security_XROAD_7.1_TEST", "neither", "it isn't signed"),
        ("anything", "encrypted", "no label of X-Road's"),
    ],
)
def test_what_is_no_backup_is_refused(maker: Maker, label: str, sealed: str, why: str) -> None:
    """Anybody can encrypt for a server."""
    with pytest.raises(ArchiveError, match=why):
        opened(maker.backup(label, sealed=sealed), maker.key)


def test_a_key_that_is_none_is_told(maker: Maker) -> None:
    with pytest.raises(ArchiveError, match="no valid OpenPGP data found"):
        opened(maker.backup(), "nothing")
