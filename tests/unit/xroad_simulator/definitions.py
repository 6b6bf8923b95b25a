"""X-Road's OpenAPI definitions, and where an exchange with an admin API differs from them.

They aren't part of this repository: `SMARTGOUV_SHARED` names the directory that holds them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

ROOT = Path(__file__).parents[3]
DIRECTORY = Path(os.environ.get("SMARTGOUV_SHARED", ROOT.parent / "shared"), "xroad-api/src")
FILES = {
    "central": "central-server/openapi-model/src/main/resources/openapi-definition.yaml",
    "security": "security-server/openapi-model/src/main/resources/META-INF/openapi-definition.yaml",
}
ARE_MISSING = not DIRECTORY.is_dir()
WHY_MISSING = "X-Road's OpenAPI definitions aren't there (SMARTGOUV_SHARED names their directory)"
METHODS = ("get", "post", "put", "patch", "delete")

REAL_STATUSES = {
    ("central", "POST", "/initialization", 200): 201,
    ("central", "POST", "/configuration-sources/{configuration_type}/signing-keys", 200): 201,
    ("security", "POST", "/tokens/{id}/keys-with-csrs", 200): 201,
    ("security", "PUT", "/token-certificates/{hash}/register", 204): 200,
    ("security", "PUT", "/service-descriptions/{id}/enable", 200): 204,
    ("security", "GET", "/keys/{id}/csrs/{csr_id}", 200): 201,
    ("security", "POST", "/system/anchor/previews", 200): 201,
}
"""Where X-Road itself answers another status than its definition says: ours → the definition's.

The first five are TODOs of X-Road's own `setup.hurl`, the others are read in its controllers.
"""

UNDOCUMENTED_STATUSES = {
    ("central", "POST", "/initialization", 409),
    *(
        ("security", method, path, 409)
        for method, path in (
            ("PUT", "/clients/{id}/register"),
            ("DELETE", "/clients/{id}"),
            ("PUT", "/clients/{id}/make-owner"),
            ("PUT", "/clients/{id}/disable"),
            ("PUT", "/clients/{id}/enable"),
            ("PUT", "/clients/{id}/rename"),
            ("POST", "/keys/{id}/csrs"),
            ("PUT", "/system/maintenance-mode/enable"),
            ("PUT", "/system/maintenance-mode/disable"),
            ("PUT", "/system/server-address"),
            ("PUT", "/tokens/{id}/login"),
            ("PUT", "/tokens/{id}/logout"),
        )
    ),
}
"""Refusals of X-Road (`ConflictException`) that its definition doesn't list."""

LIMITS = frozenset({413, 429})
"""Statuses of X-Road's filters, which no definition lists."""


@dataclass(frozen=True)
class Exchange:
    """An admin API call and its answer."""

    kind: str
    method: str
    path: str
    status: int
    content_type: str
    body: bytes
    sent: Any = None
    """The request's JSON body, or the names and texts of its form; None for bytes or nothing."""


@cache
def definition(kind: str) -> dict[str, Any]:
    """A definition as it is."""
    loaded: dict[str, Any] = yaml.load(
        (DIRECTORY / FILES[kind]).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader
    )
    return loaded


