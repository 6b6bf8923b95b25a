"""A configuration proxy from packages that stand in for X-Road's, on a host that poses as Ubuntu."""

import pytest
from testinfra.host import Host


@pytest.mark.on("proxy")
def test_the_proxy_has_its_instances_once(host: Host) -> None:
    for instance, seconds in (("BJ", 600), ("BJ-PARTNERS", 900)):
        ini = host.file(f"/etc/xroad/confproxy/{instance}/conf.ini").content_string
        assert f"validity-interval-seconds = {seconds}" in ini
        assert "active-signing-key-id = KEY1" in ini
        assert host.check_output(f"ls /etc/xroad/confproxy/{instance}/cert_*.pem | wc -l") == "1"
        assert host.file(f"/etc/xroad/confproxy/{instance}/anchor.xml").content_string == "<anchor/>"
        assert (
            host.file(f"/var/lib/xroad/anchors/{instance}.xml").content_string == f"<anchor of='{instance}'/>"
        )
    assert host.file("/etc/xroad/signer/softtoken/.softtoken.p12").content_string == "Secret-1234"


@pytest.mark.on("proxy")
def test_its_services_run(host: Host) -> None:
    for unit in ("xroad-signer", "nginx"):
        assert host.service(unit).is_running, unit
        assert host.service(unit).is_enabled, unit


@pytest.mark.on("proxy")
def test_configurations_are_offered_with_the_hosts_certificate(host: Host) -> None:
    assert host.file("/etc/xroad/ssl/confproxy.crt").linked_to == "/etc/smartgouv/tls/host.crt"
    assert host.file("/etc/xroad/ssl/confproxy.key").linked_to == "/etc/smartgouv/tls/host.key"


@pytest.mark.on("proxy")
def test_nothing_is_left_to_do(host: Host) -> None:
    """Whatever the central server says: an instance without an anchor waits for it."""
    assert host.check_output("echo '{}' | xroad-configuration-proxy check") == ""
