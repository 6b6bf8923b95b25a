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
from trust_services.status.authority_status import AuthorityStatus, put
from trust_services.status.journal import tell
from trust_services.status.signing import Signer
from trust_services.token import Token

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


class Former(_Part):
    """An authority that was replaced in good order. It issues nothing more; what it issued is told about."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    """What its files are called."""
    certificate: AbsolutePath
    """PEM."""
    key: str
    """Label of its key, in the same token. It signs answers itself (RFC 6960, section 4.2.2.2)."""


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
    former: tuple[Former, ...] = ()
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
        """A published file of the authority."""
        return self.folder / f"{self.authority}.{kind}"

    def status_of(self, name: str, issuer: x509.Certificate) -> AuthorityStatus:
        """What is published of an authority."""
        return AuthorityStatus(
            name,
            issuer,
            self.folder,
            freshness=timedelta(seconds=self.freshness_seconds),
            list_life=timedelta(hours=self.revocation_list_hours),
        )


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
        self._current = settings.status_of(settings.authority, self._issuer)
        self._former = {one.name: one for one in settings.former}
        formers = (settings.status_of(name, _certificate(one)) for name, one in self._former.items())
        self._authorities = (self._current, *formers)
        self._token = HeldToken(settings.token.place, settings.token.pin_file)
        self._responder = Responder(settings, self._issuer)
        self._reopen = False
        self._signer: Signer | None = None
        self._formers_signers: dict[str, Signer] = {}
        self._connection: psycopg.Connection[Any] | None = None
        self._seen: tuple[Head, list[list[CertificateState]]] | None = None
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
            self._formers_signers.clear()
        token = self._tried("the token", self._token.token)
        if token is None:
            self._measure(now, done=False)
            return False
        self._tried("the responder's certificate", lambda: self._renew(token, now))
        for name, carried in self._settings.carried.items():
            self._tried(f"what is carried of '{name}'", partial(self._publish_carried, name, carried))
        found = self._tried("the record", self._states)
        if found is None:
            self._measure(now, done=False)
            return False
        states, changed = found
        waiting = [
            self._publish(status, self._key(token, status), own, changed, now)
            for status, own in zip(self._authorities, states, strict=True)
        ]
        self._measure(now, done=None not in waiting)
        return any(waiting)

    def _key(self, token: Token, status: AuthorityStatus) -> SigningKey | None:
        """An authority's own key."""
        former = self._former.get(status.name)
        return token.key(self._settings.token.key if former is None else former.key)

    def _publish(
        self,
        status: AuthorityStatus,
        key: SigningKey | None,
        own: list[CertificateState],
        changed: bool,
        now: datetime,
    ) -> int | None:
        """Publish what is due of one authority; how many certificates wait, None if something failed."""
        of = "" if status is self._current else f" of '{status.name}'"
        if status is not self._current and key is not None:
            signer = self._formers_signers.setdefault(status.name, Signer(status.issuer, status.issuer, key))
            self._use(status, signer, now)
        self._tried(f"the authority's certificate{of}", status.publish_certificate)
        listed = self._tried(f"the revocation list{of}", lambda: status.publish_list(key, own, now))
        waiting = self._tried(f"the answers{of}", lambda: status.publish_answers(own, now, changed=changed))
        return None if listed is None else waiting

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
            self._use(self._current, self._signer, now)

    def _use(self, status: AuthorityStatus, signer: Signer | None, now: datetime) -> None:
        if reason := status.use(signer, now):
            tell(f"the published answers of '{status.name}' aren't taken over: {reason}")

    def _states(self) -> tuple[list[list[CertificateState]], bool]:
        """Each authority's states in the record, and whether it has changed since they were read last."""
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
        states = list(record.states())
        self._seen = head, [status.own(states) for status in self._authorities]
        return self._seen[1], True

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None

    def _publish_carried(self, name: str, carried: Carried) -> None:
        certificate = x509.load_pem_x509_certificate(carried.certificate.read_bytes())
        crl = x509.load_pem_x509_crl(carried.crl.read_bytes())
        key = certificate.public_key()
        if not isinstance(key, PublicKey) or not crl.is_signature_valid(key):
            raise Refusal(
                f"{carried.crl} isn't signed by {carried.certificate}", "bring both from one ceremony"
            )
        put(self._settings.folder / f"{name}.crt", certificate.public_bytes(Encoding.DER))
        put(self._settings.folder / f"{name}.crl", crl.public_bytes(Encoding.DER))

    def _measure(self, now: datetime, *, done: bool) -> None:
        if done:
            self._succeeded = now
        path = self._settings.metrics_file
        if path is None or now - self._measured < timedelta(seconds=15):
            return
        self._measured = now
        name, listed = self._settings.authority, self._current.list
        values = {
            "answers": self._current.answers,
            "last_success_timestamp_seconds": _seconds(self._succeeded),
            "crl_next_update_timestamp_seconds": _seconds(listed.next_update_utc if listed else None),
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


def _seconds(moment: datetime | None) -> float:
    """Seconds since 1970; 0 for what wasn't there yet."""
    return moment.timestamp() if moment is not None else 0


def _certificate(former: Former) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(former.certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise Refusal(f"the certificate {former.certificate} can't be read: {error}") from error


def renew_responder(settings: PublishSettings) -> None:
    """Have the running program give its responder a new key and certificate. Once is as good as twice."""
    if not settings.renewal.exists():
        files.write(settings.renewal, b"")
