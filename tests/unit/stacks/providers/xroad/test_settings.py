"""The provider's settings on their way through the engine."""

from __future__ import annotations

import pytest

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.settings import Settings

ENDPOINT = {"address": "10.0.0.1", "name": "central.example.test", "port": 4000}
SETTINGS = Settings.model_validate(
    {
        "central": "central",
        "servers": {"central": {"endpoint": ENDPOINT, "api_key": "key", "pin": "pin"}},
        "trust_services": {"endpoint": ENDPOINT, "token": "token"},
        "configuration_interval_seconds": 2,
    }
)


def test_settings_survive_the_engine() -> None:
    """The engine passes text only, and adds settings of its own."""
    assert Settings.read({**SETTINGS.written(), "version": "1.0.0", "__internal": "{}"}) == SETTINGS


def test_a_misspelt_setting_is_refused() -> None:
    """Not silently left out."""
    with pytest.raises(ProviderError, match="sever"):
        Settings.read({**SETTINGS.written(), "sever": "{}"})


def test_waiting_follows_the_clock_of_the_configuration() -> None:
    """Probes are quick on a scaled clock and gentle on X-Road's own."""
    usual = SETTINGS.model_copy(update={"configuration_interval_seconds": 60})

    assert (SETTINGS.probe_seconds, usual.probe_seconds) == (0.5, 5.0)
    assert (SETTINGS.distribution_seconds, usual.distribution_seconds) == (132.0, 480.0)
