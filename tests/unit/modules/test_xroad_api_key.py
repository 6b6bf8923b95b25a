"""What module `xroad_api_key` asks of a server's admin API, and what it keeps on the host."""

from __future__ import annotations

import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from tests.ansible_source import loaded

from xroad_simulator.listeners import make_self_signed

ACCOUNT, PASSWORD = "exchange-admin", "a-long-password"
ROLES = ["XROAD_SECURITY_OFFICER", "XROAD_SYSTEM_ADMINISTRATOR"]


@pytest.fixture(scope="module")
def xroad_api_key() -> ModuleType:
    return loaded("ansible/plugins/modules/xroad_api_key.py")


class Server(ThreadingHTTPServer):
    """An admin API as far as the module asks it."""

    daemon_threads = True

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.numbers: dict[str, int] = {}
        """The number of each key that was made, deleted ones included."""
        self.remembers: list[str] = []
        """Deleted keys that the server's cache still lets in, each once more."""
        self.roles: list[str] = []
        self.starting = 0
        """How many more requests meet a server that is still starting."""
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api/v1"


class Handler(BaseHTTPRequestHandler):
    """One request to it."""

    server: Server

    def _answer(self, status: int, body: object = None) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        self.server.asked.append(f"GET {self.path}")
        if self.server.starting:
            self.server.starting -= 1
            self._answer(503)
            return
        if self.path.endswith("/api-keys"):
            listed = [{"id": self.server.numbers[key], "roles": ROLES} for key in self.server.keys]
            self._answer(200, listed)
            return
        key = (self.headers["Authorization"] or "").removeprefix("X-Road-ApiKey token=")
        if key in self.server.remembers:
            self.server.remembers.remove(key)
            self._answer(200)
            return
        self._answer(200 if key in self.server.keys else 401)

    def do_DELETE(self) -> None:
        number = int(self.path.rpartition("/")[2])
        self.server.asked.append(f"DELETE {number}")
        (key,) = (key for key in self.server.keys if self.server.numbers[key] == number)
        self.server.keys.remove(key)
        self.server.remembers.append(key)
        self._answer(200)

    def do_POST(self) -> None:
        self.server.asked.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        expected = b64encode(f"{ACCOUNT}:{PASSWORD}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {expected}":
            self._answer(401)
            return
        self.server.roles = json.loads(body)
        if "NO_ROLE" in self.server.roles:
            self._answer(400, {"error": {"code": "invalid_role"}})
            return
        key = f"key-{len(self.server.numbers) + 1}"
        self.server.keys.append(key)
        self.server.numbers[key] = 100 + len(self.server.numbers) + 1
        self._answer(200, {"id": self.server.numbers[key], "key": key, "roles": self.server.roles})

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name in the base class
        """Nothing: the tests read `asked`."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield found
        found.shutdown()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "api-key"


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(
    xroad_api_key: ModuleType,
    server: Server,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run the module and give its result."""
    monkeypatch.setattr(xroad_api_key, "_PAUSE_SECONDS", 0.01)

    def once(**changes: Any) -> dict[str, Any]:
        arguments = {
            "url": server.url,
            "account": ACCOUNT,
            "password": PASSWORD,
            "roles": ROLES,
            "path": str(path),
            "deadline_seconds": 5,
            **changes,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            xroad_api_key.main()
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return once


def keep(path: Path, key: str) -> None:
    path.write_text(key)
    path.chmod(0o600)


def test_a_fresh_server_makes_a_key_with_the_roles(server: Server, path: Path, run: Run) -> None:
    made = run()

    assert (made["changed"], made["key"]) == (True, "key-1")
    assert server.roles == ROLES
    assert path.read_text() == "key-1"
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in path.parent.iterdir()) == ["api-key", "api-key.ids"]


def test_a_known_key_stays(server: Server, path: Path, run: Run) -> None:
    """One question is all that an unchanged run asks."""
    server.keys.append("key-1")
    keep(path, "key-1\n")

    made = run()

    assert (made["changed"], made["key"]) == (False, "key-1")
    assert server.asked == ["GET /api/v1/system/version"]


def test_a_key_that_the_server_has_forgotten_is_replaced(path: Path, run: Run) -> None:
    """As after a host was installed anew, or a key was revoked."""
    keep(path, "of another life")

    assert run()["key"] == "key-1"
    assert path.read_text() == "key-1"


def test_a_key_that_others_could_read_is_locked_away(server: Server, path: Path, run: Run) -> None:
    server.keys.append("key-1")
    path.write_text("key-1")
    path.chmod(0o644)

    made = run()

    assert (made["changed"], made["key"]) == (True, "key-1")
    assert path.stat().st_mode & 0o777 == 0o600
    assert server.keys == ["key-1"]


def test_a_starting_server_is_waited_for(server: Server, run: Run) -> None:
    server.starting = 3

    assert run()["key"] == "key-1"


def test_a_silent_server_is_told_with_the_next_step(server: Server, run: Run) -> None:
    server.starting = 10_000

    made = run(deadline_seconds=0)

    assert made["failed"]
    assert "did not answer within 0 s (status 503)" in made["msg"]
    assert "Next: " in made["msg"]


def test_nobody_listening_is_told(run: Run) -> None:
    made = run(url="http://127.0.0.1:1/api/v1", deadline_seconds=0)

    assert made["failed"]
    assert "refused" in made["msg"]


def test_a_wrong_password_is_told_without_it(path: Path, run: Run) -> None:
    made = run(password="something-else")

    assert made["failed"]
    assert f"makes no key for {ACCOUNT} (status 401)" in made["msg"]
    assert "something-else" not in json.dumps(made)
    assert not path.exists()


def test_what_the_server_refuses_is_told(path: Path, run: Run) -> None:
    made = run(roles=["NO_ROLE"])

    assert made["failed"]
    assert "invalid_role" in made["msg"]
    assert not path.exists()


@pytest.mark.parametrize(("kept", "changed"), [("", True), ("key-1", False), ("of another life", True)])
def test_check_mode_predicts_and_makes_nothing(
    server: Server, path: Path, run: Run, kept: str, changed: bool
) -> None:
    server.keys.append("key-1")
    if kept:
        keep(path, kept)

    made = run(_ansible_check_mode=True)

    assert (made["changed"], made["key"]) == (changed, "" if changed else "key-1")
    assert server.keys == ["key-1"]
    assert (path.read_text() if path.exists() else "") == kept


@pytest.mark.parametrize(("kept", "changed"), [("", True), ("key-1", False)])
def test_check_mode_needs_no_server(path: Path, run: Run, kept: str, changed: bool) -> None:
    """It may only have been predicted itself."""
    if kept:
        keep(path, kept)

    assert run(url="http://127.0.0.1:1/api/v1", _ansible_check_mode=True)["changed"] is changed


def test_tls_needs_no_authority_and_proxies_are_not_asked(
    server: Server, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate names the host as others see it, and the password is for this host's ears only."""
    make_self_signed(tmp_path / "tls.crt", tmp_path / "tls.key", ["elsewhere.test"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert run(url=server.url.replace("http", "https"))["key"] == "key-1"


def rotated(path: Path, run: Run) -> dict[str, Any]:
    """A whole rotation, as the role has it; what it ended with."""
    run(state="next")
    return run(state="rotated", cache_seconds=1)


def test_a_rotation_leaves_one_key_which_is_another(server: Server, path: Path, run: Run) -> None:
    run()
    made = rotated(path, run)

    assert (made["changed"], made["key"], made["former_stays"]) == (True, "key-2", False)
    assert server.keys == ["key-2"]
    assert path.read_text() == "key-2"
    assert sorted(file.name for file in path.parent.iterdir()) == ["api-key", "api-key.ids"]


def test_the_former_key_works_until_the_next_is_everywhere(server: Server, path: Path, run: Run) -> None:
    """Between the two steps the controller gets the new key."""
    run()
    made = run(state="next")

    assert made["key"] == "key-2"
    assert server.keys == ["key-1", "key-2"]
    assert path.read_text() == "key-1"


def test_the_rotation_ends_when_the_servers_cache_has_forgotten_the_former_key(
    server: Server, path: Path, run: Run
) -> None:
    run()
    rotated(path, run)

    assert server.remembers == []
    assert server.asked[-1] == "GET /api/v1/system/version"


def test_a_next_key_that_does_not_work_costs_no_other(server: Server, path: Path, run: Run) -> None:
    run()
    run(state="next")
    server.keys.remove("key-2")
    failed = run(state="rotated")

    assert failed["failed"]
    assert "the former one stays" in failed["msg"]
    assert server.keys == ["key-1"]
    assert path.read_text() == "key-1"


def test_an_interrupted_rotation_is_gone_on_with(server: Server, path: Path, run: Run) -> None:
    """Killed after the first step: no third key is made."""
    run()
    run(state="next")
    again = rotated(path, run)

    assert again["key"] == "key-2"
    assert server.keys == ["key-2"]


def test_keys_of_rotations_killed_before_the_deletion_go_with_the_next(
    server: Server, path: Path, run: Run
) -> None:
    run()
    run(state="next")
    # Killed between the new key's place and the former one's deletion.
    path.with_name("api-key.next").replace(path)
    rotated(path, run)

    assert server.keys == ["key-3"]


def test_keys_of_others_stay(server: Server, path: Path, run: Run) -> None:
    server.keys.append("somebody's")
    server.numbers["somebody's"] = 7
    run()
    rotated(path, run)

    assert server.keys == ["somebody's", "key-3"]


def test_a_key_whose_number_nobody_knows_is_told(server: Server, path: Path, run: Run) -> None:
    """It was made before numbers were kept."""
    server.keys.append("old")
    server.numbers["old"] = 1
    keep(path, "old")
    ended = rotated(path, run)

    assert ended["former_stays"]
    assert server.keys == ["old", "key-2"]
