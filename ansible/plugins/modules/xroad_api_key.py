#!/usr/bin/python
"""Ansible module: a key of an X-Road server's admin API, made and kept on the server's host."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import stat
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: xroad_api_key
short_description: Make a key of an X-Road server's admin API and keep it on the host
description:
  - Waits for the server's admin API and asks it with the key that lies on the host. Where the server doesn't
    know that key, or there is none, a new one is made with the administrator's account.
  - A server makes keys only for who asks from its own host, so this runs there. The certificate is not
    verified, because it carries the host's public name and nothing leaves the host.
  - The roles are given to a new key. A key that the server knows stays as it is.
  - A rotation goes through O(state=next), which makes a second key beside the first, and O(state=rotated),
    which puts it in the first one's place and deletes whatever else this module made. Killed
    anywhere, the same two finish it.
  - Answers the key, so the task needs C(no_log).
options:
  url: {description: The admin API on this host., type: str, default: "https://localhost:4000/api/v1"}
  account: {description: Name of an account that may make keys., type: str, required: true}
  password: {description: Its password., type: str, required: true}
  roles: {description: Roles of a new key., type: list, elements: str, required: true}
  path:
    description:
      - Where the key lies for root alone. Beside it lie C(<path>.next) during a rotation, and C(<path>.ids),
        the server's numbers of the keys that were made here.
    type: path
    required: true
  state:
    description:
      - C(present) is one key that the server knows.
      - C(next) is another beside it, which is answered.
      - C(rotated) is that other one in the first one's place, and the first one refused by the server.
    type: str
    choices: [present, next, rotated]
    default: present
  deadline_seconds:
    description: How long the API may take to answer after a start of the server.
    type: int
    default: 120
  cache_seconds:
    description: How long the server may still know a deleted key (X-Road's C(cache-api-key-ttl)).
    type: int
    default: 60
author: the maintainers of this repository
"""

EXAMPLES = """
- name: Make the admin API's key
  xroad_api_key:
    account: exchange-admin
    password: "{{ lookup('secret', 'exchange-admin') }}"
    roles: [XROAD_SYSTEM_ADMINISTRATOR]
    path: /etc/smartgouv/xroad/api-key
  register: made
  no_log: true
"""

RETURN = """
key:
  description: The key. Empty in check mode where one would be made.
  type: str
  returned: success
former_stays:
  description: Whether the server still knows the former key, because its number isn't known here.
  type: bool
  returned: with O(state=rotated)
"""

_SOCKET_SECONDS = 30
_PAUSE_SECONDS = 1
_OK = range(200, 300)
_REFUSED = (401, 403)


class Answer(NamedTuple):
    """What the API answered."""

    status: int
    body: bytes


class AdminApi:
    """An admin API, asked without any proxy and without following it elsewhere."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host, self._port, self._path = address.hostname or "", address.port, address.path
        self._tls = address.scheme == "https"

    def _connection(self) -> http.client.HTTPConnection:
        if not self._tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=_SOCKET_SECONDS)
        # Its certificate names the host as others see it; this connection ends on the host that it began on.
        context = ssl._create_unverified_context()  # noqa: S323
        return http.client.HTTPSConnection(self._host, self._port, timeout=_SOCKET_SECONDS, context=context)

    def _ask(self, method: str, path: str, headers: dict[str, str], body: str | None = None) -> Answer:
        connection = self._connection()
        try:
            connection.request(method, self._path + path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def version(self, key: str) -> Answer:
        """The version, which any key may ask for; without a key the API refuses."""
        headers = {"Authorization": f"X-Road-ApiKey token={key}"} if key else {}
        return self._ask("GET", "/system/version", headers)

    def new_key(self, account: str, password: str, roles: Sequence[str]) -> Answer:
        """Make a key."""
        headers = {**_basic(account, password), "Content-Type": "application/json"}
        return self._ask("POST", "/api-keys", headers, json.dumps(list(roles)))

    def keys(self, account: str, password: str) -> Answer:
        """Numbers and roles of all keys."""
        return self._ask("GET", "/api-keys", _basic(account, password))

    def delete_key(self, account: str, password: str, number: int) -> Answer:
        """Delete a key."""
        return self._ask("DELETE", f"/api-keys/{number}", _basic(account, password))


def _basic(account: str, password: str) -> dict[str, str]:
    credentials = base64.b64encode(f"{account}:{password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


class Unanswered(Exception):  # noqa: N818 - the last thing that was heard
    """The API gave no answer that says whether it knows the key."""


def knows(api: AdminApi, key: str) -> bool:
    """Whether the API knows a key; Unanswered while it is starting."""
    try:
        status = api.version(key).status
    except (OSError, http.client.HTTPException) as error:
        raise Unanswered(str(error) or type(error).__name__) from error
    if status not in (*_OK, *_REFUSED):
        raise Unanswered(f"status {status}")
    return status in _OK


def knows_at_last(
    api: AdminApi, key: str, deadline_seconds: float, pause: Callable[[float], None] = time.sleep
) -> bool:
    """Whether the API knows a key, asked until it answers; Unanswered if it doesn't within the time."""
    end = time.monotonic() + deadline_seconds
    while True:
        try:
            return knows(api, key)
        except Unanswered:
            if time.monotonic() >= end:
                raise
        pause(_PAUSE_SECONDS)


