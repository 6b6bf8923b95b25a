"""Failures of the admin APIs, with what an operator needs to find them in a server's log."""

from __future__ import annotations

from typing import Any

import httpx

from stacks.providers.serving import ProviderError

CORRELATION_HEADER = "x-road-ui-correlation-id"
WARNINGS_DETECTED = "warnings_detected"
"""The API asks to repeat a request with `ignore_warnings`."""


class UnreachableError(ProviderError):
    """No usable answer from a server before the deadline."""


class ApiError(ProviderError):
    """An admin API refused a request."""

    def __init__(self, request: str, status: int, body: Any, correlation: str | None) -> None:
        document = body if isinstance(body, dict) else {}
        error = document.get("error") or {}
        self.status = status
        self.code: str | None = error.get("code")
        self.metadata: tuple[str, ...] = tuple(str(item) for item in error.get("metadata") or ())
        self.validation: dict[str, list[str]] = error.get("validation_errors") or {}
        self.warnings: tuple[str, ...] = tuple(
            " ".join([warning.get("code", ""), *map(str, warning.get("metadata") or ())])
            for warning in document.get("warnings") or ()
        )
        self.correlation = correlation
        super().__init__(self._sentence(request))

    @classmethod
    def of(cls, response: httpx.Response) -> ApiError:
        """The error that a response carries."""
        try:
            body: Any = response.json()
        except ValueError:
            body = None
        request = f"{response.request.method} {response.request.url}"
        return cls(request, response.status_code, body, response.headers.get(CORRELATION_HEADER))

    def _sentence(self, request: str) -> str:
        parts = [f"{request} answered {self.status} {self.code or ''}".rstrip()]
        if self.metadata:
            parts.append(", ".join(self.metadata))
        parts.extend(f"{field}: {', '.join(codes)}" for field, codes in self.validation.items())
        if self.warnings:
            parts.append(f"warnings: {'; '.join(self.warnings)}")
        if self.status in {401, 403}:
            parts.append("its API key isn't accepted or lacks a role: apply the stage `exchange` again")
        if self.correlation:
            parts.append(f"correlation id {self.correlation}")
        return "; ".join(parts)
