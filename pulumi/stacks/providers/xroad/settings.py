"""What the provider is told about a federation: which servers there are and what opens them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.endpoint import Endpoint

ROOT_VARIABLE = "SMARTGOUV_ROOT_CERTIFICATE"
"""Names the file of the root certificate (PEM) that every server's certificate must chain to."""

TIMESTAMPING_VARIABLE = "SMARTGOUV_TIMESTAMPING"
"""Names the folder with the certificates of time-stamping authorities: `<host>.crt` (PEM)."""


READ_ONLY_VARIABLE = "SMARTGOUV_READ_ONLY"
"""Set to anything, the provider only looks: what it would have to write fails instead. Imports work so."""

_ENGINE_SETTINGS = frozenset({"version", "pluginDownloadURL"})


class Server(BaseModel):
    """A central or security server, with the names of the secrets that open it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: Endpoint
    api_key: str
    pin: str


class TrustServices(BaseModel):
    """The authority that issues X-Road certificates, with the name of the secret that may order there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: Endpoint
    token: str


class Settings(BaseModel):
    """Configuration of the provider. Names secrets, never holds one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    central: str
    """Which of the servers is the central one."""
    servers: dict[str, Server]
    trust_services: TrustServices
    configuration_interval_seconds: int = Field(default=60, gt=0)
    """How often the global configuration is generated, and how often it is fetched."""

    @property
    def distribution_seconds(self) -> float:
        """How long a change at the central server may take until a security server knows it.

        Two intervals when all is well (generated, then fetched); four more, and two minutes, before
        it counts as a failure: public reports tell of up to eight minutes on X-Road's own clock.
        """
        return 120.0 + 6.0 * self.configuration_interval_seconds

    @property
    def probe_seconds(self) -> float:
        """How long to wait between two looks at something that the configuration's clock drives."""
        return min(5.0, max(0.5, self.configuration_interval_seconds / 4))

    @classmethod
    def read(cls, settings: Mapping[str, str]) -> Settings:
        """From the engine's form, where everything but text is JSON in text."""
        try:
            return cls.model_validate(
                {
                    name: value if name == "central" else json.loads(value)
                    for name, value in settings.items()
                    if name not in _ENGINE_SETTINGS and not name.startswith("__")
                }
            )
        except (ValidationError, ValueError) as error:
            raise ProviderError(f"the xroad provider's settings are wrong: {error}") from None

    def written(self) -> dict[str, str]:
        """In the engine's form."""
        data = self.model_dump(mode="json")
        return {
            name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for name, value in data.items()
        }
