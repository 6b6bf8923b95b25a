"""How to reach a cluster: the part of a kubeconfig that the provider understands."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stacks.providers.serving import ProviderError


@dataclass(frozen=True)
class Access:
    """An API server and the proof of who asks. Kept out of texts and logs."""

    server: str
    trust: ssl.SSLContext = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    kubeconfig: str = field(repr=False)
    """The whole file, for programs that want one."""
    context: str


def read(kubeconfig: str, context: str | None = None) -> Access:
    """The access that a kubeconfig describes, given as its text or as the path of the file.

    Client certificates and bearer tokens are understood; programs that fetch credentials aren't.
    """
    text = _text(kubeconfig)
    try:
        document = YAML(typ="safe").load(text)
        chosen = context or document.get("current-context") or ""
        link = _named(document, "contexts", chosen)["context"]
        cluster = _named(document, "clusters", link["cluster"])["cluster"]
        user = _named(document, "users", link["user"])["user"]
        server = cluster["server"]
    except (YAMLError, AttributeError, KeyError, TypeError) as fault:
        raise ProviderError(f"the kubeconfig can't be used: {type(fault).__name__} at {fault}") from None
    for unsupported in ("exec", "auth-provider", "username"):
        if unsupported in user:
            raise ProviderError(f"the kubeconfig asks for '{unsupported}', which this provider doesn't support")
    trust = ssl.create_default_context(
        cadata=(_content(cluster, "certificate-authority") or b"").decode() or None
    )
    _present_client(trust, _content(user, "client-certificate"), _content(user, "client-key"))
    token = user.get("token")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Access(server.rstrip("/"), trust, headers, text, chosen)


def _text(kubeconfig: str) -> str:
    if "\n" in kubeconfig or kubeconfig.lstrip().startswith("{"):
        return kubeconfig
    path = Path(kubeconfig).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except OSError as fault:
        raise ProviderError(f"kubeconfig {path}: {fault.strerror}. Next: apply stage cluster first") from None


def _named(document: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    for item in document[kind]:
        if item["name"] == name:
            return dict(item)
    raise KeyError(f"{kind}: {name}")


def _content(section: dict[str, Any], key: str) -> bytes | None:
    if (data := section.get(f"{key}-data")) is not None:
        return base64.b64decode(data)
    if (path := section.get(key)) is not None:
        return Path(path).read_bytes()
    return None


def _present_client(trust: ssl.SSLContext, certificate: bytes | None, key: bytes | None) -> None:
    if certificate is None or key is None:
        return
    # The ssl module reads keys from files only: one that nobody else may open, gone at once.
    descriptor, name = tempfile.mkstemp(prefix="client-", suffix=".pem")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate + b"\n" + key)
        trust.load_cert_chain(name)
    finally:
        Path(name).unlink()
