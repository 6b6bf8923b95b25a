"""Entering the token's PIN without a person: a program prints it, as X-Road's autologin asks."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

from xroad_simulator.software_token import (
    SoftwareToken,
    TokenLockedError,
    TokenNotInitializedError,
    WrongPinError,
)

_LOG = logging.getLogger(__name__)
NO_PIN_AVAILABLE = 127
"""Exit code of a program that has no PIN: not a failure."""


def fetch(command: Path) -> str | None:
    """What the program prints, or None if it is missing, has no PIN, or fails."""
    if not command.exists():
        return None
    finished = subprocess.run([command], capture_output=True, text=True, timeout=30, check=False)
    if finished.returncode == 0:
        line = finished.stdout.strip().partition("\n")[0]
        token, separator, pin = line.partition(":")
        return pin if separator and token == "0" else line
    if finished.returncode != NO_PIN_AVAILABLE:
        _LOG.error("%s failed with code %d", command, finished.returncode)
    return None


def log_in_automatically(token: SoftwareToken, command: Path | None) -> None:
    """Log the token in if it is initialized and a PIN can be had. One try: PINs lock."""
    if command is None or not token.is_initialized or token.is_logged_in:
        return
    pin = fetch(command)
    if pin is None:
        _LOG.warning("no PIN: the token stays logged out")
        return
    try:
        token.log_in(pin)
    except (TokenNotInitializedError, TokenLockedError, WrongPinError):
        _LOG.error("the fetched PIN was refused: the token stays logged out")
