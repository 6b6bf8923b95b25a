"""The authority's host publishes: answers, the revocation list and the authority's certificate.

    {
      "authority": "trust-services",
      "issuer": {"certificate": "/etc/smartgouv/trust-services/ca.crt"},
      "token": {"library": "…", "label": "trust-services", "key": "trust-services-1", "pin_file": "…"},
      "organization": "…",
      "country": "BJ",
      "responder": {"name": "status.example", "key": "rsa-3072"},
      "record": {"connection": "postgresql://…", "password_file": "…"},
      "carried": {"root": {"certificate": "…", "crl": "…"}},
      "folder": "/var/lib/smartgouv/status/published",
      "state": "/var/lib/smartgouv/status/state",
      "order": {"url": "https://ca1.example:9444", "ca": "…", "token_file": "…"}
    }

What is `carried` comes from the root's ceremony and is published as it is.

The program looks at the record every few seconds and signs what has changed or is due. Its own certificate, a
delegated responder's, it orders from the issuing authority. Whatever fails is told once and tried again; what
was published stays meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import BaseModel, ConfigDict, Field

from trust_services import files, ordering
from trust_services.certificate_state import CertificateState
from trust_services.held_token import HeldToken
from trust_services.issuing.chain import Head
from trust_services.issuing.configuration import ConnectionText, Issuer, TokenSettings
from trust_services.issuing.orders import HostName, MemberName, Profile
from trust_services.issuing.record import Record
from trust_services.ordering import Api, Wanted
from trust_services.refusal import Refusal
from trust_services.renewal import SERVICE, due
from trust_services.settings_file import AbsolutePath, secret
from trust_services.signing import PublicKey, SigningKey
from trust_services.status.journal import tell
from trust_services.status.publisher import Publisher, publish_crl
from trust_services.status.signing import Signer
from trust_services.status.verification import Authority
from trust_services.token import Token

BATCH = 200
"""Certificates whose answers are signed in one round: a revocation waits for no more than these."""

SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
"""Between two orders for the responder's certificate while there is trouble: an order may leave one behind."""

Result = TypeVar("Result")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ResponderSettings(_Part):
    """The delegated responder, whose key is in the authority's token."""

    name: HostName
    key: Literal["rsa-3072", "rsa-4096", "ec-p256", "ec-p384"]
    label: str = Field(default="status-responder", min_length=1)
    """What labels of its keys begin with; a hyphen and a number follow."""


class RecordSettings(_Part):
    """The issuing service's record."""

    connection: ConnectionText
    """How to connect: an account that may read is enough."""
    password_file: Path | None = None
    """Holds that account's password, if it has one."""


class Carried(_Part):
    """An authority that signs elsewhere, and not here."""

    certificate: AbsolutePath
    """PEM."""
    crl: AbsolutePath
    """Its revocation list, PEM."""


class PublishSettings(_Part):
    """The whole file."""

    authority: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    """What published files are called."""
    issuer: Issuer
    token: TokenSettings
    organization: MemberName
    country: str = Field(pattern=r"^[A-Z]{2}$")
    responder: ResponderSettings
    record: RecordSettings
    carried: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")], Carried] = {}
    """Authorities whose certificate and list are published too, by the name of their files."""
    folder: AbsolutePath
    """Where files are published."""
    state: AbsolutePath
    """Where the program keeps its responder's certificate."""
    freshness_seconds: int = Field(default=3600, ge=60, le=604_800)
    """X-Road's `ocspFreshnessSeconds`: answers are signed anew at a third of it."""
    revocation_list_hours: int = Field(default=48, ge=1, le=24 * 31)
    """How long a list is good. A new one is made at half of it, and when anything is revoked."""
    interval_seconds: float = Field(default=2, ge=0.05, le=60)
    """Between two looks at the record."""
    order: Api
    metrics_file: AbsolutePath | None = None
    """For node_exporter's textfile collector."""

    @property
    def wanted(self) -> Wanted:
        """The responder's certificate."""
        return Wanted(
            profile=Profile.STATUS_RESPONDER,
            name=self.responder.name,
            organization=self.organization,
            country=self.country,
        )

    @property
    def renewal(self) -> Path:
        """While it exists, the responder gets a new key; it holds the key's label once that is known."""
        return self.state / "renew-responder"

    def published(self, kind: str) -> Path:
        """A published file."""
        return self.folder / f"{self.authority}.{kind}"


