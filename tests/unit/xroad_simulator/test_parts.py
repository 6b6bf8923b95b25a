"""Parts of the simulator that need no process: identifiers, token, configuration, endpoints."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import timedelta
from pathlib import Path

import pytest

import xroad_simulator
from xroad_simulator import global_configuration as gc
from xroad_simulator import parameters_xml
from xroad_simulator.central.configuration import signing_certificate
from xroad_simulator.certificates import encode
from xroad_simulator.clock import now, timestamp
from xroad_simulator.identifiers import ClientId, ServerId, ServiceId
from xroad_simulator.security.access_rights import matches, normalized
from xroad_simulator.security.records import EndpointRecord, Usage
from xroad_simulator.signed_directory import SHARED, Directory, Part, publish, verify
from xroad_simulator.software_token import (
    KeyAlgorithm,
    SoftwareToken,
    TokenLoggedOutError,
    WrongPinError,
    generate_private_key,
)
from xroad_simulator.store import Store


@pytest.mark.parametrize("text", ["A:B:C", "A:B:C:D"])
def test_client_identifiers_round_trip(text: str) -> None:
    assert str(ClientId.parse(text)) == text


@pytest.mark.parametrize("text", ["", "A", "A:B", "A:B:C:D:E", "A::C", "A:B:C/D", "A:B:C;D", "A:B:%43"])
def test_malformed_client_identifiers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="isn't"):
        ClientId.parse(text)


def test_paths_are_percent_encoded() -> None:
    client = ClientId.parse("A/B/c%3Dd", "/")
    assert client.member_code == "c=d"
    assert client.path == "A/B/c%3Dd"
    assert str(ServerId.parse("A:B:C:S").owner) == "A:B:C"
    assert ServiceId.parse("A:B:C:D:s").path == "A/B/C/D/s"


@pytest.mark.parametrize(
    ("method", "path", "called", "is_match"),
    [
        ("*", "**", ("GET", ""), True),
        ("GET", "/x/*", ("GET", "/x/1"), True),
        ("GET", "/x/*", ("GET", "/x/1/2"), False),
        ("GET", "/x/**", ("GET", "/x/1/2"), True),
        ("GET", "/x/*/y", ("GET", "/x/1/y"), True),
        ("GET", "/x/*", ("GET", "/x/"), True),
        ("GET", "/x/*", ("GET", "/x"), False),
        ("GET", "/x/**", ("GET", "/x"), False),
        ("GET", "/**", ("GET", "/x/1"), True),
        ("GET", "/a*c", ("GET", "/abc"), True),
        ("GET", "/a\\*c", ("GET", "/abc"), False),
        ("GET", "/a\\*c", ("GET", "/a*c"), True),
        ("GET", "/x[1]", ("GET", "/x1"), False),
        ("*", "/x", ("DELETE", "/x"), True),
        ("POST", "/x", ("GET", "/x"), False),
        ("GET", "/x.y", ("GET", "/xzy"), False),
    ],
)
def test_endpoints(method: str, path: str, called: tuple[str, str], is_match: bool) -> None:
    endpoint = EndpointRecord(id=1, client="A:B:C:D", service="s", method=method, path=path, generated=False)
    assert matches(endpoint, *called) is is_match


@pytest.mark.parametrize(
    ("path", "compared"),
    [
        ("", ""),
        ("/x", "/x"),
        ("/x/", "/x/"),
        ("/x/./y", "/x/y"),
        ("/x/../y", "/y"),
        ("/x/%2e%2e/y", "/y"),
        ("/x%2Fy", "/x/y"),
        ("/a%20b", "/a b"),
        ("//x///y", "/x/y"),
        ("/..", None),
        ("/x/../../y", None),
        ("/%2e%2e%2fy", None),
        ("/%zz", None),
        ("/%ff", None),
    ],
)
def test_paths_as_rights_see_them(path: str, compared: str | None) -> None:
    """Decoded, without steps upwards: a right to `/public/**` must not open `/public/../secret`."""
    assert normalized(path) == compared


def test_token_gives_keys_only_with_its_pin(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    token = SoftwareToken(store)
    token.initialize("first-pin")
    with pytest.raises(WrongPinError) as wrong:
        token.log_in("other-pin")
    assert wrong.value.tries_left == 2
    token.log_in("first-pin")
    record, key = token.generate("label", Usage.SIGNING, KeyAlgorithm.EC, 2048)
    store.put(record)
    token.change_pin("first-pin", "second-pin")
    again = SoftwareToken(store)
    with pytest.raises(TokenLoggedOutError):
        again.private_key(record)
    again.log_in("second-pin")
    assert again.private_key(record).public_key() == key.public_key()


def test_a_failed_change_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")

    def fail() -> None:
        with store.transaction():
            store.next_number("thing")
            SoftwareToken(store).initialize("a-pin")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not SoftwareToken(store).is_initialized
    assert store.next_number("thing") == 1


PARAMETERS = gc.Parameters(
    instance="TEST",
    sources=(gc.SigningSource(address="cs", internal_certificates=("AAAA",), external_certificates=("AAAB",)),),
    member_classes=(gc.MemberClass(code="GOV", description="Government"),),
    members=(
        gc.Member(
            member_class="GOV",
            code="CIVIL",
            name="Civil & registry <office>",
            subsystems=(gc.Subsystem(code="REGISTRY", name="Registre d'état civil"), gc.Subsystem(code="B")),
        ),
        gc.Member(member_class="GOV", code="HEALTH", name="Health"),
    ),
    security_servers=(
        gc.SecurityServer(
            id="TEST:GOV:CIVIL:SS1",
            address="ss1.example.test",
            authentication_certificates=(gc.certificate_hash("AAAA"),),
            clients=("TEST:GOV:CIVIL", "TEST:GOV:CIVIL:REGISTRY"),
            in_maintenance=True,
            maintenance_message="Back at noon",
        ),
    ),
    global_groups=(
        gc.GlobalGroup(code="all", description="All", members=("TEST:GOV:HEALTH", "TEST:GOV:CIVIL:B")),
    ),
    certification_services=(
        gc.CertificationService(
            name="CA",
            certificate="AAAC",
            certificate_profile_info="profile",
            authentication_only=False,
            default_csr_format="PEM",
            responders=(gc.Responder(url="http://ocsp", cost_type="FREE", certificate="AAAD"),),
            intermediates=(
                gc.Authority(
                    certificate="AAAE", responders=(gc.Responder(url="http://below", cost_type="PAID"),)
                ),
            ),
            acme_directory_url="http://acme",
            signing_profile_id="7",
        ),
    ),
    timestamping_services=(
        gc.TimestampingService(name="TSA", url="http://tsa", cost_type="PAID", certificate="AAAF"),
    ),
    management_service_provider="TEST:GOV:CIVIL:REGISTRY",
    registration_address="https://cs:4001/managementservice/",
    registration_certificate="AAAA",
    ocsp_freshness_seconds=1800,
)


def test_parameters_round_trip() -> None:
    shared, private = parameters_xml.shared(PARAMETERS), parameters_xml.private(PARAMETERS)
    assert parameters_xml.read(shared, private) == PARAMETERS


@pytest.mark.parametrize(
    ("element", "since"),
    [
        ("source", 3),
        ("approvedCA/acmeServer", 3),
        ("approvedCA/acmeServer/signingCertificateProfileId", 4),
        ("member/subsystem/subsystemName", 5),
        ("securityServer/inMaintenanceMode", 5),
        ("approvedTSA/costType", 6),
        ("approvedCA/topCA/ocsp/costType", 6),
        ("approvedCA/defaultCsrFormat", 6),
        ("securityServer/authCertHash", 3),
    ],
)
def test_an_older_format_leaves_out_what_came_later(element: str, since: int) -> None:
    """`securityServer/authCertHash` is SHA-1 in the oldest, which these parameters don't have."""
    for version in range(parameters_xml.OLDEST, parameters_xml.NEWEST + 1):
        root = ET.fromstring(parameters_xml.shared(PARAMETERS, version))  # noqa: S314 - our own
        assert (root.find(element) is not None) is (version >= since), version


