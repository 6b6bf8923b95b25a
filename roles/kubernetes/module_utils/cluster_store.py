"""The cluster's store: etcd and its members, through the JSON that it speaks beside gRPC."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ETCD_URL = "https://127.0.0.1:2379"

ERRORS = (OSError, ValueError, KeyError)
"""What asking raises where there is no answer, or none that says what was asked."""


_PAGE = 500
"""Values that are asked for at once."""


class Member(NamedTuple):
    """A member of etcd. It has a name and an address for clients once it has started."""

    identity: str
    name: str
    peers: tuple[str, ...]
    clients: tuple[str, ...]
    learns: bool
    """Whether it only follows: a member that joins does until it has everything."""

    def __str__(self) -> str:
        return self.name or f"at {', '.join(self.peers)}"


class Store:
    """etcd, asked through the member of this node."""

    def __init__(self, pki: Path) -> None:
        """`pki` is kubeadm's folder of certificates: the API server's own lets us in."""
        self._pki = pki

    def members(self) -> list[Member]:
        """Every member, as a majority knows them. One of ERRORS if there is no majority."""
        found = self._ask(f"{ETCD_URL}/v3/cluster/member/list", {"linearizable": True})
        return [
            Member(
                item["ID"],
                item.get("name", ""),
                tuple(item.get("peerURLs", ())),
                tuple(item.get("clientURLs", ())),
                item.get("isLearner", False),
            )
            for item in found["members"]
        ]

    def remove(self, member: Member) -> None:
        """Take a member out of the cluster. It can't come back but as a new one."""
        self._ask(f"{ETCD_URL}/v3/cluster/member/remove", {"ID": member.identity})

    def is_well(self, member: Member) -> bool:
        """Whether a member says that it serves."""
        try:
            return any(self._ask(f"{url}/health")["health"] == "true" for url in member.clients)
        except ERRORS:
            return False

    def trouble(self) -> str:
        """What keeps the store from being whole, as a sentence. Empty when every member serves."""
        try:
            members = self.members()
        except ERRORS as error:
            return f"etcd doesn't answer, or has no majority: {error}"
        for member in members:
            if not member.name:
                return f"etcd's member {member} hasn't started"
            if member.learns:
                return f"etcd's member {member} hasn't got everything yet"
            if not self.is_well(member):
                return f"etcd's member {member} isn't well"
        return ""

    def values(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Keys that begin with `prefix`, and their values. One of ERRORS if there is no majority."""
        begin, end = prefix.encode(), prefix.encode()[:-1] + bytes([prefix.encode()[-1] + 1])
        while True:
            found = self._ask(
                f"{ETCD_URL}/v3/kv/range",
                {
                    "key": base64.b64encode(begin).decode(),
                    "range_end": base64.b64encode(end).decode(),
                    "limit": _PAGE,
                },
            )
            for item in found.get("kvs", ()):
                begin = base64.b64decode(item["key"])
                yield begin.decode(), base64.b64decode(item.get("value", ""))
            if not found.get("more"):
                return
            begin += b"\0"

    def _ask(self, url: str, said: dict[str, Any] | None = None) -> dict[str, Any]:
        # The CA is an intermediate one whose root isn't here: it is trusted as it is.
        context = ssl.create_default_context(cafile=str(self._pki / "etcd/ca.crt"))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        client = self._pki / "apiserver-etcd-client.crt"
        context.load_cert_chain(client, client.with_suffix(".key"))
        data = None if said is None else json.dumps(said).encode()
        with urllib.request.urlopen(  # noqa: S310  an address of etcd's own
            url, data=data, timeout=5, context=context
        ) as answer:
            found: dict[str, Any] = json.load(answer)
        return found
