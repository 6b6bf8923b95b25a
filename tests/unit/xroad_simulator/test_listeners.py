"""Listeners take renewed TLS certificates while they run."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from xroad_simulator.listeners import TlsFiles, keep_certificates_fresh, make_self_signed


def test_a_renewed_certificate_is_taken_at_once_when_told(tmp_path: Path) -> None:
    """By SIGHUP, as systemd reloads the unit; half a pair isn't taken."""
    files = TlsFiles(tmp_path, "server", ["server.test"])
    taken: list[bytes] = []

    def note() -> None:
        taken.append(files.certificate())

    async def told() -> None:
        keeping = asyncio.create_task(keep_certificates_fresh([files], note))
        await asyncio.sleep(0)
        make_self_signed(tmp_path / "new.crt", tmp_path / "new.key", ["server.test"])
        (tmp_path / "new.key").replace(tmp_path / "server.key")
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.2)
        assert taken == []
        (tmp_path / "new.crt").replace(tmp_path / "server.crt")
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(5):
            while not taken:
                await asyncio.sleep(0.01)
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping

    asyncio.run(told())
    assert taken == [(tmp_path / "server.crt").read_bytes()]
