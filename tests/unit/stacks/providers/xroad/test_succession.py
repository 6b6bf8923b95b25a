"""What a succession means for the plan: of the authority's approval, and of a server's certificates."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from federation_rig.authority import LocalAuthority
from stacks.providers.serving import ProviderError, Subject
from stacks.providers.xroad.authority import CertificateOrder
from stacks.providers.xroad.central import CertificationServiceSummary
from stacks.providers.xroad.errors import UnreachableError
from stacks.providers.xroad.renewal import RENEW_VARIABLE
from stacks.providers.xroad.resources.certification_service import (
    CertificationServiceInputs,
    CertificationServiceKind,
    fingerprint,
)
from stacks.providers.xroad.resources.security_server import SecurityServerInputs, SecurityServerKind
from stacks.providers.xroad.security import Token
from stacks.providers.xroad.servers import Servers
from stacks.providers.xroad.settings import Settings

SUBJECT = Subject("xroad:index:Any", "any", "urn")
SERVER = SecurityServerInputs(
    server="ss1", identity="TEST:GOV:HR:SS1", address="ss1", owner_name="HR", country="BJ"
)
SERVICE = CertificationServiceInputs(name="trust-services").model_dump(mode="json")


class Silent:
    """An authority that doesn't answer."""

    async def certificates(self) -> list[bytes]:
        raise UnreachableError("it is away")

    async def sign(self, order: CertificateOrder) -> bytes:
        raise AssertionError(order)


class Central:
    """A central server that has approved one authority."""

    def __init__(self, digest: str, name: str) -> None:
        self.digest, self.name = digest, name
        self.withdrawn: list[int] = []

    async def certification_services(self) -> list[CertificationServiceSummary]:
        return [CertificationServiceSummary(id=1, name=self.name)]

    async def certification_service_certificate(self, _: int) -> Any:
        class Details:
            hash = self.digest

        return Details

    async def delete_certification_service(self, service: int) -> None:
        self.withdrawn.append(service)


class Security:
    """A security server's tokens; None stands for a server that can't be reached."""

    def __init__(self, token: Token | None) -> None:
        self.token = token

    async def tokens(self) -> list[Token]:
        if self.token is None:
            raise UnreachableError("ss1 can't be reached")
        return [self.token]


def token(issuer: str, *, active: bool = True) -> Token:
    """A token with one certificate of this authority."""
    details = {
        "hash": "A",
        "issuer_common_name": issuer,
        "not_before": "2026-01-01T00:00:00Z",
        "not_after": "2126-01-01T00:00:00Z",
    }
    certificate = {"certificate_details": details, "active": active, "status": "REGISTERED"}
    key = {"id": "K", "label": "authentication", "certificates": [certificate]}
    return Token.model_validate({"id": "0", "logged_in": True, "keys": [key]})


class Site(Servers):
    """One security server, and an authority that may be away."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        held: Token | None = None,
        silent: bool = False,
    ) -> None:
        self.issuer = LocalAuthority(folder)
        monkeypatch.setenv("SMARTGOUV_ROOT_CERTIFICATE", str(self.issuer.certificate_file))
        endpoint = {"address": "127.0.0.1", "name": "any.example.test", "port": 4000}
        server = {"endpoint": endpoint, "api_key": "key", "pin": "pin"}
        settings = {
            "central": "central",
            "servers": {"central": server, "ss1": server},
            "trust_services": {"endpoint": endpoint, "token": "token"},
        }
        super().__init__(Settings.model_validate(settings), Silent() if silent else self.issuer)
        self.held = held

    def security(self, name: str) -> Any:
        assert name == "ss1"
        return Security(self.held)


def test_a_successor_is_approved_before_the_former_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine makes the new one first and removes the former last."""
    kind = CertificationServiceKind(Site(tmp_path, monkeypatch))
    inputs = asyncio.run(kind.check(SUBJECT, SERVICE)).inputs
    found = asyncio.run(kind.diff("any", {**inputs, "certificate": "x"}, {"certificate_hash": "00"}, inputs))

    assert inputs["certificate"].startswith("-----BEGIN CERTIFICATE-----")
    assert (found.updates, found.replacements) == ((), ("certificate",))
    assert not found.delete_before_replace


