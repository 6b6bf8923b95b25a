"""What a citizen sees."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.portal.conftest import Exchange

from event_lines import Lines

FORM = "/fr/services/birth-records/"


@pytest.fixture
def browser() -> Any:
    """A visitor over TLS, as the load balancer passes them on."""
    from django.test import Client

    return Client(
        enforce_csrf_checks=False,
        headers={"Host": "portal.test", "X-Forwarded-Proto": "https"},
    )


def test_the_first_page_is_french_and_lists_every_service(browser: Any) -> None:
    """The root leads to French; English is one link away."""
    assert browser.get("/", follow=False).headers["Location"] == "/fr/"
    page = browser.get("/fr/").content.decode()

    assert '<html lang="fr">' in page
    assert "Acte de naissance" in page
    assert "État civil" in page
    assert 'href="/en/"' in page


def test_english_pages_have_english_texts(browser: Any) -> None:
    """The catalogue of translations is compiled and used."""
    page = browser.get("/en/").content.decode()

    assert "What do you need?" in page
    assert "Birth record" in page
    assert "Civil registry" in page


def test_a_request_travels_to_the_registry_and_back(browser: Any, exchange: Exchange) -> None:
    """The X-Road path, client and message number are right, and the record is shown with labels."""
    page = browser.post(FORM, {"identifier": " BJ-2024-000001 "})
    text = page.content.decode()
    (request,) = exchange.requests

    assert page.status_code == 200
    assert str(request.url) == (
        "https://security-server.test/r1/BJ-TEST/GOV/CIVILREG/REGISTRY/birth-records/BJ-2024-000001"
    )
    assert request.headers["X-Road-Client"] == "BJ-TEST/GOV/DIGITAL/PORTAL"
    assert request.headers["X-Road-Id"] in text
    assert "Dossou" in text
    assert "Date de naissance" in text
    assert "1 mai 1990" in text


@pytest.mark.parametrize(
    ("response", "status", "words"),
    [
        (httpx.Response(404), 404, "Aucun dossier ne porte ce numéro"),
        (
            httpx.Response(500, headers={"X-Road-Error": "Server.ServerProxy.AccessDenied"}),
            403,
            "n’est pas autorisée",
        ),
        (
            httpx.Response(500, headers={"X-Road-Error": "Server.ClientProxy.NetworkError"}, text="secret"),
            502,
            "ne répond pas",
        ),
        (httpx.Response(200, text="<html>"), 502, "ne répond pas"),
        (httpx.Response(200, json=[1]), 502, "ne répond pas"),
    ],
)
def test_failures_are_sentences(
    browser: Any, exchange: Exchange, response: httpx.Response, status: int, words: str
) -> None:
    """Each failure has its own words and status; nothing of the inside is shown."""
    exchange.answer = lambda _: response
    page = browser.post(FORM, {"identifier": "X1"})
    text = page.content.decode()

    assert page.status_code == status
    assert words in text
    assert "secret" not in text
    assert "NetworkError" not in text


def test_an_unreachable_security_server_is_said(browser: Any, exchange: Exchange) -> None:
    """A broken connection isn't a server error of the portal."""

    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    exchange.answer = broken

    assert browser.post(FORM, {"identifier": "X1"}).status_code == 502


@pytest.mark.parametrize("identifier", ["", "a b", "../etc", "<script>", "x" * 65, "é"])
def test_bad_identifiers_never_leave_the_portal(browser: Any, exchange: Exchange, identifier: str) -> None:
    """They are refused on the form."""
    page = browser.post(FORM, {"identifier": identifier})

    assert page.status_code == 400
    assert exchange.requests == []
    assert "<script>" not in page.content.decode()


def test_questions_are_remembered_without_identifier_or_record(browser: Any, exchange: Exchange) -> None:
    """The visitor sees what was asked; what was answered isn't kept."""
    browser.post(FORM, {"identifier": "BJ-2024-000001"})
    page = browser.get("/fr/demandes/").content.decode()

    assert "Acte de naissance" in page
    assert exchange.requests[0].headers["X-Road-Id"] in page
    assert "BJ-2024-000001" not in page
    assert "Dossou" not in page


