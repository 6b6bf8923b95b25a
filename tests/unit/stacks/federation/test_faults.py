"""Whatever breaks on the way: a rerun ends in the declared state, nothing is made twice, nobody is approved."""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from federation_rig.authority import LocalAuthority
from federation_rig.comparison import differences
from federation_rig.direct import Direct, declared
from federation_rig.faults import Fault, Faulty, refusal
from federation_rig.simulation import PIN, Simulation
from federation_rig.traffic import until
from stacks.federation.arguments import FederationArgs
from stacks.federation.requests import undeclared_requests
from stacks.providers.serving import ProviderError
from stacks.providers.xroad.endpoint import trusting
from stacks.providers.xroad.errors import UnreachableError
from stacks.providers.xroad.existing import existing
from stacks.providers.xroad.settings import Settings
from stacks.providers.xroad.waiting import DeadlineError

Make = Callable[..., Direct]

SERVERS = ("ss-portal", "ss-civil")
REGISTRY = "TEST:GOV:CIVILREG:REGISTRY"


def apply(provider: Direct, args: FederationArgs) -> None:
    resources = declared(args)
    provider.run(lambda: provider.apply(resources))


def require_declared(simulation: Simulation, provider: Direct, args: FederationArgs) -> None:
    """What is declared is there, nothing else, and no key or certificate twice."""
    assert differences(declared(args), provider.run(lambda: existing(provider.servers))) == []
    for name in SERVERS:
        (token,) = simulation.call(name, "GET", "/tokens").json()
        found = sorted((key["usage"], len(key["certificates"])) for key in token["keys"])
        assert found == [("AUTHENTICATION", 1), ("SIGNING", 1)]
    (token,) = simulation.call("central", "GET", "/tokens").json()
    assert len(token["configuration_signing_keys"]) == 2
    assert len(simulation.call("central", "GET", "/certification-services").json()) == 1
    assert len(simulation.call("central", "GET", "/timestamping-services").json()) == 1


def network(simulation: Simulation, fault: Fault, **options: Callable[[httpx.Request, int], bool]) -> Faulty:
    return Faulty(trusting((simulation.folder / "ca.crt").read_text(encoding="ascii")), fault, **options)


def none(request: httpx.Request, count: int) -> None:
    """No fault."""


def stop(simulation: Simulation, name: str) -> None:
    simulation.processes[name].kill()
    simulation.processes[name].wait(15)


def restart(simulation: Simulation, name: str) -> None:
    simulation.start(name)
    simulation.wait(name)


def test_a_storm_of_refusals_is_sat_out(
    simulation: Simulation, declaration: FederationArgs, direct: Make
) -> None:
    """429, 503 or, to questions, 502 before many a request is heard the first time: one apply is enough."""
    refused: list[int] = []

    def storm(request: httpx.Request, count: int) -> httpx.Response | None:
        kind = zlib.crc32(str(request.url).encode()) % 6
        if count > 1 or kind > 2:
            return None
        refused.append((429, 503, 502 if request.method == "GET" else 503)[kind])
        return refusal(request, refused[-1])

    apply(direct(transport=network(simulation, storm)), declaration)
    assert {429, 502, 503} <= set(refused)
    require_declared(simulation, direct(), declaration)


def test_answers_that_are_lost_lead_to_nothing_twice(
    simulation: Simulation, declaration: FederationArgs, direct: Make
) -> None:
    """Every write is done and its answer lost, the first time: what it did is found, not done again."""

    def lost(request: httpx.Request, count: int) -> bool:
        return request.method != "GET" and count == 1

    for _ in range(20):
        try:
            apply(direct(transport=network(simulation, none, lost=lost)), declaration)
        except ProviderError:
            continue
        break
    require_declared(simulation, direct(), declaration)


def test_writes_that_fail_are_told_with_what_finds_them(
    simulation: Simulation, declaration: FederationArgs, direct: Make
) -> None:
    """500 isn't repeated: what it did is unknown. The rerun is whole."""

    def broken(request: httpx.Request, count: int) -> httpx.Response | None:
        wrong = request.method == "POST" and request.url.path.endswith("/keys-with-csrs")
        return refusal(request, 500) if wrong else None

    with pytest.raises(ProviderError, match=r"POST .*/keys-with-csrs answered 500"):
        apply(direct(transport=network(simulation, broken)), declaration)
    apply(direct(), declaration)
    require_declared(simulation, direct(), declaration)


