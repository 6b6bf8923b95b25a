"""Which operations of X-Road's definitions the simulator has, as the table of its README.

`python -m xroad_simulator.coverage DEFINITIONS` writes the table anew; DEFINITIONS is the directory `src` of
X-Road's definitions. A test tells when it isn't current.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from fastapi import APIRouter
from fastapi.routing import APIRoute

from xroad_simulator.admin_api import DESCRIPTION
from xroad_simulator.central import application as central
from xroad_simulator.security import application as security

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- coverage: generated -->", "<!-- /coverage -->"
DEFINITIONS = {
    "central": "central-server/openapi-model/src/main/resources/openapi-definition.yaml",
    "security": "security-server/openapi-model/src/main/resources/META-INF/openapi-definition.yaml",
}
ROUTERS: dict[str, Sequence[APIRouter]] = {
    "central": (*central.OPERATIONS, DESCRIPTION),
    "security": (*security.OPERATIONS, DESCRIPTION),
}

_ONE_INSTANCE = "one instance: nothing federates"
_NO_ACME = "certificates are ordered from the trust services' own API, not by ACME"
_NO_MAIL = "sends no mail"
NOT_DONE = {
    ("central", "getTrustedAnchors"): _ONE_INSTANCE,
    ("central", "uploadTrustedAnchor"): _ONE_INSTANCE,
    ("central", "previewTrustedAnchor"): _ONE_INSTANCE,
    ("central", "deleteTrustedAnchor"): _ONE_INSTANCE,
    ("central", "downloadTrustedAnchor"): _ONE_INSTANCE,
    ("security", "orderAcmeCertificate"): _NO_ACME,
    ("security", "hasAcmeExternalAccountBindingCredentials"): _NO_ACME,
    ("security", "getMailNotificationStatus"): _NO_MAIL,
    ("security", "sendTestMail"): _NO_MAIL,
    ("security", "downloadDiagnosticsReport"): "nothing reads it; its form is X-Road's own business",
    ("security", "getOperationalDataIntervals"): "operational monitoring isn't there",
}
"""Operations that are left out, and why."""


@dataclass(frozen=True, order=True)
class Operation:
    """An operation of a definition."""

    tag: str
    name: str
    method: str
    path: str

    @property
    def place(self) -> tuple[str, str]:
        """Method and path with nameless parameters: what a route is told by."""
        return self.method, _nameless(self.path)


def _nameless(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "{}", path)


def defined(kind: str, directory: Path) -> list[Operation]:
    """The operations of a server's definition."""
    text = (directory / DEFINITIONS[kind]).read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return sorted(
        Operation(operation["tags"][0], operation["operationId"], method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in ("get", "post", "put", "patch", "delete")
    )


def answered(kind: str) -> set[tuple[str, str]]:
    """Method and nameless path of every operation that the simulator has."""
    return {
        (method, _nameless(route.path))
        for router in ROUTERS[kind]
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }


def table(kind: str, directory: Path) -> Iterator[str]:
    """A row for each tag of a server's definition."""
    operations, done = defined(kind, directory), answered(kind)
    count = sum(operation.place in done for operation in operations)
    yield f"**{kind} server**: {count} of {len(operations)} operations"
    yield ""
    yield "| tag | done | left out |"
    yield "|---|---|---|"
    for tag in sorted({operation.tag for operation in operations}):
        own = [operation for operation in operations if operation.tag == tag]
        there = [f"`{operation.name}`" for operation in own if operation.place in done]
        missing = [
            f"`{operation.name}`: {NOT_DONE.get((kind, operation.name), 'no reason given')}"
            for operation in own
            if operation.place not in done
        ]
        yield f"| {tag} | {', '.join(there) or '—'} | {'; '.join(missing)} |"
    yield ""


def section(directory: Path) -> str:
    """The generated part of the README."""
    rows = [row for kind in DEFINITIONS for row in table(kind, directory)]
    return "\n".join([BEGIN, "", *rows, END])


def current(directory: Path) -> str:
    """The README as it should be."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    return before + section(directory) + rest.partition(END)[2]


if __name__ == "__main__":
    README.write_text(current(Path(sys.argv[1])), encoding="utf-8")
