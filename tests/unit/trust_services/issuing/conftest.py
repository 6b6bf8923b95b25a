"""A record in a throw-away PostgreSQL, and a service over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from tests import postgresql_server
from tests.postgresql_server import Server
from tests.unit.trust_services.issuing.ordering import Memory, authority

from trust_services.issuing.migrating import migrate
from trust_services.issuing.orders import Order
from trust_services.issuing.record import Record
from trust_services.issuing.service import Service
from trust_services.issuing.signing import Authority

DATABASE, OWNER, ACCOUNT = "issuing", "issuing_owner", "issuing_service"


@dataclass(frozen=True)
class Place:
    """An empty record, and the accounts that reach it."""

    server: Server

    def superuser(self) -> psycopg.Connection[Any]:
        """Who could change anything."""
        return self.server.connect(DATABASE, autocommit=True)

    def owner(self) -> psycopg.Connection[Any]:
        """Who made the tables."""
        return self.server.connect(DATABASE, OWNER, autocommit=True)

    def connect(self) -> psycopg.Connection[Any]:
        """The service's account."""
        return self.server.connect(DATABASE, ACCOUNT, autocommit=True)

    @property
    def text(self) -> str:
        """How the service's account connects, in libpq's form."""
        return f"host={self.server.folder} dbname={DATABASE} user={ACCOUNT}"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self.superuser() as connection:
            return connection.execute(query).fetchall()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A throw-away server."""
    with postgresql_server.running("postgres") as started:
        if started is None:
            pytest.skip("PostgreSQL isn't installed: apt-get install postgresql")
        with started.connect(autocommit=True) as administrator:
            administrator.execute(f"CREATE ROLE {OWNER} LOGIN")
            administrator.execute(f"CREATE ROLE {ACCOUNT} LOGIN")
        yield started


@pytest.fixture
def bare(server: Server) -> Place:
    """A database without tables."""
    server.make_anew(DATABASE)
    place = Place(server)
    with place.superuser() as connection:
        connection.execute(f"GRANT CREATE ON DATABASE {DATABASE} TO {OWNER}")
    return place


@pytest.fixture
def place(bare: Place) -> Place:
    """An empty record."""
    with bare.owner() as connection:
        migrate(connection, ACCOUNT)
    return bare


@pytest.fixture
def record(place: Place) -> Iterator[Record]:
    """The record, as a worker sees it."""
    with place.connect() as connection:
        found = Record(connection)
        found.enlist()
        yield found


@pytest.fixture
def holder() -> Memory:
    """The issuing key, without a token."""
    return Memory(authority().key)


@pytest.fixture
def make_service(place: Place, holder: Memory) -> Iterator[Callable[..., Service]]:
    """Makes services over the record, started; stops them afterwards."""
    made: list[Service] = []

    def make(expects: Callable[[Order], bool] = lambda _: True, **more: Any) -> Service:
        service = Service(Authority(authority().terms(), holder), place.connect, expects, **more)
        service.start()
        made.append(service)
        return service

    yield make
    for service in made:
        service.stop()


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    """A service that expects every order."""
    return make_service()
