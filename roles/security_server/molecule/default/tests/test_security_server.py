"""A security server that waits for its federation: reachable, closed, and with its secrets kept."""

import os
from pathlib import Path

import pytest


@pytest.mark.parametrize("port", [4000, 5500, 5588, 8080, 8443])
def test_listens(host, port):
    assert host.socket(f"tcp://0.0.0.0:{port}").is_listening


def test_survives_boot(host):
    assert host.service("xroad-proxy").is_enabled
    assert host.service("xroad-proxy").is_running


def test_runs_as_its_own_account(host):
    process = host.process.get(comm="python3", user="xroad")
    assert process.rss < 90_000, "a lab has ten of them"
    assert "Secret-1234" not in process.args


def test_host_key_is_for_the_service_alone(host):
    """The unit may read it, and nothing else that runs under its account."""
    pid = host.process.get(comm="python3", user="xroad").pid
    groups = host.check_output(f"sed -n 's/^Groups://p' /proc/{pid}/status").split()
    assert str(host.group("ssl-cert").gid) in groups
    assert "ssl-cert" not in host.user("xroad").groups


def test_admin_api_shows_the_host_certificate(host):
    answer = host.run(
        "curl -s -o /dev/null -w '%{http_code}' --cacert /etc/smartgouv/tls/root.crt "
        "--resolve instance:4000:127.0.0.1 https://instance:4000/api/v1/system/version"
    )
    assert answer.stdout == "401"


def test_a_renewed_certificate_is_taken_without_a_restart(host):
    served = "openssl s_client -connect localhost:4000 </dev/null 2>/dev/null | openssl x509 -noout -serial"
    process = "systemctl show --property=MainPID xroad-proxy"
    before, pid = host.check_output(served), host.check_output(process)
    host.check_output("/root/issue-host-certificate && systemctl reload xroad-proxy && sleep 1")
    assert host.check_output(served) != before
    assert host.check_output(process) == pid


def test_api_key_works(admin_api):
    assert admin_api("/system/version")["info"].startswith("Security Server version 7.8.0")


def test_server_is_left_uninitialized(admin_api):
    status = admin_api("/initialization/status")
    assert status["is_anchor_imported"] is False
    assert status["software_token_init_status"] == "NOT_INITIALIZED"


def test_health_check_tells_why(host):
    answer = host.run("curl -s -w '%{http_code}' http://localhost:5588/")
    assert answer.stdout.endswith("500")
    assert "Global configuration" in answer.stdout


@pytest.mark.parametrize("path", ["/etc/smartgouv/xroad/api-key", "/etc/smartgouv/xroad/token-pin"])
def test_secrets_are_for_root_alone(host, path):
    file = host.file(path)
    assert (file.user, file.group, file.mode) == ("root", "root", 0o600)


def test_controller_got_the_key(host):
    kept = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "xroad-api-key-instance")
    assert kept.read_text() == host.file("/etc/smartgouv/xroad/api-key").content_string
    assert kept.stat().st_mode & 0o777 == 0o600


def test_keys_are_made_on_the_host_only(host):
    answer = host.run(
        "curl -sk -o /dev/null -w '%{http_code}' -u exchange-admin:a-long-password -X POST "
        "-H 'Content-Type: application/json' -d '[\"XROAD_SYSTEM_ADMINISTRATOR\"]' "
        "https://$(hostname -I | cut -d' ' -f1):4000/api/v1/api-keys"
    )
    assert answer.stdout == "403"


def test_pin_reaches_the_service_as_a_credential(host):
    pid = host.process.get(comm="python3", user="xroad").pid
    environment = host.file(f"/proc/{pid}/environ").content_string
    assert "CREDENTIALS_DIRECTORY=" in environment
    assert "Secret-1234" not in environment
    printed = host.run("/usr/share/xroad/autologin/custom-fetch-pin.sh")
    assert printed.rc == 127, "outside of the unit there is no PIN"