class Responder:
    """Which key and certificate sign answers."""

    def __init__(self, settings: PublishSettings, issuer: x509.Certificate) -> None:
        self._settings = settings
        self._issuer = issuer
        self._file = settings.state / "responder.pem"

    def present(self, token: Token) -> Signer | None:
        """The one in force; None if there is none, or the token doesn't hold its key."""
        try:
            certificate = x509.load_pem_x509_certificate(self._file.read_bytes())
        except (OSError, ValueError):
            return None
        key = next((key for _, key in self._keys(token) if key.public_key() == certificate.public_key()), None)
        if key is None:
            return None
        try:
            ordering.check(self._settings.wanted, key.public_key(), certificate)
            certificate.verify_directly_issued_by(self._issuer)
        except Exception:  # noqa: BLE001 - of another authority or name: it can't be used, whatever the reason
            return None
        return Signer(self._issuer, certificate, key)

    def renew(self, token: Token, present: Signer | None, now: datetime) -> Signer | None:
        """Order what is due, keep it, and return it; None if nothing is due. Refusal if it can't be had."""
        new_key = self._settings.renewal.exists()
        if not new_key and present is not None and not due(present.responder, now, SERVICE):
            return None
        key = self._next_key(token) if new_key else self._last_key(token, present)
        if new_key and present is not None and present.key.public_key() == key.public_key():
            # A run that was killed had come as far as this.
            self._settings.renewal.unlink()
            return None
        before = present.responder if present is not None else None
        made = ordering.order(self._settings.order, self._settings.wanted, key, before, now).certificate
        signer = Signer(self._issuer, made, key)
        files.write(self._file, made.public_bytes(Encoding.PEM))
        if new_key:
            self._settings.renewal.unlink()
        return signer

    def _keys(self, token: Token) -> Iterator[tuple[int, SigningKey]]:
        """The responder's keys in the token and their numbers."""
        number = 1
        while (key := token.key(self._label(number))) is not None:
            yield number, key
            number += 1

    def _label(self, number: int) -> str:
        return f"{self._settings.responder.label}-{number}"

    def _last_key(self, token: Token, present: Signer | None) -> SigningKey:
        if present is not None:
            return present.key
        keys = list(self._keys(token))
        return keys[-1][1] if keys else token.generate(self._label(1), self._settings.responder.key)

    def _next_key(self, token: Token) -> SigningKey:
        label = self._settings.renewal.read_text(encoding="utf-8").strip()
        if not label:
            # Written down before it is made: whoever takes this up after a kill makes no other.
            label = self._label(len(list(self._keys(token))) + 1)
            files.write(self._settings.renewal, label.encode())
        return token.key(label) or token.generate(label, self._settings.responder.key)


