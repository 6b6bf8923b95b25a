"""When a change at the central server has reached every security server."""

from __future__ import annotations

import asyncio

from stacks.providers.xroad.servers import Servers


async def distributed(servers: Servers) -> None:
    """Return once each initialised security server has fetched a configuration that was generated after now.

    The central server doesn't say what a generation holds, so its interval is waited out; then each server must
    tell of a new fetch. Raises DeadlineError, with the server's name and its reason, if one doesn't.
    """
    settings = servers.settings
    names = [name for name in settings.servers if name != settings.central]
    waiting = [name for name in names if (await servers.security(name).initialization()).is_anchor_imported]
    if not waiting:
        return
    await asyncio.sleep(settings.configuration_interval_seconds + settings.probe_seconds)
    await asyncio.gather(*(_fetched(servers, name) for name in waiting))


async def _fetched(servers: Servers, name: str) -> None:
    own = servers.security(name)
    before = (await own.configuration_diagnostics()).prev_update_at
    last = "not asked yet"

    async def newer() -> bool:
        nonlocal last
        found = await own.configuration_diagnostics()
        last = f"status {found.status_class}, last fetched {found.prev_update_at}"
        return found.status_class == "OK" and found.prev_update_at != before

    await servers.until(
        newer,
        f"{name} fetches the global configuration anew",
        detail=lambda: last,
    )
