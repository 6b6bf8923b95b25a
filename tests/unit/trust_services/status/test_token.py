"""Answers and CRLs are signed by keys that are in a token."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.soft_token import tokens

from trust_services.certificate_state import CertificateState
from trust_services.status import publication, revocation_list
from trust_services.status.signing import Signer
from trust_services.token import Token, TokenPlace


@pytest.fixture
def token(tmp_path: Path) -> Iterator[Token]:
    """A new token in software."""
    with tokens(tmp_path) as library:
        place = TokenPlace(library, "status")
        place.initialize("so-pin-1234", "pin-1234")
        with place.open("pin-1234") as opened:
            yield opened


@pytest.mark.parametrize("kind", ["ec-p256", "rsa-3072"])
def test_a_responders_key_may_be_in_a_token(
    pki: Any, token: Token, good: CertificateState, revoked: CertificateState, kind: str
) -> None:
    key = token.generate("responder", kind)
    signer = Signer(pki.certificate, pki.responder_for(key), key)

    held = pki.authority.answers(pki.publication(good, revoked, signer=signer), None, datetime.now(UTC))

    assert len(held.by_request) == 4


def test_an_authoritys_key_may_be_in_a_token(new_pki: Any, token: Token, revoked: CertificateState) -> None:
    made = new_pki("In a token", key=token.generate("authority", "ec-p384"))
    now = datetime.now(UTC)

    signed = revocation_list.sign(
        made.certificate, made.key, [revoked], number=1, this_update=now, next_update=now + timedelta(days=1)
    )

    assert made.authority.revocation_list(signed.public_bytes(Encoding.DER), None, now).number == 1
    assert publication.decode(made.certificate, made.publication(revoked))
