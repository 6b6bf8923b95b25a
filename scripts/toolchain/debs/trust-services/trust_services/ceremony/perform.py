"""The ceremony itself: makes the root if there is none, grants requests, revokes, signs a transcript.

Everything that could be refused is looked at before the token signs anything. Interrupted anywhere, the next
ceremony starts from the records as if this one hadn't been: a record appears whole or not at all, and what
isn't in a record never left the machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from trust_services.ceremony import agenda as agendas
from trust_services.ceremony import certificates, isolation, records, requests, shares
from trust_services.ceremony.agenda import Agenda
from trust_services.ceremony.certificates import Term
from trust_services.ceremony.records import AGENDA, LIST, REQUESTS, ROOT, History
from trust_services.ceremony.requests import Request
from trust_services.ceremony.transcript import (
    FILE,
    SIGNATURE,
    Issued,
    RevokedEntry,
    Step,
    Transcript,
    sha256,
    software,
)
from trust_services.refusal import Refusal
from trust_services.signing import SigningKey
from trust_services.status import revocation_list
from trust_services.token import Token

KEY = "root"
"""Label of the root's key in the token."""
BACKDATED = timedelta(minutes=5)
"""How far before now a certificate begins, for hosts whose clocks are behind."""
_CREATING = ".creating"
"""Marks a root in the making: until its record exists, token and shares may be made anew."""


@dataclass(frozen=True)
class Place:
    """The folders of a ceremony, and what it sees of the world."""

    inbox: Path
    """`agenda.json`, and `requests/` with requests and their signatures."""
    records: Path
    shares: Path
    isolated: Callable[[], isolation.Isolation] = isolation.prove
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class _Minutes:
    """Keeps the steps as they happen, and tells them."""

    def __init__(self, now: Callable[[], datetime], tell: Callable[[str], None]) -> None:
        self.steps: list[Step] = []
        self._now = now
        self._tell = tell

    def add(self, action: str, detail: str = "") -> None:
        self.steps.append(Step(at=self._now(), action=action, detail=detail))
        self._tell(f"{action}{': ' if detail else ''}{detail}")


@dataclass(frozen=True)
class Examined:
    """What a ceremony would begin with."""

    agenda: Agenda
    agenda_digest: str
    history: History
    granted: tuple[Request, ...]


def examine(place: Place, began: datetime, by_quorum: Collection[str] = ()) -> Examined:
    """What lies in the folders, if all of it is right. Refusal if something isn't. Touches nothing."""
    agenda, digest = agendas.read(place.inbox / AGENDA)
    history = records.load(place.records)
    if history.ended is not None and began < history.ended:
        raise Refusal(
            f"the clock says {began:%Y-%m-%d %H:%M:%S}, before the last ceremony's end "
            f"({history.ended:%Y-%m-%d %H:%M:%S})",
            "set this machine's clock; the witnesses confirm it",
        )
    return Examined(agenda, digest, history, tuple(_requests(place, agenda, history, by_quorum)))


