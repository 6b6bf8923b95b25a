"""Servers of X-Road from packages that stand in for its own, on hosts that pose as Ubuntu."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from testinfra.host import Host

Machines = Callable[[str], Host]

UNITS = {
    "central": ("xroad-signer", "xroad-center", "xroad-center-registration-service", "nginx"),
    "security": (
        "xroad-signer",
        "xroad-confclient",
        "xroad-proxy",
        "xroad-proxy-ui-api",
        "xroad-addon-messagelog",
    ),
}
SERVED = (
    "openssl s_client -connect localhost:4000 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256"
)
HELD = "openssl x509 -noout -fingerprint -sha256 -in /etc/smartgouv/tls/host.crt"


def name(host: Host) -> str:
    return str(host.backend.hostname)


def test_packages_are_of_the_version_and_services_run(host: Host) -> None:
    versions = host.check_output(
        "dpkg-query --show --showformat='${Package} ${Version}\\n' 'xroad-*'"
    ).splitlines()
    assert {line.split()[1] for line in versions if len(line.split()) == 2} == {"7.8.0-1.ubuntu24.04"}
    for unit in UNITS[name(host)]:
        assert host.service(unit).is_running, unit
        assert host.service(unit).is_enabled, unit


def upgraded(host: Host) -> str:
    """When the server's package went from the version before to this one, as text that sorts."""
    package = {"central": "xroad-center", "security": "xroad-proxy"}[name(host)]
    pattern = f" upgrade {package}:all 7.7.1-1.ubuntu24.04 7.8.0-1.ubuntu24.04"
    return " ".join(host.check_output(f"grep -h '{pattern}' /var/log/dpkg.log").split()[:2])


@pytest.mark.on("security")
def test_the_central_server_was_upgraded_first(host: Host, machine: Machines) -> None:
    assert upgraded(machine("central")) < upgraded(host)


def test_the_packages_were_told_who_administers(host: Host) -> None:
    assert {"xroad-security-officer", "xroad-system-administrator"} <= set(host.user("exchange-admin").groups)
    assert host.user("exchange-admin").shell == "/usr/sbin/nologin"


def test_the_admin_api_shows_the_hosts_certificate(host: Host) -> None:
    """Its package made another one in the keystore."""
    assert host.check_output(SERVED) == host.check_output(HELD)


@pytest.mark.on("security")
def test_a_renewed_certificate_reaches_the_keystores(host: Host) -> None:
    """As role host_certificate tells it; the proxy isn't restarted, so that no message is lost."""
    process = "systemctl show --property=MainPID xroad-proxy"
    before = host.check_output(process)
    host.check_output(
        "/root/issue-host-certificate && systemctl try-reload-or-restart xroad-certificates && sleep 2"
    )
    assert host.check_output(SERVED) == host.check_output(HELD)
    internal = (
        "openssl pkcs12 -in /etc/xroad/ssl/internal.p12 -passin pass:internal -nokeys -clcerts 2>/dev/null"
    )
    assert host.check_output(f"{internal} | openssl x509 -noout -fingerprint -sha256") == host.check_output(
        HELD
    )
    assert host.check_output(process) == before


def test_the_pin_reaches_x_roads_unit_for_it(host: Host) -> None:
    assert host.file("/run/xroad-autologin/pin").content_string == "Secret-1234"
    assert host.file("/etc/smartgouv/xroad/token-pin").mode == 0o600
    assert host.run("grep -r Secret-1234 /etc/xroad --exclude-dir=softtoken").rc == 1


@pytest.mark.on("central")
def test_the_token_of_the_management_service_is_still_there(host: Host) -> None:
    assert "api-token = made-here" in host.file("/etc/xroad/conf.d/local.ini").content_string


@pytest.mark.on("security")
def test_settings_stand_beside_what_the_packages_wrote(host: Host) -> None:
    text = host.file("/etc/xroad/conf.d/local.ini").content_string
    assert "health-check-port = 5588" in text
    assert "wsdl-validator-command = /usr/share/xroad/validator" in text


def test_the_controller_got_the_key(host: Host) -> None:
    kept = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], f"xroad-api-key-{name(host)}").read_text()
    assert kept == host.file("/etc/smartgouv/xroad/api-key").content_string
    assert kept in json.loads(host.file("/var/lib/xroad/fake-keys.json").content_string).values()


@pytest.mark.on("security")
def test_wrong_passwords_are_counted(host: Host) -> None:
    text = host.file("/etc/pam.d/xroad").content_string
    assert "pam_faillock.so authfail deny=3" in text


@pytest.mark.on("security")
def test_a_backup_came_back_with_the_key_that_opens_it(host: Host) -> None:
    """The ring is the user's own, further backups can be encrypted, and the former one has another place."""
    assert (
        host.file("/var/lib/xroad/restored").content_string.strip()
        == "security_XROAD_7.1_TEST/GOV/MEMBER/SERVER"
    )
    assert host.file("/var/lib/xroad/backup/restored.gpg").mode == 0o600
    assert host.file("/etc/xroad/gpghome").user == "xroad"
    fingerprint = host.check_output(
        "sed -n 's/^Signed-By: //p' /etc/apt/sources.list.d/xroad.sources | xargs gpg --show-keys --with-colons"
    ).split("fpr:::::::::")[1][:40]
    host.check_output(
        "echo next | runuser --user=xroad -- gpg --homedir /etc/xroad/gpghome --batch --no-tty --sign --encrypt"
        f" --trust-model direct -r TEST/GOV/MEMBER/SERVER -r {fingerprint} --output /var/tmp/next.gpg"
    )
    kept = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "xroad-backup-key-security")
    assert kept.stat().st_mode & 0o777 == 0o600
