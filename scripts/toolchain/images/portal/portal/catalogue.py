"""The services that the portal offers, from the catalogue that the site's estate gives it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from django.conf import settings
from django.utils.translation import get_language


@dataclass(frozen=True)
class Offer:
    """A service of an administration."""

    collection: str
    provider: str
    """Path of the service on X-Road: INSTANCE/CLASS/MEMBER/SUBSYSTEM/SERVICE."""
    administration: dict[str, str]
    """Name of the administration by language."""
    example: str
    """What an identifier looks like."""

    @property
    def administration_name(self) -> str:
        """The administration in the visitor's language."""
        language = (get_language() or "fr")[:2]
        return self.administration.get(language, self.administration["fr"])


@cache
def offers() -> dict[str, Offer]:
    """Every service by collection, in the order of the estate."""
    data = json.loads(settings.CATALOGUE_FILE.read_text(encoding="utf-8"))
    return {item["collection"]: Offer(**item) for item in data["services"]}
