"""Each request gets the answer, or the error, that the RFCs name for it."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import pytest
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from trust_services.certificate_state import CertificateState
from trust_services.status import responder as module
from trust_services.status import revocation_list
from trust_services.status.metrics import Counts, Result
from trust_services.status.responder import Responder, Response, refusal_of_post
from trust_services.status.shelf import Shelf

GOOD = CertificateState(0x1001)

Make = Callable[..., Responder]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, pki: Any, revoked: CertificateState) -> Shelf:
    """A good and a revoked certificate, and one whose answers are an hour old."""
    from trust_services.status import publication

    folder = tmp_path_factory.mktemp("status")
    (folder / "authority.pem").write_bytes(pki.certificate.public_bytes(Encoding.PEM))
    answers = [
        *publication.decode(pki.certificate, pki.publication(GOOD, revoked)),
        *publication.decode(
            pki.certificate, pki.publication(CertificateState(0x1003), age=3601, lifetime=9000)
        ),
        *publication.decode(pki.certificate, pki.publication(CertificateState(0x1004), age=600, lifetime=599)),
    ]
    (folder / "trust.answers").write_bytes(publication.encode(pki.certificate, answers))
    now = module.datetime.now(module.UTC)
    made = revocation_list.sign(
        pki.certificate,
        pki.key,
        [revoked],
        number=1,
        this_update=now,
        next_update=now.replace(year=now.year + 1),
    )
    (folder / "trust.crl").write_bytes(made.public_bytes(Encoding.DER))
    from trust_services.status.settings import Settings

    shelf = Shelf(
        Settings.model_validate(
            {
                "listen": {"port": 1},
                "folder": folder,
                "authorities": ({"name": "trust", "certificate": folder / "authority.pem"},),
            }
        )
    )
    shelf.look()
    return shelf


@pytest.fixture(scope="module")
def responder(shelf: Shelf) -> Responder:
    """Answers from that shelf."""
    return Responder(shelf, Counts())


def status_of(response: Response) -> ocsp.OCSPResponseStatus:
    assert response.status == 200
    assert ("content-type", "application/ocsp-response") in response.headers
    return ocsp.load_der_ocsp_response(response.body).response_status


def get(responder: Responder, request: bytes, **more: Any) -> Response:
    return responder.get(
        "/" + base64.b64encode(request).decode(), more.get("tag"), more.get("now", time.time())
    )


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()], ids=["sha1", "sha256"])  # noqa: S303
def test_post_and_get_give_the_signed_answer(
    responder: Responder, pki: Any, revoked: CertificateState, algorithm: hashes.HashAlgorithm
) -> None:
    for state, status in ((GOOD, ocsp.OCSPCertStatus.GOOD), (revoked, ocsp.OCSPCertStatus.REVOKED)):
        request = pki.request(state.serial, algorithm)
        for response in (responder.post(request, time.time()), get(responder, request)):
            assert response.result is Result.ANSWERED
            answer = ocsp.load_der_ocsp_response(response.body)
            assert answer.certificate_status is status
            asked = ocsp.load_der_ocsp_request(request)
            assert (answer.issuer_name_hash, answer.issuer_key_hash, answer.serial_number) == (
                asked.issuer_name_hash,
                asked.issuer_key_hash,
                asked.serial_number,
            )


def test_a_request_of_another_form_finds_the_same_answer(responder: Responder, pki: Any) -> None:
    """With a nonce, which can't be reflected; and without the NULL that the hash's parameters may be."""
    names = pki.issuer_hashes(hashes.SHA256())
    nonce = (
        ocsp.OCSPRequestBuilder()
        .add_certificate_by_hash(*names, GOOD.serial, hashes.SHA256())
        .add_extension(x509.OCSPNonce(b"0123456789abcdef"), critical=False)
        .build()
        .public_bytes(Encoding.DER)
    )
    full = pki.request(GOOD.serial, hashes.SHA256())
    shorter = bytearray(full.replace(b"\x05\x00", b"", 1))
    for length in (1, 3, 5, 7, 9, 11):  # of the six sequences around it
        shorter[length] -= 2
    without_null = bytes(shorter)

    expected = responder.post(pki.request(GOOD.serial, hashes.SHA256()), time.time()).body
    for request in (nonce, without_null):
        assert responder.post(request, time.time()).body == expected


def test_unknown_certificates_and_authorities_are_unauthorized(
    responder: Responder, pki: Any, other: Any
) -> None:
    for request in (
        pki.request(0x9999),
        other.request(GOOD.serial),
        pki.request(GOOD.serial, hashes.SHA384()),
    ):
        for response in (responder.post(request, time.time()), get(responder, request)):
            assert status_of(response) is ocsp.OCSPResponseStatus.UNAUTHORIZED
            assert ("cache-control", "no-store") in response.headers


@pytest.mark.parametrize("serial", [0x1003, 0x1004], ids=["older than the budget", "past its nextUpdate"])
def test_a_stale_answer_is_never_given(responder: Responder, pki: Any, serial: int) -> None:
    for response in (responder.post(pki.request(serial), time.time()), get(responder, pki.request(serial))):
        assert status_of(response) is ocsp.OCSPResponseStatus.TRY_LATER
        assert response.result is Result.STALE


def test_an_answer_ages_while_it_lies_there(responder: Responder, pki: Any) -> None:
    request = pki.request(GOOD.serial)

    assert responder.post(request, time.time() + 3500).result is Result.ANSWERED
    assert responder.post(request, time.time() + 3601).result is Result.STALE


def test_before_the_first_publication_nobody_is_unknown(site: Any) -> None:
    early = Responder(site.shelf(), Counts())

    response = early.post(site.pki.request(1), time.time())

    assert status_of(response) is ocsp.OCSPResponseStatus.TRY_LATER


def two_requests(pki: Any) -> bytes:
    request = asn1_ocsp.OCSPRequest.load(pki.request(GOOD.serial))
    one = request["tbs_request"]["request_list"][0]
    request["tbs_request"]["request_list"] = [one, one]
    dumped: bytes = request.dump(force=True)
    return dumped


def critical(pki: Any) -> bytes:
    names = pki.issuer_hashes(hashes.SHA256())
    return (
        ocsp.OCSPRequestBuilder()
        .add_certificate_by_hash(*names, GOOD.serial, hashes.SHA256())
        .add_extension(x509.OCSPNonce(b"0123456789abcdef"), critical=True)
        .build()
        .public_bytes(Encoding.DER)
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda _: b"",
        lambda _: b"garbage",
        lambda _: b"\x30\x00",
        lambda pki: pki.request(GOOD.serial)[:-1],
        lambda pki: pki.request(GOOD.serial) + b"\0",
        two_requests,
        critical,
    ],
    ids=["empty", "text", "empty sequence", "cut off", "longer", "two certificates", "critical extension"],
)
def test_what_isnt_a_request_of_this_profile_is_malformed(
    responder: Responder, pki: Any, make: Callable[[Any], bytes]
) -> None:
    request = make(pki)
    for response in (responder.post(request, time.time()), get(responder, request)):
        assert status_of(response) is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


@pytest.mark.parametrize(
    "path", ["/", "/favicon.ico", "/MEUwQz", "/MEU=wQz=", "/M E U", "/%zz", "/é", "/CRL/x"]
)
def test_a_path_that_isnt_base64_is_malformed(responder: Responder, path: str) -> None:
    assert status_of(responder.get(path, None, time.time())) is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def test_base64_may_be_encoded_or_not_and_may_hold_slashes(responder: Responder, pki: Any) -> None:
    """A serial number that makes slashes and plus signs: unknown, but read."""
    serial = int.from_bytes(b"\x7f" + b"\xff\xfb" * 8, "big")
    text = base64.b64encode(pki.request(serial)).decode()
    assert "/" in text
    assert "+" in text

    encoded = quote(text, safe="")
    for path in ("/" + text, "//" + text, "/" + encoded, "/" + encoded.replace("%2F", "%2f")):
        assert responder.get(path, None, time.time()).result is Result.UNKNOWN


def test_a_request_that_is_too_long_for_get_is_refused(responder: Responder) -> None:
    assert get(responder, b"0" * 4096).status == 200
    assert get(responder, b"0" * 4097).status == 414
    assert responder.get("/" + "A" * 100_000, None, time.time()).status == 414


def test_caches_are_told_how_long(responder: Responder, pki: Any) -> None:
    now = time.time()
    response = get(responder, pki.request(GOOD.serial), now=now)
    headers = dict(response.headers)
    answer = ocsp.load_der_ocsp_response(response.body)

    assert parsedate_to_datetime(headers["last-modified"]) == answer.this_update_utc
    assert parsedate_to_datetime(headers["expires"]) == answer.next_update_utc
    directives = headers["cache-control"].split(", ")
    assert directives[1:] == ["public", "no-transform", "must-revalidate"]
    assert directives[0] == f"max-age={int(answer.next_update_utc.timestamp() - now)}"


def test_a_client_that_has_the_answer_isnt_sent_it_again(responder: Responder, pki: Any) -> None:
    tag = dict(get(responder, pki.request(GOOD.serial)).headers)["etag"]

    for known in (tag, f'"other", {tag}', f"W/{tag}"):
        again = get(responder, pki.request(GOOD.serial), tag=known)
        assert (again.status, again.body) == (304, b"")
        assert dict(again.headers)["etag"] == tag
    assert get(responder, pki.request(GOOD.serial), tag='"other"').status == 200


def test_post_isnt_cached(responder: Responder, pki: Any) -> None:
    assert {name for name, _ in responder.post(pki.request(GOOD.serial), time.time()).headers} == {
        "content-type"
    }


@pytest.mark.parametrize(
    ("path", "content_type", "length", "status"),
    [
        ("/", "application/ocsp-request", "100", None),
        ("", "Application/OCSP-Request; charset=binary", "4096", None),
        ("/", "application/ocsp-request", "4097", 413),
        ("/", "application/ocsp-request", "9" * 18, 413),
        ("/", "application/ocsp-request", None, 411),
        ("/", "application/ocsp-request", "-1", 400),
        ("/", "application/ocsp-request", "ten", 400),
        ("/", "application/ocsp-response", "100", 415),
        ("/", None, "100", 415),
        ("/", "", "100", 415),
        ("/crl/trust.crl", "application/ocsp-request", "100", 404),
    ],
)
def test_headers_of_post(path: str, content_type: str | None, length: str | None, status: int | None) -> None:
    refused = refusal_of_post(path, content_type, length)

    assert (refused.status if refused else None) == status


def test_crls_are_served(responder: Responder, pki: Any) -> None:
    response = responder.get("/crl/trust.crl", None, time.time())

    headers = dict(response.headers)
    assert headers["content-type"] == "application/pkix-crl"
    assert x509.load_der_x509_crl(response.body).is_signature_valid(pki.certificate.public_key())
    assert responder.get("/crl/trust.crl", headers["etag"], time.time()).status == 304
    expired = responder.get("/crl/trust.crl", None, time.time() + 2 * 366 * 86_400)
    assert dict(expired.headers)["cache-control"].startswith("max-age=0,")


@pytest.mark.parametrize(
    "path", ["/crl/", "/crl/other.crl", "/crl/trust", "/crl/../trust.crl", "/crl/trust.answers"]
)
def test_other_files_arent_served(responder: Responder, path: str) -> None:
    assert responder.get(path, None, time.time()).status == 404


def test_a_crl_that_isnt_here_yet_is_said_to_come(site: Any) -> None:
    document = site.document()
    document["authorities"][0]["publishes"] = ["crl"]
    early = Responder(site.shelf(authorities=document["authorities"]), Counts())

    assert early.get("/crl/trust.crl", None, time.time()).status == 503


def test_health_tells_what_is_stale(responder: Responder, site: Any, good: CertificateState) -> None:
    assert responder.get("/health", None, time.time()).status == 503  # of the certificates that are stale
    site.publish(site.pki.publication(good))
    well = Responder(site.shelf(), Counts())

    assert well.get("/health", None, time.time()).status == 200
    later = well.get("/health", None, time.time() + 3601)
    assert (later.status, later.body) == (503, b"stale: trust.answers\n")


def test_metrics_tell_ages_and_results(site: Any, good: CertificateState) -> None:
    site.publish(site.pki.publication(good, age=100))
    counts = Counts()
    row = counts.row()
    made = Responder(site.shelf(), counts)
    row[Result.STALE] += 3
    text = made.get("/metrics", None, time.time()).body.decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    assert values['trust_status_answers{authority="trust"}'] == "2"
    assert 100 <= float(values['trust_status_oldest_answer_age_seconds{authority="trust"}']) < 130
    assert 3470 < float(values['trust_status_answers_expire_seconds{authority="trust"}']) <= 3500
    assert values['trust_status_publication_refused{authority="trust"}'] == "0"
    assert values['trust_status_requests_total{result="stale"}'] == "3"
    assert values['trust_status_requests_total{result="answered"}'] == "0"


def test_metrics_tell_of_crls(responder: Responder) -> None:
    text = responder.get("/metrics", None, time.time() + 60).body.decode()

    age = next(line for line in text.splitlines() if line.startswith("trust_status_crl_age_seconds{"))
    assert 60 <= float(age.split()[1]) < 100
    assert 'trust_status_crl_expires_seconds{authority="trust"}' in text


@given(request=st.binary(max_size=300))
def test_no_bytes_break_the_responder(responder: Responder, request: bytes) -> None:
    for response in (responder.post(request, time.time()), get(responder, request)):
        assert status_of(response) is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


@given(data=st.data())
def test_no_changed_request_breaks_the_responder(responder: Responder, pki: Any, data: st.DataObject) -> None:
    """Bytes are changed, cut out or put in; no answer is about another certificate than was asked for."""
    request = bytearray(pki.request(GOOD.serial, data.draw(st.sampled_from([hashes.SHA1(), hashes.SHA256()]))))  # noqa: S303
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(request) - 1))
        match data.draw(st.sampled_from(["change", "cut", "insert"])):
            case "change":
                request[place] = data.draw(st.integers(0, 255))
            case "cut":
                del request[place : place + data.draw(st.integers(1, 8))]
            case "insert":
                request[place:place] = data.draw(st.binary(min_size=1, max_size=8))
        if not request:
            break
    response = responder.post(bytes(request), time.time())

    if response.result is Result.ANSWERED:
        asked = ocsp.load_der_ocsp_request(bytes(request))
        answer = ocsp.load_der_ocsp_response(response.body)
        assert asked.serial_number == answer.serial_number
        assert asked.issuer_key_hash == answer.issuer_key_hash
    else:
        assert status_of(response) in {
            ocsp.OCSPResponseStatus.MALFORMED_REQUEST,
            ocsp.OCSPResponseStatus.UNAUTHORIZED,
            ocsp.OCSPResponseStatus.TRY_LATER,
        }


@given(path=st.text(max_size=60), tag=st.none() | st.text(max_size=20))
def test_no_path_breaks_the_responder(responder: Responder, path: str, tag: str | None) -> None:
    assert responder.get("/" + path, tag, time.time()).status in {200, 304, 404, 503}


@given(
    path=st.sampled_from(["/", "", "/x"]),
    content_type=st.none() | st.text(max_size=40) | st.just("application/ocsp-request"),
    length=st.none() | st.text(max_size=10) | st.integers(0, 10**20).map(str),
)
def test_no_header_breaks_the_responder(path: str, content_type: str | None, length: str | None) -> None:
    refused = refusal_of_post(path, content_type, length)

    assert refused is None or refused.status in {400, 404, 411, 413, 415}


class Played:
    """A request as granian hands it over, and what became of it."""

    def __init__(self, method: str, body: bytes | Exception = b"", wait: float = 0, **headers: str) -> None:
        self.method, self.path, self.body, self.wait = method, "/", body, wait
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer: tuple[int, list[tuple[str, str]], bytes] | None = None

    async def __call__(self) -> bytes:
        await asyncio.sleep(self.wait)
        if isinstance(self.body, Exception):
            raise self.body
        return self.body

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answer = (status, headers, body)


def play(responder: Responder, played: Played) -> int | None:
    asyncio.run(responder(played, played))  # type: ignore[arg-type]
    return played.answer[0] if played.answer else None


def test_a_request_of_http_is_answered_and_counted(shelf: Shelf, pki: Any) -> None:
    counts = Counts()
    made = Responder(shelf, counts)
    request = pki.request(GOOD.serial)
    post = {"content_type": "application/ocsp-request", "content_length": str(len(request))}

    assert play(made, Played("POST", request, **post)) == 200
    assert play(made, Played("PUT", request, **post)) == 405
    assert play(made, Played("GET")) == 200
    assert [counts.total(result) for result in Result] == [1, 0, 0, 1, 1, 0]


def test_a_client_that_leaves_or_dawdles_breaks_nothing(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Responder(shelf, Counts())
    post = {"content_type": "application/ocsp-request", "content_length": "10"}

    assert play(made, Played("POST", module.ProtocolClosed(), **post)) is None
    monkeypatch.setattr(module, "BODY_SECONDS", 0.01)
    assert play(made, Played("POST", b"", 5, **post)) == 408


def test_counts_of_several_processes_are_added() -> None:
    counts = Counts()
    first, second = counts.row(), counts.row()
    first[Result.ANSWERED] += 2
    second[Result.ANSWERED] += 3

    assert counts.total(Result.ANSWERED) == 5
    assert counts.total(Result.STALE) == 0
