"""Time-stamping services that the instance approves."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

from typing import ClassVar

from stacks.providers.serving import Properties
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.resources.certification_service import fingerprint
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind, gone


class TimestampingServiceInputs(Inputs):
    """An approved time-stamping authority."""

    kind: ClassVar[str] = "TimestampingService"

    url: str
    certificate: str
    """PEM. Security servers verify time stamps against it."""
    cost: str = "FREE"


class TimestampingServiceKind(Kind[TimestampingServiceInputs]):
    """Approves time-stamping services by address and certificate; the API would take one twice."""

    inputs = TimestampingServiceInputs
    replacing = frozenset({"url", "certificate", "cost"})

    def key(self, wish: TimestampingServiceInputs) -> str:
        """The address."""
        return wish.url

    def named(self, key: str) -> TimestampingServiceInputs:
        """From the address."""
        return TimestampingServiceInputs(url=key, certificate="")

    async def find(self, wish: TimestampingServiceInputs) -> Found[TimestampingServiceInputs] | None:
        """Look for the address with the declared certificate."""
        wanted = fingerprint(wish.certificate.encode()) if wish.certificate else None
        for item in await self.servers.central.timestamping_services():
            digest = item.certificate.hash.replace(":", "").upper()
            if item.url == wish.url and wanted in {None, digest}:
                found = wish.model_copy(update={"cost": item.cost_type})
                return Found(found, {"certificate_hash": digest, "service": item.id})
        return None

    async def make(self, wish: TimestampingServiceInputs) -> None:
        """Approve it."""
        await self.servers.central.add_timestamping_service(wish.url, wish.certificate.encode(), wish.cost)

    async def remove(self, wish: TimestampingServiceInputs, state: Properties) -> None:
        """Withdraw the approval."""
        found = await self.find(wish)
        if found is None:
            return
        try:
            await self.servers.central.delete_timestamping_service(found.facts["service"])
        except ApiError as error:
            if not gone(error):
                raise
