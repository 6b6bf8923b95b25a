"""What assistive programs rely on, on every kind of page."""

from __future__ import annotations

import itertools
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.unit.portal.conftest import Exchange

FORM = "/fr/services/birth-records/"


class Page(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag."""
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each tag of this name."""
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(params=["home", "form", "invalid", "answer", "history", "missing"])
def page(request: pytest.FixtureRequest, exchange: Exchange) -> Page:
    """Each kind of page in turn."""
    from django.test import Client

    browser: Any = Client(headers={"Host": "portal.test", "X-Forwarded-Proto": "https"})
    asked = {"identifier": "BJ-2024-000001"}
    match request.param:
        case "home":
            response = browser.get("/fr/")
        case "form":
            response = browser.get(FORM)
        case "invalid":
            response = browser.post(FORM, {"identifier": "a b"})
        case "answer":
            response = browser.post(FORM, asked)
        case "history":
            browser.post(FORM, asked)
            response = browser.get("/fr/demandes/")
        case _:
            response = browser.get("/fr/unheard-of/")
    return Page(response.content.decode())


def test_page_has_language_title_and_one_heading(page: Page) -> None:
    """A reader speaks the right language and finds the beginning."""
    assert page.all("html") == [{"lang": "fr"}]
    assert len(page.all("title")) == 1
    assert len(page.all("h1")) == 1


def test_headings_leave_no_step_out(page: Page) -> None:
    """Below the first comes the second level."""
    levels = [int(tag[1]) for tag, _ in page.tags if tag in {"h1", "h2", "h3"}]

    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_the_first_link_skips_to_the_content(page: Page) -> None:
    """For those who go by keyboard."""
    assert page.all("a")[0]["href"] == "#content"
    assert page.all("main")[0]["id"] == "content"


def test_every_input_has_its_label(page: Page) -> None:
    """And what describes it exists."""
    names = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    labelled = {attributes["for"] for attributes in page.all("label")}
    for field in page.all("input"):
        if field["type"] != "hidden":
            assert field["id"] in labelled
            assert set((field["aria-describedby"] or "").split()) <= names


def test_identifiers_are_unique(page: Page) -> None:
    """A label leads to one place."""
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]

    assert len(names) == len(set(names))


def test_no_scripts_and_no_inline_styles(page: Page) -> None:
    """The policy would stop them anyway."""
    assert page.all("script") == []
    assert [tag for tag, attributes in page.tags if "style" in attributes or tag == "style"] == []
