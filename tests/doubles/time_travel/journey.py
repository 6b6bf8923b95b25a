"""400 days of the trust stage: what happens when, and what the witness saw. Writes JSON.

Started as `python -m time_travel.journey --folder FOLDER --summary FILE` by a test, with libfaketime loaded.
The programs' loops run every few seconds in life. Here they have a turn after each step of the clock: every
day, and every ten minutes for a while after whatever is renewed, on every 20th day, and while a host is away.
Timers run once a day or more seldom: what is renewed later than in life comes nearer to its end. The witness
looks before each turn, when all is as old as the step is long, and after it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from tests import postgresql_server
from tests.soft_token import tokens

from estate import load
from time_travel import clock
from time_travel.members import Leaf, Members
from time_travel.stage import Stage
from time_travel.witness import Status, Witness, address, request, stamp_request
from trust_services.refusal import Refusal
from trust_services.renewal import AUTHORITY

BEGINS = datetime(2027, 1, 4, 6, 17, tzinfo=UTC)
"""The first of the days that are gone through; minute and hour are those of the hosts' timer."""
COARSE, FINE = timedelta(days=1), timedelta(minutes=10)
AROUND = timedelta(hours=1)
"""How long it goes in fine steps after something was renewed."""
SAMPLED = timedelta(days=20)
WEEK = timedelta(days=7)
PEOPLE = timedelta(days=7)
"""How long it takes to bring people together for a ceremony."""
LIST_WARNS = timedelta(days=30)
"""Left of the root's list when its alert asks for a ceremony: docs/runbooks/RevocationListEnding.md."""

EVERY_DAY = ("issuing CA's revocation list",)
"""Renewals that aren't followed by fine steps."""

# What happens in the days that are gone through, counted from their beginning.
AUTHORITIES_DUE = timedelta(days=200)
"""The site is founded so long before that a quarter of its issuing CAs' life is left then."""
STAMPING_ENROLLED = -timedelta(days=500)
LEFT_MEMBER = -timedelta(days=345)
"""When a leaf was ordered that nobody renews: it ends on day 20."""
JOINS = (timedelta(), timedelta(days=40), timedelta(days=80))
COMPROMISED = timedelta(days=50)
REPLACED = timedelta(days=120)
ORDERS_DOWN = timedelta(days=160), timedelta(days=1)
"""The API can't issue for a day, on which the responder's certificate is due. The publisher goes on."""
HOST_DOWN = timedelta(days=185), timedelta(hours=5)
"""The authority's host is away: no API, no publisher."""
API_DOWN = timedelta(days=300), timedelta(hours=5)
"""The API alone is away, from which responders fetch."""


