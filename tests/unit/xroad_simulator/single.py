"""One server in the test's own process, without a network: fast, and open to faults and clocks."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from tests.unit.xroad_simulator.conftest import (
    ACCOUNT,
    BASIC,
    PIN,
    REGISTRATION,
    SECURITY,
    SERVICE,
    SYSTEM,
    Api,
    Authority,
)
from tests.unit.xroad_simulator.definitions import Exchange

from xroad_simulator import parameters_xml
from xroad_simulator.authentication import Role
from xroad_simulator.central import application as central_application
from xroad_simulator.central import configuration
from xroad_simulator.central.server import CentralServer
from xroad_simulator.clock import now
from xroad_simulator.global_configuration import Parameters
from xroad_simulator.listeners import TlsFiles
from xroad_simulator.security import application as security_application
from xroad_simulator.security.records import AnchorRecord, ConfigurationRecord
from xroad_simulator.security.server import SecurityServer
from xroad_simulator.settings import CentralSettings, SecuritySettings
from xroad_simulator.software_token import KeyAlgorithm

UNLIMITED: dict[str, Any] = {"requests_per_second": 0, "requests_per_minute": 0}
OFFICERS = (SYSTEM, SECURITY, REGISTRATION)


def accounts(folder: Path) -> Path:
    """A file with the one account of these tests."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "accounts"
    file.write_text(":".join(ACCOUNT) + "\n")
    return file


class _InProcess(httpx.BaseTransport):
    """Requests to an application that lives in this process."""

    def __init__(self, app: Any, *, loud: bool) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=loud, client=("127.0.0.1", 40000))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The whole answer."""

        async def handle() -> httpx.Response:
            content = request.read()
            asked = httpx.Request(request.method, request.url, headers=request.headers, content=content)
            answer = await self._transport.handle_async_request(asked)
            return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

        return asyncio.run(handle())


def client_of(app: Any, *, loud: bool = False) -> httpx.Client:
    """A caller on loopback; a loud one gets what the application raises."""
    return httpx.Client(transport=_InProcess(app, loud=loud), base_url="https://127.0.0.1")


@dataclass
class Single:
    """A server, its admin API with the roles of its officers, and callers of other roles."""

    kind: str
    server: Any
    app: Any
    exchanges: list[Exchange] = field(default_factory=list)

    def client(self, *, loud: bool = False) -> httpx.Client:
        """Somebody without a key."""
        return client_of(self.app, loud=loud)

    def api(self, roles: Iterable[str] = ()) -> Api:
        """A caller with these roles, or those of all officers."""
        defaults = OFFICERS if self.kind == "central" else (*OFFICERS, SERVICE)
        _, key = self.server.gate.create_key([Role(role) for role in tuple(roles) or defaults])
        return Api(self.kind, self.client(), key, self.exchanges)


def central(folder: Path, **settings: Any) -> Single:
    """A central server that was just installed."""
    given: dict[str, Any] = {
        "state": folder,
        "tls": folder / "ssl",
        "accounts": accounts(folder),
        "internal_key_algorithm": KeyAlgorithm.EC,
        "external_key_algorithm": KeyAlgorithm.EC,
        **UNLIMITED,
        **settings,
    }
    files = TlsFiles(given["tls"], "management-service", ["central.example.test"])
    server = CentralServer(CentralSettings(**given), files)
    return Single("central", server, central_application.admin_application(server))


def furnish(single: Single, authority: Authority) -> Api:
    """Initialize a central server: a class, three members with a subsystem each, a CA, a provider."""
    api = single.api()
    api.ask(
        "POST",
        "/initialization",
        json={
            "software_token_pin": PIN,
            "instance_identifier": "TEST",
            "central_server_address": "central.example.test",
        },
    )
    api.ask("PUT", "/tokens/0/login", json={"password": PIN})
    api.ask("POST", "/member-classes", json={"code": "GOV", "description": "Government"})
    for source in ("INTERNAL", "EXTERNAL"):
        path = f"/configuration-sources/{source}/signing-keys"
        api.ask("POST", path, json={"key_label": source.lower(), "token_id": "0"})
    for code in ("DIGITAL", "CIVIL", "HEALTH"):
        identifier = {"member_class": "GOV", "member_code": code}
        api.ask("POST", "/members", json={"member_id": identifier, "member_name": f"Agency {code}"})
        api.ask("POST", "/subsystems", json={"subsystem_id": {**identifier, "subsystem_code": "MAIN"}})
    api.ask(
        "PATCH",
        "/management-services-configuration",
        json={"service_provider_id": "TEST:GOV:DIGITAL:MAIN"},
    )
    form = {"certificate_profile_info": BASIC, "tls_auth": "false", "default_csr_format": "PEM"}
    api.ask("POST", "/certification-services", data=form, files={"certificate": ("ca.pem", authority.pem)})
    return api


def reopen(furnished: Path, folder: Path, **settings: Any) -> Single:
    """A copy of a furnished central server, with its token logged in."""
    shutil.copytree(furnished, folder, ignore=shutil.ignore_patterns("S.*"))
    made = central(folder, **settings)
    made.server.token.log_in(PIN)
    return made


def configured(center: CentralServer) -> Parameters:
    """What the central server's configuration holds now."""
    return configuration.parameters(center)


def security(folder: Path, center: CentralServer, **settings: Any) -> Single:
    """A security server that has the central server's anchor and configuration."""
    given: dict[str, Any] = {
        "state": folder,
        "tls": folder / "ssl",
        "accounts": accounts(folder),
        "authentication_key_algorithm": KeyAlgorithm.EC,
        "signing_key_algorithm": KeyAlgorithm.EC,
        **UNLIMITED,
        **settings,
    }
    files = TlsFiles(given["tls"], "internal", ["security.example.test"])
    server = SecurityServer(SecuritySettings(**given), files)
    anchor = configuration.make_anchor(center, configuration.Source.INTERNAL)
    assert anchor is not None
    server.store.put(AnchorRecord(content=anchor.content))
    hear(server, center)
    return Single("security", server, security_application.admin_application(server))


def hear(server: SecurityServer, center: CentralServer, lifetime: timedelta = timedelta(hours=1)) -> None:
    """Give a security server the configuration as it is now, as if it had just been fetched."""
    parameters = configured(center)
    record = ConfigurationRecord(
        shared=base64.b64encode(parameters_xml.shared(parameters)).decode(),
        private=base64.b64encode(parameters_xml.private(parameters)).decode(),
        expires=now() + lifetime,
        fetched_at=now(),
        url="http://central.example.test/internalconf",
    )
    server.take(record, parameters)


def initialize(single: Single, owner: str, code: str) -> None:
    """Give a security server an owner of class GOV and a code, and log its token in."""
    api = single.api()
    api.ask(
        "POST",
        "/initialization",
        json={
            "owner_member_class": "GOV",
            "owner_member_code": owner,
            "security_server_code": code,
            "software_token_pin": PIN,
            "ignore_warnings": False,
        },
    )
    api.ask("PUT", "/tokens/0/login", json={"password": PIN})
