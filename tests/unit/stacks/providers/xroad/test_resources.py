"""Kinds of resource on a central server that answers within the test's process."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from federation_rig.authority import LocalAuthority
from federation_rig.simulation import PASSWORD, PIN
from stacks.providers.serving import ProviderError, Subject
from stacks.providers.xroad.authority import CertificateOrder
from stacks.providers.xroad.endpoint import Endpoint
from stacks.providers.xroad.identifiers import MemberId, ServerId
from stacks.providers.xroad.resources import timestamping_service
from stacks.providers.xroad.resources.central_server import CentralServerInputs, CentralServerKind
from stacks.providers.xroad.resources.certification_service import (
    CertificationServiceInputs,
    CertificationServiceKind,
    fingerprint,
)
from stacks.providers.xroad.resources.kind import Inputs, Kind
from stacks.providers.xroad.resources.member import MemberInputs, MemberKind
from stacks.providers.xroad.resources.member_class import MemberClassInputs, MemberClassKind
from stacks.providers.xroad.resources.security_server import SecurityServerInputs, SecurityServerKind
from stacks.providers.xroad.resources.subsystem import SubsystemInputs, SubsystemKind
from stacks.providers.xroad.resources.timestamping_service import (
    TimestampingServiceInputs,
    TimestampingServiceKind,
)
from stacks.providers.xroad.servers import Servers
from stacks.providers.xroad.settings import Settings
from stacks.providers.xroad.transport import AdminConnection, Pace
from xroad_simulator.central import management_requests
from xroad_simulator.central.application import admin_application
from xroad_simulator.central.records import RequestOrigin, RequestType
from xroad_simulator.central.server import CentralServer
from xroad_simulator.listeners import TlsFiles
from xroad_simulator.settings import CentralSettings

T = TypeVar("T")

SUBJECT = Subject("xroad:index:Any", "any", "urn")
CENTRAL = CentralServerInputs(server="central", instance="TEST", address="central.example.test")
GOV = MemberClassInputs(code="GOV", description="Government bodies")
HR = MemberInputs(member="TEST:GOV:HR", name="Human Resources")


class Site(Servers):
    """The servers of a test: one central server without a network between."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        authority = LocalAuthority(folder)
        monkeypatch.setenv("SMARTGOUV_ROOT_CERTIFICATE", str(authority.certificate_file))
        monkeypatch.setenv("SMARTGOUV_SECRETS", str(folder))
        (folder / "pin").write_text(PIN, encoding="utf-8")
        (folder / "accounts").write_text(f"admin:{PASSWORD}\n", encoding="utf-8")
        endpoint = {"address": "127.0.0.1", "name": "central.example.test", "port": 4000}
        trust = {"endpoint": endpoint, "token": "token"}
        server = {"endpoint": endpoint, "api_key": "key", "pin": "pin"}
        settings = {"central": "central", "servers": {"central": server}, "trust_services": trust}
        super().__init__(Settings.model_validate(settings), authority)
        self.simulator = CentralServer(
            CentralSettings(
                state=folder,
                tls=folder,
                accounts=folder / "accounts",
                requests_per_second=0,
                requests_per_minute=0,
            ),
            TlsFiles(folder, "management-service", ["central.example.test"]),
        )
        self.seen: list[str] = []
        self._application = admin_application(self.simulator)
        self._transport = httpx.ASGITransport(self._application)
        self.key = ""

    def _connection(self, name: str) -> AdminConnection:
        return AdminConnection(
            Endpoint(address="127.0.0.1", name=name, port=4000),
            lambda: self.key,
            ssl.create_default_context(),
            transport=Recorded(self._transport, self.seen),
            pace=Pace(per_second=1000, per_minute=60_000),
        )

    async def enrol(self) -> None:
        """Make the API key."""
        roles = ["XROAD_SECURITY_OFFICER", "XROAD_REGISTRATION_OFFICER", "XROAD_SYSTEM_ADMINISTRATOR"]
        async with httpx.AsyncClient(transport=self._transport, auth=("admin", PASSWORD)) as client:
            answer = await client.post("https://127.0.0.1/api/v1/api-keys", json=roles)
            self.key = answer.raise_for_status().json()["key"]


