"""Operations of a security server's admin API, one server and its central server in this process.

Management requests reach the central server without a message between; that path is tested elsewhere.
"""

from __future__ import annotations

import base64
import contextlib
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.unit.xroad_simulator import single
from tests.unit.xroad_simulator.conftest import OBSERVER, SYSTEM, Api, Authority

from xroad_simulator.central import management_requests
from xroad_simulator.central.records import RequestOrigin, RequestType
from xroad_simulator.central.services import _manage
from xroad_simulator.certificates import parse_certificate
from xroad_simulator.listeners import TlsFiles
from xroad_simulator.security import configuration_client, management
from xroad_simulator.security.server import SecurityServer

CIVIL, HEALTH = "TEST:GOV:CIVIL", "TEST:GOV:HEALTH"
CLIENT = f"{CIVIL}:MAIN"
OTHER = (
    "/diagnostics/other-security-server-status?protocol_type=REST"
    f"&client_id={CLIENT}&target_client_id={CLIENT}&security_server_id={CIVIL}:SS9"
)


class Pair:
    """A central server and a security server that is registered there with its key and its client."""

    def __init__(self, folder: Path, furnished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.center = single.reopen(furnished, folder / "central")
        self.single = single.security(
            folder / "security", self.center.server, allow_request_for_key_with_certificate=False
        )
        self.server: SecurityServer = self.single.server
        self.authority = Authority("CA")
        form = {
            "certificate_profile_info": single.BASIC,
            "tls_auth": "false",
            "default_csr_format": "PEM",
        }
        files = {"certificate": ("ca.pem", self.authority.pem)}
        self.center.api().ask("POST", "/certification-services", data=form, files=files)
        for known in self.center.api().ask("GET", "/certification-services")[:1]:
            self.center.api().ask("DELETE", f"/certification-services/{known['id']}")
        self.hear()
        single.initialize(self.single, "CIVIL", "SS1")
        self.api: Api = self.single.api()

        def send(server: SecurityServer, operation: str, **fields: str) -> int:
            return _manage(self.center.server, operation, {"server": str(server.initialized_id()), **fields})

        def register(server: SecurityServer, certificate: Any, address: str) -> int:
            record = management_requests.submit(
                self.center.server,
                RequestType.AUTH_CERT_REGISTRATION,
                RequestOrigin.SECURITY_SERVER,
                str(server.initialized_id()),
                address=address,
                certificate=certificate.certificate,
            )
            return record.id

        monkeypatch.setattr(management, "send", send)
        monkeypatch.setattr(management, "register_certificate", register)

    def hear(self) -> None:
        """Let the security server have the configuration as it is now."""
        single.hear(self.server, self.center.server)
        configuration_client.reconcile(self.server, single.configured(self.center.server))

    def approve(self) -> None:
        """Approve what waits, and let the security server hear of it."""
        api = self.center.api()
        for item in api.ask("GET", "/management-requests?status=WAITING")["items"]:
            api.ask("POST", f"/management-requests/{item['id']}/approval")
        self.hear()

    def certify(self, usage: str, member: str = CIVIL) -> tuple[str, str]:
        """A key and its certificate; returns key and hash."""
        body = {
            "key_label": usage.lower(),
            "csr_generate_request": self.wish(usage, member),
        }
        made = self.api.ask("POST", "/tokens/0/keys-with-csrs", json=body)
        csr = self.api.ask("GET", f"/keys/{made['key']['id']}/csrs/{made['csr_id']}?csr_format=PEM")
        content = self.authority.issue(csr, usage)
        imported = self.api.ask("POST", "/token-certificates", content=content)
        return made["key"]["id"], imported["certificate_details"]["hash"]

    def wish(self, usage: str, member: str = CIVIL) -> dict[str, Any]:
        fields = {"C": "BJ", **({"CN": "ss1.example.test"} if usage == "AUTHENTICATION" else {})}
        wish = {
            "key_usage_type": usage,
            "ca_name": "CA",
            "csr_format": "PEM",
            "subject_field_values": fields,
        }
        return wish if usage == "AUTHENTICATION" else {**wish, "member_id": member}

    def register(self) -> str:
        """Register the server; returns the hash of its authentication certificate."""
        _, hash_ = self.certify("AUTHENTICATION")
        self.api.ask("PUT", f"/token-certificates/{hash_}/register", json={"address": "ss1.example.test"})
        self.approve()
        self.api.ask("PUT", f"/token-certificates/{hash_}/activate")
        return hash_

    def add_client(self, client: str) -> None:
        """Represent a client and register it."""
        _, member_class, member_code, *subsystem = client.split(":")
        body = {"member_class": member_class, "member_code": member_code, "connection_type": "HTTP"}
        if subsystem:
            body["subsystem_code"] = subsystem[0]
        self.api.ask("POST", "/clients", json={"client": body, "ignore_warnings": False})
        self.api.ask("PUT", f"/clients/{client}/register")
        self.approve()

    def status(self, client: str) -> str:
        """Where a client stands."""
        status: str = self.api.ask("GET", f"/clients/{client}")["status"]
        return status


@pytest.fixture
def pair(tmp_path: Path, furnished: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """A registered security server and its central server."""
    made = Pair(tmp_path, furnished, monkeypatch)
    made.register()
    return made


def test_a_client_is_disabled_enabled_and_renamed(pair: Pair) -> None:
    api = pair.api
    pair.add_client(CLIENT)
    assert api.refused("PUT", f"/clients/{CLIENT}/enable") == (409, "action_not_possible")
    api.ask("PUT", f"/clients/{CLIENT}/disable")
    assert pair.status(CLIENT) == "DISABLING_IN_PROGRESS"
    pair.hear()
    assert pair.status(CLIENT) == "DISABLED"
    assert api.refused("DELETE", f"/clients/{CLIENT}") == (409, "action_not_possible")
    api.ask("PUT", f"/clients/{CLIENT}/enable")
    assert pair.status(CLIENT) == "ENABLING_IN_PROGRESS"
    pair.hear()
    assert pair.status(CLIENT) == "REGISTERED"

    api.ask("PUT", f"/clients/{CLIENT}/rename", json={"client_name": "Registry"})
    assert api.ask("GET", f"/clients/{CLIENT}")["rename_status"] == "NAME_SUBMITTED"
    again = {"client_name": "Other"}
    assert api.refused("PUT", f"/clients/{CLIENT}/rename", json=again) == (
        409,
        "client_rename_already_submitted",
    )
    pair.hear()
    view = api.ask("GET", f"/clients/{CLIENT}")
    assert (view["subsystem_name"], "rename_status" in view) == ("Registry", False)
    same = {"client_name": "Registry"}
    assert api.refused("PUT", f"/clients/{CLIENT}/rename", json=same) == (409, "invalid_client_name")
    assert api.refused("PUT", f"/clients/{CIVIL}/rename", json=same) == (409, "action_not_possible")
    servers = api.ask("GET", f"/clients/{CLIENT}/security-servers")
    assert [server["id"] for server in servers] == [f"{CIVIL}:SS1"]


def test_a_name_that_is_set_before_the_registration_goes_with_it(pair: Pair) -> None:
    client = {
        "member_class": "GOV",
        "member_code": "CIVIL",
        "subsystem_code": "NEW",
        "subsystem_name": "New things",
    }
    pair.api.ask("POST", "/clients", json={"client": client, "ignore_warnings": False})
    path = f"/clients/{CIVIL}:NEW"
    assert pair.api.ask("GET", path)["rename_status"] == "NAME_SET"
    pair.api.ask("PUT", f"{path}/register")
    pair.approve()
    view = pair.api.ask("GET", path)
    assert (view["subsystem_name"], view["status"], "rename_status" in view) == (
        "New things",
        "REGISTERED",
        False,
    )


def test_a_server_follows_its_new_owner(pair: Pair) -> None:
    """Once the configuration has its authentication certificate at the other member's server."""
    api = pair.api
    assert api.refused("PUT", f"/clients/{CIVIL}/make-owner") == (409, "member_already_owner")
    pair.add_client(HEALTH)
    api.ask("PUT", f"/clients/{HEALTH}/make-owner")
    pair.hear()
    assert str(pair.server.server_id) == f"{CIVIL}:SS1"
    pair.approve()
    assert str(pair.server.server_id) == f"{HEALTH}:SS1"
    assert pair.status(CIVIL) == "REGISTERED"
    owners = [view["id"] for view in api.ask("GET", "/clients") if view["owner"]]
    assert owners == [HEALTH]


def test_maintenance(pair: Pair) -> None:
    api, path = pair.api, "/system/maintenance-mode"
    assert api.refused("PUT", f"{path}/disable") == (409, "already_disabled_maintenance_mode")
    api.ask("PUT", f"{path}/enable", json={"message": "Back at noon"})
    assert api.ask("GET", path)["status"] == "PENDING_ENABLE_MAINTENANCE_MODE"
    submitted = (409, "maintenance_mode_change_request_already_submitted")
    assert api.refused("PUT", f"{path}/enable", json={}) == submitted
    pair.hear()
    assert api.ask("GET", path) == {
        "status": "ENABLED_MAINTENANCE_MODE",
        "message": "Back at noon",
        "is_management_services_provider": False,
    }
    assert api.refused("PUT", f"{path}/enable", json={}) == (409, "already_enabled_maintenance_mode")
    api.ask("PUT", f"{path}/disable")
    assert api.ask("GET", path)["status"] == "PENDING_DISABLE_MAINTENANCE_MODE"
    pair.hear()
    assert api.ask("GET", path)["status"] == "DISABLED_MAINTENANCE_MODE"
    assert api.refused("PUT", f"{path}/enable", json={"message": "<b>"})[0] == 400


def test_an_address_is_changed_once_at_a_time(pair: Pair) -> None:
    api, path = pair.api, "/system/server-address"
    same = {"address": "ss1.example.test"}
    assert api.refused("PUT", path, json=same) == (409, "same_address_change_request")
    assert api.call("PUT", path, json={"address": "new.example.test"}).status_code == 202
    assert api.ask("GET", path)["requested_change"] == {"address": "new.example.test"}
    other = {"address": "other.example.test"}
    assert api.refused("PUT", path, json=other) == (409, "address_change_request_already_submitted")
    pair.hear()
    assert api.ask("GET", path) == {"current_address": {"address": "new.example.test"}}


def test_keys_have_a_life_of_their_own(pair: Pair) -> None:
    """A key is for nothing until its first request; with a certificate it gets no other by default."""
    api = pair.api
    key = api.ask("POST", "/tokens/0/keys", json={"label": "later"})
    assert "usage" not in key
    assert {"GENERATE_AUTH_CSR", "GENERATE_SIGN_CSR"} <= set(key["possible_actions"])
    csr = api.call("POST", f"/keys/{key['id']}/csrs", json=pair.wish("SIGNING"))
    assert csr.status_code == 201
    wrong = api.refused("POST", f"/keys/{key['id']}/csrs", json=pair.wish("AUTHENTICATION"))
    assert wrong == (400, "wrong_key_usage")
    view = api.ask("GET", f"/keys/{key['id']}")
    (request,) = view["certificate_signing_requests"]
    assert api.ask("GET", f"/keys/{key['id']}/csrs/{request['id']}/possible-actions") == ["DELETE"]
    api.ask("POST", "/token-certificates", content=pair.authority.issue(csr.content, "SIGNING"))
    assert "GENERATE_SIGN_CSR" not in api.ask("GET", f"/keys/{key['id']}/possible-actions")
    again = api.refused("POST", f"/keys/{key['id']}/csrs", json=pair.wish("SIGNING"))
    assert again == (409, "action_not_possible")
    assert api.ask("PATCH", f"/keys/{key['id']}", json={"name": "signer"})["name"] == "signer"
    assert api.call("DELETE", f"/keys/{key['id']}").status_code == 204


def test_a_key_with_a_registered_certificate_is_deleted_after_a_warning(pair: Pair) -> None:
    """And the central server hears of it first."""
    (key,) = (key for key in pair.api.ask("GET", "/tokens/0")["keys"] if key["usage"] == "AUTHENTICATION")
    warned = pair.api.call("DELETE", f"/keys/{key['id']}")
    assert [item["code"] for item in warned.json()["warnings"]] == ["auth_key_with_registered_cert_warning"]
    assert pair.api.call("DELETE", f"/keys/{key['id']}?ignore_warnings=true").status_code == 204
    assert single.configured(pair.center.server).security_servers[0].authentication_certificates == ()


def test_the_token_has_a_name_and_stays(pair: Pair) -> None:
    assert pair.api.ask("PATCH", "/tokens/0", json={"name": "main"})["name"] == "main"
    assert pair.api.refused("DELETE", "/tokens/0") == (409, "action_not_possible")
    hash_ = pair.api.ask("GET", "/tokens/0")["keys"][0]["certificates"][0]["certificate_details"]["hash"]
    refused = pair.api.refused("POST", f"/token-certificates/{hash_}/import")
    assert refused == (409, "action_not_possible")


def test_wrong_pins_are_counted(pair: Pair) -> None:
    api = pair.api
    api.ask("PUT", "/tokens/0/logout")
    wrong = {"password": "Wrong-0000000"}
    for status in ("USER_PIN_INCORRECT", "USER_PIN_FINAL_TRY", "USER_PIN_LOCKED"):
        api.refused("PUT", "/tokens/0/login", json=wrong)
        assert api.ask("GET", "/tokens/0")["status"] == status
    right = {"password": single.PIN}
    assert api.refused("PUT", "/tokens/0/login", json=right) == (409, "action_not_possible")
    pair.server.token.restart()
    api.ask("PUT", "/tokens/0/login", json=right)


def test_the_servers_own_tls_certificate(pair: Pair) -> None:
    api, path = pair.api, "/system/certificate"
    before = api.ask("GET", path)["hash"]
    assert api.call("POST", path).status_code == 204
    assert api.ask("GET", path)["hash"] != before
    csr = api.ask("POST", f"{path}/csr", json={"name": "CN=ss1.example.test, C=BJ"})
    issued = pair.authority.issue(csr, "AUTHENTICATION")
    imported = api.ask("POST", f"{path}/import", content=issued)
    assert imported["issuer_common_name"] == "CA"
    assert api.refused("POST", f"{path}/import", content=issued) == (409, "certificate_already_exists")
    assert api.refused("POST", f"{path}/import", content=b"-") == (400, "invalid_certificate")
    assert api.refused("POST", f"{path}/import", content=pair.authority.pem) == (404, "key_not_found")
    assert api.ask("GET", f"{path}/export")[:2] == b"\x1f\x8b"
    assert parse_certificate(pair.server.internal_tls.certificate()) == parse_certificate(issued)


def test_tls_certificates_of_clients(pair: Pair) -> None:
    pair.add_client(CLIENT)
    path = f"/clients/{CLIENT}/tls-certificates"
    added = pair.api.ask("POST", path, content=pair.authority.pem)
    assert pair.api.ask("GET", f"{path}/{added['hash']}") == added
    assert pair.api.refused("GET", f"{path}/00") == (404, "certificate_not_found")
    assert pair.api.call("DELETE", f"{path}/{added['hash']}").status_code == 204


@pytest.mark.parametrize(
    ("path", "is_right"),
    [
        ("/diagnostics/message-log-encryption-status", lambda told: told["members"] == []),
        ("/diagnostics/proxy-memory-usage-status", lambda told: 0 < told["used_memory"] < told["max_memory"]),
        ("/diagnostics/auth-cert-req-status", lambda told: told["status_class"] == "FAIL"),
        (
            "/diagnostics/global-conf-status",
            lambda told: [s["connection_status"]["status_class"] for s in told],
        ),
        ("/system/timestamping-services/prioritization-strategy", lambda told: told == "NONE"),
        ("/certificate-authorities/ocsp-prioritization-strategy", lambda told: told == "NONE"),
        ("/member-classes/TEST", lambda told: told == ["GOV"]),
        (
            OTHER,
            lambda told: told["error"]["code"] == "security_server_not_found",
        ),
    ],
)
def test_further_diagnostics(pair: Pair, path: str, is_right: Callable[[Any], bool]) -> None:
    """Of a central server that isn't there."""
    roles = [SYSTEM, OBSERVER, *single.OFFICERS]
    assert is_right(pair.single.api(roles).ask("GET", path))


def test_other_instances_are_unknown(pair: Pair) -> None:
    assert pair.api.refused("GET", "/member-classes/OTHER") == (404, "instance_identifier_not_found")
    assert pair.api.ask("PUT", "/language/en") == {"id": "en"}


def test_a_new_signing_key_of_the_configuration_needs_no_new_anchor(pair: Pair) -> None:
    """The configuration that was signed with the old one told of the new one."""
    anchor = pair.server.anchor
    assert anchor is not None
    pair.center.api().ask(
        "POST",
        "/configuration-sources/INTERNAL/signing-keys",
        json={"key_label": "second", "token_id": "0"},
    )
    pair.hear()
    last = pair.server.last_configuration()
    assert last is not None
    told = last.sources[0].internal_certificates
    assert len(told) == 2
    assert set(anchor.verification_certificates) < set(told)
    assert all(base64.b64decode(certificate) for certificate in told)


def test_an_expired_configuration_is_not_used(pair: Pair) -> None:
    """What needs one is refused, and the diagnostics tell; what is read from it last stays readable."""
    single.hear(pair.server, pair.center.server, -timedelta(seconds=1))
    assert pair.api.refused("GET", "/member-classes") == (500, "global_conf_outdated")
    (key,) = (key for key in pair.api.ask("GET", "/tokens/0")["keys"] if key["usage"] == "AUTHENTICATION")
    wish = {"key_label": "late", "csr_generate_request": pair.wish("SIGNING")}
    assert pair.api.refused("POST", "/tokens/0/keys-with-csrs", json=wish)[1] == "global_conf_outdated"
    assert pair.api.ask("GET", "/diagnostics/globalconf")["status_class"] == "FAIL"
    assert pair.api.ask("GET", f"/keys/{key['id']}")["certificates"][0]["status"] == "REGISTERED"
    pair.hear()
    assert pair.api.ask("GET", "/member-classes") == ["GOV"]


def test_a_provider_without_the_certificate_that_its_client_named_is_a_warning(
    pair: Pair, tmp_path: Path
) -> None:
    """Tried with a connection; what is ignored is kept."""
    pair.add_client(CLIENT)
    described = pair.api.ask(
        "POST",
        f"/clients/{CLIENT}/service-descriptions",
        json={
            "url": "https://registry.example.test/",
            "type": "REST",
            "rest_service_code": "records",
            "ignore_warnings": False,
        },
    )
    path = f"/services/{described['services'][0]['id']}"
    files = TlsFiles(tmp_path / "provider", "provider", ["127.0.0.1"])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        Thread(target=_shake_hands, args=(listening, files), daemon=True).start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/"

        def change(address: str = url, **more: bool) -> list[str]:
            body = {"url": address, "timeout": 60, "ssl_auth": True, **more}
            answer = pair.api.call("PATCH", path, json=body)
            return [] if answer.is_success else [item["code"] for item in answer.json()["warnings"]]

        assert change("https://127.0.0.1:1/") == ["internal_server_ssl_error"]
        assert change() == ["internal_server_ssl_handshake_error"]
        assert change(ignore_warnings=True) == []
        pair.api.ask("POST", f"/clients/{CLIENT}/tls-certificates", content=files.certificate())
        assert change() == []


def _shake_hands(listening: socket.socket, files: TlsFiles) -> None:
    """Show a certificate to whoever comes, until the listener is closed."""
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with contextlib.suppress(OSError), files.context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(1)
