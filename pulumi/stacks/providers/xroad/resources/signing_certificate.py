"""Signing certificates of members whose subsystems another member's security server represents."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from stacks.providers.serving import UNKNOWN, Checked, Difference, Properties, ProviderError, Subject
from stacks.providers.xroad.errors import UnreachableError
from stacks.providers.xroad.identifiers import MemberId, ServerId
from stacks.providers.xroad.memory import remembered
from stacks.providers.xroad.renewal import renew_before
from stacks.providers.xroad.resources.certificates import Certificates, Wanted, software_token
from stacks.providers.xroad.resources.distribution import distributed
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind


class SigningCertificateInputs(Inputs):
    """A member's signing certificate at a server that another member owns. The owner's is the server's own."""

    kind: ClassVar[str] = "SigningCertificate"

    server: str
    """The host."""
    member: str
    """`INSTANCE:CLASS:CODE`."""
    member_name: str
    country: str
    ready: bool = True
    """False is only found, never declared: none is active."""
    due: tuple[str, ...] = ()
    """What is to be replaced or removed, and why. The provider fills it in: a plan tells it."""


class SigningCertificateKind(Kind[SigningCertificateInputs]):
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

    async def check(self, subject: Subject, inputs: Properties) -> Checked:
        """Validate a declaration, and fill in what is due now."""
        checked = await super().check(subject, inputs)
        if checked.refusals or UNKNOWN in inputs.values():
            return checked
        wish = self.inputs.model_validate(checked.inputs)
        with remembered():
            try:
                due = list((await self._certificates(wish).held()).reasons)
            except ProviderError as error:
                demanded = f"{wish.server} can't be asked about its certificates: {error}"
                due = [demanded] if renew_before() else []
        return Checked({**checked.inputs, "due": due})

    async def diff(
        self, identifier: str, old_inputs: Properties, state: Properties, inputs: Properties
    ) -> Difference:
        """Compare declarations. What is due is a difference, what was due isn't."""
        found = await super().diff(identifier, old_inputs, state, inputs)
        others = tuple(name for name in found.updates if name != "due")
        return replace(found, updates=(*others, "due") if inputs.get("due") else others)

    async def _settle(self, wish: SigningCertificateInputs) -> Properties:
        """Nothing may be due in the end."""
        return await super()._settle(wish.model_copy(update={"due": ()}))

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
        own, held = self.servers.security(wish.server), await certificates.held()
        for certificate in held.replaced:
            if certificate.active:
                await own.disable_certificate(certificate.hash)
        if held.replaced:
            # Messages that are under way are signed with the earlier one.
            await distributed(self.servers)
        removed = {item.hash for key in held.unused for item in key.certificates}
        for certificate in held.replaced:
            if certificate.hash not in removed:
                await own.delete_certificate(certificate.hash)
        for key in held.unused:
            await own.delete_key(key.id)

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