class Recorded(httpx.AsyncBaseTransport):
    """Passes requests on and remembers them."""

    def __init__(self, transport: httpx.AsyncBaseTransport, seen: list[str]) -> None:
        self._transport = transport
        self._seen = seen

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._seen.append(f"{request.method} {request.url.path.removeprefix('/api/v1')}")
        return await self._transport.handle_async_request(request)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A central server that was just installed."""
    return Site(tmp_path, monkeypatch)


def done(site: Site, work: Callable[[], Awaitable[T]]) -> T:
    """Do some work on the site and end with what it returned."""

    async def do() -> T:
        if not site.key:
            await site.enrol()
        return await work()

    return asyncio.run(do())


async def create(kind: type[Kind[Any]], site: Site, wish: Inputs) -> dict[str, Any]:
    return (await kind(site).create(SUBJECT, wish.model_dump(mode="json"), preview=False)).state


def writes(site: Site) -> list[str]:
    return [line for line in site.seen if not line.startswith("GET ")]


def test_a_central_server_is_initialised_once(site: Site) -> None:
    """A second creation finds everything in place: no third and fourth signing key."""

    async def work() -> None:
        await create(CentralServerKind, site, CENTRAL)
        first = writes(site)
        await create(CentralServerKind, site, CENTRAL)
        assert writes(site) == first
        (token,) = await site.central.tokens()
        assert sorted(key.source_type or "" for key in token.configuration_signing_keys) == [
            "EXTERNAL",
            "INTERNAL",
        ]

    done(site, work)


def test_another_instance_is_refused(site: Site) -> None:
    """A server can't be moved to another instance, and nothing is tried."""

    async def work() -> None:
        await create(CentralServerKind, site, CENTRAL)
        site.seen.clear()
        other = CENTRAL.model_copy(update={"instance": "OTHER"})
        with pytest.raises(ProviderError, match="belongs to instance TEST, not to OTHER"):
            await create(CentralServerKind, site, other)
        assert writes(site) == []

    done(site, work)


def test_what_exists_is_adopted(site: Site) -> None:
    """A member that somebody made by hand is found by its identifier, and its name is mended."""

    async def work() -> None:
        await create(CentralServerKind, site, CENTRAL)
        await create(MemberClassKind, site, GOV)
        await site.central.add_member("GOV", "HR", "Made By Hand")
        site.seen.clear()
        await create(MemberKind, site, HR)
        assert writes(site) == ["PATCH /members/TEST:GOV:HR"]
        member = await site.central.member(MemberId.parse("TEST:GOV:HR"))
        assert member.member_name == "Human Resources"

    done(site, work)


def test_a_preview_changes_nothing(site: Site) -> None:
    """Not even a request is sent."""

    async def work() -> None:
        found = await MemberKind(site).create(SUBJECT, HR.model_dump(mode="json"), preview=True)
        assert found.identifier == "TEST:GOV:HR"
        assert site.seen == []

    done(site, work)


def test_a_certificate_is_approved_once(site: Site) -> None:
    """The API would take the same authority twice."""

    async def work() -> None:
        await create(CentralServerKind, site, CENTRAL)
        wish = CertificationServiceInputs(name="trust-services")
        first = await create(CertificationServiceKind, site, wish)
        second = await create(CertificationServiceKind, site, wish)
        assert first["service"] == second["service"]
        assert len(await site.central.certification_services()) == 1

    done(site, work)


def test_responders_follow_the_declaration(site: Site) -> None:
    """Added, then replaced by another."""

    async def work() -> None:
        await create(CentralServerKind, site, CENTRAL)
        kind = CertificationServiceKind(site)
        one = CertificationServiceInputs(name="ca", ocsp_responders=("http://ocsp-1.example.test",))
        two = CertificationServiceInputs(name="ca", ocsp_responders=("http://ocsp-2.example.test",))
        state = await create(CertificationServiceKind, site, one)
        old, new = one.model_dump(mode="json"), two.model_dump(mode="json")
        await kind.update(SUBJECT, "ca", old, state, new, preview=False)
        found = await kind.find(two)
        assert found is not None
        assert found.inputs == two

    done(site, work)


def test_what_is_gone_is_not_found_and_can_be_removed_again(site: Site) -> None:
    """A deletion that was interrupted after the server had done it ends well."""

    async def work() -> None:
        await create(CentralServerKind, site, CENTRAL)
        await create(MemberClassKind, site, GOV)
        await create(MemberKind, site, HR)
        subsystem = SubsystemInputs(subsystem="TEST:GOV:HR:REGISTRY", name="Registry")
        await create(SubsystemKind, site, subsystem)
        for kind, wish in ((SubsystemKind, subsystem), (MemberKind, HR), (MemberClassKind, GOV)):
            values = wish.model_dump(mode="json")
            for _ in range(2):
                await kind(site).delete(SUBJECT, "any", values, values)
            assert await kind(site).read(SUBJECT, "any", values, values) is None

    done(site, work)


