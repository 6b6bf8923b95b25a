"""Certification services: the authorities whose certificates the instance accepts."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from stacks.providers.serving import UNKNOWN, Checked, Difference, Properties, ProviderError, Subject
from stacks.providers.xroad.central import CertificationServiceSummary, OcspResponder
from stacks.providers.xroad.errors import ApiError, UnreachableError
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone, in_order

BASIC_PROFILE = "ee.ria.xroad.common.certificateprofile.impl.BasicCertificateProfileInfoProvider"
"""The country-neutral profile: class in businessCategory, code in serialNumber."""


class CertificationServiceInputs(Inputs):
    """An approved authority. Its certificate comes from the authority itself, as it is at present."""

    kind: ClassVar[str] = "CertificationService"

    name: str
    """What this declaration is called. The API knows the authority by its certificate."""
    profile: str = BASIC_PROFILE
    tls_only: bool = False
    """Whether it issues authentication certificates only."""
    csr_format: str = "PEM"
    certificate: str = ""
    """PEM. The provider fills it in; empty if the authority couldn't be asked: then nothing changes."""
    ocsp_responders: tuple[str, ...] = ()
    """Addresses. No certificates: X-Road accepts answers of whom the authority itself certified to answer."""
    intermediates: tuple[str, ...] = ()
    """Authorities between this one and the certificates that it stands for (PEM), with the same responders."""
    alone: bool = True
    """False is only found, never declared: the same certificate is approved twice."""


