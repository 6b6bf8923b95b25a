"""The error model of both admin APIs: one body, one header, for every refusal.

Body: `{"status", "error": {"code", "metadata", "validation_errors"}, "warnings"}`
(common-openapi-definition.yaml). The codes are X-Road's own.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CORRELATION_HEADER = "x-road-ui-correlation-id"


class ApiError(Exception):
    """A refusal with X-Road's error code; `metadata` names the objects it is about."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        metadata: Sequence[str] = (),
        *,
        validation_errors: dict[str, list[str]] | None = None,
        warnings: Sequence[tuple[str, Sequence[str]]] = (),
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.metadata = tuple(metadata)
        self.validation_errors = validation_errors
        self.warnings = tuple(warnings)

    def body(self) -> dict[str, Any]:
        """The error as the API sends it."""
        error: dict[str, Any] = {"code": self.code}
        if self.metadata:
            error["metadata"] = list(self.metadata)
        if self.validation_errors:
            error["validation_errors"] = self.validation_errors
        body: dict[str, Any] = {"status": int(self.status), "error": error}
        if self.warnings:
            body["warnings"] = [{"code": code, "metadata": list(metadata)} for code, metadata in self.warnings]
        return body


def bad_request(code: str, *metadata: str) -> ApiError:
    """400 with a code."""
    return ApiError(HTTPStatus.BAD_REQUEST, code, metadata)


def not_found(code: str, *metadata: str) -> ApiError:
    """404 with a code."""
    return ApiError(HTTPStatus.NOT_FOUND, code, metadata)


def conflict(code: str, *metadata: str) -> ApiError:
    """409 with a code: the object is there already, or its state forbids the change."""
    return ApiError(HTTPStatus.CONFLICT, code, metadata)


def internal_error(code: str, *metadata: str) -> ApiError:
    """500 with a code."""
    return ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, code, metadata)


def warnings_detected(*warnings: tuple[str, Sequence[str]]) -> ApiError:
    """400 that the caller may answer by sending the request again with `ignore_warnings`."""
    return ApiError(HTTPStatus.BAD_REQUEST, "warnings_detected", warnings=warnings)


def validation_failure(field: str, *problems: str) -> ApiError:
    """400 about one field of the request."""
    return ApiError(HTTPStatus.BAD_REQUEST, "validation_failure", validation_errors={field: list(problems)})


def _api_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body(), status_code=int(error.status))


def _invalid_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields: dict[str, list[str]] = {}
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"][1:]) or str(problem["loc"][0])
        fields.setdefault(name, []).append(str(problem["type"]))
    return _api_error(
        _,
        ApiError(HTTPStatus.BAD_REQUEST, "validation_failure", validation_errors=fields),
    )


def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"status": error.status_code}, status_code=error.status_code, headers=error.headers)


def _unexpected(_: Request, error: Exception) -> JSONResponse:
    body = {"status": 500, "error": {"code": "generic_error", "metadata": [type(error).__name__]}}
    return JSONResponse(body, status_code=500)


class CorrelationMiddleware:
    """Puts a fresh correlation id into every reply, as operators grep for it in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        header = (CORRELATION_HEADER.encode(), secrets.token_hex(8).encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        await self.app(scope, receive, send_with_id)


def install(app: FastAPI) -> None:
    """Give an application X-Road's error model."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(CorrelationMiddleware)
