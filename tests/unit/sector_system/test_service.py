"""One service for eight sectors."""

from __future__ import annotations

import json
import logging
import sys
from datetime import date
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from openapi_core import OpenAPI

from estate import load as load_site
from event_lines import Lines
from sector_system.definition import Definition, load, sectors
from sector_system.sample import ROWS, records
from sector_system.service import service
from sector_system.settings import Settings


class Memory:
    """A registry without a database."""

    def __init__(self, definition: Definition) -> None:
        self.rows = [definition.plain(row) for row in records(definition)]
        self.key = definition.identifier
        self.up = True

    def find(self, identifier: str) -> dict[str, Any] | None:
        """The record with this identifier, if there is one."""
        self._require()
        return next((row for row in self.rows if row[self.key] == identifier), None)

    def page(self, limit: int, offset: int) -> list[dict[str, Any]]:
        """Records in their order."""
        self._require()
        return self.rows[offset : offset + limit]

    def _require(self) -> None:
        if not self.up:
            raise psycopg.OperationalError("connection to BJ-2024-000001 refused")


@pytest.fixture(params=sectors())
def definition(request: pytest.FixtureRequest) -> Definition:
    """Each sector in turn."""
    return load(request.param)


@pytest.fixture
def memory(definition: Definition) -> Memory:
    """Its records."""
    return Memory(definition)


@pytest.fixture
def client(definition: Definition, memory: Memory) -> TestClient:
    """Its service."""
    return TestClient(service(definition, memory))


def test_sectors_are_those_of_the_estate() -> None:
    """The estate's example of each sector is a record of the sample data."""
    for sector in load_site("lab").sectors:
        definition = load(sector.name)

        assert definition.collection == sector.collection
        assert Memory(definition).find(sector.example) is not None


def test_records_are_the_same_on_every_run(definition: Definition) -> None:
    """A fixed seed: two labs hold the same, and identifiers are unique."""
    first, second = list(records(definition)), list(records(definition))

    assert first == second
    assert len({row[definition.identifier] for row in first}) == ROWS


def test_values_are_of_their_fields_types(definition: Definition) -> None:
    """Text, whole numbers and dates, none missing."""
    types = {"string": str, "integer": int, "date": date}
    for row in records(definition):
        assert {name: type(value) for name, value in row.items()} == {
            field.name: types[field.type] for field in definition.fields
        }


def test_people_are_consistent() -> None:
    """A child bears its father's name, is registered after its birth, and nobody earns more net than gross."""
    for row in records(load("civil-registry")):
        assert row["father"].split()[0] == row["family_name"] != row["mother"].split()[0]
        assert row["born_on"] < row["registered_on"] <= date(2024, 12, 31)
    assert all(row["net_francs"] < row["gross_francs"] for row in records(load("payroll")))


def test_a_record_is_found_by_its_identifier(
    client: TestClient, definition: Definition, memory: Memory
) -> None:
    """With every field that the description promises."""
    expected = memory.rows[7]
    answer = client.get(f"/{definition.collection}/{expected[definition.identifier]}")

    assert answer.status_code == 200
    assert answer.json() == expected


def test_unknown_identifier_is_a_problem(client: TestClient, definition: Definition) -> None:
    """404 as problem details (RFC 9457)."""
    answer = client.get(f"/{definition.collection}/none")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"type": "about:blank", "title": "no such record", "status": 404}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "offset=-1", "limit=x"])
def test_paging_has_bounds(client: TestClient, definition: Definition, query: str) -> None:
    """Nobody reads the whole registry in one request."""
    answer = client.get(f"/{definition.collection}?{query}")

    assert answer.status_code == 422
    assert answer.json()["title"] == f"not acceptable: {query.partition('=')[0]}"


def test_pages_follow_one_another(client: TestClient, definition: Definition, memory: Memory) -> None:
    """`offset` continues where `limit` stopped."""
    assert client.get(f"/{definition.collection}?limit=3&offset=2").json() == memory.rows[2:5]


@pytest.mark.parametrize("identifier", ["%00", "a%20b", "x" * 65, "'; DROP TABLE birth_records; --"])
def test_impossible_identifiers_never_reach_the_database(
    client: TestClient, definition: Definition, memory: Memory, identifier: str
) -> None:
    """They are refused by their shape, and not repeated in the answer."""
    memory.up = False
    answer = client.get(f"/{definition.collection}/{identifier}")

    assert answer.status_code == 422
    assert answer.json()["title"] == "not acceptable: identifier"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/none", 404), ("DELETE", "/", 404)])
def test_every_error_is_a_problem(client: TestClient, method: str, path: str, status: int) -> None:
    """Also those that the framework answers."""
    answer = client.request(method, path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_records_are_read_only(client: TestClient, definition: Definition) -> None:
    """Nothing can be written."""
    assert client.put(f"/{definition.collection}/x").status_code == 405


def test_description_names_every_field(client: TestClient, definition: Definition) -> None:
    """OpenAPI 3 with the record's schema."""
    document = client.get("/openapi.json").json()
    operation = document["paths"][f"/{definition.collection}/{{identifier}}"]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]

    assert document["openapi"].startswith("3.")
    assert list(schema["properties"]) == [field.name for field in definition.fields]
    assert set(operation["responses"]) == {"200", "404", "422", "503"}
    OpenAPI.from_dict(document)


def test_readiness_follows_the_database(client: TestClient, memory: Memory) -> None:
    """Alive but not ready while the database is away."""
    memory.up = False

    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_a_lost_database_is_said_without_its_words(
    client: TestClient, definition: Definition, memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the answer nor the log quotes the database's error."""
    memory.up = False
    answer = client.get(f"/{definition.collection}/X1")

    assert answer.json() == {"type": "about:blank", "title": "the registry can't be read", "status": 503}
    assert "BJ-2024-000001" not in answer.text + caplog.text


def test_log_names_the_client_and_no_record(
    client: TestClient, definition: Definition, memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    """Who asked which collection; never which person."""
    caplog.set_level(logging.INFO, "sector_system")
    identifier = memory.rows[0][definition.identifier]
    client.get(
        f"/{definition.collection}/{identifier}", headers={"X-Road-Client": "BJ/GOV/X/Y", "X-Road-Id": "7"}
    )
    (line,) = [Lines().format(record) for record in caplog.records if record.name == "sector_system"]
    entry = json.loads(line)

    assert (entry["client"], entry["message"], entry["status"]) == ("BJ/GOV/X/Y", "7", 200)
    assert identifier not in line


def test_missing_settings_are_named() -> None:
    """The container stops with what to set."""
    with pytest.raises(SystemExit, match="set SECTOR, DATABASE_HOST"):
        Settings.read({})


def test_errors_are_logged_by_kind_and_place() -> None:
    """Their words may quote a record."""
    try:
        int("Dossou")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", None, sys.exc_info())
    entry = json.loads(Lines().format(record))

    assert entry["error"] == "ValueError"
    assert "test_service.py" in entry["place"]
    assert "Dossou" not in str(entry)