class CertificationServiceKind(Kind[CertificationServiceInputs]):
    """Approves the trust-services authority. The API would take the same certificate twice: it is compared.

    An authority with another certificate is another resource, made beside the earlier one. The engine removes
    that one last, when security servers have certificates of the new one.
    """

    inputs = CertificationServiceInputs
    replacing = frozenset({"name", "certificate"})

    def key(self, wish: CertificationServiceInputs) -> str:
        """The name of the declaration."""
        return wish.name

    def named(self, key: str) -> CertificationServiceInputs:
        """From the name of the declaration."""
        return CertificationServiceInputs(name=key)

    def identity(self, found: Found[CertificationServiceInputs]) -> str:
        """The certificate: what the API calls an authority isn't what its declaration is called."""
        return str(found.facts["certificate_hash"])

    async def check(self, subject: Subject, inputs: Properties) -> Checked:
        """Validate a declaration, and fill in the certificate as it is now: a successor's is a difference."""
        checked = await super().check(subject, inputs)
        if checked.refusals or UNKNOWN in inputs.values():
            return checked
        with suppress(UnreachableError):
            certificate = (await self._certificate(CertificationServiceInputs(name=""))).decode()
            return Checked({**checked.inputs, "certificate": certificate})
        return checked

    async def diff(
        self, identifier: str, old_inputs: Properties, state: Properties, inputs: Properties
    ) -> Difference:
        """Compare declarations; certificates by what is approved."""
        found = await super().diff(identifier, old_inputs, state, inputs)
        certificate = str(inputs.get("certificate") or "")
        same = not certificate or fingerprint(certificate.encode()) == state.get("certificate_hash")
        replacements = tuple(name for name in found.replacements if not (same and name == "certificate"))
        return replace(found, replacements=replacements, delete_before_replace=False)

    async def find(self, wish: CertificationServiceInputs) -> Found[CertificationServiceInputs] | None:
        """Look for a service with the authority's certificate."""
        digest = fingerprint(await self._certificate(wish))
        same = await self._services(digest)
        if not same:
            return None
        found = await self._found(wish, same[0], digest)
        inputs = found.inputs.model_copy(update={"alone": len(same) == 1})
        return Found(inputs, found.facts)

    async def existing(self, servers: list[str]) -> list[Found[CertificationServiceInputs]]:
        """By the authority's name, with its certificate if it is the present one's: the API tells digests."""
        certificate = b""
        with suppress(UnreachableError):
            certificate = await self._certificate(CertificationServiceInputs(name=""))
        found = []
        for item in await self.servers.central.certification_services():
            digest = await self._digest(item)
            present = certificate.decode() if certificate and fingerprint(certificate) == digest else ""
            wish = CertificationServiceInputs(name=item.name, certificate=present)
            found.append(await self._found(wish, item, digest))
        return found

    async def _found(
        self, wish: CertificationServiceInputs, item: CertificationServiceSummary, digest: str
    ) -> Found[CertificationServiceInputs]:
        central = self.servers.central
        service = await central.certification_service(item.id)
        responders = await central.ocsp_responders(item.id)
        intermediates = {_plain(ca.ca_certificate.hash) for ca in await central.intermediate_cas(item.id)}
        declared = {fingerprint(pem.encode()): pem for pem in wish.intermediates}
        known = [pem for digest, pem in declared.items() if digest in intermediates]
        found = CertificationServiceInputs(
            intermediates=(*known, *sorted(intermediates - declared.keys())),
            name=wish.name,
            profile=service.certificate_profile_info,
            tls_only=service.tls_auth,
            csr_format=service.default_csr_format,
            certificate=wish.certificate,
            ocsp_responders=in_order([_named(item) for item in responders], wish.ocsp_responders),
        )
        return Found(found, {"certificate_hash": digest, "service": item.id})

    async def make(self, wish: CertificationServiceInputs) -> None:
        """Approve it, then name its responders."""
        certificate = await self._certificate(wish)
        service = await self.servers.central.add_certification_service(
            certificate, wish.profile, tls_only=wish.tls_only, csr_format=wish.csr_format
        )
        for url in wish.ocsp_responders:
            await self.servers.central.add_ocsp_responder(service.id, url, None)
        await self._set_intermediates(wish, service.id)

    async def change(self, wish: CertificationServiceInputs, found: Found[CertificationServiceInputs]) -> None:
        """Change settings and responders."""
        central = self.servers.central
        service: int = found.facts["service"]
        settings = {"profile", "tls_only", "csr_format"}
        if wish.model_dump(include=settings) != found.inputs.model_dump(include=settings):
            await central.change_certification_service(
                service, wish.profile, tls_only=wish.tls_only, csr_format=wish.csr_format
            )
        present = {_named(item): item.id for item in await central.ocsp_responders(service)}
        for url in wish.ocsp_responders:
            if url not in present:
                await central.add_ocsp_responder(service, url, None)
        for url, identifier in present.items():
            if url not in wish.ocsp_responders:
                await central.delete_ocsp_responder(identifier)
        await self._set_intermediates(wish, service)
        for twin in await self._services(str(found.facts["certificate_hash"])):
            if twin.id != service:
                await central.delete_certification_service(twin.id)

    async def remove(self, wish: CertificationServiceInputs, state: Properties) -> None:
        """Withdraw the approval, unless a security server still uses one of the authority's certificates."""
        same = await self._services(str(state.get("certificate_hash")))
        if not same:
            return
        item = same[0]
        if users := await self._users(item.name):
            raise ProviderError(
                f"the approval of '{item.name}' can't be withdrawn: {', '.join(users)} would be cut off; "
                "next: preview, which says what keeps their certificates from being replaced, then apply again"
            )
        for item in same:
            try:
                await self.servers.central.delete_certification_service(item.id)
            except ApiError as error:
                if not gone(error):
                    raise

    async def _users(self, authority: str) -> list[str]:
        """Hosts that use certificates of an authority. One that can't be reached orders anew when it can."""
        users: list[str] = []
        settings = self.servers.settings
        for name in settings.servers:
            if name == settings.central:
                continue
            try:
                tokens = await self.servers.security(name).tokens()
            except ProviderError:
                continue
            used = [item for token in tokens for key in token.keys for item in key.certificates if item.active]
            if any(item.certificate_details.issuer_common_name == authority for item in used):
                users.append(name)
        return users

    async def _certificate(self, wish: CertificationServiceInputs) -> bytes:
        """The declared certificate, or the present one where none is."""
        if wish.certificate:
            return wish.certificate.encode()
        certificates = await self.servers.authority_certificates()
        if not certificates:
            raise ProviderError("the trust-services authority shows no certificate")
        return certificates[0]

    async def _set_intermediates(self, wish: CertificationServiceInputs, service: int) -> None:
        """Name those that are declared, with the service's responders, and no others."""
        central = self.servers.central
        present = {
            _plain(item.ca_certificate.hash): item.id for item in await central.intermediate_cas(service)
        }
        declared = {fingerprint(pem.encode()): pem for pem in wish.intermediates}
        for digest, pem in declared.items():
            authority = present.get(digest)
            if authority is None:
                authority = (await central.add_intermediate_ca(service, pem.encode())).id
            answering = {item.url: item.id for item in await central.intermediate_responders(authority)}
            for url in wish.ocsp_responders:
                if url not in answering:
                    await central.add_intermediate_responder(authority, url)
            for url, responder in answering.items():
                if url not in wish.ocsp_responders:
                    await central.delete_intermediate_responder(authority, responder)
        for digest, authority in present.items():
            if digest not in declared:
                await central.delete_intermediate_ca(authority)

    async def _services(self, digest: str) -> list[CertificationServiceSummary]:
        """Every service with this certificate: the API takes one twice."""
        listed = await self.servers.central.certification_services()
        return [item for item in listed if await self._digest(item) == digest]

    async def _digest(self, item: CertificationServiceSummary) -> str:
        return _plain((await self.servers.central.certification_service_certificate(item.id)).hash)


def _plain(digest: str) -> str:
    return digest.replace(":", "").upper()


def fingerprint(certificate: bytes) -> str:
    """Upper-case SHA-256 of a certificate (PEM), as the admin APIs write it."""
    parsed = x509.load_pem_x509_certificate(certificate)
    return hashlib.sha256(parsed.public_bytes(Encoding.DER)).hexdigest().upper()


def _named(responder: OcspResponder) -> str:
    """The address; with more, and so never a declared one, if a certificate was registered for it."""
    return f"{responder.url} with a certificate" if responder.has_certificate else responder.url