def perform(place: Place, tell: Callable[[str], None], by_quorum: Collection[str] = ()) -> Path:
    """Hold a ceremony; the folder of its record. `by_quorum` names revocations that nobody had to sign.

    Refusal if anything isn't as it must be; then nothing was signed.
    """
    began = _second(place.now())
    seen = place.isolated()
    examined = examine(place, began, by_quorum)
    agenda, history, granted = examined.agenda, examined.history, examined.granted
    place.records.mkdir(mode=0o700, parents=True, exist_ok=True)
    minutes = _Minutes(place.now, tell)
    minutes.add("no network", f"interfaces {', '.join(seen.interfaces)}; connecting elsewhere: {seen.attempt}")
    pins, present = _pins(place, agenda, history, minutes)
    if not history.transcripts:
        agenda.token.place().initialize(pins.officer, pins.user)
        minutes.add("token initialized", f"label {agenda.token.label}")
    with (
        agenda.token.place().open(pins.user) as token,
        records.writing(place.records, len(history.transcripts) + 1) as folder,
    ):
        key = _key(token, agenda, history, minutes)
        issued = list(_issue(folder, agenda, key, history, granted, began, minutes))
        shutil.copyfile(place.inbox / AGENDA, folder / AGENDA)
        inputs = {AGENDA: examined.agenda_digest}
        for request in granted:
            _keep(place.inbox / REQUESTS / request.name, folder / REQUESTS)
            inputs[f"{REQUESTS}/{request.name}"] = request.digest
        transcript = Transcript(
            site=agenda.site,
            number=len(history.transcripts) + 1,
            previous=history.last,
            began=began,
            ended=_second(place.now()),
            witnesses=agenda.witnesses,
            custodians=tuple(present),
            software=software(agenda.token.library) | _image(),
            token=token.description,
            isolation={
                "interfaces": " ".join(seen.interfaces),
                "routes": str(seen.routes),
                "connecting elsewhere": seen.attempt,
            },
            inputs=inputs,
            steps=tuple(minutes.steps),
            issued=tuple(issued),
        )
        text = transcript.model_dump_json(indent=2).encode() + b"\n"
        (folder / FILE).write_bytes(text)
        (folder / SIGNATURE).write_bytes(requests.sign(key, text))
    (place.records / _CREATING).unlink(missing_ok=True)
    record = place.records / f"{transcript.number:04}"
    tell(f"transcript {sha256(record / FILE)}")
    return record


def _requests(place: Place, agenda: Agenda, history: History, by_quorum: Collection[str]) -> list[Request]:
    """All requests, in the order of their names; Refusal for the first that isn't right."""
    found = sorted((place.inbox / REQUESTS).glob("*.json"))
    unknown = set(by_quorum) - {path.name for path in found}
    if unknown:
        raise Refusal(
            f"no request is called {', '.join(sorted(unknown))}", f"look into {place.inbox / REQUESTS}"
        )
    names = history.names()
    granted: list[Request] = []
    for path in found:
        request = requests.read(path, agenda, history.present, history.taken, by_quorum=path.name in by_quorum)
        if request.by_quorum and request.content.kind != "revoke":
            raise Refusal(f"{path}: a quorum decides revocations only", "have it signed where the key is")
        if any(other.content.authority == request.content.authority for other in granted):
            raise Refusal(f"{path}: '{request.content.authority}' asks twice", "take one of the requests away")
        subject = agenda.subject(agenda.authorities[request.content.authority].common_name)
        before = history.present.get(request.content.authority)
        another = before is None or before.subject != subject
        if request.content.kind != "revoke" and another and subject in names:
            # Two authorities of one name: relying parties may take the wrong one.
            raise Refusal(
                f"{path}: an authority called '{subject.rfc4514_string()}' was certified before",
                "raise its `generation` in the estate's trust.yml and make the request anew",
            )
        granted.append(request)
    return granted


def _pins(
    place: Place, agenda: Agenda, history: History, minutes: _Minutes
) -> tuple[shares.Pins, Sequence[str]]:
    if history.transcripts:
        pins, used = shares.recover(place.shares, agenda.custodians, agenda.threshold)
        minutes.add("shares combined", f"{len(used)} of {len(agenda.custodians)}: {', '.join(used)}")
        return pins, used
    marker = place.records / _CREATING
    if not marker.exists():
        left = sorted(path.name for path in place.shares.glob("*.share"))
        if left:
            raise Refusal(
                f"shares of a root exist ({', '.join(left)}), but {place.records} has no record of its making",
                "bring the records; or, if that root was never used, move its shares away",
            )
        marker.touch()
    pins = shares.create(place.shares, agenda.custodians, agenda.threshold)
    minutes.add("secret shared", f"any {agenda.threshold} of {len(agenda.custodians)} shares open the token")
    return pins, agenda.custodians


