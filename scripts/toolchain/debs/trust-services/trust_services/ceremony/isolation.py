"""Proof that the place of a ceremony has no network."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from pathlib import Path

from trust_services.refusal import Refusal

_ELSEWHERE = ("192.0.2.1", 443)
"""An address of nobody (RFC 5737): even asking for a way there must fail."""


@dataclass(frozen=True)
class Isolation:
    """What was seen."""

    interfaces: tuple[str, ...]
    routes: int
    attempt: str
    """What the system answered to an attempt to connect elsewhere."""


def prove() -> Isolation:
    """What shows that nothing but loopback is here. Refusal if anything else is."""
    interfaces = tuple(sorted(name for _, name in socket.if_nameindex()))
    routes = len(Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:])
    attempt = _attempt()
    if set(interfaces) - {"lo"} or routes or attempt != "ENETUNREACH":
        raise Refusal(
            f"a network is here: interfaces {', '.join(interfaces)}, {routes} routes, connect: {attempt}",
            "run the ceremony by scripts/smartgouv ceremony, on a machine that is cut off",
        )
    return Isolation(interfaces, routes, attempt)


def _attempt() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
        tried.settimeout(1)
        try:
            tried.connect(_ELSEWHERE)
        except TimeoutError:
            return "ETIMEDOUT"
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, str(error))
    return "connected"