def test_the_log_holds_no_identifier_and_no_record(
    browser: Any, exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the portal's own entry, nor in the HTTP client's."""
    browser.post(FORM, {"identifier": "BJ-2024-000001"})
    lines = "\n".join(Lines().format(record) for record in caplog.records)

    assert exchange.requests[0].headers["X-Road-Id"] in lines
    assert "BJ-2024-000001" not in lines
    assert "Dossou" not in lines


def test_nothing_is_asked_that_cannot_be_recorded(
    browser: Any, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the database away the visitor reads so, and no registry is asked."""
    from django.db import OperationalError

    from portal.models import Question

    def away(**_: object) -> None:
        raise OperationalError("password authentication failed")

    monkeypatch.setattr(Question.objects, "create", away)
    page = browser.post(FORM, {"identifier": "BJ-2024-000001"})

    assert page.status_code == 503
    assert "ne peut pas enregistrer" in page.content.decode()
    assert "password" not in page.content.decode()
    assert exchange.requests == []


def test_an_answer_is_shown_even_if_its_end_cannot_be_kept(
    browser: Any, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it was asked is kept already."""
    from django.db import OperationalError

    from portal.models import Question

    def away(*_: object, **__: object) -> None:
        raise OperationalError

    def lose_database(request: httpx.Request) -> httpx.Response:
        monkeypatch.setattr(Question, "save", away)
        return httpx.Response(200, json={"number": "BJ-2024-000001"})

    exchange.answer = lose_database

    assert browser.post(FORM, {"identifier": "BJ-2024-000001"}).status_code == 200


def test_the_unreachable_administration_is_named_and_nothing_typed_is_lost(
    browser: Any, exchange: Exchange
) -> None:
    """The form still holds the number."""
    exchange.answer = lambda _: httpx.Response(503)
    page = browser.post(FORM, {"identifier": "BJ-2024-000042"}).content.decode()

    assert "Administration concernée : État civil" in page
    assert 'value="BJ-2024-000042"' in page


def test_records_are_escaped(browser: Any, exchange: Exchange) -> None:
    """A registry can't put markup on the page, by a value or by a field's name."""
    exchange.answer = lambda _: httpx.Response(200, json={"<b>name</b>": "<script>alert(1)</script>"})
    page = browser.post(FORM, {"identifier": "X1"}).content.decode()

    assert "<script" not in page
    assert "<b>" not in page


def test_another_visitor_sees_nothing_of_it(browser: Any, exchange: Exchange) -> None:
    """Histories belong to one visit."""
    from django.test import Client

    browser.post(FORM, {"identifier": "BJ-2024-000001"})
    other = Client(headers={"Host": "portal.test", "X-Forwarded-Proto": "https"})

    assert exchange.requests[0].headers["X-Road-Id"] not in other.get("/fr/demandes/").content.decode()


def test_forged_requests_are_refused() -> None:
    """A post without the page's token is refused."""
    from django.test import Client

    client = Client(enforce_csrf_checks=True, headers={"Host": "portal.test", "X-Forwarded-Proto": "https"})

    page = client.post(FORM, {"identifier": "X1"})

    assert page.status_code == 403
    assert "Formulaire expiré" in page.content.decode()


def test_oversized_forms_are_refused(browser: Any, exchange: Exchange) -> None:
    """A form holds one number."""
    page = browser.post(FORM, {"identifier": "X1", "more": "x" * 20_000})

    assert page.status_code == 400
    assert "Demande incomprise" in page.content.decode()
    assert exchange.requests == []


def test_an_error_of_the_portal_shows_no_cause(
    browser: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The page says sorry; the log names kind and place."""
    from portal import views

    def failing(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(views, "offers", failing)
    browser.raise_request_exception = False
    page = browser.get("/fr/")
    lines = [Lines().format(record) for record in caplog.records if record.exc_info]

    assert page.status_code == 500
    assert "Service interrompu" in page.content.decode()
    assert "secret" not in page.content.decode() + str(lines)
    assert json.loads(lines[0])["error"] == "RuntimeError"


def test_a_foreign_host_name_is_refused(browser: Any) -> None:
    """Links can't be made to lead elsewhere."""
    page = browser.get("/fr/", headers={"Host": "elsewhere.test"})

    assert page.status_code == 400
    assert "Demande incomprise" in page.content.decode()


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("/fr/services/birth-records/", "/en/services/birth-records/"),
        ("/en/demandes/", "/fr/demandes/"),
        ("/fr/unheard-of/", "/en/"),
    ],
)
def test_the_language_changes_on_the_same_page(browser: Any, path: str, other: str) -> None:
    """Nobody is thrown back to the first page."""
    assert f'href="{other}"' in browser.get(path).content.decode()


def test_headers_protect_the_visitor(browser: Any) -> None:
    """No scripts, no frames, no caching of answers."""
    headers = browser.get("/fr/").headers

    assert "script-src" not in headers["Content-Security-Policy"]
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert headers["Referrer-Policy"] == "same-origin"


def test_cookies_are_closed(browser: Any, exchange: Exchange) -> None:
    """Neither scripts nor plain HTTP can read them."""
    browser.get(FORM)
    browser.post(FORM, {"identifier": "X1"})

    assert {"csrftoken", "sessionid"} == set(browser.cookies)
    for cookie in browser.cookies.values():
        assert cookie["httponly"]
        assert cookie["secure"]
        assert cookie["samesite"] == "Lax"


def test_static_files_are_served_with_the_page(browser: Any) -> None:
    """The style's address changes with its content."""
    (address,) = re.findall(r'href="(/static/portal/style\.css\?\w{12})"', browser.get("/fr/").content.decode())

    assert address


def test_unknown_pages_and_services_are_404(browser: Any) -> None:
    """With a page of the portal, in the visitor's language."""
    page = browser.get("/fr/services/unheard-of/")

    assert page.status_code == 404
    assert "Page introuvable" in page.content.decode()


def test_first_page_is_small(browser: Any) -> None:
    """Page and style together stay far below 150 kB."""
    import portal

    style = Path(portal.__file__).parent / "static/portal/style.css"

    assert len(browser.get("/fr/").content) + style.stat().st_size < 20_000


def test_probes_answer(browser: Any) -> None:
    """Liveness without, readiness with the database."""
    assert browser.get("/healthz").status_code == 200
    assert browser.get("/readyz").status_code == 200


def test_no_migration_is_missing() -> None:
    """Models and migrations agree."""
    from django.core.management import call_command

    call_command("makemigrations", "portal", check=True, dry_run=True, verbosity=0)