@pytest.mark.parametrize(
    ("address", "own", "approved"),
    [
        ("ss1.example.test", True, True),
        ("elsewhere.example.test", True, False),
        ("ss1.example.test", False, False),
    ],
)
def test_only_the_declared_registration_is_approved(
    site: Site, address: str, own: bool, approved: bool
) -> None:
    """The right server at another address, or with another certificate, goes on waiting."""
    wish = SecurityServerInputs(
        server="ss1",
        identity="TEST:GOV:HR:SS1",
        address="ss1.example.test",
        owner_name="Human Resources",
        country="BJ",
    )

    async def work() -> None:
        await create(CentralServerKind, site, CENTRAL)
        await create(MemberClassKind, site, GOV)
        await create(MemberKind, site, HR)
        mine, other = await certificate(site), await certificate(site)
        # Only the registration service may make requests of security servers: not over the API.
        management_requests.submit(
            site.simulator,
            RequestType.AUTH_CERT_REGISTRATION,
            RequestOrigin.SECURITY_SERVER,
            wish.identity,
            address=address,
            certificate=base64.b64encode(mine if own else other).decode(),
        )
        hashed = hashlib.sha256(mine).hexdigest().upper()
        assert await SecurityServerKind(site).approve(wish, hashed) is approved
        waiting = [request.id async for request in site.central.waiting_requests(ServerId.parse(wish.identity))]
        assert len(waiting) == (0 if approved else 1)

    done(site, work)


async def certificate(site: Site) -> bytes:
    """An authentication certificate (DER)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ss1.example.test")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = await site.authority.sign(
        CertificateOrder(
            "AUTHENTICATION",
            MemberId.parse("TEST:GOV:HR"),
            "Human Resources",
            request.public_bytes(serialization.Encoding.PEM),
            "ss1.example.test",
        )
    )
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def test_an_import_needs_only_the_key(site: Site) -> None:
    """The engine gives an identifier and no inputs."""

    async def work() -> None:
        await create(CentralServerKind, site, CENTRAL)
        await create(MemberClassKind, site, GOV)
        await create(MemberKind, site, HR)
        found = await MemberKind(site).read(SUBJECT, "TEST:GOV:HR", {}, {})
        assert found is not None
        assert found.inputs == HR.model_dump(mode="json")
        with pytest.raises(ProviderError, match="'HR' isn't the key of a Member"):
            await MemberKind(site).read(SUBJECT, "HR", {}, {})

    done(site, work)


def test_a_wrong_key_says_what_to_do(site: Site) -> None:
    """The next step stands in the message; the key doesn't."""

    async def work() -> None:
        site.key = "0000-wrong"
        with pytest.raises(ProviderError, match=r"answered 401.*apply the stage `exchange` again") as caught:
            await site.central.member_classes()
        assert "0000-wrong" not in str(caught.value)

    done(site, work)


def test_unknown_inputs_are_refused(site: Site) -> None:
    """A misspelt name stops the plan."""

    async def work() -> None:
        checked = await MemberKind(site).check(SUBJECT, {"member": "TEST:GOV:HR", "nmae": "x"})
        assert [refusal.property for refusal in checked.refusals] == ["name", "nmae"]

    done(site, work)


URL = "http://timestamp1.example.test:8899/"


