"""What X-Road servers of members order, by the federation's token, and when they do so anew."""

from __future__ import annotations

import json
import ssl
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from time_travel.stage import Stage
from trust_services.renewal import SERVICE, due


@dataclass(frozen=True, eq=False)
class Leaf:
    """What one server has: an authentication or a signing certificate."""

    member: dict[str, Any]
    """As the estate declares it: class, code, name, servers."""
    profile: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.profile} certificate of {self.member['code']}"

    def subject(self, country: str) -> x509.Name:
        """X-Road's Basic profile."""
        values = [(NameOID.COUNTRY_NAME, country), (NameOID.ORGANIZATION_NAME, self.member["name"])]
        if self.profile == "authentication":
            values.append((NameOID.COMMON_NAME, self.member["servers"][0]))
        else:
            values += [
                (NameOID.COMMON_NAME, self.member["name"]),
                (NameOID.BUSINESS_CATEGORY, self.member["class"]),
            ]
        values.append((NameOID.SERIAL_NUMBER, self.member["code"]))
        return x509.Name([x509.NameAttribute(kind, value) for kind, value in values])


class Members:
    """All leafs, the present and the former ones."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._orders = 0
        self.present: dict[Leaf, x509.Certificate] = {}
        self.former: list[tuple[Leaf, x509.Certificate]] = []
        self.revoked: dict[int, datetime] = {}

    def declared(self) -> list[dict[str, Any]]:
        """Members of the estate with a server."""
        told = self._stage.configuration().automatic
        return [
            {"class": one.member_class, "code": one.code, "name": one.name, "servers": sorted(one.servers)}
            for one in told
            if one.servers
        ]

    def order(self, leaf: Leaf) -> x509.Certificate:
        """Make a key and have a certificate for it."""
        key = ec.generate_private_key(ec.SECP256R1())
        country = self._stage.estate.trust.country
        csr = x509.CertificateSigningRequestBuilder(leaf.subject(country)).sign(key, hashes.SHA256())
        self._orders += 1
        member = {name: leaf.member[name] for name in ("class", "code", "name")}
        body: dict[str, Any] = {
            "profile": leaf.profile,
            "member": member,
            "csr": csr.public_bytes(Encoding.PEM).decode(),
            "idempotency_key": f"order-{self._orders:08d}",
        }
        if leaf.profile == "authentication":
            body["server"] = leaf.member["servers"][0]
        answer = self._asked("federation", "/orders", body)
        made = x509.load_pem_x509_certificate(answer["certificate"].encode())
        if before := self.present.get(leaf):
            self.former.append((leaf, before))
        self.present[leaf] = made
        self._stage.tell("X-Road leaf", leaf.name)
        return made

    def renew(self) -> None:
        """Renew what is due: with a new key, as X-Road servers do. What fails is tried again."""
        for leaf, found in list(self.present.items()):
            if due(found, datetime.now(UTC), SERVICE):
                try:
                    self.order(leaf)
                except OSError:
                    continue

    def leave(self, leaf: Leaf) -> None:
        """Renew it no more."""
        self.former.append((leaf, self.present.pop(leaf)))

    def revoke(self, found: x509.Certificate, reason: str) -> None:
        """Have an officer revoke a certificate."""
        serial = found.serial_number
        self._asked("officer", f"/certificates/{serial:040x}/revocation", {"reason": reason})
        self.revoked[serial] = datetime.now(UTC)
        self._stage.tell("revocation", f"{reason}: {serial:x}")

    def _asked(self, client: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer; OSError if there is none, or it says that there was none."""
        request = urllib.request.Request(  # noqa: S310 - https
            f"{self._stage.url()}{path}",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._stage.token(client)}", "Content-Type": "application/json"},
        )
        context = ssl.create_default_context(cafile=self._stage.issued("root.crt"))
        with urllib.request.urlopen(request, context=context, timeout=60) as answer:  # noqa: S310 - https
            found: dict[str, Any] = json.load(answer)
        return found
