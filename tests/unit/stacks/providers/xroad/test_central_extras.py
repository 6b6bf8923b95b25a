"""Parts of the configuration and intermediate authorities, at a central server that keeps only these."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from cryptography import x509

from federation_rig.authority import LocalAuthority
from stacks.providers.serving import Subject
from stacks.providers.xroad.resources.certification_service import (
    BASIC_PROFILE,
    CertificationServiceInputs,
    CertificationServiceKind,
    fingerprint,
)
from stacks.providers.xroad.resources.configuration_part import ConfigurationPartInputs, ConfigurationPartKind
from stacks.providers.xroad.servers import Servers
from stacks.providers.xroad.settings import Settings

T = TypeVar("T")
SUBJECT = Subject("xroad:index:Any", "any", "urn")


class Central(httpx.AsyncBaseTransport):
    """Parts, certification services, intermediate authorities and responders, by number."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[str, bytes]] = {}
        self.services: dict[int, str] = {}
        self.intermediates: dict[int, tuple[int, str]] = {}
        self.responders: dict[int, tuple[str, int, str]] = {}
        self.writes: list[str] = []
        self._next = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        path = request.url.path.removeprefix("/api/v1")
        if request.method != "GET":
            self.writes.append(f"{request.method} {path}")
        status, body = self.answer(request.method, path, request.content)
        options: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        return httpx.Response(status, request=request, **options)

    def answer(self, method: str, path: str, content: bytes) -> tuple[int, Any]:
        numbers = [int(item) for item in re.findall(r"\d+", path)]
        match method, re.sub(r"\d+", "N", path):
            case "GET", "/configuration-sources/INTERNAL/configuration-parts":
                uploaded = [_part(name, file, "2026-01-01T00:00:00Z") for name, (file, _) in self.parts.items()]
                return 200, [_part("SHARED-PARAMETERS", "shared-params.xml", "2026-01-01T00:00:00Z"), *uploaded]
            case "POST", "/configuration-sources/INTERNAL/configuration-parts":
                fields = _form(content)
                self.parts[fields["content_identifier"][1].decode()] = fields["file"]
                return 204, b""
            case "GET", other if other.endswith("/download"):
                return 200, self.parts[path.split("/")[4]][1]
            case "GET", "/certification-services":
                return 200, [{"id": number, "name": "CA"} for number in self.services]
            case "POST", "/certification-services":
                return 201, _service(self._new(self.services, _digest(content)))
            case "GET", "/certification-services/N":
                return 200, _service(numbers[0])
            case "DELETE", "/certification-services/N":
                del self.services[numbers[0]]
                return 204, b""
            case "GET", "/certification-services/N/certificate":
                return 200, {"hash": self.services[numbers[0]]}
            case "GET", "/certification-services/N/ocsp-responders" | "/intermediate-cas/N/ocsp-responders":
                return 200, [
                    {"id": number, "url": url, "has_certificate": False}
                    for number, (kind, owner, url) in self.responders.items()
                    if (kind, owner) == (path.split("/")[1], numbers[0])
                ]
            case "POST", "/certification-services/N/ocsp-responders" | "/intermediate-cas/N/ocsp-responders":
                url = _form(content)["url"][1].decode()
                return 201, {"id": self._new(self.responders, (path.split("/")[1], numbers[0], url))}
            case "GET", "/certification-services/N/intermediate-cas":
                return 200, [
                    {"id": number, "ca_certificate": {"hash": digest}}
                    for number, (owner, digest) in self.intermediates.items()
                    if owner == numbers[0]
                ]
            case "POST", "/certification-services/N/intermediate-cas":
                digest = _digest(content)
                number = self._new(self.intermediates, (numbers[0], digest))
                return 201, {"id": number, "ca_certificate": {"hash": digest}}
            case "DELETE", "/intermediate-cas/N":
                del self.intermediates[numbers[0]]
                return 204, b""
        return 404, {}

    def _new(self, kept: dict[int, Any], value: Any) -> int:
        self._next += 1
        kept[self._next] = value
        return self._next


def _part(name: str, file: str, moment: str) -> dict[str, Any]:
    return {"content_identifier": name, "file_name": file, "file_updated_at": moment, "version": 0}


def _service(number: int) -> dict[str, Any]:
    return {"id": number, "certificate_profile_info": BASIC_PROFILE, "tls_auth": False}


