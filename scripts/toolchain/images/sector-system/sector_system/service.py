"""The REST service over a sector's registry."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import psycopg
from fastapi import FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from sector_system.database import Registry
from sector_system.definition import Definition

log = logging.getLogger("sector_system")

PROBES = ("/healthz", "/readyz")
_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
    },
    "required": ["type", "title", "status"],
}


def service(definition: Definition, registry: Registry) -> FastAPI:
    """The application that serves a sector's records from `registry`."""
    application = FastAPI(
        title=f"{definition.title.fr} · {definition.title.en}",
        description=f"Registre : {definition.collection}. Records are read by the field "
        f"`{definition.identifier}`.",
        version="1.0.0",
        docs_url=None,
        redoc_url=None,
    )
    _note_requests(application, definition)
    _answer_with_problems(application)
    _add_probes(application, registry)
    record: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: field.schema for field in definition.fields},
        "required": [field.name for field in definition.fields],
    }

    @application.get(
        f"/{definition.collection}",
        summary="A page of records, in the order of their identifiers",
        operation_id="list",
        responses=_responses({"type": "array", "items": record}, 422, 503),
    )
    def page(
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    ) -> JSONResponse:
        return JSONResponse(registry.page(limit, offset))

    @application.get(
        f"/{definition.collection}/{{identifier}}",
        summary="One record",
        operation_id="read",
        responses=_responses(record, 404, 422, 503),
    )
    def one(identifier: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]) -> JSONResponse:
        row = registry.find(identifier)
        if row is None:
            raise HTTPException(404, "no such record")
        return JSONResponse(row)

    return application


def _responses(schema: dict[str, Any], *problems: int) -> dict[int | str, dict[str, Any]]:
    """The answers of an operation, as its description names them."""
    words = {404: "No such record", 422: "The request can't be understood", 503: "The registry can't be read"}
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": "Found", "content": {"application/json": {"schema": schema}}}
    }
    for status in problems:
        answers[status] = {
            "description": words[status],
            "content": {"application/problem+json": {"schema": _PROBLEM}},
        }
    return answers


def _note_requests(application: FastAPI, definition: Definition) -> None:
    @application.middleware("http")
    async def note(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        """Log who asked which collection, never which record: identifiers are personal data."""
        started = time.monotonic()
        response = await call(request)
        if request.url.path not in PROBES:
            facts = {
                "client": request.headers.get("x-road-client", ""),
                "message": request.headers.get("x-road-id", ""),
                "collection": definition.collection,
                "method": request.method,
                "status": response.status_code,
                "milliseconds": round((time.monotonic() - started) * 1000),
            }
            log.info("request", extra={"facts": facts})
        return response


def _answer_with_problems(application: FastAPI) -> None:
    """Errors are problem details (RFC 9457); none quotes the request or the database."""

    def problem(status: int, title: str) -> JSONResponse:
        body = {"type": "about:blank", "title": title, "status": status}
        return JSONResponse(body, status, media_type="application/problem+json")

    @application.exception_handler(AnyHTTPException)
    async def refused(_: Request, error: AnyHTTPException) -> JSONResponse:
        return problem(error.status_code, error.detail)

    @application.exception_handler(RequestValidationError)
    async def misunderstood(_: Request, error: RequestValidationError) -> JSONResponse:
        names = {str(item["loc"][-1]) for item in error.errors()}
        return problem(422, f"not acceptable: {', '.join(sorted(names))}")

    @application.exception_handler(psycopg.Error)
    async def unreadable(_: Request, error: psycopg.Error) -> JSONResponse:
        log.error("the registry can't be read", extra={"facts": {"error": type(error).__name__}})
        return problem(503, "the registry can't be read")


def _add_probes(application: FastAPI, registry: Registry) -> None:
    @application.get("/healthz", include_in_schema=False)
    async def healthy() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @application.get("/readyz", include_in_schema=False)
    def ready() -> dict[str, str]:
        """Whether records can be read."""
        registry.page(1, 0)
        return {"status": "ok"}
