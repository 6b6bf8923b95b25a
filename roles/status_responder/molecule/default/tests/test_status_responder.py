"""What the responder tells, asked for as X-Road servers and OpenSSL ask."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from testinfra.host import Host

Machines = Callable[[str], Host]

HERE = "http://127.0.0.1:8888"
FETCH_ISSUER = f"curl -sS --fail {HERE}/ca/trust-services-1.crt | openssl x509 -inform der -out /run/issuer.pem"
ROOT = "/etc/smartgouv/tls/root.crt"
PUBLISHER = "/etc/smartgouv/trust-services/publish.json"
SETTINGS = "/etc/smartgouv/trust-services/issuing.json"


def serials(authority: Host) -> list[str]:
    """Serial numbers of what the authority has issued; the signer of the answers is the first."""
    listed = authority.check_output(f"trust-services issuing orders --config {SETTINGS}")
    return [line.split()[-1] for line in listed.splitlines() if line.strip()]


def status(host: Host, serial: str, algorithm: str = "sha1") -> str:
    """What OpenSSL reads about a serial number; the answer's signature must be good."""
    host.check_output(FETCH_ISSUER)
    who = f"-issuer /run/issuer.pem -{algorithm} -serial 0x{serial}"
    asked = host.run(f"openssl ocsp {who} -url {HERE}/ -CAfile {ROOT} -no_nonce")
    assert "Response verify OK" in asked.stderr
    return asked.stdout


@pytest.mark.on("responder")
def test_the_program_is_as_new_as_the_mirror_has_it(host: Host) -> None:
    """Though the host had an older version, and an index that knew of no other."""
    policy = host.check_output("LC_ALL=C apt-cache policy trust-services")
    installed, candidate = re.findall(r"^  (?:Installed|Candidate): (\S+)$", policy, re.MULTILINE)
    assert installed == candidate != "0.0.1"


@pytest.mark.on("responder")
@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_certificate_in_force_is_good(host: Host, machine: Machines, algorithm: str) -> None:
    """Signed by a delegate of the authority; X-Road asks with SHA-1, others with SHA-256."""
    serial = serials(machine("authority"))[-1]
    assert ": good" in status(host, serial, algorithm)


@pytest.mark.on("responder")
def test_a_certificate_that_nobody_issued_is_not_answered_for(host: Host) -> None:
    """RFC 5019 section 2.2.3: unauthorized, since nothing is signed on this host."""
    host.check_output(FETCH_ISSUER)
    asked = host.run(
        f"openssl ocsp -issuer /run/issuer.pem -serial 0x4711 -url {HERE}/ -CAfile {ROOT} -no_nonce"
    )
    assert "unauthorized" in asked.stdout + asked.stderr


@pytest.mark.on("responder")
def test_a_revocation_arrives_by_itself(host: Host, machine: Machines) -> None:
    """In the answers and in the revocation list, within a minute and without anybody's help."""
    authority = machine("authority")
    if len(serials(authority)) == 1:
        # Answers are signed with another certificate then, and this one isn't needed any more.
        authority.check_output(f"trust-services status renew-responder --config {PUBLISHER}")
    ends = time.monotonic() + 60
    while len(serials(authority)) == 1:
        assert time.monotonic() < ends
        time.sleep(1)
    serial = serials(authority)[0]
    authority.check_output(f"trust-services issuing revoke --config {SETTINGS} {serial} --reason superseded")
    ends = time.monotonic() + 60
    while ": revoked" not in status(host, serial):
        assert time.monotonic() < ends
        time.sleep(1)
    listing = f"curl -sS --fail {HERE}/crl/trust-services-1.crl | openssl crl -inform der -noout -text"
    while serial.lstrip("0").upper() not in host.check_output(listing):
        assert time.monotonic() < ends
        time.sleep(1)


@pytest.mark.on("responder")
def test_lists_and_certificates_are_served(host: Host) -> None:
    """At the addresses that certificates name."""
    for name in ("root", "trust-services-1"):
        host.check_output(f"curl -sS --fail {HERE}/crl/{name}.crl | openssl crl -inform der -noout -nextupdate")
        host.check_output(f"curl -sS --fail {HERE}/ca/{name}.crt | openssl x509 -inform der -noout -subject")


@pytest.mark.on("responder")
def test_no_key_is_on_the_host(host: Host) -> None:
    """Besides the host's own, which is for its TLS."""
    found = host.run("grep -rl 'PRIVATE KEY' /etc/smartgouv /var/lib/smartgouv-status").stdout.split()
    assert found == ["/etc/smartgouv/tls/host.key"]


@pytest.mark.on("responder")
def test_who_answers_strangers_can_write_nothing(host: Host) -> None:
    """Two accounts: the one that fetches owns the files."""
    assert host.check_output("systemctl show trust-services-status-responder --property=User --value") == (
        "status-responder"
    )
    answers = host.file("/var/lib/smartgouv-status/trust-services-1.answers")
    assert (answers.user, answers.mode & 0o022) == ("status-fetch", 0)


@pytest.mark.on("responder")
def test_answers_go_on_while_the_authority_is_down(host: Host, machine: Machines) -> None:
    """And the responder, started anew, answers from what it kept."""
    authority = machine("authority")
    serial = serials(authority)[-1]
    authority.check_output("systemctl stop trust-services-issuing trust-services-publisher")
    try:
        host.check_output("systemctl restart trust-services-status-fetch trust-services-status-responder")
        host.check_output(f"curl -sS --retry 20 --retry-connrefused --retry-delay 1 --fail {HERE}/health")
        assert ": good" in status(host, serial)
    finally:
        authority.check_output("systemctl start trust-services-issuing trust-services-publisher")


@pytest.mark.on("responder")
def test_a_responder_that_is_killed_comes_back(host: Host) -> None:
    """By itself."""
    host.check_output("systemctl kill --signal=KILL trust-services-status-responder")
    host.check_output(f"curl -sS --retry 20 --retry-connrefused --retry-delay 1 --fail {HERE}/health")


@pytest.mark.on("responder")
@pytest.mark.parametrize("unit", ["trust-services-status-fetch", "trust-services-status-responder"])
def test_services_start_at_boot_with_little_power(host: Host, unit: str) -> None:
    """No capability, and a system that can't be written to."""
    assert host.service(unit).is_enabled
    shown = host.check_output(f"systemctl show {unit} --property=ProtectSystem,NoNewPrivileges")
    assert "ProtectSystem=strict" in shown
    assert "NoNewPrivileges=yes" in shown
