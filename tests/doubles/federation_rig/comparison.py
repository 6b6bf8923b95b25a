"""Compares what exists in a federation with what is declared."""

from __future__ import annotations

from typing import Any

from stacks.providers.serving import Properties
from stacks.providers.xroad.existing import Existing
from stacks.providers.xroad.resources.certification_service import fingerprint
from stacks.providers.xroad.resources.kinds import KINDS

_UNTOLD = {
    "CertificationService": {"name", "certificate"},
    "TimestampingService": {"host", "certificate"},
}
"""Inputs that no server knows, or that the provider fills in."""


def differences(declared: list[tuple[str, str, Properties]], found: Existing) -> list[str]:
    """What is declared and isn't there so, and what is there and isn't declared. Nothing if all is well."""
    wanted = [
        _comparable(kind.inputs.kind, kind.inputs.model_validate(inputs).model_dump(mode="json"))
        for token, _, inputs in declared
        for kind in KINDS
        if kind.inputs.token() == token
    ]
    present = [
        _comparable(name, item.inputs.model_dump(mode="json"))
        for name, items in found.resources.items()
        for item in items.values()
    ]
    told = [f"{name} can't be asked: {reason}" for name, reason in found.unreachable.items()]
    told += [f"missing: {item}" for item in wanted if item not in present]
    return [*told, *(f"too much: {item}" for item in present if item not in wanted)]


def _comparable(kind: str, inputs: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in inputs.items() if name not in _UNTOLD.get(kind, set())}
    if kind == "Client":
        # The API tells digests of certificates.
        told["certificates"] = sorted(
            fingerprint(item.encode()) if item.startswith("-----") else item for item in told["certificates"]
        )
    return {"kind": kind, **told}
