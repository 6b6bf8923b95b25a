"""Orders a certificate for a service of the site from the issuing authority, and verifies what comes.

The same order again gives the same certificate, so a program that was killed before it kept one just orders
again. What tells orders apart is the request and the certificate that the new one follows.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import time
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pydantic import BaseModel, ConfigDict, Field

from trust_services.issuing.orders import HostName, MemberName, Profile
from trust_services.issuing.profiles import SERVICE_PURPOSES
from trust_services.refusal import Refusal
from trust_services.renewal import SERVICE, due
from trust_services.settings_file import AbsolutePath, HttpsAddress, secret
from trust_services.signing import PublicKey, SigningKey, certificate_hash

MAX_ANSWER_BYTES = 64 * 1024

MAX_FOLLOWED = 1000
"""Certificates of earlier orders that are passed over: more than a service has had since its key was made."""


class Api(BaseModel):
    """Where orders go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: HttpsAddress
    ca: AbsolutePath
    """Certificates, in PEM, that the API's own certificate and every certificate ordered must come from."""
    token_file: AbsolutePath
    """Holds the bearer token."""
    deadline_seconds: float = Field(default=60, ge=1, le=600)
    """How long an answer may take."""


class Wanted(BaseModel):
    """What a certificate shall be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Profile
    name: HostName
    organization: MemberName
    country: str = Field(pattern=r"^[A-Z]{2}$")

    @property
    def subject(self) -> x509.Name:
        """The subject, as the authority wants it of its services."""
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, self.country),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, self.organization),
                x509.NameAttribute(NameOID.COMMON_NAME, self.name),
            ]
        )


@dataclass(frozen=True)
class Certified:
    """A certificate, and those between it and the root, its issuer's first."""

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]


def order(
    api: Api, wanted: Wanted, key: SigningKey, present: x509.Certificate | None, now: datetime
) -> Certified:
    """A certificate for `key` that follows the `present` one, if there is one.

    Refusal if the authority isn't reached, doesn't give one, or gives one that isn't what was ordered.
    """
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(wanted.subject)
        .sign(key, certificate_hash(key))
        .public_bytes(Encoding.PEM)
        .decode()
    )
    before = present
    issuer, chain = _authorities(api)
    # Whoever lost its certificate is given those that it had once more, also those of an authority that was
    # replaced since; the one that it needs comes after them.
    for _ in range(MAX_FOLLOWED):
        made, new = _placed(api, wanted, request, before)
        check(wanted, key.public_key(), made)
        if not (issued := _issued(made, issuer)) and new:
            raise Refusal(
                f"{api.url} gives a certificate that '{issuer.subject.rfc4514_string()}' didn't issue",
                "if the authority was replaced just now, run again; else look at its configuration",
            )
        if issued and not due(made, now, SERVICE):
            return Certified(made, chain)
        if new:
            break
        before = made
    raise Refusal(
        f"{api.url} gives certificates for {wanted.name} that are due for renewal already",
        "compare the clocks, and the lifetimes in the authority's configuration",
    )


def check(wanted: Wanted, key: PublicKey, made: x509.Certificate) -> None:
    """Refusal unless a certificate is for this key and this service, by its profile."""
    wrong = ""
    if made.public_key() != key:
        wrong = "is for another key"
    elif made.subject.public_bytes() != wanted.subject.public_bytes():
        wrong = f"names '{made.subject.rfc4514_string()}', not '{wanted.subject.rfc4514_string()}'"
    else:
        try:
            purposes = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        except x509.ExtensionNotFound:
            purposes = None
        if (
            purposes is None
            or not purposes.critical
            or list(purposes.value) != [SERVICE_PURPOSES[wanted.profile]]
        ):
            wrong = f"isn't of profile {wanted.profile}"
    if wrong:
        raise Refusal(
            f"the certificate {made.serial_number:x} {wrong}", "look at the authority's configuration"
        )


def _placed(
    api: Api, wanted: Wanted, request: str, before: x509.Certificate | None
) -> tuple[x509.Certificate, bool]:
    """The certificate that an order gets, and whether it was made just now."""
    follows = before.fingerprint(hashes.SHA256()).hex() if before is not None else ""
    body = {
        "profile": wanted.profile,
        "service": wanted.name,
        "csr": request,
        "idempotency_key": hashlib.sha256(f"{request}{follows}".encode()).hexdigest(),
    }
    status, content = _asked(api, "POST", "/orders", json.dumps(body))
    answer = json.loads(content)
    if "certificate" not in answer:
        raise Refusal(
            f"the order {answer.get('id')} at {api.url} waits for an officer",
            "let an officer approve it, or name the service in the authority's configuration; then run again",
        )
    return x509.load_pem_x509_certificate(answer["certificate"].encode()), status == http.HTTPStatus.CREATED


def _authorities(api: Api) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
    """The authority that issues now, and all that lies below a given root. Refusal if it doesn't hold."""
    given = x509.load_pem_x509_certificates(api.ca.read_bytes())
    _, content = _asked(api, "GET", "/authorities/current")
    told = x509.load_pem_x509_certificates(content)
    between = tuple(certificate for certificate in told if certificate not in given)
    for lower, upper in pairwise(between):
        if not _issued(lower, upper):
            names = f"'{upper.subject.rfc4514_string()}' didn't issue '{lower.subject.rfc4514_string()}'"
            raise Refusal(f"the chain that {api.url} tells doesn't hold: {names}")
    if between and not any(_issued(between[-1], root) for root in given):
        raise Refusal(
            f"'{between[-1].subject.rfc4514_string()}' wasn't issued by a certificate in {api.ca}",
            "compare the root there with the ceremony's",
        )
    return told[0], between


def _issued(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _asked(api: Api, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
    """A successful answer's status and content. Refusal with the authority's own words if there is none."""
    parts = urlsplit(api.url)
    token = secret(api.token_file).decode()
    try:
        context = ssl.create_default_context(cafile=api.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=api.deadline_seconds, context=context
        )
        try:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request(method, f"{parts.path}{path}", body, headers)
            response = connection.getresponse()
            content = _content(response, time.monotonic() + api.deadline_seconds)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise Refusal(
            f"{api.url}{path} can't be asked: {error or type(error).__name__}",
            f"curl --cacert {api.ca} {api.url}/health",
        ) from error
    if response.status not in (200, 201, 202):
        raise _problem(api, response, content)
    return response.status, content


def _content(response: http.client.HTTPResponse, deadline: float) -> bytes:
    content = b""
    # In parts: a server that sends an octet now and then is given up at the deadline too.
    while part := response.read1(16 * 1024):
        content += part
        if len(content) > MAX_ANSWER_BYTES:
            raise http.client.HTTPException(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError("the answer doesn't end")
    return content


def _problem(api: Api, response: http.client.HTTPResponse, content: bytes) -> Refusal:
    """What a problem document says (RFC 9457), with its next step."""
    problem: Any
    try:
        problem = json.loads(content)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    detail = problem.get("detail") or response.reason
    return Refusal(f"{api.url} answers {response.status}: {detail}", str(problem.get("next_step", "")))
