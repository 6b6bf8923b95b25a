"""What is in force on this host: files as they were last read and found good.

A file that changes is read and verified aside, then takes the old one's place in one step, so a request
is answered from the old or the new. A bad file is refused as a whole and the old content stays in force.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from trust_services.refusal import Refusal
from trust_services.status.journal import tell
from trust_services.status.settings import Settings
from trust_services.status.verification import Authority, HeldAnswer, HeldAnswers, HeldList

Content = TypeVar("Content")

TURN_SECONDS = 0.001
"""How long verifying may keep a worker from its requests at a time."""


class Watched(Generic[Content]):
    """A file whose last good content is in force."""

    def __init__(self, path: Path, verified: Callable[[bytes, Content | None], Content]) -> None:
        """`verified` makes the content from bytes and the content in force; Refusal if they are bad."""
        self.path = path
        self.verified = verified
        self.content: Content | None = None
        """None until a good one was read."""
        self.refused = False
        """Whether what is in the file now is bad."""
        self._seen: tuple[int, int, int] | None = None

    def look(self) -> bool:
        """Read the file if it changed. Whether other content is in force now; a bad file is told of."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                identity = (status.st_ino, status.st_size, status.st_mtime_ns)
                if identity == self._seen:
                    return False
                content = file.read()
            self._seen = identity
            self.content = self.verified(content, self.content)
        except FileNotFoundError:
            return False
        except (OSError, Refusal) as error:
            self.refused = True
            tell(f"{self.path} is refused, what was in force stays: {error}")
            return False
        self.refused = False
        return True


class Shelf:
    """All that is in force."""

    def __init__(self, settings: Settings) -> None:
        """Refusal if an authority's certificate can't be read. Nothing is in force before the first `look`."""
        self._poll_seconds = settings.poll_seconds
        self._take_turns = False
        self.publications: dict[str, Watched[HeldAnswers]] = {}
        self.lists: dict[str, Watched[HeldList]] = {}
        self.certificates: dict[str, Watched[bytes]] = {}
        for one in settings.authorities:
            authority = one.load(settings.budget)
            if "answers" in one.publishes:
                path = settings.place(one.name, "answers")
                self.publications[one.name] = Watched(path, partial(self._answers_of, authority))
            if "crl" in one.publishes:
                path = settings.place(one.name, "crl")
                self.lists[one.name] = Watched(path, partial(_list_of, authority))
            if "crt" in one.publishes:
                path = settings.place(one.name, "crt")
                self.certificates[one.name] = Watched(path, partial(_certificate_of, authority))
        self.answers: Mapping[bytes, HeldAnswer] = {}
        """Every answer of every authority, by the shortest request for it."""

    def _answers_of(self, authority: Authority, content: bytes, before: HeldAnswers | None) -> HeldAnswers:
        breathe = _turns() if self._take_turns else _no_turns
        return authority.answers(content, before, datetime.now(UTC), breathe)

    @property
    def complete(self) -> bool:
        """Whether there is a good publication of each authority, so that what isn't in one is unknown."""
        return all(one.content is not None for one in self.publications.values())

    def stale(self, now: float) -> list[str]:
        """The files that aren't here or hold something too old to be given at `now`, seconds since 1970."""
        return [
            *(
                one.path.name
                for one in self.publications.values()
                if one.content is None or one.content.fresh_until <= now
            ),
            *(
                one.path.name
                for one in self.lists.values()
                if one.content is None or one.content.next_update.timestamp() <= now
            ),
        ]

    def look(self) -> None:
        """Read what changed since the last look."""
        changed = [publication.look() for publication in self.publications.values()]
        if any(changed):
            self.answers = {
                request: held
                for publication in self.publications.values()
                if publication.content is not None
                for request, held in publication.content.by_request.items()
            }
        for one in self.lists.values():
            one.look()
        for certificate in self.certificates.values():
            certificate.look()

    def watch(self) -> None:
        """Look every `poll_seconds` from now on, in a thread that ends with the process."""
        self._take_turns = True
        threading.Thread(target=self._watch, name="shelf", daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(self._poll_seconds)
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a thread that ends would leave answers to grow stale
                tell(f"looking at the files failed: {error!r}")


def _list_of(authority: Authority, content: bytes, before: HeldList | None) -> HeldList:
    return authority.revocation_list(content, before, datetime.now(UTC))


def _certificate_of(authority: Authority, content: bytes, _: bytes | None) -> bytes:
    return authority.own_certificate(content)


def _no_turns() -> None:
    """At the start nobody waits for an answer yet."""


def _turns() -> Callable[[], None]:
    """To be called often by a thread with long work: it sleeps as long as it worked, so requests get half."""
    started = time.monotonic()

    def give() -> None:
        nonlocal started
        worked = time.monotonic() - started
        if worked > TURN_SECONDS:
            time.sleep(worked)
            started = time.monotonic()

    return give