class Program:
    """Looks, signs and writes, round after round."""

    def __init__(self, settings: PublishSettings) -> None:
        """Refusal if the authority's certificate can't be read, or a folder isn't there."""
        self._settings = settings
        self._issuer = settings.issuer.chain()[0]
        for folder in (settings.folder, settings.state):
            if not folder.is_dir():
                raise Refusal(f"the folder {folder} isn't there", "make it; roles do")
        self._authority = Authority(self._issuer, timedelta(seconds=settings.freshness_seconds))
        self._token = HeldToken(settings.token.place, settings.token.pin_file)
        self._responder = Responder(settings, self._issuer)
        self._reopen = False
        self._signer: Signer | None = None
        self._publisher: Publisher | None = None
        self._connection: psycopg.Connection[Any] | None = None
        self._seen: tuple[Head, list[CertificateState]] | None = None
        self._answers = 0
        self._answers_due = datetime.min.replace(tzinfo=UTC)
        self._list: x509.CertificateRevocationList | None = None
        self._succeeded: datetime | None = None
        self._measured = datetime.min.replace(tzinfo=UTC)
        self._trouble: dict[str, str] = {}
        self._next_order = datetime.min.replace(tzinfo=UTC)
        self._pause = SHORTEST_PAUSE

    def keep(self, stop: threading.Event) -> None:
        """Go on until told to stop."""
        while not stop.is_set():
            busy = self.round(datetime.now(UTC))
            stop.wait(0 if busy else self._settings.interval_seconds)

    def round(self, now: datetime) -> bool:
        """Do what is due; whether there is more to do at once."""
        if self._reopen:
            self._token.forget()
            self._signer, self._reopen = None, False
        token = self._tried("the token", self._token.token)
        if token is None:
            self._measure(now, done=False)
            return False
        self._tried("the responder's certificate", lambda: self._renew(token, now))
        self._tried("the authority's certificate", self._publish_issuer)
        for name, carried in self._settings.carried.items():
            self._tried(f"what is carried of '{name}'", partial(self._publish_carried, name, carried))
        found = self._tried("the record", self._states)
        if found is None:
            self._measure(now, done=False)
            return False
        states, changed = found
        listed = self._tried("the revocation list", lambda: self._publish_list(token, states, now))
        waiting = self._tried("the answers", lambda: self._publish_answers(states, now, changed=changed))
        self._measure(now, done=listed is not None and waiting is not None)
        return bool(waiting)

    def _tried(self, what: str, work: Callable[[], Result]) -> Result | None:
        """The result, or None after telling why there is none, once."""
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - whatever it was, what else is due mustn't wait for it
            reason = f"{error}" if isinstance(error, Refusal | OSError | psycopg.Error) else repr(error)
            if self._trouble.get(what) != reason:
                self._trouble[what] = reason
                line = " ".join(reason.split())
                tell(f"{what}: {line}; what was published stays, and this is tried again")
            if isinstance(error, psycopg.Error):
                self._disconnect()
            elif what != "the responder's certificate":
                # Whatever a token does that fails may be cured by opening it again, in the next round.
                self._reopen = True
            return None
        if self._trouble.pop(what, None) is not None:
            tell(f"{what}: well again")
        return result

    def _renew(self, token: Token, now: datetime) -> None:
        """Have a responder: the former one until there is a new one."""
        self._signer = self._signer or self._responder.present(token)
        try:
            if now >= self._next_order:
                self._next_order = now + self._pause
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
                self._signer = self._responder.renew(token, self._signer, now) or self._signer
                self._next_order, self._pause = now, SHORTEST_PAUSE
            elif "the responder's certificate" in self._trouble:
                raise Refusal(self._trouble["the responder's certificate"])
        finally:
            self._use(self._signer, now)

    def _use(self, signer: Signer | None, now: datetime) -> None:
        if signer is None:
            self._publisher = None
        elif self._publisher is None or self._publisher.signer is not signer:
            budget = timedelta(seconds=self._settings.freshness_seconds)
            self._publisher = Publisher(self._settings.published("answers"), signer, budget)
            reason = self._publisher.resume(now)
            self._answers_due = now
            if reason:
                tell(f"the published answers aren't taken over: {reason}")

    def _states(self) -> tuple[list[CertificateState], bool]:
        """The states in the record, and whether it has changed since they were read last."""
        if self._connection is None:
            password = self._settings.record.password_file
            self._connection = psycopg.connect(
                self._settings.record.connection,
                password=None if password is None else secret(password).decode(),
                autocommit=True,
                connect_timeout=5,
                application_name="trust-services status",
                options="-c default_transaction_read_only=on -c statement_timeout=60s",
                tcp_user_timeout=20_000,
            )
        record = Record(self._connection)
        head = record.head()
        if self._seen is not None and self._seen[0] == head:
            return self._seen[1], False
        # The head is read first: what was added since is seen now or, by another head, in the next round.
        self._seen = head, list(record.states())
        return self._seen[1], True

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _publish_issuer(self) -> None:
        _put(self._settings.published("crt"), self._issuer.public_bytes(Encoding.DER))

    def _publish_carried(self, name: str, carried: Carried) -> None:
        certificate = x509.load_pem_x509_certificate(carried.certificate.read_bytes())
        crl = x509.load_pem_x509_crl(carried.crl.read_bytes())
        key = certificate.public_key()
        if not isinstance(key, PublicKey) or not crl.is_signature_valid(key):
            raise Refusal(
                f"{carried.crl} isn't signed by {carried.certificate}", "bring both from one ceremony"
            )
        _put(self._settings.folder / f"{name}.crt", certificate.public_bytes(Encoding.DER))
        _put(self._settings.folder / f"{name}.crl", crl.public_bytes(Encoding.DER))

    def _publish_list(self, token: Token, states: list[CertificateState], now: datetime) -> bool:
        """Make a list if one is due; whether one was made."""
        path = self._settings.published("crl")
        life = timedelta(hours=self._settings.revocation_list_hours)
        if self._list is None or not path.exists():
            self._list = self._published_list(path, now)
        revoked = [state for state in _current(states, now - life) if state.revoked_at is not None]
        before = self._list
        if before is not None and _listed(before) == {(one.serial, *one.shown) for one in revoked}:
            half = before.last_update_utc + (before.next_update_utc - before.last_update_utc) / 2  # type: ignore[operator] # ours has one
            if now < half:
                return False
        key = token.key(self._settings.token.key)
        if key is None:
            raise Refusal(f"the token has no key '{self._settings.token.key}'", "look at `token.key`")
        # Grows with time, also after the last list was lost; and beyond the last one if the clock was set back.
        last = _number(before) if before is not None else 0
        number = max(int(now.timestamp()), last + 1)
        publish_crl(path, self._issuer, key, revoked, number=number, this_update=now, next_update=now + life)
        self._list = x509.load_der_x509_crl(path.read_bytes())
        return True

    def _published_list(self, path: Path, now: datetime) -> x509.CertificateRevocationList | None:
        try:
            content = path.read_bytes()
            self._authority.revocation_list(content, None, now)
        except (OSError, Refusal):
            return None
        return x509.load_der_x509_crl(content)

    def _publish_answers(self, states: list[CertificateState], now: datetime, *, changed: bool) -> int:
        """Sign what is due; how many certificates wait for the next round."""
        if self._publisher is None:
            raise Refusal("there is no responder to sign them", "look at what was told of its certificate")
        if not (changed or now >= self._answers_due or not self._settings.published("answers").exists()):
            return 0
        # Not told about for ever: what has ended isn't asked about any more.
        ended = now - timedelta(hours=self._settings.revocation_list_hours)
        # Due at once until this has succeeded, whatever happens.
        self._answers_due = now
        done = self._publisher.publish(_current(states, ended), now, at_most=BATCH)
        self._answers = done.answers
        if not done.waiting:
            self._answers_due = now + timedelta(seconds=self._settings.freshness_seconds / 30)
        return done.waiting

    def _measure(self, now: datetime, *, done: bool) -> None:
        if done:
            self._succeeded = now
        path = self._settings.metrics_file
        if path is None or now - self._measured < timedelta(seconds=15):
            return
        self._measured = now
        name = self._settings.authority
        values = {
            "answers": self._answers,
            "last_success_timestamp_seconds": _seconds(self._succeeded),
            "crl_next_update_timestamp_seconds": _seconds(self._list.next_update_utc if self._list else None),
            "responder_not_after_timestamp_seconds": _seconds(
                self._signer.responder.not_valid_after_utc if self._signer else None
            ),
        }
        lines = []
        for kind, value in values.items():
            lines.append(f"# TYPE trust_status_publisher_{kind} gauge\n")
            lines.append(f'trust_status_publisher_{kind}{{authority="{name}"}} {value:.0f}\n')
        try:
            files.write(path, "".join(lines).encode())
        except OSError as error:
            tell(f"{path} can't be written: {error.strerror}")


def _put(path: Path, content: bytes) -> None:
    """Write a file unless it says this already."""
    if not path.exists() or path.read_bytes() != content:
        files.write(path, content)


def _seconds(moment: datetime | None) -> float:
    """Seconds since 1970; 0 for what wasn't there yet."""
    return moment.timestamp() if moment is not None else 0


def _current(states: list[CertificateState], ended: datetime) -> list[CertificateState]:
    """Those that hadn't ended at `ended`."""
    return [state for state in states if state.not_after is None or state.not_after >= ended]


def _number(found: x509.CertificateRevocationList) -> int:
    return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _listed(
    found: x509.CertificateRevocationList,
) -> set[tuple[int, datetime | None, x509.ReasonFlags | None]]:
    listed: set[tuple[int, datetime | None, x509.ReasonFlags | None]] = set()
    for entry in found:
        try:
            reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        except x509.ExtensionNotFound:
            reason = None
        listed.add((entry.serial_number, entry.revocation_date_utc, reason))
    return listed


def renew_responder(settings: PublishSettings) -> None:
    """Have the running program give its responder a new key and certificate. Once is as good as twice."""
    if not settings.renewal.exists():
        files.write(settings.renewal, b"")
