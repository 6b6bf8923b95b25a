"""A state of before is taken over: what another kind manages now is let go of."""

from __future__ import annotations

import asyncio

import pytest

from stacks.providers.serving import ProviderError, Subject
from stacks.providers.xroad.resources.former import FORMER, FormerKind

RIGHT = {"server": "ss1", "provider": "A:B:C:D", "holder": "A:B:C:E", "services": ["x"]}


def test_a_former_resource_leaves_the_state_and_nothing_else() -> None:
    """No server is asked or told: the kind has none. Nobody can declare one."""
    (token,) = FORMER
    subject = Subject(token, "right", "urn")

    async def work() -> None:
        kind = FormerKind()
        assert await kind.read(subject, "right", RIGHT, RIGHT) is None
        await kind.delete(subject, "right", RIGHT, RIGHT)
        assert await kind.diff("right", RIGHT, RIGHT, {}) == type(await kind.diff("", {}, {}, {}))()
        with pytest.raises(ProviderError, match="there is no xroad:index:AccessRight any more"):
            await kind.check(subject, RIGHT)

    asyncio.run(work())