@dataclass
class Events:
    """What was renewed, and how much life the former had left."""

    now: list[tuple[str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def tell(self, kind: str, what: str) -> None:
        self.now.append((kind, what))
        self.counts[kind] += 1


class Journey:
    """One run."""

    def __init__(self, stage: Stage, events: Events, days: int) -> None:
        self.stage = stage
        self.events = events
        self.days = days
        self.members = Members(stage)
        self.steps: Counter[str] = Counter()
        self.least: dict[str, float] = {}
        self._in_force: dict[str, x509.Certificate] = {}
        self._ceremony_wanted: datetime | None = None
        self._fine_until = BEGINS
        self._edges = [
            BEGINS + edge
            for begins, lasts in (ORDERS_DOWN, HOST_DOWN, API_DOWN)
            for edge in (begins, begins + lasts)
        ]
        """When outages begin and end."""
        self._late = ""
        self._scratch = stage.folder / "scratch"
        self._scratch.mkdir()

    def found(self) -> None:
        """Before the days that are gone through: root, authorities, a member that has left since, stamps."""
        lifetime = timedelta(days=self.stage.estate.trust.trust_services.lifetime)
        clock.set_to(BEGINS + AUTHORITIES_DUE - lifetime * (1 - AUTHORITY))
        self.stage.hold_ceremony()
        for moment in (STAMPING_ENROLLED, LEFT_MEMBER, timedelta()):
            clock.set_to(BEGINS + moment - timedelta(hours=1))
            self.stage.start()
            if moment == STAMPING_ENROLLED:
                self.stage.enrol_stamping()
            elif moment == LEFT_MEMBER:
                self._left = Leaf(self.members.declared()[-1], "signing")
                self.members.order(self._left)
                self.members.leave(self._left)
        self.stage.hold_ceremony()
        self.stage.start_stamping()
        self.stage.publish()
        self.stage.fetch(seldom=True)
        history = self.stage.root.history
        assert history.root is not None
        self.witness = Witness(self.stage.freshness, history.root)
        self.events.counts.clear()
        self.events.now.clear()

    def go(self) -> None:
        """Through all days."""
        moment = BEGINS
        while moment < BEGINS + timedelta(days=self.days):
            self._outages(moment - BEGINS)
            fine = moment < self._fine_until or (moment - BEGINS) % SAMPLED < AROUND or bool(self._late)
            clock.set_to(moment)
            on_time = (moment - BEGINS) % COARSE == timedelta()
            self._look(moment, turned=False, thorough=on_time)
            self._turn(moment, timers=on_time)
            self._look(moment, turned=True, thorough=on_time)
            self.steps["fine" if fine else "coarse"] += 1
            if any(kind not in EVERY_DAY for kind, _ in self.events.now) or moment in self._edges:
                self._fine_until = max(self._fine_until, moment + AROUND)
                self.events.now.clear()
            # Fine steps before a timer too: an outage that begins or ends isn't jumped over.
            fine = moment < self._fine_until or (moment - BEGINS) % SAMPLED < AROUND or bool(self._late)
            following = moment + FINE if fine else moment + COARSE - (moment - BEGINS) % COARSE
            moment = min([following, *(edge for edge in self._edges if edge > moment)])

    def _outages(self, day: timedelta) -> None:
        stage = self.stage
        down = {
            name: begins <= day < begins + lasts
            for name, (begins, lasts) in (("orders", ORDERS_DOWN), ("host", HOST_DOWN), ("api", API_DOWN))
        }
        assert stage.holder is not None
        stage.holder.trouble = "it can't issue" if down["orders"] else ""
        stage.publisher_runs = not down["host"]
        if (down["host"] or down["api"]) and stage.api is not None:
            stage.stop_api()
        elif not (down["host"] or down["api"]) and stage.api is None:
            stage.restart_api()
        self._late = "authority's host away" if down["host"] else "API away" if down["api"] else ""
        self._orders_down = down["orders"]

    # What happens.

    def _turn(self, now: datetime, *, timers: bool) -> None:
        stage = self.stage
        if timers:
            if not self._late:
                stage.renew_host()
            self._daily(now)
        stage.publish()
        trouble = stage.fetch(seldom=timers or bool(self.events.now))
        if trouble and not self._late:
            self.witness.findings.wrong.append(f"{now:%Y-%m-%d %H:%M}: not fetched: {trouble[0]}")
        stage.stamping_turn()
        self._note_renewals(now)

    def _daily(self, now: datetime) -> None:
        stage, day = self.stage, now - BEGINS
        self._ceremonies(now, look=day % WEEK == timedelta())
        if day % WEEK == timedelta():
            with self._unless_down():
                stage.enrol_stamping()
        for number, joins in enumerate(JOINS):
            if day == joins:
                for profile in ("authentication", "signing"):
                    self.members.order(Leaf(self.members.declared()[number], profile))
        if day == COMPROMISED:
            leaf, found = next(iter(self.members.present.items()))
            self.members.revoke(found, "keyCompromise")
            self.members.order(leaf)
        if day == REPLACED:
            leaf, found = list(self.members.present.items())[-1]
            self.members.order(leaf)
            self.members.revoke(found, "superseded")
        self.members.renew()

    @contextmanager
    def _unless_down(self) -> Iterator[None]:
        try:
            yield
        except Refusal:
            if not (self._late or self._orders_down):
                raise

    def _ceremonies(self, now: datetime, *, look: bool) -> None:
        """People hold a ceremony some days after something asked for one; `look` has authorities ask."""
        listed = x509.load_pem_x509_crl(self.stage.root.list)
        assert listed.next_update_utc is not None
        if listed.next_update_utc - now <= LIST_WARNS or (look and self.stage.requests()):
            self._ceremony_wanted = self._ceremony_wanted or now
        if self._ceremony_wanted is not None and now >= self._ceremony_wanted + PEOPLE:
            self._ceremony_wanted = None
            self._note("root's revocation list", listed.next_update_utc - now)
            self.stage.hold_ceremony()

    def _certificates(self) -> dict[str, x509.Certificate]:
        """All that are in force, by what they are."""
        history = self.stage.root.history
        assert history.root is not None
        assert self.stage.host is not None
        files = {
            "OCSP responder's certificate": self.stage.folder / "state" / "responder.pem",
            "time-stamping authority's certificate": self.stage.folder / "stamps" / "certificate.pem",
        }
        return {
            "root": history.root,
            **{f"issuing CA '{name}'": found for name, found in history.present.items()},
            "host's TLS certificate": self.stage.host.certificate,
            **{what: x509.load_pem_x509_certificate(path.read_bytes()) for what, path in files.items()},
            **{leaf.name: found for leaf, found in self.members.present.items()},
        }

    def _note_renewals(self, now: datetime) -> None:
        """How much of the former certificate's life was left when another took its place: the least of each."""
        found = self._certificates()
        for what, before in self._in_force.items():
            if found.get(what) != before and before.serial_number not in self.members.revoked:
                kind = "X-Road leaf" if " of " in what else what
                self._note(kind, before.not_valid_after_utc - now)
        self._in_force = found

    def _note(self, kind: str, left: timedelta) -> None:
        """That something was renewed when so much of its life was left."""
        days = left / timedelta(days=1)
        self.least[kind] = min(days, self.least.get(kind, days))

    # What is seen.

    def _look(self, now: datetime, *, turned: bool, thorough: bool) -> None:
        witness, stage, responder = self.witness, self.stage, self.stage.responder
        history = stage.root.history
        assert history.root is not None
        issuing = history.present["trust-services"]
        seconds = now.timestamp()
        late = self._late or ("" if turned else "before the programs' turn")
        for what, serial, status in self._asked_about(now, turned=turned):
            for sha256 in (False, True):
                asked = request(serial, issuing.subject.public_bytes(), issuing, sha256)
                witness.answer(what, responder.post(asked, seconds).body, issuing, status, now, late=late)
                got = responder.get(address(asked), None, seconds)
                witness.answer(what, got.body, issuing, status, now, late=late)
        lists = {"root": (history.root, ()), stage.publication: (issuing, self._listed(now, turned=turned))}
        for name, (issuer, revoked) in lists.items():
            response = responder.get(f"/crl/{name}.crl", None, seconds)
            witness.revocation_list(name, response, issuer, revoked, now)
            witness.served_certificate(name, responder.get(f"/ca/{name}.crt", None, seconds), now)
        if self._in_force:
            witness.in_force(self._in_force, now)
        if thorough:
            if stage.api is not None:
                assert stage.host is not None
                witness.tls(stage.api.server_address[1], stage.host.folder / "host.crt", now)
            stage.look_at_clock()
            reply = stage.stamping.answer(stamp_request())
            witness.stamp(reply, now, stage.issued("root.crt"), self._scratch, by_openssl=turned)

    def _asked_about(self, now: datetime, *, turned: bool) -> Iterator[tuple[str, int, Status]]:
        """Certificates, and how they must be answered about."""
        known = [(leaf.name, found) for leaf, found in self.members.present.items()]
        known += [(f"the former {leaf.name}", found) for leaf, found in self.members.former]
        for what in ("time-stamping authority's certificate",):
            if found := self._in_force.get(what):
                known.append((what, found))
        for what, found in known:
            ended = found.not_valid_after_utc + self.stage.list_life
            status: Status = "revoked" if found.serial_number in self.members.revoked else "good"
            if not turned or self._late:
                # What was decided just now may be told with the next round.
                status = "any" if ended <= now or now - found.not_valid_before_utc < FINE else status
            elif ended <= now:
                status = "unknown"
            yield what, found.serial_number, status

    def _listed(self, now: datetime, *, turned: bool) -> list[int]:
        """What must be on the issuing CA's list: it stays there until after its end (RFC 5280 section 3.3)."""
        return [
            found.serial_number
            for _, found in self.members.former
            if (at := self.members.revoked.get(found.serial_number)) is not None
            and (turned or at < now)
            and now < found.not_valid_after_utc + self.stage.list_life
        ]

    def summary(self) -> dict[str, Any]:
        """All of it, for programs."""
        findings = self.witness.findings
        return {
            "days": self.days,
            "first_day": BEGINS.isoformat(),
            "steps": dict(self.steps),
            "renewals": dict(sorted(self.events.counts.items())),
            "least_days_left_at_renewal": {what: round(left, 2) for what, left in sorted(self.least.items())},
            "asked": dict(sorted(findings.asked.items())),
            "try_later": dict(sorted(findings.late.items())),
            "expired_served": len(findings.expired),
            "expired": findings.expired[:50],
            "wrong": len(findings.wrong),
            "wrong_answers": findings.wrong[:50],
            "played": "step-ca, as libfaketime can't move the clock of Go programs",
        }


def main() -> int:
    """Go, and write what was seen."""
    parser = argparse.ArgumentParser(prog="time_travel.journey", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="an empty one, of this run's own")
    parser.add_argument("--summary", type=Path, required=True, help="where JSON is written")
    parser.add_argument("--days", type=int, default=400)
    asked = parser.parse_args()
    clock.mend_sleep()
    events = Events()
    with postgresql_server.running("postgres") as server, tokens(asked.folder / "softhsm") as library:
        if server is None:
            raise RuntimeError("PostgreSQL isn't installed")
        stage = Stage(asked.folder, load("lab"), server, library, events.tell)
        try:
            journey = Journey(stage, events, asked.days)
            journey.found()
            journey.go()
        finally:
            stage.stop_api()
        asked.summary.write_text(json.dumps(journey.summary(), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
