"""Django set up once, with a database in memory and a catalogue of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import django
import httpx
import pytest

CATALOGUE = {
    "services": [
        {
            "collection": "birth-records",
            "provider": "BJ-TEST/GOV/CIVILREG/REGISTRY/birth-records",
            "administration": {"fr": "État civil", "en": "Civil registry"},
            "example": "BJ-2024-000001",
        },
        {
            "collection": "diplomas",
            "provider": "BJ-TEST/GOV/EDUCATION/REGISTRY/diplomas",
            "administration": {"fr": "Éducation", "en": "Education"},
            "example": "BAC-000001",
        },
    ]
}


@pytest.fixture(scope="session", autouse=True)
def _django(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("portal")
    (folder / "key").write_text("only-for-tests")
    (folder / "catalogue.json").write_text(json.dumps(CATALOGUE))
    os.environ |= {
        "PORTAL_KEY_FILE": str(folder / "key"),
        "PORTAL_HOST": "portal.test",
        "DATABASE_PASSWORD_FILE": str(folder / "key"),
        "CATALOGUE_FILE": str(folder / "catalogue.json"),
        "XROAD_URL": "https://security-server.test",
        "XROAD_CLIENT": "BJ-TEST/GOV/DIGITAL/PORTAL",
        "DJANGO_SETTINGS_MODULE": "portal.settings",
    }
    from django.conf import settings

    settings.DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
    settings.SECURE_SSL_REDIRECT = False
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


class Exchange:
    """Plays the security server: remembers requests and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(
            200, json={"number": "BJ-2024-000001", "family_name": "Dossou", "born_on": "1990-05-01"}
        )

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer and remember."""
        self.requests.append(request)
        return self.answer(request)


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exchange]:
    """The portal's security server."""
    from portal import exchange as module

    played = Exchange()
    client = httpx.Client(transport=httpx.MockTransport(played))
    monkeypatch.setattr(module, "_client", lambda: client)
    yield played
    client.close()
