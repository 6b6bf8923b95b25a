"""Time-stamping services that the instance approves."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import ClassVar

from stacks.providers.serving import Checked, Difference, Properties, ProviderError, Refusal, Subject
from stacks.providers.xroad.central import TimestampingService
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.resources.certification_service import fingerprint
from stacks.providers.xroad.resources.distribution import distributed
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone


class TimestampingServiceInputs(Inputs):
    """An approved time-stamping authority."""

    kind: ClassVar[str] = "TimestampingService"

    url: str
    host: str
    """Whose certificate it is: the folder of time-stamping certificates has one by this name."""
    certificate: str = ""
    """PEM. Security servers verify time stamps against it. The provider fills it in from the folder."""
    cost: str = "FREE"
    alone: bool = True
    """False is only found, never declared: another certificate is still approved for the address."""


class TimestampingServiceKind(Kind[TimestampingServiceInputs]):
    """Approves time-stamping services by address and certificate; the API would take one twice.

    A renewed certificate is approved first; the earlier one goes when every security server knows the new one.
    So stamps of both are verified while the authority changes over.
    """

    inputs = TimestampingServiceInputs
    replacing = frozenset({"url"})

    def key(self, wish: TimestampingServiceInputs) -> str:
        """The address."""
        return wish.url

    def named(self, key: str) -> TimestampingServiceInputs:
        """From the address."""
        return TimestampingServiceInputs(url=key, host="")

    async def check(self, subject: Subject, inputs: Properties) -> Checked:
        """Validate a declaration, and fill in the certificate as it is now: a renewed one is a difference."""
        checked = await super().check(subject, inputs)
        if checked.refusals or not checked.inputs.get("host") or checked.inputs.get("certificate"):
            return checked
        try:
            certificate = self.servers.timestamping_certificate(str(checked.inputs["host"]))
        except ProviderError as error:
            return Checked(inputs, (Refusal("certificate", str(error)),))
        return Checked({**checked.inputs, "certificate": certificate})

    async def diff(
        self, identifier: str, old_inputs: Properties, state: Properties, inputs: Properties
    ) -> Difference:
        """Compare declarations. A service at another address comes before the earlier one goes."""
        found = await super().diff(identifier, old_inputs, state, inputs)
        return replace(found, delete_before_replace=False)

    async def find(self, wish: TimestampingServiceInputs) -> Found[TimestampingServiceInputs] | None:
        """Look for the address with the declared certificate."""
        present = await self._at(wish.url)
        chosen = next((item for item in present if _is(item, wish)), None)
        if chosen is None:
            return None
        found = wish.model_copy(update={"cost": chosen.cost_type, "alone": len(present) == 1})
        return Found(found, {"certificate_hash": _digest(chosen), "service": chosen.id})

    async def existing(self, servers: list[str]) -> list[Found[TimestampingServiceInputs]]:
        """By address. The API tells the digest of a certificate, not whose host has it."""
        urls = sorted({item.url for item in await self.servers.central.timestamping_services()})
        found = await asyncio.gather(*(self.find(self.named(url)) for url in urls))
        return [item for item in found if item]

    async def make(self, wish: TimestampingServiceInputs) -> None:
        """Approve it."""
        await self.servers.central.add_timestamping_service(wish.url, wish.certificate.encode(), wish.cost)

    async def change(self, wish: TimestampingServiceInputs, found: Found[TimestampingServiceInputs]) -> None:
        """Withdraw what else is approved for the address, once nobody depends on it any more."""
        await distributed(self.servers)
        for item in await self._at(wish.url):
            if item.id != found.facts["service"]:
                await self._withdraw(item)

    async def remove(self, wish: TimestampingServiceInputs, state: Properties) -> None:
        """Withdraw every approval for the address."""
        for item in await self._at(wish.url):
            await self._withdraw(item)

    async def _at(self, url: str) -> list[TimestampingService]:
        return [item for item in await self.servers.central.timestamping_services() if item.url == url]

    async def _withdraw(self, item: TimestampingService) -> None:
        try:
            await self.servers.central.delete_timestamping_service(item.id)
        except ApiError as error:
            if not gone(error):
                raise


def _digest(item: TimestampingService) -> str:
    return item.certificate.hash.replace(":", "").upper()


def _is(item: TimestampingService, wish: TimestampingServiceInputs) -> bool:
    """Whether it is the declared one. An import knows the address only."""
    if not wish.certificate:
        return True
    return (item.cost_type, _digest(item)) == (wish.cost, fingerprint(wish.certificate.encode()))
