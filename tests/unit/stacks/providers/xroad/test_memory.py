"""Answers are remembered only where that was asked for, and only until the next write."""

from __future__ import annotations

import asyncio
import ssl

import httpx
import pytest

from stacks.providers.xroad.endpoint import Endpoint
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.memory import Memory, remembered
from stacks.providers.xroad.transport import AdminConnection, Pace


class Server:
    """Answers with how often it was asked; remembers by what."""

    def __init__(self, memory: Memory, status: int = 200) -> None:
        self.seen: list[str] = []
        self.status = status
        self.connection = AdminConnection(
            Endpoint(address="127.0.0.1", name=f"server{id(self)}", port=4000),
            lambda: "key",
            ssl.create_default_context(),
            transport=httpx.MockTransport(self.answer),
            pace=Pace(per_second=1000, per_minute=60_000),
            memory=memory,
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request.method)
        return httpx.Response(self.status, json=len(self.seen))


def test_a_wait_asks_every_time() -> None:
    """Nothing is remembered unless it was asked for."""

    async def work() -> None:
        server = Server(Memory())
        assert [await server.connection.get("/a") for _ in range(3)] == [1, 2, 3]

    asyncio.run(work())


def test_a_look_asks_once() -> None:
    """Those who ask at the same time wait for one request; another question is another request."""

    async def work() -> None:
        server = Server(Memory())
        with remembered():
            assert await asyncio.gather(*(server.connection.get("/a") for _ in range(5))) == [1] * 5
            assert await server.connection.get("/a") == 1
            assert await server.connection.get("/a", page="2") == 2

    asyncio.run(work())


def test_a_write_to_any_server_is_the_end_of_it() -> None:
    """What the central server is told changes what security servers answer."""

    async def work() -> None:
        memory = Memory()
        one, other = Server(memory), Server(memory)
        with remembered():
            assert await one.connection.get("/a") == 1
            await other.connection.send("PUT", "/b")
            assert await one.connection.get("/a") == 2

    asyncio.run(work())


def test_a_failure_is_not_remembered() -> None:
    """All who wait hear of it; the next one asks again."""

    async def work() -> None:
        server = Server(Memory(), status=404)
        with remembered():
            for _ in range(2):
                with pytest.raises(ApiError):
                    await server.connection.get("/a")
            await asyncio.sleep(0)
        assert len(server.seen) == 2

    asyncio.run(work())
