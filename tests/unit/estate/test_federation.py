"""Groups, endpoints, certificates and settings of services: what is refused where, and what is projected."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from estate.load import SITES, load
from estate.problems import EstateError
from estate.project.federation import federation

HEALTH = "            - {code: vaccinations, type: REST, sector: health}\n"
RIGHT = """      provider: GOV/HEALTH/REGISTRY
      services: [vaccinations]
"""
PORTAL = "          connection: HTTPS_NO_AUTH\n        - {code: MANAGEMENT"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A copy of the lab's data."""
    shutil.copytree(SITES / "lab", tmp_path / "lab")
    return tmp_path / "lab"


def edit(lab: Path, old: str, new: str) -> int:
    """Replace a text of the federation's data that stands there once; the line where it was."""
    file = lab / "federation.yml"
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    file.write_text(text.replace(old, new), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def refusal(lab: Path) -> list[str]:
    with pytest.raises(EstateError) as caught:
        load(lab)
    return str(caught.value).replace(f"{lab}/", "").splitlines()


@pytest.mark.parametrize(
    ("endpoint", "value", "message"),
    [
        ("{method: FETCH, path: /a}", "FETCH", "Input should be '*', 'GET'"),
        ("{method: GET, path: a}", "a", "should match pattern"),
        ("{method: GET, path: '/a b'}", "/a b", "should match pattern"),
        ("{method: GET, path: '/a?b=c'}", "/a?b=c", "should match pattern"),
        ("{method: GET, path: '/a%2'}", "/a%2", "should match pattern"),
        ("{method: GET, path: /a//b}", "/a//b", "no empty parts"),
        ("{method: GET, path: /a/../b}", "/a/../b", "no '..'"),
        ("{method: GET, path: '/a/***'}", "/a/***", "there is no '***'"),
        ("{method: GET, path: /a, code: b}", "b", "unknown key 'code'"),
    ],
)
def test_an_endpoint_is_a_method_and_a_path(lab: Path, endpoint: str, value: str, message: str) -> None:
    """X-Road compares paths as they are written."""
    line = edit(lab, HEALTH, HEALTH.replace("}", f", endpoints: [{endpoint}]}}"))
    (told,) = refusal(lab)
    assert told.startswith(f"federation.yml:{line}: ")
    assert message in told
    assert told.endswith(f"[{value}]")


@pytest.mark.parametrize(
    ("group", "value", "message"),
    [
        ("{code: 'a:b', description: x, members: [GOV/HR/REGISTRY]}", "a:b", "should match pattern"),
        ("{code: a, description: d'été, members: [GOV/HR/REGISTRY]}", "d'été", "should match pattern"),
        ("{code: a, description: x, members: [GOV/HR]}", "GOV/HR", "should match pattern"),
        ("{code: a, description: x, members: [GOV/HR/NONE]}", "GOV/HR/NONE", "'GOV/HR/NONE' doesn't exist"),
        ("{code: a, description: x, members: []}", "", "at least 1 item"),
    ],
)
def test_a_group_has_a_code_and_members(lab: Path, group: str, value: str, message: str) -> None:
    """The API's characters, and members that exist."""
    line = edit(lab, "  security_servers:\n", f"  global_groups:\n    - {group}\n  security_servers:\n") + 1
    told = next(item for item in refusal(lab) if message in item)
    assert told.startswith(f"federation.yml:{line}: ")
    assert told.endswith(f"[{value}]" if value else message.rsplit(maxsplit=1)[-1]) or not value


def certificate(folder: Path) -> str:
    """A self-signed certificate in a file of the site."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "portal")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    (folder / "portal.crt").write_text(pem, encoding="utf-8")
    return pem


def with_certificate(lab: Path, value: str) -> int:
    new = PORTAL.replace("_NO_AUTH\n", f"\n          certificates: [{value}]\n")
    return edit(lab, PORTAL, new) + 1


def clients(lab: Path) -> dict[str, dict[str, Any]]:
    servers = federation(load(lab))["security_servers"]
    return {f"{s['server']}/{c['subsystem']}": c for s in servers for c in s["clients"]}


def test_a_certificate_lies_beside_the_data(lab: Path) -> None:
    """Its content is what is declared."""
    pem = certificate(lab)
    with_certificate(lab, "!file portal.crt")
    assert clients(lab)["ss-portal/BJ-LAB:GOV:DIGITAL:PORTAL"]["certificates"] == [pem]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("!file gone.crt", "the file can't be read: No such file or directory [gone.crt]"),
        ("!file ../other.crt", "the file lies outside the site's folder [../other.crt]"),
        ("!file federation.yml", "Invalid PEM encoding"),
        ("'text'", "Invalid PEM encoding"),
    ],
)
def test_what_is_no_certificate_is_refused(lab: Path, value: str, message: str) -> None:
    """With the place where it is named."""
    (lab.parent / "other.crt").write_text("other", encoding="utf-8")
    line = with_certificate(lab, value)
    (told,) = refusal(lab)
    assert told.startswith(f"federation.yml:{line}: ")
    assert message in told


def test_rights_of_groups_and_to_endpoints_are_projected(lab: Path) -> None:
    """Groups by the provider's names, endpoints with their service; whose right it is, is known."""
    edit(
        lab,
        HEALTH,
        HEALTH.replace(
            "}",
            ", timeout: 5, verify_tls: false, url: 'https://elsewhere.test/x', "
            "endpoints: [{method: GET, path: '/records/*'}]}",
        )
        + "          local_groups:\n"
        "            - {code: doctors, description: Doctors, members: [GOV/JUSTICE/REGISTRY]}\n",
    )
    edit(
        lab,
        RIGHT,
        RIGHT + "      endpoints: [{method: GET, path: '/records/*'}]\n"
        "      reason: Part\n"
        "    - client: local-group/doctors\n" + RIGHT + "      reason: Doctors\n"
        "    - client: global-group/readers\n" + RIGHT,
    )
    edit(
        lab,
        "  security_servers:\n",
        "  global_groups:\n    - {code: readers, description: Readers, members: [GOV/HR/REGISTRY]}\n"
        "  security_servers:\n",
    )
    estate = load(lab)
    projected = federation(estate)
    assert projected["instance"]["global_groups"] == [
        {"code": "readers", "description": "Readers", "members": ["BJ-LAB:GOV:HR:REGISTRY"]}
    ]
    (server,) = (item for item in projected["security_servers"] if item["server"] == "ss-health")
    assert [(right["holder"], right["services"]) for right in server["access_rights"]] == [
        ("BJ-LAB:GOV:DIGITAL:PORTAL", ["vaccinations GET /records/*"]),
        ("doctors", ["vaccinations"]),
        ("BJ-LAB:readers", ["vaccinations"]),
    ]
    (client,) = server["clients"]
    assert client["local_groups"] == [
        {"code": "doctors", "description": "Doctors", "members": ["BJ-LAB:GOV:JUSTICE:REGISTRY"]}
    ]
    (service,) = client["services"]
    assert (service["url"], service["timeout_seconds"], service["verify_tls"], service["endpoints"]) == (
        "https://elsewhere.test/x",
        5,
        False,
        ["GET /records/*"],
    )
    holders = [
        str(item)
        for right in estate.federation.access_rights
        if right.provider == "GOV/HEALTH/REGISTRY"
        for item in estate.federation.holders(right)
    ]
    assert holders == ["GOV/DIGITAL/PORTAL", "GOV/JUSTICE/REGISTRY", "GOV/HR/REGISTRY"]


def test_a_subsystem_at_two_servers_is_the_same_at_both(lab: Path) -> None:
    """At the server of another member it signs with a certificate of its own member."""
    health = "name: Ministry of Health registry\n          security_server: ss-health\n"
    edit(lab, health, health.replace("ss-health", "[ss-health, ss-justice]"))
    projected = {item["server"]: item for item in federation(load(lab))["security_servers"]}
    both = clients(lab)
    subsystem = "BJ-LAB:GOV:HEALTH:REGISTRY"
    assert both[f"ss-health/{subsystem}"] == both[f"ss-justice/{subsystem}"]
    assert projected["ss-justice"]["signing"] == [{"member": "BJ-LAB:GOV:HEALTH", "name": "Ministry of Health"}]
    assert projected["ss-health"]["signing"] == []
    rights = [
        [right for right in projected[server]["access_rights"] if right["provider"] == subsystem]
        for server in ("ss-health", "ss-justice")
    ]
    assert rights[0] == rights[1] != []


def test_parts_of_the_configuration_are_xml_of_xroads_forms(lab: Path) -> None:
    """Root element and namespace of X-Road's schemas; what isn't set isn't uploaded."""
    assert federation(load(lab))["instance"]["configuration_parts"] == []
    edit(
        lab,
        "  security_servers:\n",
        "  configuration_parts: {monitoring_client: GOV/DIGITAL/PORTAL, ocsp_fetch_interval: 300, "
        "verify_next_update: false}\n  security_servers:\n",
    )
    parts = federation(load(lab))["instance"]["configuration_parts"]
    assert [(item["part"], item["file"]) for item in parts] == [
        ("MONITORING", "monitoring-params.xml"),
        ("FETCHINTERVAL", "fetchinterval-params.xml"),
        ("NEXTUPDATE", "nextupdate-params.xml"),
    ]
    roots = [ET.fromstring(item["content"]) for item in parts]  # noqa: S314  our own text
    assert {root.tag for root in roots} == {"{http://x-road.eu/xsd/xroad.xsd}conf"}
    assert [item.text for item in roots[0].iter() if item.text] == ["BJ-LAB", "GOV", "DIGITAL", "PORTAL"]
    assert [root[0].text for root in roots[1:]] == ["300", "false"]
