"""Time stamps, asked for and verified with OpenSSL, and what stops them."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from testinfra.host import Host

Machines = Callable[[str], Host]

HERE = "http://127.0.0.1:8899/"
ROOT = "/etc/smartgouv/tls/root.crt"
STATE = "/var/lib/smartgouv-time-stamping"
ENROL = "trust-services enrolment --config /etc/smartgouv/time-stamping/enrolment.json"
POST = "curl -sS -H 'Content-Type: application/timestamp-query' --data-binary"
SERVED = (
    # Of the certificates in an answer, in whatever order they stand, the authority's own.
    "openssl ts -reply -in /run/answer.tsr -token_out | openssl pkcs7 -inform der -print_certs"
    " | awk '/^subject=/ { own = /stamping.site.test/ } own' | openssl x509"
)
WRONG_TIME = """
import socket, struct, time

# A time server (RFC 5905, section 7.3) that is an hour ahead.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("", 123))
    while True:
        asked, client = server.recvfrom(512)
        now = int((time.time() + 3600 + 2208988800) * 2**32).to_bytes(8, "big")
        head = struct.pack("!BBbbII4s", 0x24, 1, 6, -20, 0, 0, b"LATE")
        server.sendto(head + now + asked[40:48] + now + now, client)
"""
AS_SERVICE = "setpriv --reuid=time-stamping --regid=time-stamping --clear-groups"


def stamp(host: Host, algorithm: str = "sha512") -> str:
    """What OpenSSL says about a fresh stamp."""
    trusted = f"-CAfile {ROOT} -untrusted {STATE}/chain.pem"
    asked = host.run(
        f"openssl ts -query -data /etc/hostname -{algorithm} -cert -out /run/query.tsq 2>/dev/null"
        f" && {POST} @/run/query.tsq -o /run/answer.tsr {HERE}"
        f" && openssl ts -verify -queryfile /run/query.tsq -in /run/answer.tsr {trusted}"
    )
    return asked.stdout + asked.stderr


def healthy(host: Host, seconds: float = 60) -> None:
    """Wait until stamps are made again."""
    ends = time.monotonic() + seconds
    while host.run(f"curl -sS --fail {HERE}health").rc != 0:
        assert time.monotonic() < ends
        time.sleep(1)


def unhealthy(host: Host, seconds: float = 60) -> None:
    """Wait until stamps aren't made any more."""
    ends = time.monotonic() + seconds
    while host.run(f"curl -sS --fail {HERE}health").rc == 0:
        assert time.monotonic() < ends
        time.sleep(1)


@pytest.mark.on("stamping")
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_stamps_verify_below_the_root(host: Host, algorithm: str) -> None:
    """X-Road asks with SHA-512."""
    healthy(host)
    assert "Verification: OK" in stamp(host, algorithm)
    shown = host.check_output("openssl ts -reply -in /run/answer.tsr -text")
    assert "Policy OID: 2.999.1" in shown


@pytest.mark.on("stamping")
def test_the_certificate_stamps_and_nothing_else(host: Host) -> None:
    """RFC 3161 section 2.3."""
    text = host.check_output(f"openssl x509 -in {STATE}/certificate.pem -noout -text")
    usage = text[text.index("X509v3 Extended Key Usage: critical") :].splitlines()[1].strip()
    assert usage == "Time Stamping"
    assert "CN=stamping.site.test" in text.replace(" = ", "=")


@pytest.mark.on("stamping")
def test_the_key_is_encrypted_and_the_services_alone(host: Host) -> None:
    """A copy of the disk's folder opens nothing."""
    key = host.check_output(f"readlink -f {STATE}/key.pem")
    assert host.file(key).mode == 0o600
    assert "BEGIN ENCRYPTED PRIVATE KEY" in host.file(key).content_string
    assert "opens-the-key" not in host.check_output("ps -eo args")


@pytest.mark.on("stamping")
def test_a_renewed_certificate_is_taken_without_a_restart(host: Host) -> None:
    """With the same key: the central server knows the authority by it."""
    healthy(host)
    stamp(host)
    before = host.check_output(f"{SERVED} -noout -serial")
    key = host.check_output(f"{SERVED} -noout -pubkey")
    process = host.check_output("systemctl show trust-services-time-stamping --property=MainPID --value")
    host.check_output(f"{AS_SERVICE} {ENROL} --force")
    ends = time.monotonic() + 30
    while True:
        assert "Verification: OK" in stamp(host)
        if host.check_output(f"{SERVED} -noout -serial") != before:
            break
        assert time.monotonic() < ends
        time.sleep(1)
    assert host.check_output(f"{SERVED} -noout -pubkey") == key
    assert (
        host.check_output("systemctl show trust-services-time-stamping --property=MainPID --value") == process
    )


@pytest.mark.on("stamping")
def test_nothing_is_stamped_while_the_clock_is_unsure(host: Host) -> None:
    """Without the time service there is no stamp but the reason; with it they come again."""
    healthy(host)
    host.check_output("systemctl stop chrony")
    try:
        unhealthy(host)
        assert "Verification: OK" not in stamp(host)
        refused = host.check_output("openssl ts -reply -in /run/answer.tsr -text")
        assert "time source is not available" in refused
    finally:
        host.check_output("systemctl start chrony")
    healthy(host)
    assert "Verification: OK" in stamp(host)


@pytest.mark.on("stamping")
def test_nothing_is_stamped_while_the_source_says_another_hour(host: Host, machine: Machines) -> None:
    """The host's clock or the source's is an hour off: which of them isn't for this host to say."""
    healthy(host)
    authority = machine("authority")
    authority.check_output(f"cat > /root/wrong_time.py <<'END'\n{WRONG_TIME}\nEND")
    authority.check_output("systemctl stop chrony; systemd-run --unit=wrong-time python3 /root/wrong_time.py")
    try:
        unhealthy(host, 90)
        assert "Verification: OK" not in stamp(host)
    finally:
        authority.check_output("systemctl stop wrong-time; systemctl start chrony")
    host.check_output("systemctl restart chrony")
    healthy(host, 90)


@pytest.mark.on("stamping")
def test_garbage_is_refused_in_the_protocols_words(host: Host) -> None:
    """And the service goes on."""
    host.check_output(f"head -c 300 /dev/urandom | {POST} @- {HERE} -o /run/refused.tsr")
    assert "Status: Rejected" in host.check_output("openssl ts -reply -in /run/refused.tsr -text")
    assert "Verification: OK" in stamp(host)


@pytest.mark.on("stamping")
def test_it_renews_by_itself_and_starts_at_boot(host: Host) -> None:
    """A timer looks daily."""
    assert host.service("trust-services-time-stamping-enrolment.timer").is_enabled
    assert host.service("trust-services-time-stamping").is_enabled
    shown = host.check_output("systemctl show trust-services-time-stamping --property=ProtectSystem,User")
    assert "ProtectSystem=strict" in shown
    assert "User=time-stamping" in shown
