"""A ceremony's place, with a token in software and authorities that ask."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.soft_token import tokens

from trust_services.ceremony import records, requests
from trust_services.ceremony.agenda import Agenda
from trust_services.ceremony.isolation import Isolation
from trust_services.ceremony.perform import Place, perform
from trust_services.ceremony.requests import Content
from trust_services.signing import SigningKey, certificate_hash

BEGAN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CUSTODIANS = ["Network operations", "Internal audit", "Ministry"]


@dataclass
class Rig:
    """A ceremony that can be held again and again."""

    place: Place
    agenda: dict[str, Any]
    said: list[str] = field(default_factory=list)
    time: datetime = BEGAN

    def hold(self, by_quorum: Collection[str] = ()) -> Path:
        """Hold a ceremony, a day after the one before."""
        self.place.inbox.mkdir(exist_ok=True)
        (self.place.inbox / "agenda.json").write_text(json.dumps(self.agenda), encoding="utf-8")
        record = perform(self.place, self.said.append, by_quorum)
        self.time += timedelta(days=1)
        return record

    @property
    def requests(self) -> Path:
        """Where requests lie."""
        return self.place.inbox / "requests"

    def clear(self) -> None:
        """Take all requests away."""
        for path in self.requests.glob("*"):
            path.unlink()

    def ask(self, key: SigningKey, **changed: Any) -> Path:
        """A request of the trust services authority, signed with `key`."""
        csr_key = changed.pop("csr_key", key)
        common_name = changed.pop("common_name", self.agenda["authorities"]["trust-services"]["common_name"])
        said: dict[str, Any] = {
            "kind": "issue",
            "authority": "trust-services",
            "created": self.time,
            "csr": self.csr(csr_key, common_name),
            **changed,
        }
        return requests.write(self.requests, Content.model_validate(said), key)

    def csr(self, key: SigningKey, common_name: str) -> str:
        """A PKCS #10 request."""
        subject = Agenda.model_validate(self.agenda).subject(common_name)
        made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, certificate_hash(key))
        return made.public_bytes(serialization.Encoding.PEM).decode()

    def fingerprint(self, record: Path) -> str:
        """Digest of the certificate that a ceremony issued."""
        return records.load_certificate(record / "trust-services.crt").fingerprint(hashes.SHA256()).hex()


@pytest.fixture
def key() -> SigningKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A place without a root, whose clock goes by days."""
    with tokens(tmp_path / "softhsm") as library:
        agenda = {
            "site": "lab",
            "organization": "Site",
            "country": "BJ",
            "root": {"common_name": "Site Root CA", "key": "ec-p384", "lifetime_days": 7300},
            "authorities": {
                "trust-services": {"common_name": "Site Trust CA", "key": "ec-p256", "lifetime_days": 3650},
                "infrastructure-tls": {"common_name": "Site TLS CA", "key": "ec-p256", "lifetime_days": 9999},
            },
            "revocation_list": {"url": "http://status.site.test/crl/root.crl", "lifetime_days": 180},
            "token": {"library": library},
            "custodians": CUSTODIANS,
            "threshold": 2,
            "witnesses": ["Auditor", "Security officer"],
        }
        made = Rig(
            Place(
                inbox=tmp_path / "inbox",
                records=tmp_path / "records",
                shares=tmp_path / "shares",
                # These tests run where networks are; the container's test proves the real thing.
                isolated=lambda: Isolation(("lo",), 0, "ENETUNREACH"),
                now=lambda: made.time,
            ),
            agenda,
        )
        yield made
