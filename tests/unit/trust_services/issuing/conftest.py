"""A service over a record in a throw-away PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.trust_services.conftest import Place
from tests.unit.trust_services.issuing.ordering import Memory, authority

from trust_services.issuing.orders import Order
from trust_services.issuing.service import Service
from trust_services.issuing.signing import Authority


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