@pytest.mark.parametrize("faulty", [b"", b"<conf/>", b"{}"])
def test_other_documents_are_not_parameters(faulty: bytes) -> None:
    with pytest.raises(gc.ConfigurationError, match="malformed_global_conf"):
        parameters_xml.read(faulty, parameters_xml.private(PARAMETERS))


def make_configuration(lifetime: timedelta) -> tuple[bytes, bytes, gc.Anchor]:
    """Shared parameters, signed directory, and the anchor that accepts it."""
    key = generate_private_key(KeyAlgorithm.EC)
    certificate = encode(signing_certificate(key))
    content = parameters_xml.shared(PARAMETERS)
    part = Part(SHARED, "/V6/1/shared-params.xml", content)
    document = publish("TEST", [part], 6, now() + lifetime, key, certificate)
    anchor = gc.Anchor(
        instance="TEST",
        generated_at=timestamp(now()),
        download_urls=("http://cs/internalconf",),
        verification_certificates=(certificate,),
    )
    return content, document, anchor


def checked(document: bytes, anchor: gc.Anchor) -> Directory:
    """The directory, if the anchor accepts it."""
    return verify(document, anchor.instance, anchor.verification_certificates)


def test_configuration_is_accepted_by_its_anchor() -> None:
    content, document, anchor = make_configuration(timedelta(minutes=1))
    read = gc.Anchor.parse(anchor.xml())
    assert read == anchor
    directory = checked(document, read)
    assert directory.version == 6
    assert directory.accept(SHARED, content) == content


def test_configuration_of_another_signer_is_refused() -> None:
    _, document, _ = make_configuration(timedelta(minutes=1))
    _, _, anchor = make_configuration(timedelta(minutes=1))
    with pytest.raises(gc.ConfigurationError, match="global_conf_missing_verification_cert"):
        checked(document, anchor)


def test_configuration_of_another_instance_is_refused() -> None:
    _, document, anchor = make_configuration(timedelta(minutes=1))
    with pytest.raises(gc.ConfigurationError, match="global_conf_part_invalid_instance_identifier"):
        checked(document, anchor.model_copy(update={"instance": "OTHER"}))


def test_expired_configuration_is_refused() -> None:
    _, document, anchor = make_configuration(timedelta(seconds=-1))
    with pytest.raises(gc.ConfigurationError, match=r"conf_verification\.outdated"):
        checked(document, anchor)


def test_changed_configuration_is_refused() -> None:
    content, document, anchor = make_configuration(timedelta(minutes=1))
    with pytest.raises(gc.ConfigurationError, match="global_conf_signature_verification_failure"):
        checked(document.replace(b"Version: 6", b"Version: 5"), anchor)
    with pytest.raises(gc.ConfigurationError, match="file_integrity_failure"):
        checked(document, anchor).accept(SHARED, content + b" ")


def test_modules_with_routes_evaluate_their_annotations() -> None:
    """Debian's FastAPI takes a postponed `-> None` for a body, and refuses it where the status is 204."""
    postponing = [
        path.name
        for path in Path(xroad_simulator.__file__).parent.rglob("*.py")
        if re.search(r"status_code=(204|HTTPStatus\.NO_CONTENT)", text := path.read_text("utf-8"))
        and "from __future__ import annotations" in text
    ]

    assert postponing == []
