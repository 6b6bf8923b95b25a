"""Certificates from the site's own trust services CA, ordered over its API.

An order is sent as often as it takes: its idempotency key is made of what is ordered, so that the same order
again, also by another run after a kill, gives the same certificate and never a second one.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.authority import CertificateOrder
from stacks.providers.xroad.endpoint import Endpoint, certificate_refused
from stacks.providers.xroad.errors import UnreachableError
from stacks.providers.xroad.security import KeyUsage
from stacks.providers.xroad.transport import retry_after

PROFILES: Mapping[KeyUsage, str] = {"AUTHENTICATION": "authentication", "SIGNING": "signing"}
"""What the API calls the uses of keys."""

_OVERLOADED = frozenset({429, 502, 503, 504})


class IssuingApi:
    """The trust services CA. The token is asked for each request, so that a rotated one is found."""

    def __init__(
        self,
        endpoint: Endpoint,
        tls: ssl.SSLContext,
        token: Callable[[], str],
        *,
        patience_seconds: float = 60.0,
        approval_seconds: float = 300.0,
        probe_seconds: float = 2.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Say how long to wait.

        `patience_seconds` bounds how long a request is repeated while the CA can't be reached or can't issue;
        `approval_seconds` how long an officer is waited for, asking every `probe_seconds`.
        """
        self._endpoint = endpoint
        self._token = token
        self._patience = patience_seconds
        self._approval = approval_seconds
        self._probe = probe_seconds
        self._client = httpx.AsyncClient(
            verify=tls,
            transport=transport,
            timeout=httpx.Timeout(30.0, connect=10.0),
            headers={"Host": endpoint.host, "Accept": "application/json"},
            # Proxies of the environment lead out of the site; a redirect would carry the token elsewhere.
            trust_env=False,
            follow_redirects=False,
        )

    async def certificates(self) -> list[bytes]:
        """Certificates of the authority, the issuing one first (PEM each)."""
        response = await self._request("GET", "/authorities/current")
        try:
            found = x509.load_pem_x509_certificates(response.content)
        except ValueError:
            raise ProviderError(
                f"{self._endpoint}: /authorities/current isn't a list of certificates"
            ) from None
        return [certificate.public_bytes(Encoding.PEM) for certificate in found]

    async def sign(self, order: CertificateOrder) -> bytes:
        """The certificate for an order (PEM); ProviderError if it is refused or nobody approved it in time."""
        answer = (await self._request("POST", "/orders", json=_content(order))).json()
        ends = monotonic() + self._approval
        while answer["state"] not in {"issued", "refused"}:
            if monotonic() + self._probe > ends:
                raise ProviderError(self._unapproved(order, answer))
            await asyncio.sleep(self._probe)
            answer = (await self._request("GET", f"/orders/{answer['id']}")).json()
        if answer["state"] == "refused":
            raise ProviderError(
                f"{self._endpoint} refused the {PROFILES[order.usage]} certificate of {order.member}: "
                f"{answer.get('reason') or 'no reason given'}; next: {_ANOTHER_REQUEST}"
            )
        certificate = str(answer["certificate"]).encode()
        self._require_own(order, certificate)
        return certificate

    async def close(self) -> None:
        """Give back the connections."""
        await self._client.aclose()

    def _unapproved(self, order: CertificateOrder, answer: Mapping[str, Any]) -> str:
        for_server = f" for {order.server}" if order.server else ""
        if answer["state"] == "approved":
            return (
                f"{self._endpoint} approved order {answer['id']}, but hasn't issued it within "
                f"{self._approval:.0f} s; next: read its journal on {self._endpoint.name}, then apply again"
            )
        return (
            f"{self._endpoint} keeps order {answer['id']} waiting: the {PROFILES[order.usage]} certificate of "
            f"{order.member} ({order.member_name}){for_server} isn't one that it expects; next: an officer of "
            f"the CA approves it on {self._endpoint.name} with `trust-services issuing approve {answer['id']}` "
            "(and its --config), then apply again: the same order is taken up"
        )

    def _require_own(self, order: CertificateOrder, certificate: bytes) -> None:
        """The certificate must be for the key that it was ordered for."""
        ordered = x509.load_pem_x509_csr(order.request).public_key()
        if x509.load_pem_x509_certificate(certificate).public_key() != ordered:
            raise ProviderError(f"{self._endpoint} sent a certificate of another key for {order.member}")

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request, again while the CA can't be reached or can't issue. Both are harmless here."""
        ends = monotonic() + self._patience
        pause = 0.5
        while True:
            wait = pause
            try:
                response = await self._client.request(
                    method,
                    self._endpoint.origin + path,
                    extensions={"sni_hostname": self._endpoint.name},
                    # The authorities' certificates are for everybody: a plan needs no token for them.
                    headers={"Authorization": f"Bearer {self._token()}"}
                    if path.startswith("/orders")
                    else None,
                    **options,
                )
            except httpx.TransportError as error:
                if certificate_refused(error):
                    raise UnreachableError(
                        f"{self._endpoint}: its certificate isn't accepted: {error}"
                    ) from None
                failure = f"{self._endpoint} can't be reached: {error!r}"
            else:
                if response.is_success:
                    return response
                failure = _sentence(self._endpoint, method, path, response)
                if response.status_code not in _OVERLOADED:
                    raise ProviderError(failure)
                wait = max(pause, retry_after(response))
            if monotonic() + wait > ends:
                raise UnreachableError(f"{failure}; gave up after {self._patience:.0f} s")
            await asyncio.sleep(wait)
            pause = min(pause * 2, 5.0)


def idempotency_key(order: CertificateOrder) -> str:
    """The order's name: the use and the digest of the request in DER. Line ends of PEM make no other order."""
    request = x509.load_pem_x509_csr(order.request).public_bytes(Encoding.DER)
    return f"federation/{PROFILES[order.usage]}/{hashlib.sha256(request).hexdigest()}"


def _content(order: CertificateOrder) -> dict[str, Any]:
    content: dict[str, Any] = {
        "profile": PROFILES[order.usage],
        "member": {
            "class": order.member.member_class,
            "code": order.member.code,
            "name": order.member_name,
        },
        "csr": order.request.decode(),
        "idempotency_key": idempotency_key(order),
    }
    if order.server is not None:
        content["server"] = order.server
    return content


_ANOTHER_REQUEST = (
    "correct what it names, delete the certificate request on the security server and apply again, "
    "which orders with a new one"
)

_NEXT = {
    401: "its token isn't known there: apply the stage `trust-services` again",
    403: "its token may not order there: apply the stage `trust-services` again",
}
"""What to do where the API doesn't say so itself, or says what only its own operators could do."""


def _sentence(endpoint: Endpoint, method: str, path: str, response: httpx.Response) -> str:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    told = problem if isinstance(problem, dict) else {"detail": response.text.strip()[:500]}
    parts = [f"{endpoint}: {method} {path} answered {response.status_code}: {told.get('detail') or 'nothing'}"]
    if told.get("order"):
        # The order was taken and refused for good: what it says next needs a request of another content.
        parts.append(f"order {told['order']}; next: {_ANOTHER_REQUEST}")
    elif next_step := _NEXT.get(response.status_code) or told.get("next_step"):
        parts.append(f"next: {next_step}")
    return "; ".join(parts)
