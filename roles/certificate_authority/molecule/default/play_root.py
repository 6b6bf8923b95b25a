"""Plays the root's ceremony for the scenario: grants every request in `requests`, into `issued`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from trust_services.ceremony import certificates
from trust_services.ceremony.agenda import Agenda
from trust_services.ceremony.certificates import Term
from trust_services.ceremony.requests import Content
from trust_services.status import revocation_list

AGENDA = Agenda.model_validate(
    {
        "site": "scenario",
        "organization": "Scenario",
        "country": "BJ",
        "root": {"common_name": "Scenario Root CA", "key": "ec-p384", "lifetime_days": 10},
        "authorities": {
            "infrastructure-tls": {
                "common_name": "Scenario Infrastructure TLS CA",
                "key": "ec-p256",
                "lifetime_days": 10,
            },
            "trust-services": {
                "common_name": "Scenario Trust Services CA",
                "key": "rsa-3072",
                "lifetime_days": 10,
            },
        },
        "revocation_list": {"url": "http://status.site.test/crl/root.crl", "lifetime_days": 10},
        "token": {"library": "none"},
        "custodians": ["one", "two"],
        "threshold": 2,
        "witnesses": ["test"],
    }
)


def main() -> None:
    """Write the root, its list and a certificate for each request."""
    issued = Path("issued")
    issued.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP384R1())
    now = datetime.now(UTC).replace(microsecond=0)

    def term() -> Term:
        return Term(x509.random_serial_number(), now - timedelta(minutes=5), now + timedelta(days=10))

    root = certificates.root(AGENDA, key, term())
    for path in Path("requests").glob("*.json"):
        content = Content.model_validate_json(path.read_bytes())
        csr = x509.load_pem_x509_csr((content.csr or "").encode())
        made = certificates.authority(AGENDA, content.authority, csr.public_key(), root, key, term())
        (issued / f"{content.authority}.crt").write_bytes(made.public_bytes(Encoding.PEM))
    ends = now + timedelta(days=10)
    listed = revocation_list.sign(root, key, [], number=1, this_update=now, next_update=ends)
    (issued / "root.crl").write_bytes(listed.public_bytes(Encoding.PEM))
    (issued / "root.crt").write_bytes(root.public_bytes(Encoding.PEM))


if __name__ == "__main__":
    main()