def kept(path: Path) -> str:
    """The key that lies on the host; empty if there is none."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def is_private(path: Path) -> bool:
    """Whether a file is readable and writable by nobody but whom this program runs as."""
    found = path.stat()
    return found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o600


def keep(path: Path, key: str) -> None:
    """Write the key whole or not at all, and never readable by others."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(key)
        file.flush()
        # The server never shows this key again.
        os.fsync(file.fileno())
    Path(name).replace(path)


def _predict(module: AnsibleModule, api: AdminApi, key: str) -> None:
    """Ends the module: what a run would change, asked for once, as the server may be down or not even there."""
    try:
        known = bool(key) and knows(api, key)
    except Unanswered:
        known = True
    module.exit_json(changed=not known, key=key if known else "")


class Ids:
    """The server's numbers of the keys that were made here: a key's text doesn't tell its number.

    One line each, the latest last. A number is written before its key, so that none is forgotten that works.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.ids")

    def all(self) -> list[int]:
        """Every number, the oldest first."""
        return [int(line) for line in kept(self.path).split()]

    def add(self, number: int) -> None:
        """Remember one more."""
        keep(self.path, "".join(f"{each}\n" for each in [*self.all(), number]))

    def only(self, number: int) -> None:
        """Forget all others."""
        keep(self.path, f"{number}\n")


def _asked(module: AnsibleModule, what: str, ask: Callable[[], Answer], fine: Sequence[int] = _OK) -> Answer:
    """The answer of the key management; ends the module, saying `what` it fails to do, if there is none."""
    wanted = module.params
    try:
        answer = ask()
    except (OSError, http.client.HTTPException) as error:
        module.fail_json(msg=f"{wanted['url']} {what}, it broke off: {error}. Next: run the same command again")
    if answer.status in _REFUSED:
        module.fail_json(
            msg=f"{wanted['url']} {what} for {wanted['account']} (status {answer.status}). "
            "Next: see that the account has its groups on the host (id) and the password of the secrets"
        )
    if answer.status not in fine:
        module.fail_json(
            msg=f"{wanted['url']} {what} (status {answer.status}): {answer.body.decode(errors='replace')}"
        )
    return answer


def _made(module: AnsibleModule, api: AdminApi, ids: Ids) -> str:
    """A new key, whose number is remembered; ends the module if the API makes none."""
    wanted = module.params
    answer = _asked(
        module, "makes no key", lambda: api.new_key(wanted["account"], wanted["password"], wanted["roles"])
    )
    made = json.loads(answer.body)
    ids.add(int(made["id"]))
    return str(made["key"])


def _answers(module: AnsibleModule, api: AdminApi, key: str) -> bool:
    """Whether the API knows the key; ends the module if it doesn't answer in time."""
    try:
        return knows_at_last(api, key, module.params["deadline_seconds"])
    except Unanswered as last:
        module.fail_json(
            msg=f"{module.params['url']} did not answer within {module.params['deadline_seconds']} s ({last}). "
            "Next: see on the host why (systemctl --failed; journalctl --unit 'xroad-*'), then apply again"
        )
        raise AssertionError from last  # fail_json has ended the process


