"""Asks administrations through the portal's own security server (X-Road REST protocol, pr-rest)."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
from django.conf import settings

from portal.catalogue import Offer


class Outcome(Enum):
    """How a question ended. Not an HTTP status: those of the exchange and of the service differ."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    DENIED = "denied"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class Answer:
    """What came back, with the identifier under which both security servers logged the message."""

    outcome: Outcome
    message_id: str
    record: dict[str, Any]
    error: str = ""
    """X-Road's error type, for the log; people get a sentence."""


@cache
def _client() -> httpx.Client:
    context: ssl.SSLContext | bool = True
    if settings.ROOT_CERTIFICATE:
        context = ssl.create_default_context(cafile=settings.ROOT_CERTIFICATE)
    return httpx.Client(verify=context, timeout=settings.XROAD_TIMEOUT_SECONDS)


def ask(offer: Offer, identifier: str, message_id: str) -> Answer:
    """Ask for one record under a message number of ours. Never raises for what comes back, or doesn't."""
    url = f"{settings.XROAD_URL}/r1/{offer.provider}/{quote(identifier, safe='')}"
    headers = {
        "X-Road-Client": settings.XROAD_CLIENT,
        "X-Road-Id": message_id,
        "Accept": "application/json",
    }
    try:
        response = _client().get(url, headers=headers)
    except httpx.HTTPError as error:
        return Answer(Outcome.UNAVAILABLE, message_id, {}, type(error).__name__)
    if error_type := response.headers.get("X-Road-Error", ""):
        denied = error_type.endswith("AccessDenied")
        return Answer(Outcome.DENIED if denied else Outcome.UNAVAILABLE, message_id, {}, error_type)
    if response.status_code == httpx.codes.NOT_FOUND:
        return Answer(Outcome.NOT_FOUND, message_id, {})
    if response.status_code != httpx.codes.OK:
        return Answer(Outcome.UNAVAILABLE, message_id, {}, f"status {response.status_code}")
    try:
        record = response.json()
    except ValueError:
        return Answer(Outcome.UNAVAILABLE, message_id, {}, "not JSON")
    if not isinstance(record, dict):
        return Answer(Outcome.UNAVAILABLE, message_id, {}, "not a record")
    return Answer(Outcome.FOUND, message_id, record)