def test_an_approval_of_before_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """States that have no certificate yet have its digest. A silent authority changes nothing either."""
    site = Site(tmp_path, monkeypatch)
    kind = CertificationServiceKind(site)
    inputs = asyncio.run(kind.check(SUBJECT, SERVICE)).inputs
    state = {"certificate_hash": fingerprint(inputs["certificate"].encode())}
    before = {name: value for name, value in SERVICE.items() if name != "certificate"}
    silent = CertificationServiceKind(Site(tmp_path, monkeypatch, silent=True))
    unknown = asyncio.run(silent.check(SUBJECT, SERVICE)).inputs

    assert asyncio.run(kind.diff("any", before, state, inputs)).replacements == ()
    assert unknown["certificate"] == ""
    assert asyncio.run(silent.diff("any", inputs, state, unknown)).replacements == ()


@pytest.mark.parametrize(
    ("held", "withdrawn"),
    [(token("CA"), False), (token("CA", active=False), True), (token("CA G2"), True), (None, True)],
)
def test_an_approval_is_not_withdrawn_from_who_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Token | None, withdrawn: bool
) -> None:
    """A server whose active certificate is of that authority would be cut off."""
    site = Site(tmp_path, monkeypatch, held=held)
    central = Central("AA:BB", "CA")
    monkeypatch.setattr(Site, "central", central)
    removal = CertificationServiceKind(site).remove(
        CertificationServiceInputs(name="any"), {"certificate_hash": "AABB"}
    )
    if withdrawn:
        asyncio.run(removal)
    else:
        with pytest.raises(
            ProviderError, match="the approval of 'CA' can't be withdrawn: ss1 would be cut off"
        ):
            asyncio.run(removal)
    assert central.withdrawn == ([1] if withdrawn else [])


def due(site: Site) -> list[str]:
    inputs = asyncio.run(SecurityServerKind(site).check(SUBJECT, SERVER.model_dump(mode="json"))).inputs
    return [str(sentence) for sentence in inputs["due"]]


def test_a_plan_names_server_certificate_and_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is due only."""
    monkeypatch.delenv(RENEW_VARIABLE, raising=False)
    (sentence,) = due(Site(tmp_path, monkeypatch, held=token("CA")))

    assert sentence == (
        "ss1: authentication certificate (of 'CA', ends 2126-01-01, OCSP unknown) is to be replaced: "
        "the authority is 'Test Trust Services CA' now"
    )
    assert due(Site(tmp_path, monkeypatch, held=token("Test Trust Services CA"))) == []
    assert due(Site(tmp_path, monkeypatch, held=token("CA"), silent=True)) == []


def test_a_server_that_cannot_be_asked_is_passed_over_unless_a_renewal_is_demanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other changes mustn't wait for it; a renewal of all mustn't forget it."""
    monkeypatch.delenv(RENEW_VARIABLE, raising=False)
    assert due(Site(tmp_path, monkeypatch)) == []
    monkeypatch.setenv(RENEW_VARIABLE, "2027-01-01T00:00:00+00:00")
    assert due(Site(tmp_path, monkeypatch)) == [
        "ss1 can't be asked about its certificates: ss1 can't be reached"
    ]


def test_only_what_is_due_now_is_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was due at the last apply was done by it."""
    kind = SecurityServerKind(Site(tmp_path, monkeypatch))
    clean, owing = ({**SERVER.model_dump(mode="json"), "due": due} for due in ([], ["ss1: it is revoked"]))

    assert asyncio.run(kind.diff("any", owing, {}, clean)).updates == ()
    assert asyncio.run(kind.diff("any", clean, {}, owing)).updates == ("due",)
    assert asyncio.run(kind.diff("any", owing, {}, owing)).updates == ("due",)
