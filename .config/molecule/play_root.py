"""Plays the root's ceremony for a scenario: grants every request in `requests`, into `issued`.

Called again it issues anew, with the same root: what a later ceremony does for certificates that expire.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from trust_services import key_file
from trust_services.ceremony import certificates
from trust_services.ceremony.agenda import Agenda
from trust_services.ceremony.certificates import Term
from trust_services.ceremony.requests import Content, kind_of
from trust_services.signing import SigningKey
from trust_services.status import revocation_list

ISSUED = Path("issued")
DAYS = 10


def read(requests: Path) -> dict[str, x509.CertificateSigningRequest]:
    """What is asked for, by the authority's short name."""
    contents = [Content.model_validate_json(path.read_bytes()) for path in requests.glob("*.json")]
    return {content.authority: x509.load_pem_x509_csr((content.csr or "").encode()) for content in contents}


def agenda(asked: dict[str, x509.CertificateSigningRequest]) -> Agenda:
    """An agenda that grants just this: names and keys as asked for."""
    return Agenda.model_validate(
        {
            "site": "scenario",
            "organization": "Scenario",
            "country": "BJ",
            "root": {"common_name": "Scenario Root CA", "key": "ec-p384", "lifetime_days": DAYS},
            "authorities": {
                name: {
                    "common_name": csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value,
                    "key": kind_of(csr.public_key()),
                    "lifetime_days": DAYS,
                }
                for name, csr in asked.items()
            },
            "revocation_list": {"url": "http://status.site.test/crl/root.crl", "lifetime_days": DAYS},
            "token": {"library": "none"},
            "custodians": ["one", "two"],
            "threshold": 2,
            "witnesses": ["test"],
        }
    )


def root_of(told: Agenda, now: datetime) -> tuple[x509.Certificate, SigningKey]:
    """The root and its key, made at the first call."""
    key = key_file.make(Path("ceremony-root.key"), "ec-p384")
    path = ISSUED / "root.crt"
    if not path.exists():
        path.write_bytes(certificates.root(told, key, term(now)).public_bytes(Encoding.PEM))
    return x509.load_pem_x509_certificate(path.read_bytes()), key


def term(now: datetime) -> Term:
    """A serial number of its own, and a few days of life."""
    return Term(x509.random_serial_number(), now - timedelta(minutes=5), now + timedelta(days=DAYS))


def main() -> None:
    """Write the root, its list and a certificate for each request."""
    ISSUED.mkdir(exist_ok=True)
    now = datetime.now(UTC).replace(microsecond=0)
    asked = read(Path("requests"))
    told = agenda(asked)
    root, key = root_of(told, now)
    for name, csr in asked.items():
        made = certificates.authority(told, name, csr.public_key(), root, key, term(now))
        for file in (name, f"{name}-1"):
            # By its name, and by its generation's.
            (ISSUED / f"{file}.crt").write_bytes(made.public_bytes(Encoding.PEM))
    ends = now + timedelta(days=DAYS)
    listed = revocation_list.sign(root, key, [], number=1, this_update=now, next_update=ends)
    (ISSUED / "root.crl").write_bytes(listed.public_bytes(Encoding.PEM))


if __name__ == "__main__":
    main()
