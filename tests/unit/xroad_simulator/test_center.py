"""Operations of the central server's admin API, one server in this process."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.unit.xroad_simulator import single
from tests.unit.xroad_simulator.conftest import BASIC, Authority

from xroad_simulator import parameters_xml
from xroad_simulator.central import configuration, management_requests
from xroad_simulator.central.records import GenerationRecord, PartRecord, RequestOrigin, RequestType, Source
from xroad_simulator.central.services import configuration_application
from xroad_simulator.errors import ApiError
from xroad_simulator.signed_directory import PRIVATE, SHARED, verify

SERVER = "TEST:GOV:CIVIL:SS1"
CIVIL, HEALTH, DIGITAL = "TEST:GOV:CIVIL", "TEST:GOV:HEALTH", "TEST:GOV:DIGITAL"


@pytest.fixture
def center(tmp_path: Path, furnished: Path) -> single.Single:
    """A central server that works."""
    return single.reopen(furnished, tmp_path / "central")


@pytest.fixture
def registered(center: single.Single) -> single.Single:
    """A central server with a security server of CIVIL."""
    authority = Authority("Servers")
    request(center, RequestType.AUTH_CERT_REGISTRATION, address="ss1.example.test", certificate=_der(authority))
    approve(center)
    return center


def _der(authority: Authority) -> str:
    from xroad_simulator.certificates import encode

    return encode(authority.certificate)


def request(center: single.Single, type_: RequestType, **about: str) -> int:
    """A request as the management services hand it on."""
    made = management_requests.submit(
        center.server, type_, RequestOrigin.SECURITY_SERVER, about.pop("server", SERVER), **about
    )
    return made.id


def approve(center: single.Single) -> None:
    """Approve what waits."""
    api = center.api()
    for item in api.ask("GET", "/management-requests?status=WAITING")["items"]:
        api.ask("POST", f"/management-requests/{item['id']}/approval")


def shared(center: single.Single) -> Any:
    """What the configuration says of the one server."""
    return single.configured(center.server).security_servers[0]


def refused(center: single.Single, type_: RequestType, **about: str) -> str:
    with pytest.raises(ApiError) as error:
        request(center, type_, **about)
    return error.value.code


def test_a_client_is_disabled_and_enabled(registered: single.Single) -> None:
    """It stays registered, and isn't in the configuration meanwhile."""
    client = f"{HEALTH}:MAIN"
    assert refused(registered, RequestType.CLIENT_DISABLE, client=client) == (
        "management_request_server_client_not_found"
    )
    request(registered, RequestType.CLIENT_REGISTRATION, client=client)
    approve(registered)
    assert client in shared(registered).clients
    number = request(registered, RequestType.CLIENT_DISABLE, client=client)
    assert client not in shared(registered).clients
    told = registered.api().ask("GET", f"/security-servers/{SERVER}/clients")
    assert client in {item["client_id"]["encoded_id"] for item in told}
    request(registered, RequestType.CLIENT_ENABLE, client=client)
    assert client in shared(registered).clients
    view = registered.api().ask("GET", f"/management-requests/{number}")
    assert (view["type"], view["status"]) == ("CLIENT_DISABLE_REQUEST", "APPROVED")


def test_the_provider_of_the_management_services_stays(registered: single.Single) -> None:
    provider = f"{DIGITAL}:MAIN"
    request(registered, RequestType.CLIENT_REGISTRATION, client=provider)
    approve(registered)
    assert refused(registered, RequestType.CLIENT_DISABLE, client=provider) == (
        "mr_forbidden_disable_management_service_client"
    )
    assert refused(registered, RequestType.MAINTENANCE_MODE_ENABLE) == (
        "mr_forbidden_enable_maintenance_mode_for_management_service"
    )


def test_maintenance_is_announced_and_ends(registered: single.Single) -> None:
    api = registered.api()
    assert refused(registered, RequestType.MAINTENANCE_MODE_DISABLE) == (
        "management_request_server_not_in_maintenance_mode"
    )
    request(registered, RequestType.MAINTENANCE_MODE_ENABLE, comments="Back at noon")
    assert refused(registered, RequestType.MAINTENANCE_MODE_ENABLE) == (
        "management_request_server_already_in_maintenance_mode"
    )
    view = api.ask("GET", f"/security-servers/{SERVER}")
    assert (view["in_maintenance_mode"], view["maintenance_mode_message"]) == (True, "Back at noon")
    assert (shared(registered).in_maintenance, shared(registered).maintenance_message) == (True, "Back at noon")
    request(registered, RequestType.MAINTENANCE_MODE_DISABLE)
    assert api.ask("GET", f"/security-servers/{SERVER}")["in_maintenance_mode"] is False