def _key(token: Token, agenda: Agenda, history: History, minutes: _Minutes) -> SigningKey:
    if history.root is None:
        made = token.generate(KEY, agenda.root.key)
        minutes.add("root key made", f"{agenda.root.key}, public key {requests.fingerprint(made.public_key())}")
        return made
    key = token.key(KEY)
    if key is None or key.public_key() != history.root.public_key():
        raise Refusal("the token doesn't hold the key of the root in the records", "bring the right token")
    return key


def _issue(
    folder: Path,
    agenda: Agenda,
    key: SigningKey,
    history: History,
    granted: Sequence[Request],
    began: datetime,
    minutes: _Minutes,
) -> Sequence[Issued]:
    issued: list[Issued] = []
    root = history.root
    if root is None:
        term = _term(began, agenda.root.lifetime_days, None)
        root = certificates.root(agenda, key, term)
        issued.append(_written(folder / ROOT, root, Issued(file=ROOT, kind="root", **_kept(term), digest="")))
        minutes.add("root certified", f"until {term.ends:%Y-%m-%d}")
    else:
        # Carried along, so that each record can be verified by itself.
        _pem(folder / ROOT, root)
    revoked = list(history.revoked)
    for request in granted:
        name = request.content.authority
        if request.public is None:
            serial = history.present[name].serial_number
            revoked.append(RevokedEntry(serial=serial, at=began, reason=request.content.reason or ""))
            how = "by the quorum's decision" if request.by_quorum else "as its key's holder asks"
            minutes.add(f"{name} revoked", f"{request.content.reason}, {how}")
            continue
        term = _term(began, agenda.authorities[name].lifetime_days, root)
        certificate = certificates.authority(agenda, name, request.public, root, key, term)
        entry = Issued(
            file=f"{name}.crt",
            kind="authority",
            authority=name,
            request=f"{REQUESTS}/{request.name}",
            **_kept(term),
            digest="",
        )
        issued.append(_written(folder / entry.file, certificate, entry))
        minutes.add(f"{name} certified", f"until {term.ends:%Y-%m-%d}, serial {term.serial:x}")
    number = history.lists + 1
    ends = began + timedelta(days=agenda.revocation_list.lifetime_days)
    listed = revocation_list.sign(
        root,
        key,
        [entry.state() for entry in revoked],
        number=number,
        this_update=began,
        next_update=ends,
    )
    entry = Issued(
        file=LIST,
        kind="revocation_list",
        begins=began,
        ends=ends,
        number=number,
        revoked=tuple(revoked),
        digest="",
    )
    issued.append(_written(folder / LIST, listed, entry))
    minutes.add("revocation list issued", f"number {number}, {len(revoked)} revoked, until {ends:%Y-%m-%d}")
    return issued


def _term(began: datetime, days: int, issuer: x509.Certificate | None) -> Term:
    begins = began - BACKDATED
    ends = begins + timedelta(days=days)
    # A certificate that outlives its issuer would fail anyway, only later and without a word.
    return Term(
        x509.random_serial_number(),
        begins,
        min(ends, issuer.not_valid_after_utc) if issuer is not None else ends,
    )


def _kept(term: Term) -> dict[str, datetime | int]:
    return {"serial": term.serial, "begins": term.begins, "ends": term.ends}


def _written(path: Path, made: x509.Certificate | x509.CertificateRevocationList, entry: Issued) -> Issued:
    _pem(path, made)
    return entry.model_copy(update={"digest": sha256(path)})


def _pem(path: Path, made: x509.Certificate | x509.CertificateRevocationList) -> None:
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))


def _keep(request: Path, folder: Path) -> None:
    shutil.copyfile(request, folder / request.name)
    signature = request.with_name(request.name + ".sig")
    if signature.is_file():
        shutil.copyfile(signature, folder / signature.name)


def _image() -> dict[str, str]:
    """Which container image this is, as whoever started it says."""
    return {"image": os.environ["CEREMONY_IMAGE"]} if "CEREMONY_IMAGE" in os.environ else {}


def _second(moment: datetime) -> datetime:
    """Certificates know whole seconds only."""
    return moment.astimezone(UTC).replace(microsecond=0)
