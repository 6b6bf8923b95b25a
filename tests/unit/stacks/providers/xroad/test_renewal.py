"""When a certificate is due, and what becomes of the keys of a label."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stacks.providers.serving import ProviderError
from stacks.providers.xroad.renewal import RENEW_VARIABLE, Holding, Renewal, holding, renew_before
from stacks.providers.xroad.security import Key, Token, TokenCertificate

NOW = datetime(2027, 3, 1, tzinfo=UTC)
PRESENT = Renewal("CA G2", NOW)


def certificate(
    name: str = "A", *, issuer: str = "CA G2", begun: int = 10, lasts: int = 90, **more: Any
) -> TokenCertificate:
    """One that began some days ago and lasts some days."""
    begins = NOW - timedelta(days=begun)
    details = {
        "hash": name,
        "issuer_common_name": issuer,
        "not_before": begins.isoformat(),
        "not_after": (begins + timedelta(days=lasts)).isoformat().replace("+00:00", "Z"),
    }
    facts = {"active": True, "status": "REGISTERED", "ocsp_status": "OCSP_RESPONSE_GOOD", **more}
    return TokenCertificate.model_validate({"certificate_details": details, **facts})


def sorted_out(*keys: tuple[TokenCertificate, ...], renewal: Renewal = PRESENT) -> Holding:
    """Keys K0, K1 … with these certificates, beside one of another label."""
    made = [
        Key(id=f"K{number}", label="authentication", certificates=certificates)
        for number, certificates in enumerate(keys)
    ]
    other = Key(id="other", label="by-hand", certificates=(certificate("other", issuer="Another"),))
    token = Token(id="0", logged_in=True, keys=(*made, other))
    return holding(token, "authentication", "AUTHENTICATION", renewal)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, None),
        ({"begun": 59}, None),
        ({"begun": 61}, "less than a third of its life is left"),
        ({"begun": 91}, "less than a third of its life is left"),
        ({"issuer": "CA"}, "the authority is 'CA G2' now"),
        ({"ocsp_status": "OCSP_RESPONSE_REVOKED"}, "it is revoked"),
        ({"ocsp_status": "OCSP_RESPONSE_UNKNOWN"}, None),
        ({"ocsp_status": "DISABLED", "active": False}, None),
    ],
)
def test_a_certificate_is_due(facts: dict[str, Any], reason: str | None) -> None:
    """Revoked, of a former authority, or in the last third of its life; unknown status alone is no reason."""
    assert PRESENT.reason(certificate(**facts)) == reason


@pytest.mark.parametrize(("days", "due"), [(9, True), (10, False), (11, False)])
def test_a_demanded_renewal_is_of_what_began_earlier(days: int, due: bool) -> None:
    """To the second: a certificate of that very moment stays."""
    demanded = Renewal("CA G2", NOW, NOW - timedelta(days=days))
    assert (demanded.reason(certificate()) is not None) is due


def test_issuers_are_not_compared_with_an_authority_that_cannot_be_asked() -> None:
    """Its silence mustn't replace what works."""
    assert Renewal(None, NOW).reason(certificate(issuer="CA")) is None


def test_what_works_is_kept() -> None:
    """And nothing is said of it."""
    held = sorted_out((certificate(),))

    assert held.chosen is not None
    assert (held.replaced, held.unused, held.pending, held.reasons) == ((), (), None, ())


def test_what_is_due_says_why() -> None:
    """With issuer, end and status; nothing is removed before there is another."""
    held = sorted_out((certificate(issuer="CA"),))

    assert (held.chosen, held.unused) == (None, ())
    (reason,) = held.reasons
    described = "authentication certificate (of 'CA', ends 2027-05-20, OCSP good)"
    assert reason == f"{described} is to be replaced: the authority is 'CA G2' now"


def test_an_interrupted_replacement_goes_on_with_its_key() -> None:
    """The key that waits is taken, not a third one made."""
    held = sorted_out((certificate(issuer="CA"),), ())

    assert held.pending is not None
    assert held.pending.id == "K1"


def test_the_former_goes_when_it_has_a_successor() -> None:
    """With its key; what the interrupted run left is told in the next plan."""
    new = certificate("B", begun=0, active=False, status="SAVED")
    held = sorted_out((certificate(issuer="CA"),), (new,), ())

    assert held.chosen == new
    assert [item.hash for item in held.replaced] == ["A"]
    assert [key.id for key in held.unused] == ["K0", "K2"]
    assert len(held.reasons) == 2


def test_a_disabled_former_is_not_preferred_to_its_successor() -> None:
    """The status of what isn't active says nothing any more, not even that it is revoked."""
    former = certificate(active=False, ocsp_status="DISABLED")
    held = sorted_out((former,), (certificate("B", begun=0, active=False, status="SAVED"),))

    assert held.chosen is not None
    assert held.chosen.hash == "B"


def test_two_certificates_of_one_key() -> None:
    """The key stays."""
    held = sorted_out((certificate(issuer="CA"), certificate("B", begun=0)))

    assert [item.hash for item in held.replaced] == ["A"]
    assert held.unused == ()


@pytest.mark.parametrize("status", ["DELETION_IN_PROGRESS", "GLOBAL_ERROR"])
def test_what_is_on_its_way_out_is_not_chosen(status: str) -> None:
    """Another is ordered."""
    assert sorted_out((certificate(status=status),)).chosen is None


@pytest.mark.parametrize("text", ["now", "2027-03-01", "2027-03-01T00:00:00"])
def test_a_time_without_a_zone_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could mean hours too many or too few."""
    monkeypatch.setenv(RENEW_VARIABLE, text)
    with pytest.raises(ProviderError, match=f"{RENEW_VARIABLE} is '{text}'"):
        renew_before()


def test_nothing_is_demanded_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time with its zone is taken as it is."""
    monkeypatch.delenv(RENEW_VARIABLE, raising=False)
    assert renew_before() is None
    monkeypatch.setenv(RENEW_VARIABLE, NOW.isoformat())
    assert renew_before() == NOW
