"""Endpoints: methods and paths of a service, so that a right can be to a part of it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from estate.types import Model


class Method(StrEnum):
    """HTTP methods that an endpoint can have (OpenAPI definition of the security server, `Endpoint`)."""

    ANY = "*"
    """Every method. Not every path."""
    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    DELETE = "DELETE"
    PATCH = "PATCH"
    HEAD = "HEAD"
    OPTIONS = "OPTIONS"
    TRACE = "TRACE"


def _plain_segments(path: str) -> str:
    segments = path.split("/")[1:]
    if "***" in path:
        raise ValueError("'*' is within one part of a path, '**' across parts; there is no '***'")
    if any(segment in {".", ".."} for segment in segments) or "" in segments[:-1]:
        raise ValueError("a path has no empty parts, no '.' and no '..': X-Road compares it as it is written")
    return path


EndpointPath = Annotated[
    str,
    StringConstraints(pattern=r"^/([A-Za-z0-9._~!$&'()*+,;=:@/{}-]|%[0-9A-Fa-f]{2})*$", max_length=255),
    AfterValidator(_plain_segments),
]
"""A path below the service's address: `*` stands for anything within a part of it, `**` for anything.

X-Road matches the path as it arrives, percent-encoded, without the query (PathGlob.java).
"""


class ServiceEndpoint(Model):
    """A method and a path of a service."""

    method: Method
    path: EndpointPath

    def __str__(self) -> str:
        return f"{self.method.value} {self.path}"

    def covers(self, method: str, path: str) -> bool:
        """Whether a request with this method, to this path below the service's address, goes to it."""
        parts = (
            ".*" if part == "**" else "[^/]*" if part == "*" else re.escape(part)
            for part in re.split(r"(\*\*|\*)", self.path)
        )
        return self.method in (Method.ANY, method) and re.fullmatch("".join(parts), path) is not None
