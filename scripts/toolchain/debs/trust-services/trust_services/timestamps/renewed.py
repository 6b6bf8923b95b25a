"""Key and certificates that are exchanged while the service runs.

Each worker looks at the files every few seconds. What it reads there takes the place of what it stamps with if
it is right as a whole, and between two requests; else the old one stays, and that is told.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from trust_services.refusal import Refusal
from trust_services.timestamps.settings import Identity, Settings, identity_files, read_identity

SECONDS = 5.0
"""Between two looks."""

Files = tuple[tuple[int, int, int] | None, ...]
"""Which files there are: number, size and time of change of each, or None for one that isn't there."""


class IdentityWatch:
    """Looks at the files that `settings`, read from `file`, name."""

    def __init__(self, file: Path, settings: Settings) -> None:
        """To be made before the files are read for the first time: what changes since then is new.

        A worker that follows one that died begins with the first key too, and so finds the present one.
        """
        self._file = file
        self._settings = settings
        self._seen = self._files()
        self._told = ""
        self._stopping = threading.Event()

    def start(self, use: Callable[[Identity], None], seconds: float = SECONDS) -> None:
        """Look now, and from now on in a thread of its own; give what is new to `use`."""
        self.look(use)
        threading.Thread(target=self._watch, args=(use, seconds), name="identity", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def _watch(self, use: Callable[[Identity], None], seconds: float) -> None:
        while not self._stopping.wait(seconds):
            try:
                self.look(use)
            except Exception as error:  # noqa: BLE001 - a thread that ends would miss the next certificate
                self._tell(f"looking at them failed: {error!r}")

    def look(self, use: Callable[[Identity], None]) -> bool:
        """Look once; whether there was something new, and it was right."""
        found = self._files()
        if found == self._seen:
            return False
        try:
            identity = read_identity(self._file, self._settings)
        except Refusal as refusal:
            # Looked at again each time: files that are exchanged one after the other are right in the end.
            self._tell(refusal.message)
            return False
        if self._files() != found:
            return False
        use(identity)
        self._seen, self._told = found, ""
        _say(f"stamps with certificate {identity.certificate.serial_number:x} from now on")
        return True

    def _tell(self, reason: str) -> None:
        if reason != self._told:
            self._told = reason
            _say(f"the new key and certificate aren't used, the old ones stay: {reason}")

    def _files(self) -> Files:
        found: list[tuple[int, int, int] | None] = []
        for path in identity_files(self._file, self._settings):
            try:
                status = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)


def _say(message: str) -> None:
    print(f"trust-timestamps: {message}", file=sys.stderr, flush=True)
