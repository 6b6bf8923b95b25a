"""Optional parts of the global configuration: files that the central server distributes as they are."""

# ruff: noqa: ARG002  (methods answer one interface; not each kind needs all of it)
from __future__ import annotations

import asyncio
from typing import ClassVar

from stacks.providers.serving import Properties
from stacks.providers.xroad.central import ConfigurationPart, Source
from stacks.providers.xroad.errors import ApiError
from stacks.providers.xroad.resources.kind import Found, Inputs, Kind

_SOURCE: Source = "INTERNAL"
"""The only source that takes parts (uploadConfigurationParts)."""

_OWN = frozenset({"SHARED-PARAMETERS", "PRIVATE-PARAMETERS"})
"""Parts that the central server makes itself."""


class ConfigurationPartInputs(Inputs):
    """A part with its content."""

    kind: ClassVar[str] = "ConfigurationPart"

    part: str
    """The content identifier, such as MONITORING (X-Road, ConfigurationConstants.java)."""
    file: str
    """What X-Road calls its file."""
    content: str
    """XML."""


class ConfigurationPartKind(Kind[ConfigurationPartInputs]):
    """Uploads parts. An uploaded one can't be removed by the API, so removal only forgets it."""

    inputs = ConfigurationPartInputs
    replacing = frozenset({"part"})

    def key(self, wish: ConfigurationPartInputs) -> str:
        """The content identifier."""
        return wish.part

    def named(self, key: str) -> ConfigurationPartInputs:
        """From the content identifier."""
        return ConfigurationPartInputs(part=key, file="", content="")

    async def find(self, wish: ConfigurationPartInputs) -> Found[ConfigurationPartInputs] | None:
        """None until somebody uploaded it."""
        return next((item for item in await self.existing([]) if item.inputs.part == wish.part), None)

    async def existing(self, servers: list[str]) -> list[Found[ConfigurationPartInputs]]:
        """Those that were uploaded."""
        try:
            parts = await self.servers.central.configuration_parts(_SOURCE)
        except ApiError as error:
            # There are none before the instance is initialised.
            if error.status == 404:
                return []
            raise
        uploaded = [item for item in parts if item.file_updated_at and item.content_identifier not in _OWN]
        return await asyncio.gather(*(self._found(item) for item in uploaded))

    async def _found(self, part: ConfigurationPart) -> Found[ConfigurationPartInputs]:
        content = await self.servers.central.download_configuration_part(_SOURCE, part)
        return Found(
            ConfigurationPartInputs(
                part=part.content_identifier, file=part.file_name, content=content.decode(errors="replace")
            )
        )

    async def make(self, wish: ConfigurationPartInputs) -> None:
        """Upload it; the next generation has it."""
        await self.servers.central.upload_configuration_part(
            _SOURCE, wish.part, wish.file, wish.content.encode()
        )

    async def remove(self, wish: ConfigurationPartInputs, state: Properties) -> None:
        """Nothing: see the class."""
