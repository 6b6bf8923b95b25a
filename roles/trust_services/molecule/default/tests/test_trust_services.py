"""What the trust services CA issues and publishes, asked for in the way that its clients ask."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from testinfra.host import Host

URL = "https://authority.site.test:9444"
ROOT = "/etc/smartgouv/tls/root.crt"
ISSUER = "/etc/smartgouv/ca/trust-services/ca.crt"
FEDERATION = "token-of-the-federations-program"
OFFICER = "token-of-the-officer-on-duty"
SETTINGS = "/etc/smartgouv/trust-services/issuing.json"
HEALTH = {"class": "GOV", "code": "HEALTH", "name": "Ministry of Health"}


def put(host: Host, path: str, content: str) -> None:
    """Write a file on the host."""
    host.check_output(f"cat > {path} <<'END'\n{content}\nEND")


def ask(host: Host, path: str, token: str, body: dict[str, Any]) -> tuple[int, Any]:
    """Status and answer of the API to a POST. The token goes in a file, as arguments are seen by others."""
    put(host, "/run/ask.curl", f'header = "Authorization: Bearer {token}"')
    put(host, "/run/ask.json", json.dumps(body))
    curl = f"curl -sS --cacert {ROOT} --config /run/ask.curl --json @/run/ask.json"
    status = host.check_output(f"{curl} -o /run/answer.json -w '%{{http_code}}' {URL}{path}")
    return int(status), json.loads(host.file("/run/answer.json").content_string)


def order(
    host: Host, key: str, profile: str = "signing", member: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Order a certificate for a key that openssl makes."""
    member = member or HEALTH
    subject = f"/C=BJ/O={member['name']}"
    if profile == "authentication":
        subject += f"/CN=ss1.site.test/serialNumber={member['code']}"
    else:
        subject += f"/CN={member['name']}/businessCategory={member['class']}/serialNumber={member['code']}"
    host.check_output(
        f"test -e /run/{key}.csr || openssl req -new -newkey rsa:2048 -nodes -keyout /run/{key}.key"
        f" -out /run/{key}.csr -subj '{subject}'"
    )
    wanted: dict[str, Any] = {
        "profile": profile,
        "member": member,
        "csr": host.file(f"/run/{key}.csr").content_string,
        "idempotency_key": f"scenario-{key}",
    }
    if profile == "authentication":
        wanted["server"] = "ss1.site.test"
    return ask(host, "/orders", FEDERATION, wanted)


def workers(host: Host) -> set[str]:
    """The processes that answer for the service, without the one that started them."""
    main = host.check_output("systemctl show --property MainPID --value trust-services-issuing")
    return set(host.run(f"pgrep --parent {main}").stdout.split())


def usage(text: str, extension: str) -> set[str]:
    """Values of an extension of a certificate; none where it lacks the extension."""
    found = re.search(rf"X509v3 {extension}: *(?:critical)?\s*\n\s*(.+)", text)
    return set(found[1].split(", ")) if found else set()


def text_of(host: Host, answer: Any) -> str:
    """A certificate in words; it must chain to the root."""
    put(host, "/run/issued.pem", answer["certificate"])
    assert host.run(f"openssl verify -CAfile {ROOT} -untrusted {ISSUER} /run/issued.pem").rc == 0
    return host.check_output("openssl x509 -in /run/issued.pem -noout -text -nameopt multiline")


def test_a_member_of_the_estate_gets_a_signing_certificate(host: Host) -> None:
    """X-Road reads the member from it and refuses one that could also authenticate."""
    status, answer = order(host, "signing")
    text = text_of(host, answer)
    assert status in {200, 201}
    assert usage(text, "Key Usage") == {"Non Repudiation"}
    assert usage(text, "Extended Key Usage") == set()
    for attribute in (r"businessCategory +=\s*GOV", r"serialNumber +=\s*HEALTH", r"countryName +=\s*BJ"):
        assert re.search(attribute, text)
    assert "http://status.site.test/crl/trust-services-1.crl" in text


def test_its_server_gets_an_authentication_certificate(host: Host) -> None:
    """X-Road takes a certificate for authentication by these usages; it can sign no message."""
    _, answer = order(host, "authentication", "authentication")
    text = text_of(host, answer)
    assert usage(text, "Key Usage") == {"Digital Signature", "Key Encipherment", "Data Encipherment"}
    assert usage(text, "Extended Key Usage") == {
        "TLS Web Client Authentication",
        "TLS Web Server Authentication",
    }
    assert usage(text, "Subject Alternative Name") == {"DNS:ss1.site.test"}


def test_the_same_order_again_gives_the_same_certificate(host: Host) -> None:
    """Nothing is issued twice."""
    _, first = order(host, "again")
    status, second = order(host, "again")
    assert status == 200
    assert second["serial"] == first["serial"]


def test_who_is_not_in_the_estate_waits_for_an_officer(host: Host) -> None:
    """And is issued once the officer agrees."""
    stranger = {"class": "GOV", "code": "STRANGER", "name": "Somebody Else"}
    status, answer = order(host, "stranger", member=stranger)
    assert (status, answer["state"]) in {(202, "waiting"), (200, "issued")}
    if status == 202:
        path = f"/orders/{answer['id']}/approval"
        assert ask(host, path, FEDERATION, {"decision": "approve"})[0] == 403
        decided, answer = ask(host, path, OFFICER, {"decision": "approve", "reason": "seen the papers"})
        assert decided == 200
    assert answer["state"] == "issued"


