"""Certificates from a step-ca server, ordered with one-time tokens of its JWK provisioners."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic, time
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from jwcrypto import jwa, jwe, jwk, jwt
from jwcrypto.common import JWException

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.endpoint import Endpoint, certificate_refused
from stacks.providers.xroad.errors import UnreachableError
from stacks.providers.xroad.security import KeyUsage

PROVISIONERS: Mapping[KeyUsage, str] = {"AUTHENTICATION": "authentication", "SIGNING": "signing"}
"""Provisioners of the trust-services authority: each issues one kind of certificate."""

# step-ca encrypts with 600,000 iterations (OWASP 2023); the library refuses more than 16,384 by itself.
jwa.default_max_pbkdf2_iterations = 1_000_000

_TOKEN_SECONDS = 300
_PAGE = 100


@dataclass(frozen=True)
class _Provisioner:
    name: str
    key_id: str
    algorithm: str
    encrypted_key: str


class StepCertificateAuthority:
    """A step-ca server. A provisioner's key is opened once a process, its password isn't kept."""

    def __init__(
        self,
        endpoint: Endpoint,
        tls: ssl.SSLContext,
        password: Callable[[KeyUsage], str],
        *,
        patience_seconds: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._password = password
        self._patience = patience_seconds
        self._provisioners: dict[str, _Provisioner] = {}
        self._keys: dict[KeyUsage, jwk.JWK] = {}
        self._opening = asyncio.Lock()
        self._client = httpx.AsyncClient(
            verify=tls,
            transport=transport,
            timeout=httpx.Timeout(30.0, connect=10.0),
            headers={"Host": endpoint.host},
            trust_env=False,
        )

    async def certificates(self) -> list[bytes]:
        """Certificates of the authority, the issuing one first (PEM each)."""
        response = await self._request("GET", "/intermediates.pem")
        return [
            certificate.public_bytes(serialization.Encoding.PEM)
            for certificate in x509.load_pem_x509_certificates(response.content)
        ]

    async def sign(self, request: bytes, usage: KeyUsage, common_name: str) -> bytes:
        """Issue a certificate for a request (PEM)."""
        provisioner = await self._provisioner(PROVISIONERS[usage])
        async with self._opening:
            if usage not in self._keys:
                self._keys[usage] = await asyncio.to_thread(self._open, provisioner, usage)
        token = self._token(provisioner, self._keys[usage], request, common_name)
        body = {"csr": request.decode(), "ott": token}
        response = await self._request("POST", "/1.0/sign", json=body)
        certificate: str = response.json()["crt"]
        return certificate.encode()

    async def close(self) -> None:
        """Give back the connections."""
        await self._client.aclose()

    async def _provisioner(self, name: str) -> _Provisioner:
        if name not in self._provisioners:
            self._provisioners = {item.name: item for item in await self._list()}
        try:
            return self._provisioners[name]
        except KeyError:
            known = ", ".join(sorted(self._provisioners)) or "none"
            raise ProviderError(f"{self._endpoint} has no JWK provisioner '{name}'; it has: {known}") from None

    async def _list(self) -> list[_Provisioner]:
        found: list[_Provisioner] = []
        cursor = ""
        while True:
            parameters = {"limit": str(_PAGE), **({"cursor": cursor} if cursor else {})}
            page = (await self._request("GET", "/provisioners", params=parameters)).json()
            found.extend(
                _Provisioner(
                    name=item["name"],
                    key_id=item["key"]["kid"],
                    algorithm=item["key"].get("alg", "ES256"),
                    encrypted_key=item["encryptedKey"],
                )
                for item in page["provisioners"] or ()
                if item["type"] == "JWK" and item.get("encryptedKey")
            )
            cursor = page.get("nextCursor") or ""
            if not cursor:
                return found

    def _token(self, provisioner: _Provisioner, key: jwk.JWK, request: bytes, common_name: str) -> str:
        """A one-time token for exactly this request and common name (the claims of step-ca's `jwk` type)."""
        now = int(time())
        digest = x509.load_pem_x509_csr(request).public_bytes(serialization.Encoding.DER)
        claims: dict[str, Any] = {
            "iss": provisioner.name,
            # step-ca compares the audience without its port.
            "aud": f"https://{self._endpoint.host}/1.0/sign",
            "sub": common_name,
            "sans": [common_name],
            "iat": now,
            "nbf": now,
            "exp": now + _TOKEN_SECONDS,
            "jti": secrets.token_hex(32),
            "cnf": {"x5rt#S256": _url_safe(_sha256(digest))},
        }
        header = {"alg": provisioner.algorithm, "kid": provisioner.key_id, "typ": "JWT"}
        token = jwt.JWT(header=header, claims=claims)
        token.make_signed_token(key)
        signed: str = token.serialize()
        return signed

    def _open(self, provisioner: _Provisioner, usage: KeyUsage) -> jwk.JWK:
        password = jwk.JWK.from_password(self._password(usage))
        try:
            opened = jwe.JWE()
            opened.deserialize(provisioner.encrypted_key, key=password)
        except (JWException, ValueError):
            raise ProviderError(
                f"{self._endpoint}: the password of provisioner '{provisioner.name}' doesn't open its key"
            ) from None
        return jwk.JWK(**json.loads(opened.payload))

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        ends = monotonic() + self._patience
        pause = 0.5
        while True:
            try:
                response = await self._client.request(
                    method,
                    self._endpoint.origin + path,
                    extensions={"sni_hostname": self._endpoint.name},
                    **options,
                )
            except httpx.TransportError as error:
                if certificate_refused(error):
                    raise UnreachableError(
                        f"{self._endpoint}: its certificate isn't accepted: {error}"
                    ) from None
                failure = f"{self._endpoint} can't be reached: {error!r}"
                # A token is good for one use: a request that may have arrived isn't repeated.
                if method != "GET" and not isinstance(error, httpx.ConnectError):
                    raise UnreachableError(failure) from None
            else:
                if response.is_success:
                    return response
                failure = (
                    f"{self._endpoint}: {method} {path} answered {response.status_code}: {_reason(response)}"
                )
                if response.status_code not in {429, 503}:
                    raise ProviderError(failure)
            if monotonic() + pause > ends:
                raise UnreachableError(f"{failure}; gave up after {self._patience:.0f} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json().get("message", response.text))
    except ValueError:
        return response.text


def _sha256(content: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(content)
    return digest.finalize()


def _url_safe(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