def test_a_server_changes_its_owner(registered: single.Single) -> None:
    """After an approval; the former owner stays its client, and the group of owners follows."""
    for about, code in (
        ({"client": f"{HEALTH}:MAIN"}, "management_request_owner_must_be_member"),
        ({"client": HEALTH}, "management_request_owner_must_be_client"),
        ({"client": CIVIL}, "management_request_client_already_owner"),
    ):
        assert refused(registered, RequestType.OWNER_CHANGE, **about) == code
    request(registered, RequestType.CLIENT_REGISTRATION, client=HEALTH)
    approve(registered)
    request(registered, RequestType.OWNER_CHANGE, client=HEALTH)
    assert refused(registered, RequestType.OWNER_CHANGE, client=HEALTH) == "management_request_exists"
    assert shared(registered).id == SERVER
    certificate = shared(registered).authentication_certificates
    approve(registered)
    after = shared(registered)
    assert (after.id, after.authentication_certificates) == ("TEST:GOV:HEALTH:SS1", certificate)
    assert set(after.clients) == {HEALTH, CIVIL}
    group = registered.api().ask("POST", "/global-groups/security-server-owners/members", json={})
    assert [item["client_id"]["encoded_id"] for item in group["items"]] == [HEALTH]
    assert [
        s["server_id"]["encoded_id"] for s in registered.api().ask("GET", f"/members/{CIVIL}/used-servers")
    ] == ["TEST:GOV:HEALTH:SS1"]
    path = f"/members/{CIVIL}/servers/TEST:GOV:HEALTH:SS1"
    assert registered.api().call("DELETE", path).status_code == 204
    assert registered.api().refused("DELETE", path) == (404, "member_not_registered_to_security_server")


def test_a_subsystem_is_renamed_where_it_is_registered(registered: single.Single) -> None:
    client = f"{HEALTH}:MAIN"
    about = {"client": client, "subsystem_name": "Health records"}
    assert (
        refused(registered, RequestType.CLIENT_RENAME, **about) == "management_request_server_client_not_found"
    )
    request(registered, RequestType.CLIENT_REGISTRATION, client=client)
    approve(registered)
    request(registered, RequestType.CLIENT_RENAME, **about)
    number = request(registered, RequestType.CLIENT_RENAME, client=client, subsystem_name="Records")
    comments = registered.api().ask("GET", f"/management-requests/{number}")["comments"]
    assert comments == "Changing subsystem name from 'Health records' to 'Records'."


def test_a_deletion_takes_back_a_registration_that_still_waits(registered: single.Single) -> None:
    waiting = request(registered, RequestType.CLIENT_REGISTRATION, client=f"{HEALTH}:MAIN")
    request(registered, RequestType.CLIENT_DELETION, client=f"{HEALTH}:MAIN")
    assert registered.api().ask("GET", f"/management-requests/{waiting}")["status"] == "REVOKED"
    deletion = registered.api().ask("GET", "/management-requests?types=CLIENT_DELETION_REQUEST")["items"][0]
    path = f"/management-requests/{deletion['id']}"
    assert registered.api().refused("POST", f"{path}/approval") == (403, "management_request_not_supported")


def test_group_members_are_filtered_and_paged(center: single.Single) -> None:
    api = center.api()
    api.ask("POST", "/global-groups", json={"code": "all", "description": "All"})
    items = [CIVIL, HEALTH, f"{CIVIL}:MAIN", f"{HEALTH}:MAIN", f"{DIGITAL}:MAIN"]
    api.ask("POST", "/global-groups/all/members/add", json={"items": items})

    def found(**wanted: Any) -> list[str]:
        answer = api.ask("POST", "/global-groups/all/members", json=wanted)
        return [item["client_id"]["encoded_id"] for item in answer["items"]]

    assert set(found()) == set(items)
    assert found(query="agency h", types=["SUBSYSTEM"]) == [f"{HEALTH}:MAIN"]
    assert set(found(codes=["CIVIL"])) == {CIVIL, f"{CIVIL}:MAIN"}
    assert found(subsystems=["NONE"]) == []
    page = {"sort": "code", "desc": True, "limit": 2, "offset": 1}
    assert found(types=["SUBSYSTEM"], paging_sorting=page) == [f"{CIVIL}:MAIN"]
    bad = {"paging_sorting": {"sort": "shoe-size"}}
    assert api.refused("POST", "/global-groups/all/members", json=bad) == (400, "invalid_sort_properties")
    assert api.ask("GET", "/global-groups/all/members/filter-model") == {
        "instances": ["TEST"],
        "member_classes": ["GOV"],
        "codes": ["CIVIL", "DIGITAL", "HEALTH"],
        "subsystems": ["MAIN"],
    }


