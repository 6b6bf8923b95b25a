"""The REST service over a sector's registry."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from sector_system.database import Registry
from sector_system.definition import Definition

log = logging.getLogger("sector_system")


def service(definition: Definition, registry: Registry) -> FastAPI:
    """The application that serves a sector's records from `registry`."""
    application = FastAPI(title=definition.title, version="1.0.0", docs_url=None, redoc_url=None)
    record: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: field.schema for field in definition.fields},
        "required": [field.name for field in definition.fields],
    }
    found = {200: {"description": "The record", "content": {"application/json": {"schema": record}}}}
    many = {"type": "array", "items": record}
    listed = {200: {"description": "Records", "content": {"application/json": {"schema": many}}}}

    @application.middleware("http")
    async def note(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        """Log who asked which collection, never which record: identifiers are personal data."""
        started = time.monotonic()
        response = await call(request)
        if not request.url.path.endswith("z"):
            log.info(
                json.dumps(
                    {
                        "client": request.headers.get("x-road-client", ""),
                        "message": request.headers.get("x-road-id", ""),
                        "collection": definition.collection,
                        "status": response.status_code,
                        "milliseconds": round((time.monotonic() - started) * 1000),
                    }
                )
            )
        return response

    @application.exception_handler(HTTPException)
    async def problem(_: Request, error: HTTPException) -> JSONResponse:
        """Errors as problem details (RFC 9457)."""
        return JSONResponse(
            {"type": "about:blank", "title": error.detail, "status": error.status_code},
            error.status_code,
            media_type="application/problem+json",
        )

    @application.get("/healthz", include_in_schema=False)
    def healthy() -> dict[str, str]:
        return {"status": "ok"}

    @application.get("/readyz", include_in_schema=False)
    def ready() -> dict[str, str]:
        if not registry.ready():
            raise HTTPException(503, "the database can't be read")
        return {"status": "ok"}

    @application.get(f"/{definition.collection}", responses=listed)  # type: ignore[arg-type]
    def page(
        limit: Annotated[int, Query(ge=1, le=100)] = 20, offset: Annotated[int, Query(ge=0)] = 0
    ) -> JSONResponse:
        return JSONResponse(registry.page(limit, offset))

    @application.get(f"/{definition.collection}/{{identifier}}", responses=found)  # type: ignore[arg-type]
    def one(identifier: Annotated[str, Path(max_length=64)]) -> JSONResponse:
        row = registry.find(identifier)
        if row is None:
            raise HTTPException(404, "no such record")
        return JSONResponse(row)

    return application
