"""Pages of a list as the central server's API cuts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Depends

from xroad_simulator.errors import bad_request

T = TypeVar("T")


class Paging:
    """`sort`, `desc`, `limit` and `offset` of a request."""

    def __init__(self, sort: str | None = None, desc: bool = False, limit: int = 25, offset: int = 0) -> None:
        if limit < 1 or offset < 0:
            raise bad_request("invalid_pagination_properties")
        self.sort = sort
        self.desc = desc
        self.limit = limit
        self.offset = offset

    def cut(self, items: Sequence[T], keys: dict[str, Callable[[T], Any]]) -> tuple[list[T], dict[str, int]]:
        """The page and its metadata. `offset` counts pages, as in X-Road.

        400 `invalid_sort_properties` for a field that can't be sorted by.
        """
        if self.sort is not None and self.sort not in keys:
            raise bad_request("invalid_sort_properties", self.sort)
        ordered = list(items)
        if self.sort is not None:
            ordered.sort(key=keys[self.sort], reverse=self.desc)
        start = self.offset * self.limit
        page = ordered[start : start + self.limit]
        return page, {
            "total_items": len(ordered),
            "items": len(page),
            "limit": self.limit,
            "offset": self.offset,
        }


Page = Annotated[Paging, Depends(Paging)]
"""Paging of the request, for routes."""
