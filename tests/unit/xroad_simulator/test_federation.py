"""Messages through a whole federation: rights, refusals, restarts, signatures."""

from __future__ import annotations

import base64
import hashlib
import sqlite3
import time
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.unit.xroad_simulator.conftest import Federation


def test_message_without_a_right_is_denied(federation: Federation) -> None:
    federation.take()
    time.sleep(1.2)
    response = federation.message()
    assert response.status_code == 500
    assert response.headers["X-Road-Error"] == "Server.ServerProxy.AccessDenied"
    assert set(response.json()) == {"type", "message", "detail"}


def test_message_with_a_right(federation: Federation) -> None:
    federation.give()
    time.sleep(1.2)
    response = federation.message("/123?full=true", headers={"X-Road-Id": "a-message"})
    assert response.status_code == 200, response.text
    assert response.json() == {"path": "/birth-records/123?full=true"}
    assert response.headers["X-Road-Id"] == "a-message"
    assert response.headers["X-Road-Service"] == "TEST/GOV/CIVIL/REGISTRY/birth-records"
    assert base64.b64decode(response.headers["X-Road-Request-Hash"])
