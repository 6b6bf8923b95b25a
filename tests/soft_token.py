"""A PKCS#11 token in software, of a test's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


def library() -> str:
    """SoftHSM's library; the test is skipped where it isn't installed."""
    found = next((path for path in LIBRARIES if Path(path).exists()), None)
    if found is None or shutil.which("pkcs11-tool") is None:
        pytest.skip("SoftHSM isn't installed: apt-get install softhsm2 opensc")
    return found


@contextmanager
def tokens(folder: Path) -> Iterator[str]:
    """The library, with tokens kept in `folder` and none in it at first."""
    found = library()
    kept = folder / "tokens"
    kept.mkdir(parents=True)
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {kept}\nlog.level = ERROR\n", encoding="utf-8")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    import pkcs11

    # One process, many tests: each begins with the library as if it had just been loaded.
    pkcs11.lib(found).reinitialize()
    try:
        yield found
    finally:
        if before is None:
            del os.environ["SOFTHSM2_CONF"]
        else:
            os.environ["SOFTHSM2_CONF"] = before