def _repaired(schema: Any) -> Any:
    """Without the faults of the definitions that would refuse X-Road's own messages.

    Objects require properties that they don't have (`PagedClients.items`, `Token.keys`,
    `ClientRenameRequest.client_name`), and discriminators name schemas in a form that isn't a reference.
    """
    if isinstance(schema, list):
        return [_repaired(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    repaired = {key: _repaired(value) for key, value in schema.items() if key != "discriminator"}
    properties = repaired.get("properties")
    if isinstance(properties, dict) and "required" in repaired:
        inherits = "allOf" in repaired
        repaired["required"] = [
            name for name in repaired["required"] if name in properties or (inherits and name not in _MISSPELT)
        ]
    return repaired


_MISSPELT = ("client_name", "clientId")
"""Names that requests for renaming and disabling clients are said to require, and don't have."""


@cache  # a registry forgets what it retrieves, and reading a definition takes seconds
def _retrieve(uri: str) -> Resource[Any]:
    contents = yaml.load(Path(uri.removeprefix("file://")).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return Resource(contents=_repaired(contents), specification=DRAFT4)


_REGISTRY: Registry[Any] = Registry(retrieve=_retrieve)  # type: ignore[call-arg]


@cache
def _templates(kind: str) -> list[tuple[int, str, re.Pattern[str]]]:
    paths = definition(kind)["paths"]
    return sorted((path.count("{"), path, re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path))) for path in paths)


def template_of(exchange: Exchange) -> str:
    """The path of the definition that a call took; the one with most fixed parts."""
    for _, template, pattern in _templates(exchange.kind):
        if pattern.fullmatch(exchange.path):
            return template
    raise AssertionError(f"{exchange.method} {exchange.path} isn't in the definition")


@cache
def _validator(kind: str, pointer: str) -> OAS30Validator:
    return OAS30Validator(
        {"$ref": f"file://{DIRECTORY / FILES[kind]}{pointer}"},
        registry=_REGISTRY,
        format_checker=OAS30Validator.FORMAT_CHECKER,
    )


def _pointer(*parts: str) -> str:
    escaped = (part.replace("~", "~0").replace("/", "~1") for part in parts)
    return "#/" + "/".join(part.replace("{", "%7B").replace("}", "%7D") for part in escaped)


def _misfits(kind: str, pointer: str, instance: Any) -> Iterator[str]:
    for error in _validator(kind, pointer).iter_errors(instance):
        if error.instance == "" and list(error.absolute_path)[-1:] in _EMPTY:
            continue
        if error.validator == "required" and error.message.split("'")[1] in _ABSENT.get(pointer, ()):
            continue
        deepest = min(error.context, key=lambda e: -len(e.path)) if error.context else error
        yield f"{'/'.join(map(str, deepest.absolute_path))}: {deepest.message[:200]}"


def problems(exchange: Exchange) -> Iterator[str]:
    """Where an answer differs from its definition; of an accepted request also where the request does."""
    template = template_of(exchange)
    operation = definition(exchange.kind)["paths"][template].get(exchange.method.lower())
    key = (exchange.kind, exchange.method, template, exchange.status)
    place = f"{exchange.kind} {exchange.method} {template} {exchange.status}"
    if operation is None:
        yield f"{place}: the definition has no such operation"
        return
    if exchange.status < 400:
        yield from (f"{place}: request: {text}" for text in _request_problems(exchange, template, operation))
    if key in UNDOCUMENTED_STATUSES or exchange.status in LIMITS:
        return
    status = str(REAL_STATUSES.get(key, exchange.status))
    if status not in operation["responses"]:
        yield f"{place}: the definition has {sorted(operation['responses'])}"
        return
    if not exchange.body or not exchange.content_type.startswith("application/json"):
        return
    body = json.loads(exchange.body)
    schema = operation["responses"][status].get("content", {}).get("application/json", {}).get("schema", {})
    if exchange.status >= 400:
        yield from (f"{place}: {text}" for text in _misfits(exchange.kind, _ERROR, body))
    elif schema.get("format") == "binary":
        return
    elif schema:
        pointer = _pointer(
            *("paths", template, exchange.method.lower(), "responses", status),
            *("content", "application/json", "schema"),
        )
        yield from (f"{place}: {text}" for text in _misfits(exchange.kind, pointer, body))
    else:
        yield f"{place}: the definition has no body"


_EMPTY = (["security_server_id"], ["instance_identifier"], ["central_server_address"])
"""What X-Road itself answers as an empty text while it isn't set, although it must not be empty."""

_PARTS = "/configuration-sources/{configuration_type}/configuration-parts"
_ABSENT = {
    _pointer("paths", _PARTS, "get", "responses", "200", "content", "application/json", "schema"): (
        "version",
        "file_updated_at",
    ),
}
"""What X-Road itself leaves out of an answer although it is required: of parts that weren't uploaded yet."""

_ERROR = "#/components/schemas/ErrorInfo"


def _request_problems(exchange: Exchange, template: str, operation: dict[str, Any]) -> Iterator[str]:
    if exchange.sent is None:
        return
    content = operation.get("requestBody", {}).get("content", {})
    kinds = [kind for kind in ("application/json", "multipart/form-data") if kind in content]
    if not kinds:
        yield "the definition has no body"
        return
    method = exchange.method.lower()
    pointer = _pointer("paths", template, method, "requestBody", "content", kinds[0], "schema")
    yield from _misfits(exchange.kind, pointer, exchange.sent)
