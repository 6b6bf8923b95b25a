"""The monitoring host, as its operators and the programs that ask it see it."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

CURL = "curl --silent --show-error --fail --cacert /etc/smartgouv/tls/root.crt"
PROMETHEUS = "https://monitor.test:9090"
ALERTMANAGER = "https://monitor.test:9093"

pytestmark = pytest.mark.on("monitor")
OURS = 'instance!~"localhost:.*"'
"""Without what the package's own configuration measured in the moment in which it ran."""


def ask(host: Host, expression: str) -> dict[str, str]:
    """The present values of an expression, by instance."""
    answer = host.check_output(f"{CURL} --get --data-urlencode 'query={expression}' {PROMETHEUS}/api/v1/query")
    return {one["metric"]["instance"]: one["value"][1] for one in json.loads(answer)["data"]["result"]}


def eventually(question: Callable[[], Any], answer: Any) -> None:
    """Ask again for up to twenty seconds: a scrape takes its interval."""
    deadline = time.monotonic() + 20
    while question() != answer and time.monotonic() < deadline:
        time.sleep(1)
    assert question() == answer


def test_hosts_are_measured_over_tls_and_a_dead_one_is_seen(host: Host) -> None:
    eventually(
        lambda: ask(host, f'up{{job="node", {OURS}}}'), {"target.test:9100": "1", "target.test:9101": "0"}
    )
    assert ask(host, 'node_memory_MemAvailable_bytes{host="target",zone="operations"}')


def test_monitoring_measures_itself(host: Host) -> None:
    seen = {"monitor.test:9090": "1", "monitor.test:9093": "1"}
    eventually(lambda: ask(host, f'up{{job=~"prometheus|alertmanager", {OURS}}}'), seen)


def test_probes_tell_good_from_bad(host: Host) -> None:
    pages = {"https://target.test:9100/": "1", "https://target:9100/": "1"}
    eventually(lambda: ask(host, 'probe_success{job="pages"}'), pages)
    eventually(lambda: ask(host, 'probe_success{job="ports"}'), {"target.test:22": "1", "target.test:23": "0"})


def test_the_end_of_a_certificate_is_known(host: Host) -> None:
    left = 'probe_ssl_earliest_cert_expiry{job="certificates"} - time() < bool 86401'
    eventually(lambda: ask(host, left), {"target.test:9100": "1"})


def test_the_end_of_a_certificate_in_a_file_is_known(host: Host) -> None:
    left = 'certificate_not_after_seconds{path="/etc/smartgouv/tls/host.crt"} - time() < bool 86401'
    eventually(lambda: ask(host, left), {"target.test:9100": "1"})


def test_alerts_fire_when_they_should_and_only_then(host: Host) -> None:
    cases = (Path(__file__).parent / "alerts.test.yml").read_text(encoding="utf-8")
    host.check_output("printf %%s %s > /root/alerts.test.yml", cases)
    assert "SUCCESS" in host.check_output("promtool test rules /root/alerts.test.yml 2>&1")


def test_alerts_reach_alertmanager(host: Host) -> None:
    known = json.loads(host.check_output(f"{CURL} {PROMETHEUS}/api/v1/alertmanagers"))
    found = known["data"]["activeAlertmanagers"]
    assert [one["url"] for one in found] == [f"{ALERTMANAGER}/api/v2/alerts"]
    sent = '[{"labels": {"alertname": "Rehearsal"}}]'
    post = f"{CURL} -H 'content-type: application/json' --data '{sent}'"
    host.check_output(f"{post} {ALERTMANAGER}/api/v2/alerts")
    held = json.loads(host.check_output(f"{CURL} {ALERTMANAGER}/api/v2/alerts"))
    assert "Rehearsal" in [one["labels"]["alertname"] for one in held]


def test_measurements_are_kept_as_long_as_described(host: Host) -> None:
    flags = json.loads(host.check_output(f"{CURL} {PROMETHEUS}/api/v1/status/flags"))["data"]
    assert flags["storage.tsdb.retention.time"] == "3d"
    assert flags["storage.tsdb.retention.size"] == "2GiB"


def test_nothing_is_served_in_clear_and_probes_are_not_for_others(
    host: Host, addresses: dict[str, str]
) -> None:
    for port in (9090, 9093):
        assert host.run(f"curl --silent --fail http://monitor.test:{port}/").rc == 22
    assert host.run(f"curl --silent http://{addresses['monitor']}:9115/").rc == 7


def test_a_renewed_certificate_is_served_without_a_restart(host: Host) -> None:
    served = "openssl s_client -connect monitor.test:9090 </dev/null 2>/dev/null | openssl x509 -noout -serial"
    before = host.check_output(served)
    host.check_output("/root/issue-host-certificate")
    assert host.check_output(served) != before


@pytest.mark.parametrize("unit", ["prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter"])
def test_everything_starts_at_boot(host: Host, unit: str) -> None:
    assert host.service(unit).is_enabled
    assert host.service(unit).is_running
