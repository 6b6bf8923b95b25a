"""Requests are read strictly: each departure gets the failure that RFC 3161 has for it."""

from __future__ import annotations

from typing import Any

import pytest
from asn1crypto import algos, core, tsp
from cryptography.x509 import ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from trust_services.timestamps.request import MAXIMUM_BYTES, Rejected, read_request
from trust_services.timestamps.syntax import Failure

POLICY = ObjectIdentifier("1.3.6.1.4.1.99999.1.1")


def asking(
    algorithm: str = "sha512", hashed: bytes | None = None, parameters: Any = None, **more: Any
) -> tsp.TimeStampReq:
    """A request, built by another library than the one that reads it."""
    sizes = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
    identifier = algos.DigestAlgorithm({"algorithm": algorithm})
    if parameters is not None:
        identifier["parameters"] = parameters
    return tsp.TimeStampReq(
        {
            "version": 1,
            "message_imprint": {
                "hash_algorithm": identifier,
                "hashed_message": b"\x5a" * sizes[algorithm] if hashed is None else hashed,
            },
            **more,
        }
    )


def sequence(*parts: core.Asn1Value) -> core.Asn1Value:
    return core.SequenceOf(contents=b"".join(part.dump() for part in parts), spec=core.Any)


def imprinted(identifier: core.Asn1Value) -> bytes:
    """A request whose algorithm identifier is what the library wouldn't build."""
    encoded: bytes = sequence(core.Integer(1), sequence(identifier, core.OctetString(bytes(32)))).dump()
    return encoded


def failure_of(request: tsp.TimeStampReq | bytes) -> Failure:
    data = request if isinstance(request, bytes) else request.dump()
    with pytest.raises(Rejected) as rejected:
        read_request(data, POLICY)
    assert rejected.value.text
    return rejected.value.failure


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("parameters", [None, core.Null()])
def test_both_hashes_are_taken_with_null_or_without_parameters(algorithm: str, parameters: Any) -> None:
    read = read_request(asking(algorithm, parameters=parameters).dump(), POLICY)
    assert set(read.imprint.hashed_message) == {0x5A}
    assert read.nonce is None
    assert not read.certificate_wanted


@pytest.mark.parametrize("nonce", [0, -1, 2**64 - 1, 2**159])
def test_nonce_policy_and_wish_for_certificates_are_read(nonce: int) -> None:
    read = read_request(asking(nonce=nonce, cert_req=True, req_policy=POLICY.dotted_string).dump(), POLICY)
    assert read.nonce == nonce
    assert read.certificate_wanted


@pytest.mark.parametrize("algorithm", ["sha1", "sha384"])
def test_other_hashes_are_refused(algorithm: str) -> None:
    assert failure_of(asking(algorithm)) is Failure.BAD_ALGORITHM


def test_a_hash_with_parameters_of_its_own_is_refused() -> None:
    sha256 = core.ObjectIdentifier("2.16.840.1.101.3.4.2.1")
    for parameters in (core.Integer(1), core.Null(contents=b"\x00")):
        assert failure_of(imprinted(sequence(sha256, parameters))) is Failure.BAD_ALGORITHM


@pytest.mark.parametrize(
    ("algorithm", "size"), [("sha256", 0), ("sha256", 31), ("sha256", 64), ("sha512", 32), ("sha512", 65)]
)
def test_a_hash_that_its_algorithm_cannot_have_made_is_refused(algorithm: str, size: int) -> None:
    assert failure_of(asking(algorithm, hashed=b"\x5a" * size)) is Failure.BAD_DATA_FORMAT


@pytest.mark.parametrize("version", [0, 2, -1, 2**2000])
def test_other_versions_are_refused(version: int) -> None:
    request = sequence(core.Integer(version), asking()["message_imprint"])
    assert failure_of(request.dump()) is Failure.BAD_REQUEST


def test_another_policy_is_refused() -> None:
    assert failure_of(asking(req_policy="1.3.6.1.4.1.99999.1.2")) is Failure.UNACCEPTED_POLICY


@pytest.mark.parametrize("critical", [False, True])
def test_extensions_are_refused(critical: bool) -> None:
    extension = {"extn_id": "1.2.3", "critical": critical, "extn_value": b"\x05\x00"}
    assert failure_of(asking(extensions=[extension])) is Failure.UNACCEPTED_EXTENSION


def test_a_request_that_is_too_long_is_refused() -> None:
    assert failure_of(b"\x30" * (MAXIMUM_BYTES + 1)) is Failure.BAD_DATA_FORMAT


VALID = asking(nonce=2**63 + 5, cert_req=True).dump()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        b"GET / HTTP/1.1",
        VALID[:-1],
        VALID + b"\x00",
        # An indefinite length: BER, not DER.
        b"\x30\x80" + VALID[2:] + b"\x00\x00",
        # A default that is written out.
        asking().dump()[:1] + bytes([asking().dump()[1] + 3]) + asking().dump()[2:] + b"\x01\x01\x00",
        # A true that isn't 0xFF.
        VALID[:-1] + b"\x01",
    ],
)
def test_what_is_not_a_request_in_der_is_refused(data: bytes) -> None:
    assert failure_of(data) is Failure.BAD_DATA_FORMAT


@pytest.mark.parametrize("parts", [[], [core.Null()], [core.ObjectIdentifier("1.2"), core.Null(), core.Null()]])
def test_what_is_not_an_algorithm_identifier_is_refused(parts: list[core.Asn1Value]) -> None:
    assert failure_of(imprinted(sequence(*parts))) is Failure.BAD_DATA_FORMAT


@given(st.binary(max_size=200))
def test_no_bytes_bring_the_reader_down(data: bytes) -> None:
    with pytest.raises(Rejected) as rejected:
        read_request(data, POLICY)
    assert rejected.value.failure is Failure.BAD_DATA_FORMAT


@given(
    position=st.integers(0, len(VALID) - 1),
    value=st.integers(0, 255),
    cut=st.integers(0, 4),
    added=st.binary(max_size=4),
)
def test_a_damaged_request_is_read_as_what_it_is_or_refused(
    position: int, value: int, cut: int, added: bytes
) -> None:
    damaged = bytearray(VALID)
    damaged[position] = value
    data = bytes(damaged[: len(damaged) - cut]) + added
    try:
        read = read_request(data, POLICY)
    except Rejected:
        assert data != VALID
    else:
        # Whatever is stamped, an independent reader sees the same in it.
        seen = tsp.TimeStampReq.load(data, strict=True)
        assert seen["message_imprint"]["hashed_message"].native == read.imprint.hashed_message
        assert seen["message_imprint"]["hash_algorithm"]["algorithm"].native in ("sha256", "sha512")
        assert seen["nonce"].native == read.nonce
        assert seen["cert_req"].native == read.certificate_wanted
        assert seen["version"].native == "v1"