def test_the_same_ca_twice_makes_two(center: single.Single) -> None:
    """As in X-Road: who adds has to look first."""
    api, pem = center.api(), Authority("Twin").pem
    form = {"certificate_profile_info": BASIC, "tls_auth": "false", "default_csr_format": "PEM"}
    numbers = {
        api.ask("POST", "/certification-services", data=form, files={"certificate": ("ca.pem", pem)})["id"]
        for _ in range(2)
    }
    assert len(numbers) == 2
    assert len(single.configured(center.server).certification_services) == 3


def test_a_source_has_two_keys_at_most(center: single.Single) -> None:
    api, path = center.api(), "/configuration-sources/INTERNAL/signing-keys"
    api.ask("POST", path, json={"key_label": "second", "token_id": "0"})
    third = {"key_label": "third", "token_id": "0"}
    assert api.refused("POST", path, json=third) == (400, "token_action_not_possible")
    assert len(single.configured(center.server).sources[0].internal_certificates) == 2


def test_cas_below_an_approved_one(center: single.Single) -> None:
    api, below = center.api(), Authority("Below")
    number = api.ask("GET", "/certification-services")[0]["id"]
    added = api.ask(
        "POST",
        f"/certification-services/{number}/intermediate-cas",
        files={"certificate": ("ca.pem", below.pem)},
    )
    path = f"/intermediate-cas/{added['id']}"
    responder = api.ask(
        "POST",
        f"{path}/ocsp-responders",
        data={"url": "http://ocsp.example.test", "cost_type": "FREE"},
        files={"certificate": ("ocsp.pem", below.pem)},
    )
    assert api.ask("GET", f"/certification-services/{number}/intermediate-cas") == [api.ask("GET", path)]
    assert [item["id"] for item in api.ask("GET", f"{path}/ocsp-responders")] == [responder["id"]]
    parameters = single.configured(center.server)
    assert [found.url for found in parameters.responders(below.certificate)] == ["http://ocsp.example.test"]
    assert parameters.is_intermediate(below.certificate)
    assert api.refused("DELETE", f"{path}/ocsp-responders/99") == (404, "ocsp_responder_not_found")
    assert api.call("DELETE", f"{path}/ocsp-responders/{responder['id']}").status_code == 204
    assert api.call("DELETE", path).status_code == 204
    assert api.refused("GET", path) == (404, "intermediate_ca_not_found")


MONITORING = b"""<ns:conf xmlns:ns="http://x-road.eu/xsd/xroad.xsd"><monitoringClient/></ns:conf>"""


def test_configuration_parts(center: single.Single) -> None:
    api = center.api()
    path = "/configuration-sources/INTERNAL/configuration-parts"
    absent = [part for part in api.ask("GET", path) if part["content_identifier"] == "MONITORING"]
    assert absent == [
        {"content_identifier": "MONITORING", "file_name": "monitoring-params.xml", "optional": True}
    ]

    def upload(content: bytes, identifier: str = "MONITORING", source: str = "INTERNAL") -> tuple[int, str]:
        answer = api.call(
            "POST",
            f"/configuration-sources/{source}/configuration-parts",
            data={"content_identifier": identifier},
            files={"file": ("part.xml", content)},
        )
        return answer.status_code, "" if answer.is_success else answer.json()["error"]["code"]

    assert upload(b"<conf/>") == (400, "configuration_part_validation_failed")
    assert upload(b"no document") == (400, "configuration_part_validation_failed")
    assert upload(MONITORING, "UNKNOWN") == (500, "unknown_configuration_part")
    assert upload(MONITORING, source="EXTERNAL") == (500, "unknown_configuration_part")
    assert upload(MONITORING) == (204, "")

    configuration.generate(center.server)
    parts = api.ask("GET", path)
    versions = {part["version"] for part in parts if part["content_identifier"] == SHARED}
    assert versions == {2, 3, 4, 5, 6}
    assert api.ask("GET", f"{path}/MONITORING/0/download") == MONITORING
    assert b"conf" in api.ask("GET", f"{path}/{PRIVATE}/6/download")
    assert api.refused("GET", f"{path}/{PRIVATE}/7/download") == (404, "configuration_part_file_not_found")
    external = api.ask("GET", "/configuration-sources/EXTERNAL/configuration-parts")
    assert {part["content_identifier"] for part in external} == {SHARED}