def _have(module: AnsibleModule, api: AdminApi, path: Path) -> None:
    """Ends the module with a key that the server knows."""
    key = kept(path)
    known = _answers(module, api, key)
    if known and is_private(path):
        module.exit_json(changed=False, key=key)
    if not known:
        key = _made(module, api, Ids(path))
    keep(path, key)
    module.exit_json(changed=True, key=key)


def _have_next(module: AnsibleModule, api: AdminApi, path: Path) -> None:
    """Ends the module with a key beside the first; one that an interrupted rotation left is gone on with."""
    following = path.with_name(f"{path.name}.next")
    key = kept(following)
    if key and _answers(module, api, key):
        module.exit_json(changed=False, key=key)
    if not _answers(module, api, kept(path)):
        module.fail_json(
            msg=f"{module.params['url']} doesn't know the key in {path}. "
            "Next: apply stage exchange, which makes one"
        )
    key = _made(module, api, Ids(path))
    keep(following, key)
    module.exit_json(changed=True, key=key)


def _rotate(module: AnsibleModule, api: AdminApi, path: Path) -> None:
    """Ends the module with the next key in the first one's place, and no other of ours known to the server."""
    wanted = module.params
    following = path.with_name(f"{path.name}.next")
    former, key = kept(path), kept(following)
    changed = bool(key)
    if key:
        if not _answers(module, api, key):
            module.fail_json(
                msg=f"{wanted['url']} doesn't know the key in {following}, so the former one stays. "
                "Next: rotate again, which makes another"
            )
        following.replace(path)
    else:
        key, former = former, ""
    ids = Ids(path)
    numbers = ids.all()
    if numbers:
        answer = _asked(module, "lists no keys", lambda: api.keys(wanted["account"], wanted["password"]))
        listed = {int(item["id"]) for item in json.loads(answer.body)}
        for number in [each for each in numbers[:-1] if each in listed]:
            _asked(
                module,
                "deletes no key",
                lambda number=number: api.delete_key(wanted["account"], wanted["password"], number),  # type: ignore[misc]
                (*_OK, 404),
            )
            changed = True
        ids.only(numbers[-1])
    # Without its number it wasn't deleted.
    stays = bool(former) and (
        len(numbers) < 2 or not _forgotten(api, former, wanted["cache_seconds"] + wanted["deadline_seconds"])
    )
    if stays:
        module.warn(
            "The server still knows the former key, whose number isn't known here. "
            "Next: delete it in the server's user interface (API keys)"
        )
    module.exit_json(changed=changed, key=key, former_stays=stays)


def _forgotten(api: AdminApi, key: str, seconds: float, pause: Callable[[float], None] = time.sleep) -> bool:
    """Whether the server refuses a key before the time is over: it may know it from its cache."""
    end = time.monotonic() + seconds
    while True:
        try:
            if not knows(api, key):
                return True
        except Unanswered:
            pass
        if time.monotonic() >= end:
            return False
        pause(_PAUSE_SECONDS)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "https://localhost:4000/api/v1"},
            "account": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "roles": {"type": "list", "elements": "str", "required": True},
            "path": {"type": "path", "required": True},
            "deadline_seconds": {"type": "int", "default": 120},
            "cache_seconds": {"type": "int", "default": 60},
            "state": {"type": "str", "choices": ["present", "next", "rotated"], "default": "present"},
        },
        supports_check_mode=True,
    )
    api, path = AdminApi(module.params["url"]), Path(module.params["path"])
    if module.check_mode:
        _predict(module, api, kept(path))
    {"present": _have, "next": _have_next, "rotated": _rotate}[module.params["state"]](module, api, path)


if __name__ == "__main__":
    main()