def _form(content: bytes) -> dict[str, tuple[str, bytes]]:
    """Fields of a form with files: name → file name and content."""
    fields = {}
    for part in content.split(content.split(b"\r\n", 1)[0])[1:-1]:
        head, _, body = part.partition(b"\r\n\r\n")
        names = dict(re.findall(r'(name|filename)="([^"]*)"', head.decode()))
        fields[names["name"]] = (names.get("filename", ""), body.removesuffix(b"\r\n"))
    return fields


def _digest(content: bytes) -> str:
    return fingerprint(_form(content)["certificate"][1])


@pytest.fixture
def central() -> Central:
    """A central server without any of it."""
    return Central()


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, central: Central) -> Callable[[], Servers]:
    """Makes connections to it."""
    authority = LocalAuthority(tmp_path)
    monkeypatch.setenv("SMARTGOUV_ROOT_CERTIFICATE", str(authority.certificate_file))
    monkeypatch.setenv("SMARTGOUV_SECRETS", str(tmp_path))
    (tmp_path / "key").write_text("key", encoding="utf-8")
    endpoint = {"address": "127.0.0.1", "name": "central.test", "port": 4000}
    settings = {
        "central": "central",
        "servers": {"central": {"endpoint": endpoint, "api_key": "key", "pin": "pin"}},
        "trust_services": {"endpoint": endpoint, "token": "token"},
    }
    return lambda: Servers(Settings.model_validate(settings), authority, transport=central)


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def do() -> T:
        return await work()

    return asyncio.run(do())


def test_a_part_is_uploaded_once_and_again_when_it_changes(
    central: Central, servers: Callable[[], Servers]
) -> None:
    """Known by its identifier; what the central server makes itself isn't ours; removal only forgets."""
    wish = ConfigurationPartInputs(part="MONITORING", file="monitoring-params.xml", content="<a/>\n")

    async def made(inputs: ConfigurationPartInputs) -> None:
        kind = ConfigurationPartKind(servers())
        await kind.create(SUBJECT, inputs.model_dump(mode="json"), preview=False)

    for content, uploads in (("<a/>\n", 1), ("<a/>\n", 1), ("<b/>\n", 2)):
        inputs = wish.model_copy(update={"content": content})
        run(lambda inputs=inputs: made(inputs))  # type: ignore[misc]
        assert central.parts == {"MONITORING": ("monitoring-params.xml", content.encode())}
        assert len(central.writes) == uploads
    found = run(lambda: ConfigurationPartKind(servers()).existing([]))
    assert [item.inputs for item in found] == [wish.model_copy(update={"content": "<b/>\n"})]
    run(lambda: ConfigurationPartKind(servers()).remove(wish, {}))
    assert len(central.writes) == 2


def other_authority(folder: Path) -> str:
    folder.mkdir()
    LocalAuthority(folder, f"Intermediate {folder.name}")
    return (folder / "ca.crt").read_text(encoding="ascii")


def test_intermediates_are_named_with_the_responders(
    central: Central, servers: Callable[[], Servers], tmp_path: Path
) -> None:
    """Those that are declared and no others; a service that was approved twice is approved once."""
    one, two = other_authority(tmp_path / "one"), other_authority(tmp_path / "two")
    wish = CertificationServiceInputs(name="ca", ocsp_responders=("http://status.test/",), intermediates=(one,))

    async def made(inputs: CertificationServiceInputs) -> None:
        kind = CertificationServiceKind(servers())
        await kind.create(SUBJECT, inputs.model_dump(mode="json"), preview=False)

    run(lambda: made(wish))
    ((service, digest),) = central.services.items()
    assert list(central.intermediates.values()) == [(service, fingerprint(one.encode()))]
    assert sorted(kind for kind, _, _ in central.responders.values()) == [
        "certification-services",
        "intermediate-cas",
    ]
    central.services[99] = digest
    run(lambda: made(wish.model_copy(update={"intermediates": (two,)})))
    assert list(central.services) == [service]
    assert list(central.intermediates.values()) == [(service, fingerprint(two.encode()))]
    before = list(central.writes)
    run(lambda: made(wish.model_copy(update={"intermediates": (two,)})))
    assert central.writes == before
    assert x509.load_pem_x509_certificate(two.encode()).subject.rfc4514_string() == "CN=Intermediate two"
