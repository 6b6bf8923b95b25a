"""Checks an object's fields against Kubernetes' own definitions, as the official client's models hold them."""

from __future__ import annotations

from typing import Any

from kubernetes import client
from pydantic import ValidationError

GROUPS = ("v1", "apps/v1", "networking.k8s.io/v1", "policy/v1")


def problems(item: dict[str, Any]) -> list[str]:
    """What Kubernetes would refuse: unknown and missing fields, values of another type."""
    if item.get("apiVersion") not in GROUPS:
        return [f"{item.get('kind')}: unknown API version {item.get('apiVersion')}"]
    try:
        getattr(client, f"V1{item['kind']}").model_validate(item)
    except ValidationError as refusal:
        return [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in refusal.errors()]
    return []
