"""Who may call what: rights to services, and to methods and paths of them.

As X-Road's `ServerConfImpl.isQueryAllowed` and `PathGlob`: a right to the base endpoint is one to the whole
service; another one covers its method (`*`: all) and the paths of its pattern. The path is compared after
decoding and without `.` and `..`; one that still leads upwards is refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from xroad_simulator.identifiers import ClientId
from xroad_simulator.security.message import Request
from xroad_simulator.security.records import BASE_PATH, EndpointRecord, ServiceRecord
from xroad_simulator.security.server import SecurityServer

_PIECES = re.compile(r"\\[*\\]|\*+|[^*\\]+|\\")
_ENCODED = re.compile(r"%(?![0-9A-Fa-f]{2})")


def normalized(path: str) -> str | None:
    """A path as rights see it; None if it can't be decoded or leads above the service."""
    if _ENCODED.search(path):
        return None
    try:
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return None
    kept: list[str] = []
    for part in decoded.split("/"):
        if part == ".." and kept and kept[-1] not in ("..", ""):
            kept.pop()
        elif part == ".." or (part not in ("", ".")):
            kept.append(part)
    made = "/" * decoded.startswith("/") + "/".join(kept)
    made += "/" * (bool(kept) and decoded.endswith(("/", "/.", "/..")))
    return None if ".." in made else made


@lru_cache(maxsize=1000)
def _expression(pattern: str) -> re.Pattern[str]:
    pieces = []
    for piece in _PIECES.findall(pattern):
        if piece.startswith("*"):
            pieces.append(".*" if len(piece) > 1 else "[^/]*")
        else:
            pieces.append(re.escape(piece[1:] if len(piece) == 2 and piece[0] == "\\" else piece))
    return re.compile("".join(pieces), re.DOTALL)


def matches(endpoint: EndpointRecord, method: str, path: str) -> bool:
    """Whether a call is one of an endpoint: `*` is within one part of a path, `**` any number of parts.

    `path` is a normalized one. A star after a backslash is a star.
    """
    if endpoint.method not in ("*", method):
        return False
    return endpoint.path == BASE_PATH or _expression(endpoint.path).fullmatch(path) is not None


def endpoints_of(server: SecurityServer, client: ClientId, service: ServiceRecord) -> list[EndpointRecord]:
    """The endpoints of a service that a client has a right to."""
    subjects = server.subjects_of(client)
    numbers = {endpoint for endpoint, subject in server.rights_to(service) if subject in subjects}
    return [endpoint for endpoint in server.endpoints_of(service) if endpoint.id in numbers]


def is_allowed(server: SecurityServer, request: Request, service: ServiceRecord) -> bool:
    """Whether a client may make a call."""
    compared = normalized(request.path)
    return compared is not None and any(
        matches(endpoint, request.method, compared)
        for endpoint in endpoints_of(server, request.client, service)
    )
