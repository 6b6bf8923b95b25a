"""A whole federation on loopback: central server, three security servers, a CA, a service."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.key_usage import key_usage
from tests.unit.xroad_simulator import definitions
from tests.unit.xroad_simulator.definitions import Exchange

from federation_rig.server_process import ServerProcess
from federation_rig.trust_services import TrustServices, serving

T = TypeVar("T")
BASIC = "ee.ria.xroad.common.certificateprofile.impl.BasicCertificateProfileInfoProvider"
PIN = "Secret-1234"
ACCOUNT = ("admin", "a-password")
DEADLINE_SECONDS = 90
LOCAL_INI = """
[admin-service]
rate-limit-requests-per-second = -1
rate-limit-requests-per-minute = -1
[proxy-ui-api]
rate-limit-requests-per-second = -1
rate-limit-requests-per-minute = -1
allow-csr-for-key-with-certificate = true
[proxy]
health-check-port = 5588
[message-log]
acceptable-timestamp-failure-period = 300
[simulator]
ocsp-fetch-interval-in-seconds = 60
"""
"""Times are divided by 60 in these tests."""


class Authority:
    """A root and an issuing CA below it; servers are told of the issuing CA only."""

    def __init__(self, name: str) -> None:
        root_key = ec.generate_private_key(ec.SECP256R1())
        self.key = ec.generate_private_key(ec.SECP256R1())
        root = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} root")])
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = self._sign(
            root,
            root_key.public_key(),
            root,
            root_key,
            (x509.BasicConstraints(ca=True, path_length=1), True),
            (key_usage("key_cert_sign", "crl_sign"), True),
        )
        self.certificate = self._sign(
            self.name,
            self.key.public_key(),
            root,
            root_key,
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (key_usage("digital_signature", "key_cert_sign", "crl_sign"), True),
        )

    @staticmethod
    def _sign(
        subject: x509.Name,
        public_key: Any,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *extensions: tuple[x509.ExtensionType, bool],
    ) -> x509.Certificate:
        moment = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(moment - timedelta(minutes=5))
            .not_valid_after(moment + timedelta(days=2))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        """The issuing CA's certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(self, csr: bytes, usage: str) -> bytes:
        """A certificate for a request, of the Basic profile."""
        request = x509.load_pem_x509_csr(csr)
        if usage == "SIGNING":
            extensions: list[tuple[x509.ExtensionType, bool]] = [(key_usage("content_commitment"), True)]
        else:
            extended = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            extensions = [
                (key_usage("digital_signature", "key_encipherment", "key_agreement"), True),
                (x509.ExtendedKeyUsage(extended), False),
            ]
        extensions.append((x509.BasicConstraints(ca=False, path_length=None), True))
        certificate = self._sign(request.subject, request.public_key(), self.name, self.key, *extensions)
        return certificate.public_bytes(Encoding.PEM)