def test_a_server_that_stops_in_the_middle_is_named(
    simulation: Simulation, declaration: FederationArgs, direct: Make
) -> None:
    """With its address; when it is back, a rerun ends well. Its token is opened again."""

    def stopping(request: httpx.Request, count: int) -> None:
        if (
            request.method == "PUT"
            and "/register" in request.url.path
            and "ss-civil" in request.headers["Host"]
        ):
            stop(simulation, "ss-civil")

    provider = direct(transport=network(simulation, stopping), patience_seconds=0.5)
    with pytest.raises(UnreachableError, match=r"ss-civil\.example\.test:24000"):
        apply(provider, declaration)
    restart(simulation, "ss-civil")
    apply(direct(), declaration)
    require_declared(simulation, direct(), declaration)


def test_a_central_server_that_is_away_too_long_is_waited_for(
    simulation: Simulation, declaration: FederationArgs, direct: Make
) -> None:
    """Every configuration has ended meanwhile. When it is back, an apply adds what was declared since."""
    fewer = tuple(server.model_copy(update={"access_rights": ()}) for server in declaration.security_servers)
    apply(direct(), declaration.model_copy(update={"security_servers": fewer}))
    settings = simulation.folder / "central.d" / "local.ini"
    settings.write_text("[simulator]\nconfiguration-lifetime-in-seconds = 2\n", encoding="utf-8")
    stop(simulation, "central")
    restart(simulation, "central")
    until(lambda: ends_soon(simulation))
    stop(simulation, "central")
    time.sleep(3)
    with pytest.raises(UnreachableError, match=r"central\.example\.test:24000 can't be reached"):
        apply(direct(patience_seconds=0.5), declaration)
    settings.unlink()
    restart(simulation, "central")
    require_after_rerun(simulation, declaration, direct)


def ends_soon(simulation: Simulation) -> bool:
    """Whether every server fetched from the restarted central server, whose token nobody has opened yet."""
    with contextlib.suppress(httpx.HTTPStatusError):
        simulation.call("central", "PUT", "/tokens/0/login", json={"password": PIN})
    diagnostics = [simulation.call(name, "GET", "/diagnostics/globalconf").json() for name in SERVERS]
    now = datetime.now(UTC)
    fetched = [datetime.fromisoformat(item["prev_update_at"]) for item in diagnostics]
    return all(now - moment < timedelta(seconds=1) for moment in fetched)


