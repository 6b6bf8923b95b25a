"""A host that runs role node_exporter, seen from outside its configuration."""

from testinfra.host import Host

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
