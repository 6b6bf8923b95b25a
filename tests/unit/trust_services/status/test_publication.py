"""A publication tells when it isn't whole."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust_services.refusal import Refusal
from trust_services.status import publication


@given(answers=st.lists(st.binary(max_size=300), max_size=20))
def test_what_is_written_is_read(pki: Any, answers: list[bytes]) -> None:
    assert publication.decode(pki.certificate, publication.encode(pki.certificate, answers)) == answers


@given(
    answers=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5),
    data=st.data(),
)
def test_every_changed_byte_and_every_cut_is_noticed(
    pki: Any, answers: list[bytes], data: st.DataObject
) -> None:
    content = publication.encode(pki.certificate, answers)
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(Refusal):
        publication.decode(pki.certificate, bytes(changed))
    with pytest.raises(Refusal):
        publication.decode(pki.certificate, content[:place])


@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0\5abc"])
def test_an_answer_that_is_cut_off_is_refused_whatever_the_digest(pki: Any, tail: bytes) -> None:
    header = publication.encode(pki.certificate, []).split(b" ")
    header[3:] = [b"1", hashlib.sha256(tail).hexdigest().encode() + b"\n" + tail]

    with pytest.raises(Refusal, match="cut off"):
        publication.decode(pki.certificate, b" ".join(header))


def test_a_wrong_count_is_refused(pki: Any) -> None:
    content = publication.encode(pki.certificate, [b"a", b"b"]).replace(b" 2 ", b" 3 ", 1)

    with pytest.raises(Refusal, match="holds 2 answers, but says 3"):
        publication.decode(pki.certificate, content)


def test_another_authoritys_is_refused(pki: Any, other: Any) -> None:
    with pytest.raises(Refusal, match="another authority"):
        publication.decode(pki.certificate, publication.encode(other.certificate, []))


def test_something_else_is_refused(pki: Any) -> None:
    with pytest.raises(Refusal, match="isn't a publication"):
        publication.decode(pki.certificate, b"<html>" + b"x" * 5000)