@pytest.mark.parametrize("token", ["", "guess", "token-of-the-stamping-authority"])
def test_other_tokens_order_nothing(host: Host, token: str) -> None:
    """Neither strangers nor services order for members."""
    order(host, "signing")
    wanted = {"profile": "signing", "member": HEALTH, "csr": host.file("/run/signing.csr").content_string}
    status, _ = ask(host, "/orders", token, {**wanted, "idempotency_key": "scenario-unknown"})
    assert status in {401, 403}


def test_the_record_is_whole_and_the_service_cannot_change_it(host: Host) -> None:
    """Every link of the chain holds; the service's account may neither change nor remove."""
    order(host, "signing")
    verified = host.check_output(f"trust-services issuing verify-record --config {SETTINGS} --json")
    assert json.loads(verified)["events"] > 0
    for statement in ("DELETE FROM issuing.events", "UPDATE issuing.certificates SET profile = NULL"):
        tried = host.run(
            "PGPASSWORD=adds-to-the-record psql -XAt 'host=authority.site.test user=certificates_service "
            f"dbname=certificates sslmode=verify-full sslrootcert={ROOT}' -c '{statement}'"
        )
        assert "permission denied" in tried.stderr


def test_status_is_published_and_signed_by_a_delegate(host: Host) -> None:
    """What responders fetch: answers, a revocation list of the authority's own, its certificate."""
    for name in (
        "trust-services-1.answers",
        "trust-services-1.crl",
        "trust-services-1.crt",
        "root.crl",
        "root.crt",
    ):
        host.check_output(f"curl -sS --fail --cacert {ROOT} {URL}/status/{name} -o /run/{name}")
    assert (
        "verify OK"
        in host.run(f"openssl crl -inform der -in /run/trust-services-1.crl -CAfile {ISSUER} -noout").stderr
    )
    subject = host.check_output("openssl x509 -inform der -in /run/trust-services-1.crt -noout -subject")
    assert "Scenario Trust Services CA" in subject


def test_what_is_published_is_all_that_strangers_read(host: Host) -> None:
    """No path leads out of the folder, and nobody writes there."""
    for path in ("/status/../state", "/status/..%2fstate", "/status/nothing"):
        code = f"curl -sS --path-as-is --cacert {ROOT} -o /dev/null -w '%{{http_code}}' {URL}{path}"
        assert host.check_output(code) in {"404", "400"}


def test_secrets_are_neither_readable_nor_in_arguments(host: Host) -> None:
    """Its account reads the service's secrets, nobody reads the owner's password here."""
    secrets = ("token-of", "adds-to-the-record", "owner-of-the-record", "open-the-trust-services-token")
    running = host.check_output("ps -eo args")
    settings = host.check_output("cat /etc/smartgouv/trust-services/*.json")
    for secret in secrets:
        assert secret not in running
        assert secret not in settings
    for name in ("database-password", "status-token"):
        found = host.file(f"/etc/smartgouv/trust-services/{name}")
        assert (found.user, found.group, found.mode) == ("root", "ca-trust-services", 0o640)
    assert host.run("grep -r owner-of-the-record /etc /var/lib/smartgouv-ca /var/lib/smartgouv-status").rc == 1


@pytest.mark.parametrize("unit", ["trust-services-issuing", "trust-services-publisher"])
def test_services_start_at_boot_with_little_power(host: Host, unit: str) -> None:
    """Each runs as the token's account, without capabilities, on a system that it can't write to."""
    assert host.service(unit).is_enabled
    assert host.service(unit).is_running
    shown = host.check_output(f"systemctl show {unit} --property=User,ProtectSystem,CapabilityBoundingSet")
    assert "User=ca-trust-services" in shown
    assert "ProtectSystem=strict" in shown
    assert "CapabilityBoundingSet=\n" in shown + "\n"


def test_a_database_that_was_away_is_used_again(host: Host) -> None:
    """Meanwhile an order is refused with the reason; sent again it is issued."""
    host.check_output("systemctl stop postgresql@17-main")
    try:
        status, answer = order(host, "outage")
        assert status == 503
        assert "record" in answer["detail"]
    finally:
        host.check_output("systemctl start postgresql@17-main")
    for _ in range(10):
        status, answer = order(host, "outage")
        if status != 503:
            break
        host.run("sleep 1")
    assert answer["state"] == "issued"


def test_a_renewed_certificate_is_taken_and_nobody_is_turned_away(host: Host) -> None:
    """Workers that show it start before the others end."""
    shown = "openssl s_client -connect authority.site.test:9444 </dev/null 2>/dev/null"
    served = f"{shown} | openssl x509 -noout -serial"
    before = host.check_output(served)
    old = workers(host)
    assert old
    host.check_output("/root/issue-host-certificate && systemctl reload trust-services-issuing")
    asked = f"curl -sS -o /dev/null --cacert {ROOT} {URL}/health || echo lost; sleep 0.1"
    # The workers are exchanged one after the other, ten seconds each: until the last of them has ended,
    # either certificate may be shown.
    deadline = time.monotonic() + 90
    while old & workers(host) and time.monotonic() < deadline:
        assert host.check_output(f"for i in $(seq 20); do {asked}; done") == ""
    assert not old & workers(host)
    assert host.check_output(served) != before
