"""Answers and CRLs are signed by keys that are in a token."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from trust_services.status import publication, revocation_list
from trust_services.status.signing import CertificateState, Signer
from trust_services.token import Token, TokenPlace

LIBRARIES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Token]:
    """A new token in software."""
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    if library is None or shutil.which("pkcs11-tool") is None:
        pytest.skip("SoftHSM isn't installed: apt-get install softhsm2 opensc")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(
        f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n"
    )
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    pkcs11.lib(library).reinitialize()
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