def test_every_format_is_generated_and_served(center: single.Single) -> None:
    """Without a version the oldest; the directory names files that the same server has."""
    configuration.generate(center.server)
    public = single.client_of(configuration_application(center.server))
    keys = single.configured(center.server).sources[0].internal_certificates
    for query, version in (("", 2), ("?version=4", 4), ("?version=6", 6)):
        answer = public.get(f"/internalconf{query}")
        head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
        directory = verify(head + answer.content, "TEST", keys)
        assert directory.version == version
        assert set(directory.entries) == {SHARED, PRIVATE}
        for identifier, entry in directory.entries.items():
            directory.accept(identifier, public.get(entry.location).content)
    assert public.get("/internalconf?version=7").status_code == 404
    external = public.get("/externalconf?version=6")
    assert PRIVATE.encode() not in external.content


def test_parts_are_written_only_where_something_changed(center: single.Single) -> None:
    """The directory is signed anew each time, so that it doesn't expire."""
    configuration.generate(center.server)
    store = center.server.store

    def state() -> tuple[str, str]:
        part, generation = store.get(PartRecord, f"6:{SHARED}"), store.get(GenerationRecord, "INTERNAL:6")
        assert part is not None
        assert generation is not None
        return part.location, generation.document

    first = state()
    configuration.generate(center.server)
    second = state()
    assert first[0] == second[0]
    assert first[1] != second[1]
    center.api().ask("POST", "/member-classes", json={"code": "COM", "description": "Commerce"})
    configuration.generate(center.server)
    assert state()[0] != second[0]
    part = store.get(PartRecord, f"6:{SHARED}")
    private = store.get(PartRecord, f"6:{PRIVATE}")
    assert part is not None
    assert private is not None
    read = parameters_xml.read(base64.b64decode(part.content), base64.b64decode(private.content))
    assert {item.code for item in read.member_classes} == {"GOV", "COM"}


def test_the_key_of_the_management_services(center: single.Single) -> None:
    """A new one is announced to security servers; a certificate for it can be requested and imported."""
    api, path = center.api(), "/management-services-configuration"
    before = api.ask("GET", f"{path}/certificate")["hash"]
    api.ask("POST", f"{path}/certificate")
    now = api.ask("GET", f"{path}/certificate")
    assert now["hash"] != before
    own = center.server.management_tls.certificate()
    announced = base64.b64decode(single.configured(center.server).registration_certificate)
    assert x509.load_der_x509_certificate(announced) == x509.load_pem_x509_certificate(own)

    unreadable = api.refused("POST", f"{path}/generate-csr", json={"name": "no name"})
    assert unreadable == (400, "invalid_distinguished_name")
    csr = api.ask("POST", f"{path}/generate-csr", json={"name": "C=BJ, CN=central.example.test"})
    issued = Authority("TLS").issue(csr, "AUTHENTICATION")
    files = {"certificate": ("tls.pem", issued)}
    assert api.ask("POST", f"{path}/upload-certificate", files=files)["issuer_common_name"] == "TLS"
    assert api.refused("POST", f"{path}/upload-certificate", files=files)[1] == "certificate_already_exists"
    foreign = {"certificate": ("tls.pem", Authority("Foreign").pem)}
    assert api.refused("POST", f"{path}/upload-certificate", files=foreign) == (400, "key_not_found")
    packed = gzip.decompress(api.ask("GET", f"{path}/download-certificate"))
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == ["./management-service.pem", "./management-service.cer"]


def test_the_description_is_the_simulators_own(center: single.Single) -> None:
    assert b"X-Road simulator" in center.api().ask("GET", "/openapi.yaml")


def test_sources_are_named(center: single.Single) -> None:
    assert center.api().ask("GET", f"/configuration-sources/{Source.INTERNAL}/download-url") == {
        "url": "https://central.example.test/internalconf"
    }