def test_a_certificate_that_is_not_accepted_is_no_reason_to_try_again(
    simulation: Simulation,
    declaration: FederationArgs,
    direct: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody else answers under the server's address, or the root is another's: that is told at once."""
    strange = tmp_path / "strange"
    strange.mkdir()
    LocalAuthority(strange, "Somebody else's CA")
    provider = direct()
    monkeypatch.setenv("SMARTGOUV_ROOT_CERTIFICATE", str(strange / "ca.crt"))
    suspicious = Direct(type(provider.servers)(declaration.settings, LocalAuthority(simulation.folder)))
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="its certificate isn't accepted"):
        apply(suspicious, declaration)
    # Patience with servers that are away is a minute.
    assert time.monotonic() - started < 30


def test_a_stale_status_is_waited_for_and_told(
    simulation: Simulation, declaration: FederationArgs, direct: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The responder's answers are of yesterday: no certificate is used until they are fresh."""
    simulation.trust.age = timedelta(days=1)
    with monkeypatch.context() as impatient:
        impatient.setattr(Settings, "distribution_seconds", 12.0)
        with pytest.raises(DeadlineError, match=r"is active and its OCSP status good: not reached"):
            apply(direct(), declaration)
    simulation.trust.age = timedelta()
    require_after_rerun(simulation, declaration, direct)


def require_after_rerun(simulation: Simulation, args: FederationArgs, direct: Make) -> None:
    apply(direct(), args)
    require_declared(simulation, direct(), args)


def test_a_wrong_pin_is_not_tried_until_the_token_locks(
    simulation: Simulation, declaration: FederationArgs, direct: Make
) -> None:
    """Three applies with a wrong PIN: each says what is wrong; with the right one a rerun ends well."""
    apply(direct(), declaration)
    stop(simulation, "ss-civil")
    restart(simulation, "ss-civil")
    secret = simulation.folder / "secrets" / "pin-ss-civil"
    right = secret.read_text(encoding="utf-8")
    secret.write_text("Wrong-0123456789", encoding="utf-8")
    tried: list[str] = []

    def watched(request: httpx.Request, count: int) -> None:
        if request.url.path.endswith("/login"):
            tried.append(str(request.url))

    for _ in range(3):
        with pytest.raises(ProviderError) as caught:
            apply(direct(transport=network(simulation, watched)), declaration)
        assert "Wrong-0123456789" not in str(caught.value)
    (token,) = simulation.call("ss-civil", "GET", "/tokens").json()
    assert token["status"] == "USER_PIN_INCORRECT"
    assert len(tried) == 1
    secret.write_text(right, encoding="utf-8")
    simulation.call("ss-civil", "PUT", "/tokens/0/login", json={"password": right})
    require_after_rerun(simulation, declaration, direct)


def test_what_somebody_made_by_hand_is_brought_to_its_form(
    simulation: Simulation, declaration: FederationArgs, direct: Make
) -> None:
    """A subsystem, a client and a service of the same names but otherwise different; the authority twice."""
    apply(direct(), without_registry(declaration))
    simulation.call(
        "central",
        "POST",
        "/subsystems",
        json={
            "subsystem_id": {"member_class": "GOV", "member_code": "CIVILREG", "subsystem_code": "REGISTRY"},
            "subsystem_name": "By hand",
        },
    )
    client = {"member_class": "GOV", "member_code": "CIVILREG", "subsystem_code": "REGISTRY"}
    simulation.call(
        "ss-civil",
        "POST",
        "/clients",
        json={"client": {**client, "connection_type": "HTTP"}, "ignore_warnings": True},
    )
    simulation.call(
        "ss-civil",
        "POST",
        f"/clients/{REGISTRY}/service-descriptions",
        json={"url": "http://by-hand.test/", "type": "REST", "rest_service_code": "birth-records"},
    )
    certificate = (simulation.folder / "ca.crt").read_bytes()
    (approved,) = simulation.call("central", "GET", "/certification-services").json()
    profile = simulation.call("central", "GET", f"/certification-services/{approved['id']}").json()
    simulation.call(
        "central",
        "POST",
        "/certification-services",
        data={
            "certificate_profile_info": profile["certificate_profile_info"],
            "tls_auth": "false",
            "default_csr_format": "PEM",
        },
        files={"certificate": ("ca.pem", certificate)},
    )
    assert len(simulation.call("central", "GET", "/certification-services").json()) == 2

    apply(direct(), declaration)
    require_declared(simulation, direct(), declaration)


def without_registry(args: FederationArgs) -> FederationArgs:
    """The civil registry has a server, but no subsystem yet."""
    data = args.model_dump(mode="json")
    data["instance"]["members"][1]["subsystems"] = []
    data["security_servers"][1] |= {"clients": [], "access_rights": []}
    return FederationArgs.model_validate(data)


def test_what_nothing_declares_is_not_approved(
    simulation: Simulation, declaration: FederationArgs, direct: Make
) -> None:
    """A client that somebody adds to a declared server, and a declared one at another: both go on waiting."""
    apply(direct(), declaration)
    for server, member, code in (
        ("ss-civil", "CIVILREG", "SHADOW"),
        ("ss-civil", "DIGITAL", "PORTAL"),
    ):
        client = {
            "member_class": "GOV",
            "member_code": member,
            "subsystem_code": code,
            "connection_type": "HTTP",
        }
        simulation.call(server, "POST", "/clients", json={"client": client, "ignore_warnings": True})
        simulation.call(server, "PUT", f"/clients/TEST:GOV:{member}:{code}/register")
    apply(direct(), declaration)

    waiting = simulation.call("central", "GET", "/management-requests?status=WAITING").json()["items"]
    assert len(waiting) == 2
    provider = direct()
    told = provider.run(lambda: undeclared_requests(declaration, provider.servers))
    assert [sentence.split(": ", 1)[1].split(";")[0] for sentence in told] == [
        "CLIENT_REGISTRATION_REQUEST of TEST:GOV:CIVILREG:SS-CIVIL for TEST:GOV:DIGITAL:PORTAL",
        "CLIENT_REGISTRATION_REQUEST of TEST:GOV:CIVILREG:SS-CIVIL for TEST:GOV:CIVILREG:SHADOW",
    ]
    assert all("next: declare it, or decline it there" in sentence for sentence in told)