class Api:
    """An admin API with an API key. Every exchange is held against X-Road's definitions, and kept."""

    def __init__(self, kind: str, http: httpx.Client, key: str, exchanges: list[Exchange]) -> None:
        self.kind = kind
        self.exchanges = exchanges
        self._http = http
        self._http.headers["Authorization"] = f"X-Road-ApiKey token={key}"
        self._checked: set[tuple[Any, ...]] = set()

    def call(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """The answer, whatever its status; fails if it, or an accepted request, isn't as defined."""
        response = self._http.request(method, f"/api/v1{path}", **arguments)
        exchange = Exchange(
            self.kind,
            method,
            path.partition("?")[0],
            response.status_code,
            response.headers.get("content-type", ""),
            response.content,
            _sent(arguments),
        )
        self.exchanges.append(exchange)
        self._check(exchange)
        return response

    def _check(self, exchange: Exchange) -> None:
        key = (exchange.method, exchange.path, exchange.status, exchange.body, repr(exchange.sent))
        if definitions.ARE_MISSING or key in self._checked:
            return
        found = list(definitions.problems(exchange))
        assert not found, "\n".join(found)
        self._checked.add(key)

    def ask(self, method: str, path: str, **arguments: Any) -> Any:
        """The body of an answer that must be a success."""
        response = self.call(method, path, **arguments)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        if response.content and response.headers["content-type"].startswith("application/json"):
            return response.json()
        return response.content

    def refused(self, method: str, path: str, **arguments: Any) -> tuple[int, str]:
        """Status and code of an answer that must be a refusal."""
        response = self.call(method, path, **arguments)
        assert response.is_error, f"{method} {path}: {response.status_code}"
        return response.status_code, response.json().get("error", {}).get("code", "")


def _sent(arguments: dict[str, Any]) -> Any:
    """What a request says of itself: its JSON, or its form with files left empty."""
    if "data" in arguments or "files" in arguments:
        return {**arguments.get("data", {}), **dict.fromkeys(arguments.get("files", {}), "")}
    return arguments.get("json")


@dataclass
class Server:
    """A server process and where it is reached."""

    kind: str
    state: Path
    address: str
    offset: int
    accounts: Path
    configuration: Path
    process: ServerProcess | None = None
    arguments: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The admin API."""
        return f"https://{self.address}:{4000 + self.offset}"

    def port(self, number: int) -> str:
        """Plain HTTP on one of the server's ports."""
        return f"http://{self.address}:{number + self.offset}"

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self.process = ServerProcess(
            [
                self.kind,
                "--state",
                str(self.state),
                "--configuration",
                str(self.configuration),
                "--listen",
                self.address,
                "--port-offset",
                str(self.offset),
                "--account-file",
                str(self.accounts),
                "--time-scale",
                "60",
                *self.arguments,
            ],
            self.state.parent / f"{self.state.name}.log",
        )
        wait_for(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((self.address, 4000 + self.offset)) == 0

    def log(self) -> str:
        """What the process wrote."""
        return (self.state.parent / f"{self.state.name}.log").read_text()

    def kill(self) -> None:
        """End the process without a chance to clean up."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def api(self, exchanges: list[Exchange], roles: list[str]) -> Api:
        """The admin API, through a new API key."""
        made = httpx.post(
            f"{self.url}/api/v1/api-keys",
            json=roles,
            auth=ACCOUNT,
            verify=False,  # noqa: S501 - a self-signed certificate of this test's own server
            trust_env=False,
        )
        assert made.status_code == 200, made.text
        http = httpx.Client(
            base_url=self.url,
            verify=False,  # noqa: S501 - a self-signed certificate of this test's own server
            timeout=30,
            trust_env=False,
        )
        return Api(self.kind, http, made.json()["key"], exchanges)


def wait_for(predicate: Callable[[], T], seconds: float = DEADLINE_SECONDS) -> T:
    """The first true answer; fails after a deadline."""
    deadline = time.monotonic() + seconds
    while True:
        answer = predicate()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"nothing after {seconds} s"
        time.sleep(0.1)


SYSTEM, SECURITY, REGISTRATION, SERVICE, OBSERVER = (
    "XROAD_SYSTEM_ADMINISTRATOR",
    "XROAD_SECURITY_OFFICER",
    "XROAD_REGISTRATION_OFFICER",
    "XROAD_SERVICE_ADMINISTRATOR",
    "XROAD_SECURITYSERVER_OBSERVER",
)


class _Registry(BaseHTTPRequestHandler):
    """A sector system: one collection and its description."""

    seen: list[dict[str, str]] = []  # noqa: RUF012 - the class is the test's inbox

    def do_GET(self) -> None:
        if self.path == "/openapi.json":
            document = {
                "openapi": "3.0.3",
                "info": {"title": "Birth records", "version": "1"},
                "paths": {"/{number}": {"get": {}}},
                "servers": [{"url": "/birth-records"}],
            }
            self._send(200, document)
        elif self.path.startswith("/birth-records/404"):
            self._send(404, {"detail": "no such record"})
        else:
            self.seen.append(dict(self.headers.items()))
            self._send(200, {"path": self.path})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        self._send(201, {"received": self.rfile.read(length).decode()})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base's name
        """Keep quiet."""


class Federation:
    """Instance TEST with members DIGITAL (management, portal), CIVIL (a service) and HEALTH."""

    def __init__(self, directory: Path, service: str) -> None:
        self.authority = Authority("Trust services")
        self.trust = TrustServices(self.authority.certificate, self.authority.key)
        self.exchanges: list[Exchange] = []
        self.service = service
        accounts = directory / "accounts"
        accounts.write_text(":".join(ACCOUNT) + "\n")
        configuration = directory / "conf.d"
        configuration.mkdir()
        (configuration / "local.ini").write_text(LOCAL_INI)
        prefix = f"127.{random.randrange(16, 250)}.{random.randrange(250)}"  # noqa: S311
        offset = random.randrange(10_000, 40_000)  # noqa: S311

        def server(kind: str, name: str, number: int) -> Server:
            return Server(
                kind,
                directory / name,
                f"{prefix}.{number}",
                offset,
                accounts,
                configuration,
            )

        self.central = server("central", "central", 10)
        self.management = server("security", "management", 11)
        self.civil = server("security", "civil", 12)
        self.servers = [self.central, self.management, self.civil]
        self.apis: dict[str, Api] = {}
        self.codes = {"management": "SS0", "civil": "SS1"}

    @property
    def center(self) -> Api:
        """The central server's API with the roles of its officers."""
        return self.apis["central"]

    def bring_up(self) -> None:
        """Everything in the order of X-Road's own set-up."""
        for server in self.servers:
            server.start()
            roles = [SYSTEM, SECURITY, REGISTRATION]
            roles += [SERVICE] if server.kind == "security" else []
            self.apis[server.state.name] = server.api(self.exchanges, roles)
        self._center()
        self._security_server("management", "DIGITAL")
        self.center.ask(
            "POST",
            "/management-services-configuration/register-provider",
            json={"security_server_id": "TEST:GOV:DIGITAL:SS0"},
        )
        self._management_services()
        self.activate("management")
        self.use_timestamping("management")
        self._security_server("civil", "CIVIL")
        self.activate("civil")
        self.use_timestamping("civil")
        self.register_client("management", "DIGITAL", "PORTAL")
        self.register_client("civil", "CIVIL", "REGISTRY")
        self.add_service("civil", "CIVIL")

    def _center(self) -> None:
        api = self.center
        api.ask(
            "POST",
            "/initialization",
            json={
                "software_token_pin": PIN,
                "instance_identifier": "TEST",
                "central_server_address": self.central.address,
            },
        )
        api.ask("POST", "/member-classes", json={"code": "GOV", "description": "Government"})
        api.ask("PUT", "/tokens/0/login", json={"password": PIN})
        for source in ("INTERNAL", "EXTERNAL"):
            api.ask(
                "POST",
                f"/configuration-sources/{source}/signing-keys",
                json={"key_label": source.lower(), "token_id": "0"},
            )
        for code in ("DIGITAL", "CIVIL", "HEALTH"):
            api.ask(
                "POST",
                "/members",
                json={
                    "member_id": {"member_class": "GOV", "member_code": code},
                    "member_name": f"Agency {code}",
                },
            )
        for member, code in (
            ("DIGITAL", "MANAGEMENT"),
            ("DIGITAL", "PORTAL"),
            ("CIVIL", "REGISTRY"),
        ):
            api.ask(
                "POST",
                "/subsystems",
                json={
                    "subsystem_id": {
                        "member_class": "GOV",
                        "member_code": member,
                        "subsystem_code": code,
                    }
                },
            )
        api.ask(
            "PATCH",
            "/management-services-configuration",
            json={"service_provider_id": "TEST:GOV:DIGITAL:MANAGEMENT"},
        )
        added = api.ask(
            "POST",
            "/certification-services",
            data={
                "certificate_profile_info": BASIC,
                "tls_auth": "false",
                "default_csr_format": "PEM",
            },
            files={"certificate": ("ca.pem", self.authority.pem)},
        )
        api.ask(
            "POST",
            f"/certification-services/{added['id']}/ocsp-responders",
            data={"url": self.trust.url, "cost_type": "FREE"},
            files={"certificate": ("ocsp.pem", self.authority.pem)},
        )
        api.ask(
            "POST",
            "/timestamping-services",
            data={"url": self.trust.stamps_url, "cost_type": "FREE"},
            files={"certificate": ("tsa.pem", self.trust.stamp_pem)},
        )
        wait_for(lambda: httpx.get(f"{self.central.port(80)}/internalconf", trust_env=False).is_success)

    def _security_server(self, name: str, owner: str) -> None:
        api = self.apis[name]
        anchor = self.center.ask("GET", "/configuration-sources/INTERNAL/anchor/download")
        api.ask("POST", "/system/anchor", content=anchor)
        api.ask(
            "POST",
            "/initialization",
            json={
                "owner_member_class": "GOV",
                "owner_member_code": owner,
                "security_server_code": self.codes[name],
                "software_token_pin": PIN,
                "ignore_warnings": False,
            },
        )
        api.ask("PUT", "/tokens/0/login", json={"password": PIN})
        # The anchor may have come with a configuration that didn't have everything yet; this was added last.
        wait_for(lambda: api.ask("GET", "/timestamping-services"))
        authentication = self.make_certificate(name, "AUTHENTICATION", f"TEST:GOV:{owner}")
        self.make_certificate(name, "SIGNING", f"TEST:GOV:{owner}")
        address = next(s for s in self.servers if s.state.name == name).address
        response = api.call("PUT", f"/token-certificates/{authentication}/register", json={"address": address})
        assert response.status_code == 204, response.text
        self.approve_all()

    def make_certificate(self, name: str, usage: str, member: str) -> str:
        """A new key and its certificate; returns the certificate's hash."""
        api = self.apis[name]
        authority = api.ask("GET", f"/certificate-authorities?key_usage_type={usage}")[0]["name"]
        fields = api.ask(
            "GET",
            f"/certificate-authorities/{authority}/csr-subject-fields"
            f"?key_usage_type={usage}&member_id={member}",
        )
        values = {field["id"]: field["default_value"] for field in fields}
        values["C"] = "BJ"
        if usage == "AUTHENTICATION":
            values["CN"] = f"{name}.example.test"
        request = {
            "key_usage_type": usage,
            "ca_name": authority,
            "csr_format": "PEM",
            "subject_field_values": values,
        }
        if usage == "SIGNING":
            request["member_id"] = member
        made = api.ask(
            "POST",
            "/tokens/0/keys-with-csrs",
            json={"key_label": usage.lower(), "csr_generate_request": request},
        )
        csr = api.ask("GET", f"/keys/{made['key']['id']}/csrs/{made['csr_id']}?csr_format=PEM")
        imported = api.ask("POST", "/token-certificates", content=self.authority.issue(csr, usage))
        hash_: str = imported["certificate_details"]["hash"]
        return hash_

    def approve_all(self) -> None:
        """Approve whatever waits at the central server."""
        path = "/management-requests?sort=id&desc=true&status=WAITING"
        for item in self.center.ask("GET", path)["items"]:
            self.center.ask("POST", f"/management-requests/{item['id']}/approval")

    def activate(self, name: str) -> None:
        """Activate the authentication certificate once it is registered."""
        api = self.apis[name]

        def registered() -> str | None:
            for key in api.ask("GET", "/tokens")[0]["keys"]:
                for certificate in key["certificates"]:
                    if key["usage"] == "AUTHENTICATION" and certificate["status"] == "REGISTERED":
                        hash_: str = certificate["certificate_details"]["hash"]
                        return hash_
            return None

        hash_ = wait_for(registered)
        assert api.call("PUT", f"/token-certificates/{hash_}/activate").status_code == 204
        # The listener takes the certificate within its check interval.
        time.sleep(1.5)

    def use_timestamping(self, name: str) -> None:
        """Use the approved time-stamping service."""
        api = self.apis[name]
        service = api.ask("GET", "/timestamping-services")[0]
        api.ask("POST", "/system/timestamping-services", json=service)

    def _management_services(self) -> None:
        api = self.apis["management"]
        client = {
            "member_class": "GOV",
            "member_code": "DIGITAL",
            "subsystem_code": "MANAGEMENT",
            "connection_type": "HTTP",
        }
        added = api.ask("POST", "/clients", json={"client": client, "ignore_warnings": True})
        addresses = self.center.ask("GET", "/management-services-configuration")
        described = api.ask(
            "POST",
            f"/clients/{added['id']}/service-descriptions",
            json={"url": addresses["wsdl_address"], "type": "WSDL", "ignore_warnings": True},
        )
        api.ask(
            "PATCH",
            f"/services/{described['services'][0]['id']}",
            json={
                "url": addresses["services_address"],
                "url_all": True,
                "timeout": 60,
                "timeout_all": True,
                "ssl_auth": False,
                "ssl_auth_all": True,
                "ignore_warnings": True,
            },
        )
        wait_for(
            lambda: (
                "TEST:security-server-owners"
                in [
                    candidate["id"]
                    for candidate in api.ask("GET", f"/clients/{added['id']}/service-client-candidates")
                ]
            )
        )
        api.ask(
            "POST",
            f"/clients/{added['id']}/service-clients/TEST:security-server-owners/access-rights",
            json={"items": [{"service_code": s["service_code"]} for s in described["services"]]},
        )
        api.ask("PUT", f"/service-descriptions/{described['id']}/enable")

    def register_client(self, name: str, member: str, subsystem: str) -> None:
        """Add a client, register it, and wait until the configuration has it."""
        api = self.apis[name]
        client = {
            "member_class": "GOV",
            "member_code": member,
            "subsystem_code": subsystem,
            "connection_type": "HTTP",
        }
        added = api.ask("POST", "/clients", json={"client": client, "ignore_warnings": False})
        assert added["status"] == "SAVED"
        assert api.call("PUT", f"/clients/{added['id']}/register").status_code == 204
        self.approve_all()
        wait_for(lambda: api.ask("GET", f"/clients/{added['id']}")["status"] == "REGISTERED")

    def add_service(self, name: str, member: str) -> None:
        """Birth records, described by OpenAPI, with no rights yet."""
        api = self.apis[name]
        client = f"TEST:GOV:{member}:REGISTRY"
        described = api.ask(
            "POST",
            f"/clients/{client}/service-descriptions",
            json={
                "url": f"{self.service}/openapi.json",
                "type": "OPENAPI3",
                "rest_service_code": "birth-records",
                "ignore_warnings": False,
            },
        )
        api.ask("PUT", f"/service-descriptions/{described['id']}/enable")

    def give(self, subject: str = "TEST:GOV:DIGITAL:PORTAL") -> httpx.Response:
        """Let a subsystem call birth records."""
        return self.apis["civil"].call(
            "POST",
            f"/clients/TEST:GOV:CIVIL:REGISTRY/service-clients/{subject}/access-rights",
            json={"items": [{"service_code": "birth-records"}]},
        )

    def take(self) -> httpx.Response:
        """Take the portal's right away."""
        return self.apis["civil"].call(
            "POST",
            "/clients/TEST:GOV:CIVIL:REGISTRY/service-clients/TEST:GOV:DIGITAL:PORTAL/access-rights/delete",
            json={"items": [{"service_code": "birth-records"}]},
        )

    def message(self, path: str = "/123", method: str = "GET", **arguments: Any) -> httpx.Response:
        """A call of birth records by the portal, through its security server."""
        headers = {"X-Road-Client": "TEST/GOV/DIGITAL/PORTAL", **arguments.pop("headers", {})}
        service = arguments.pop("service", "TEST/GOV/CIVIL/REGISTRY/birth-records")
        plain = self.management.port(8080)
        base = self.management.port(8443).replace("http:", "https:") if arguments.pop("tls", False) else plain
        return httpx.request(
            method,
            f"{base}/r1/{service}{path}",
            verify=False,  # noqa: S501 - a self-signed certificate of this test's own server
            headers={name: value for name, value in headers.items() if value},
            timeout=30,
            trust_env=False,
            **arguments,
        )


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """The address of a sector system."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Registry)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory, registry: str) -> Iterator[Federation]:
    """A federation that works, with no access right yet."""
    made = Federation(tmp_path_factory.mktemp("federation"), registry)
    try:
        with serving(made.trust):
            made.bring_up()
            yield made
    finally:
        for server in made.servers:
            server.kill()


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a central server in this process that works; `single.reopen` takes a copy of it."""
    from tests.unit.xroad_simulator import single

    folder = tmp_path_factory.mktemp("furnished") / "central"
    single.furnish(single.central(folder), Authority("CA"))
    return folder
