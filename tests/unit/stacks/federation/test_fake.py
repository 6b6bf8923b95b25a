"""The large federation answers as a real one would: by X-Road's definitions, and as what is declared."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from tests.unit.xroad_simulator import definitions

from federation_fake.answers import Answers
from federation_fake.size import Size, arguments
from federation_rig.authority import LocalAuthority
from federation_rig.comparison import differences
from federation_rig.direct import Direct, declared
from stacks.providers.xroad.existing import existing
from stacks.providers.xroad.servers import Servers

SIZE = Size(members=6, servers=2, rights=11)


class Recorded(Answers):
    """Remembers what was asked and answered."""

    seen: list[tuple[str, str, int, bytes]]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        name = "central" if request.headers["Host"].startswith("central:") else "security"
        self.seen.append((name, request.url.path.removeprefix("/api/v1"), answer.status_code, answer.content))
        return answer


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Two servers and six members."""
    LocalAuthority(tmp_path).issue_tls(tmp_path, "timestamp1", [])
    (tmp_path / "key").write_text("unused", encoding="utf-8")
    monkeypatch.setenv("SMARTGOUV_SECRETS", str(tmp_path))
    monkeypatch.setenv("SMARTGOUV_ROOT_CERTIFICATE", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("SMARTGOUV_TIMESTAMPING", str(tmp_path))
    certificates = [(tmp_path / name).read_bytes() for name in ("ca.crt", "timestamp1.crt")]
    fake = Recorded(arguments(SIZE), *certificates)
    fake.seen = []
    return fake


def provider(fake: Recorded, folder: Path) -> Direct:
    return Direct(Servers(arguments(SIZE).settings, LocalAuthority(folder), transport=fake))


def test_it_is_as_declared(fake: Recorded, tmp_path: Path) -> None:
    """Nothing is missing, nothing is too much, and an apply finds all of it: it would be refused any write."""
    resources = declared(arguments(SIZE))
    looking = provider(fake, tmp_path)
    found = looking.run(lambda: existing(looking.servers))
    assert differences(resources, found) == []
    rights = [item.inputs.rights for item in found.resources["AccessRights"].values()]
    assert sum(len(holders) for holders in rights) == SIZE.rights + 1
    applying = provider(fake, tmp_path)
    applying.run(lambda: applying.apply(resources))


def test_a_refresh_asks_each_server_little(fake: Recorded, tmp_path: Path) -> None:
    """For a client its services and their holders, its groups and certificates; for a server a handful."""
    resources = declared(arguments(SIZE))
    refreshing = provider(fake, tmp_path)
    fake.seen.clear()
    assert None not in refreshing.run(lambda: refreshing.refresh(resources)).values()
    security = [path for name, path, _, _ in fake.seen if name == "security"]
    clients, services = SIZE.members, 2 * SIZE.members
    # Initialisation, token, clients, two lists of time stamps; descriptions and certificates of each client.
    assert len(security) <= 5 * SIZE.servers + 2 * clients + services
    central = [path for name, path, _, _ in fake.seen if name == "central"]
    assert len(central) <= 14 + SIZE.members


@pytest.mark.skipif(definitions.ARE_MISSING, reason=definitions.WHY_MISSING)
def test_answers_fit_the_definitions(fake: Recorded, tmp_path: Path) -> None:
    """Each kind of answer that a refresh and a listing get."""
    looking = provider(fake, tmp_path)
    looking.run(lambda: existing(looking.servers))
    told: list[str] = []
    for name, path, status, body in fake.seen:
        told += definitions.problems(definitions.Exchange(name, "GET", path, status, "application/json", body))
    assert not told, "\n".join(sorted(set(told)))


def test_a_write_is_refused(fake: Recorded) -> None:
    """So nothing that a plan does can go unnoticed."""

    async def work() -> int:
        async with httpx.AsyncClient(transport=fake) as client:
            headers = {"Host": "central:4000"}
            return (await client.post("https://central/api/v1/members", headers=headers)).status_code

    assert asyncio.run(work()) == 405