def time_stamping(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Puts a new certificate where those of time-stamping authorities lie, and returns it (PEM)."""
    monkeypatch.setenv("SMARTGOUV_TIMESTAMPING", str(folder))
    der = asyncio.run(certificate(site))
    pem = x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)
    (folder / "timestamp1.crt").write_bytes(pem)
    return pem.decode()


async def checked(site: Site) -> dict[str, Any]:
    """The declaration as the provider completes it."""
    wish = TimestampingServiceInputs(url=URL, host="timestamp1")
    found = await TimestampingServiceKind(site).check(SUBJECT, wish.model_dump(mode="json"))
    assert found.refusals == ()
    return dict(found.inputs)


async def approved(site: Site) -> list[tuple[str, str]]:
    return [(item.url, item.certificate.hash) for item in await site.central.timestamping_services()]


def test_a_time_stamping_service_has_the_certificate_of_its_host(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filled in by the provider, approved once, and withdrawn."""
    pem = time_stamping(site, tmp_path, monkeypatch)

    async def work() -> None:
        await create(CentralServerKind, site, CENTRAL)
        inputs = await checked(site)
        assert inputs["certificate"] == pem
        wish = TimestampingServiceInputs.model_validate(inputs)
        for _ in range(2):
            await create(TimestampingServiceKind, site, wish)
        assert await approved(site) == [(URL, fingerprint(pem.encode()))]
        await TimestampingServiceKind(site).delete(SUBJECT, URL, inputs, inputs)
        assert await approved(site) == []

    done(site, work)


def test_a_renewed_certificate_is_approved_before_the_earlier_one_goes(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update; in between, both are approved, until every security server knows the new one."""
    first, second = (time_stamping(site, tmp_path, monkeypatch) for _ in range(2))
    seen: list[list[tuple[str, str]]] = []

    async def known_everywhere(servers: Servers) -> None:
        seen.append(await approved(site))

    monkeypatch.setattr(timestamping_service, "distributed", known_everywhere)

    async def work() -> None:
        await create(CentralServerKind, site, CENTRAL)
        new = await checked(site)
        old = {**new, "certificate": first}
        state = await create(TimestampingServiceKind, site, TimestampingServiceInputs.model_validate(old))
        kind = TimestampingServiceKind(site)
        difference = await kind.diff(URL, old, state, new)
        assert (difference.updates, difference.replacements) == (("certificate",), ())
        assert seen == []

        await kind.update(SUBJECT, URL, old, state, new, preview=False)
        both = [(URL, fingerprint(pem.encode())) for pem in (first, second)]
        assert seen == [both]
        assert await approved(site) == both[1:]

    done(site, work)


def test_an_update_that_was_interrupted_is_finished(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both certificates are there: that isn't what was declared, and a rerun withdraws the earlier one."""
    first, second = (time_stamping(site, tmp_path, monkeypatch) for _ in range(2))

    async def work() -> None:
        await create(CentralServerKind, site, CENTRAL)
        for pem in (first, second):
            await site.central.add_timestamping_service(URL, pem.encode(), "FREE")
        inputs = await checked(site)
        found = await TimestampingServiceKind(site).read(SUBJECT, URL, inputs, inputs)
        assert found is not None
        assert found.inputs["alone"] is False
        await create(TimestampingServiceKind, site, TimestampingServiceInputs.model_validate(inputs))
        assert await approved(site) == [(URL, fingerprint(second.encode()))]

    done(site, work)


def test_a_certificate_that_isnt_there_is_told(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the host, the place and what brings it; and so is a file that is something else."""
    monkeypatch.setenv("SMARTGOUV_TIMESTAMPING", str(tmp_path))
    wish = TimestampingServiceInputs(url=URL, host="timestamp1").model_dump(mode="json")

    async def refusal() -> str:
        found = await TimestampingServiceKind(site).check(SUBJECT, wish)
        (refused,) = found.refusals
        return refused.reason

    told = done(site, refusal)
    assert "timestamp1" in told
    assert f"{tmp_path}/timestamp1.crt" in told
    assert "apply the stage `trust-services`" in told
    (tmp_path / "timestamp1.crt").write_text("nothing", encoding="utf-8")
    assert "isn't a certificate in PEM" in done(site, refusal)


def test_a_responder_with_a_certificate_is_none_of_ours(site: Site) -> None:
    """Whoever registered it by hand let somebody else answer: it is replaced by the address alone."""

    async def work() -> None:
        await create(CentralServerKind, site, CENTRAL)
        kind = CertificationServiceKind(site)
        wish = CertificationServiceInputs(name="ca", ocsp_responders=("http://status.example.test/",))
        state = await create(CertificationServiceKind, site, wish)
        (ours,) = await site.central.ocsp_responders(state["service"])
        await site.central.delete_ocsp_responder(ours.id)
        strange = (await site.authority.certificates())[0]
        await site.central.add_ocsp_responder(state["service"], "http://status.example.test/", strange)
        found = await kind.find(wish)
        assert found is not None
        assert found.inputs.ocsp_responders == ("http://status.example.test/ with a certificate",)
        await create(CertificationServiceKind, site, wish)
        (only,) = await site.central.ocsp_responders(state["service"])
        assert (only.url, only.has_certificate) == ("http://status.example.test/", False)

    done(site, work)
