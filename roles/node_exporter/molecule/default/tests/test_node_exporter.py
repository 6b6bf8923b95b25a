"""A host that runs role node_exporter, seen from outside its configuration."""

import time

from testinfra.host import Host

HOST = "/etc/smartgouv/tls/host.crt"
METRICS = "https://node.test:9100/metrics"
FETCH = f"curl --silent --show-error --fail --cacert /etc/smartgouv/tls/root.crt {METRICS}"


def test_measurements_are_served_over_tls_with_the_host_certificate(host: Host) -> None:
    measurements = host.check_output(FETCH)
    assert "\nnode_memory_MemAvailable_bytes " in measurements
    assert 'node_systemd_unit_state{name="ssh.service"' in measurements
    assert 'node_filesystem_avail_bytes{device="' in measurements


def test_only_the_chosen_collectors_run(host: Host) -> None:
    measurements = host.check_output(FETCH)
    assert "node_network_receive_bytes_total" in measurements
    assert "node_xfs_" not in measurements
    assert 'mountpoint="/proc' not in measurements


def test_plain_http_is_refused(host: Host) -> None:
    answer = host.run(
        "curl --silent --output /dev/null --write-out '%{http_code}' http://node.test:9100/metrics"
    )
    assert answer.stdout == "400"


def test_tls_before_1_3_is_refused(host: Host) -> None:
    assert host.run(f"{FETCH} --tls-max 1.2").rc == 35


def test_a_renewed_certificate_is_served_without_a_restart(host: Host) -> None:
    served = "openssl s_client -connect node.test:9100 </dev/null 2>/dev/null | openssl x509 -noout -serial"
    before = host.check_output(served)
    host.check_output("/root/issue-host-certificate")
    after = host.check_output(served)
    assert before != after


def test_the_exporter_starts_at_boot(host: Host) -> None:
    assert host.service("prometheus-node-exporter").is_enabled


def test_the_ends_of_certificates_in_files_are_measured(host: Host) -> None:
    ends = host.check_output(
        'date --utc --date="$(openssl x509 -in %s -noout -enddate | cut -d= -f2)" +%%s', HOST
    )
    # Another test may have renewed it since the last look.
    host.check_output("systemctl start certificate-scan.service")
    measured(host, f'certificate_not_after_seconds{{issuer="CN=Scenario root",path="{HOST}",serial="')
    lines = host.check_output(FETCH).splitlines()
    assert float(ends) in [float(line.rsplit(" ", 1)[1]) for line in lines if f'path="{HOST}"' in line]
    measured(host, 'revocation_list_next_update_seconds{issuer="CN=Scenario root",path="/srv/lists/root.crl"}')


def test_a_closed_file_is_read_and_one_that_is_no_certificate_is_named(host: Host) -> None:
    measured(host, 'path="/srv/closed/admin.crt",serial="')
    measured(host, 'certificate_file_unreadable{path="/srv/closed/broken.crt",reason="malformed"} 1')
    measured(host, 'certificate_file_unreadable{path="/srv/lists/gone.crt",reason="missing"} 1')


def test_a_renewed_certificate_is_measured_by_the_next_look(host: Host) -> None:
    host.check_output("/root/issue-host-certificate")
    serial = host.check_output("openssl x509 -in %s -noout -serial", HOST).removeprefix("serial=")
    host.check_output("systemctl start certificate-scan.service")
    measured(host, f'path="{HOST}",serial="{serial}"')


def test_the_look_is_repeated_and_starts_at_boot(host: Host) -> None:
    assert host.service("certificate-scan.timer").is_enabled
    assert "NextElapseUSecMonotonic=infinity" not in host.check_output(
        "systemctl show certificate-scan.timer --property=NextElapseUSecMonotonic"
    )


def measured(host: Host, text: str) -> None:
    """Wait for a figure up to twenty seconds: the first look comes with its timer."""
    deadline = time.monotonic() + 20
    while text not in (found := host.check_output(FETCH)) and time.monotonic() < deadline:
        time.sleep(1)
    assert text in found
