"""Signing certificates of members whose subsystems another member's security server represents."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from stacks.providers.serving import Properties
from stacks.providers.xroad.errors import UnreachableError
from stacks.providers.xroad.identifiers import MemberId, ServerId
from stacks.providers.xroad.resources.certificates import Certificates, Wanted, retire, software_token
from stacks.providers.xroad.resources.certified import CertifiedInputs, CertifiedKind
from stacks.providers.xroad.resources.kind import Found


class SigningCertificateInputs(CertifiedInputs):
    """A member's signing certificate at a server that another member owns. The owner's is the server's own."""

    kind: ClassVar[str] = "SigningCertificate"

    member: str
    """`INSTANCE:CLASS:CODE`."""
    member_name: str
    country: str
    ready: bool = True
    """False is only found, never declared: none is active."""


class SigningCertificateKind(CertifiedKind[SigningCertificateInputs]):
    """Orders and renews as a security server's own certificates are: see there."""

    inputs = SigningCertificateInputs
    replacing = frozenset({"server", "member"})

    def key(self, wish: SigningCertificateInputs) -> str:
        """Host and member."""
        return f"{wish.server}/{wish.member}"

    def named(self, key: str) -> SigningCertificateInputs:
        """From host and member."""
        server, _, member = key.partition("/")
        MemberId.parse(member)
        return SigningCertificateInputs(server=server, member=member, member_name="", country="")

    async def reasons(self, wish: SigningCertificateInputs) -> Sequence[str]:
        """Of the member's certificates."""
        return (await self._certificates(wish).held()).reasons

    async def find(self, wish: SigningCertificateInputs) -> Found[SigningCertificateInputs] | None:
        """None until there is a certificate."""
        held = await self._certificates(wish).held()
        shown = held.shown
        if shown is None:
            return None
        found = wish.model_copy(update={"ready": shown.active, "due": held.reasons})
        return Found(found, {"certificate": shown.hash})

    async def existing(self, servers: list[str]) -> list[Found[SigningCertificateInputs]]:
        """Of members that have a certificate at a server and don't own it."""
        names = {str(item.client_id): item.member_name for item in await self.servers.central.clients()}
        found = []
        for name in servers:
            own = self.servers.security(name)
            identity = await own.own_identity()
            token = await software_token(own)
            signing = [
                item
                for key in token.keys
                if key.usage == "SIGNING"
                for item in key.certificates
                if item.owner_id
            ]
            owner = str(ServerId.parse(identity.id).owner) if identity else ""
            for member in sorted({item.owner_id for item in signing} - {owner}):
                country = next(item.country for item in signing if item.owner_id == member)
                wish = self.named(f"{name}/{member}").model_copy(
                    update={"member_name": names.get(member, ""), "country": country}
                )
                found.append(await self.find(wish))
        return [item for item in found if item]

    async def make(self, wish: SigningCertificateInputs) -> None:
        """Order it, use it, remove what it replaces."""
        certificates = self._certificates(wish)
        chosen = await certificates.certify()
        await certificates.activate(chosen.hash)
        await retire(self.servers, wish.server, [await certificates.held()])

    async def remove(self, wish: SigningCertificateInputs, state: Properties) -> None:
        """Remove its keys."""
        own = self.servers.security(wish.server)
        label = self._certificates(wish).wanted.label
        try:
            for key in (await software_token(own)).keys:
                if key.label == label:
                    await own.delete_key(key.id)
        except UnreachableError:
            # A host that is gone takes its keys with it.
            return

    def _certificates(self, wish: SigningCertificateInputs) -> Certificates:
        member = MemberId.parse(wish.member)
        return Certificates(
            self.servers, Wanted("SIGNING", wish.server, member, wish.member_name, wish.country, "")
        )
