"""The load balancer, as citizens and security servers see it."""

import json
from collections.abc import Callable

import pytest
from testinfra.host import Host

Machines = Callable[[str], Host]

CURL = "curl --silent --show-error --cacert /etc/smartgouv/tls/root.crt"
STATUS = f"{CURL} --output /dev/null --write-out '%{{http_code}}'"
METRICS = f"{CURL} --fail https://balancer:8404/metrics"


@pytest.mark.on("citizen")
def test_everybody_reaches_the_portal_and_is_told_to_stay_on_tls(host: Host) -> None:
    answer = host.check_output(f"{CURL} --include https://portal.test/")
    assert answer.startswith("HTTP/2 200")
    assert "strict-transport-security: max-age=31536000" in answer
    assert json.loads(answer.splitlines()[-1])["port"] == 30080


@pytest.mark.on("citizen")
def test_the_service_learns_who_asked_and_nobody_can_pretend(host: Host, addresses: dict[str, str]) -> None:
    forged = "-H 'X-Forwarded-For: 1.2.3.4' -H 'X-Forwarded-Proto: http' -H 'Forwarded: for=1.2.3.4'"
    seen = json.loads(host.check_output(f"{CURL} {forged} https://portal.test/"))
    assert seen["x-forwarded-for"] == addresses["citizen"]
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-forwarded-host"] == "portal.test"
    assert "forwarded" not in seen


@pytest.mark.on("security-server")
def test_a_security_server_reaches_its_sector_system(host: Host) -> None:
    answer = host.check_output(f"{CURL} --include https://health.services.test/")
    assert "strict-transport-security" not in answer
    assert json.loads(answer.splitlines()[-1])["port"] == 30088


@pytest.mark.on("citizen")
def test_nobody_else_reaches_a_sector_system(host: Host) -> None:
    assert host.check_output(f"{STATUS} https://health.services.test/") == "403"
    spelled = "-H 'Host: HEALTH.services.test:443'"
    assert host.check_output(f"{STATUS} {spelled} https://health.services.test/") == "403"


@pytest.mark.on("citizen")
@pytest.mark.parametrize("name", ["health.services.test", "elsewhere.test"])
def test_a_connection_for_one_name_asks_for_no_other(host: Host, name: str) -> None:
    assert host.check_output(f"{STATUS} -H 'Host: {name}' https://portal.test/") == "421"


@pytest.mark.on("citizen")
def test_a_name_without_a_route_is_misdirected(host: Host) -> None:
    assert host.check_output(f"{STATUS} https://balancer/") == "421"


@pytest.mark.on("citizen")
def test_the_plain_port_serves_its_own_names_alone(host: Host) -> None:
    assert json.loads(host.check_output("curl -sS http://status.test/"))["port"] in {30091, 30092}
    for name in ("portal.test", "elsewhere.test"):
        assert host.check_output(f"{STATUS} -H 'Host: {name}' http://status.test/") == "421"
    assert host.check_output(f"{STATUS} -X DELETE http://status.test/") == "405"


@pytest.mark.on("balancer")
def test_a_plain_server_that_dies_costs_no_request(host: Host, machine: Machines) -> None:
    """Killed while it is asked: the other one answers the same request, POST as well."""
    worker = machine("worker")
    asked = "xargs -P4 -I{} curl -sS -o /dev/null -w '%{http_code}\\n' -d x http://status.test/"
    try:
        worker.check_output("(sleep 1; systemctl kill --signal=KILL service-30092) >/dev/null 2>&1 & true")
        answers = host.check_output(f"seq 600 | {asked}").split()
    finally:
        worker.check_output("systemd-run --unit=service-30092 /usr/bin/python3 /root/service.py 30092 || true")
    assert len(answers) == 600
    assert set(answers) == {"200"}


@pytest.mark.on("citizen")
def test_only_tls_of_today_is_spoken(host: Host) -> None:
    assert host.run(f"{STATUS} --tls-max 1.1 https://portal.test/").rc == 35
    assert host.check_output(f"{STATUS} --tlsv1.3 https://portal.test/") == "200"


@pytest.mark.on("balancer")
def test_a_server_that_is_gone_gets_no_request(host: Host) -> None:
    measurements = host.check_output(METRICS)
    assert 'haproxy_server_status{proxy="portal",server="worker",state="UP"} 1' in measurements
    assert 'haproxy_server_status{proxy="portal",server="gone",state="DOWN"} 1' in measurements
    for _ in range(4):
        assert host.check_output(f"{STATUS} https://portal.test/") == "200"


@pytest.mark.on("balancer")
def test_the_port_of_measurements_gives_nothing_else(host: Host) -> None:
    assert host.check_output(f"{STATUS} https://balancer:8404/") == "404"
    assert host.check_output(f"{STATUS} https://balancer:8404/healthz") == "200"


@pytest.mark.on("citizen")
def test_a_reload_takes_a_renewed_certificate_and_drops_no_request(host: Host, machine: Machines) -> None:
    shown = "openssl s_client -connect portal.test:443 -servername portal.test </dev/null 2>/dev/null"
    served = f"{shown} | openssl x509 -noout -serial"
    before = host.check_output(served)
    host.check_output(
        f"systemd-run --unit=slow --property=StandardOutput=file:/root/slow {STATUS} https://portal.test/slow"
    )
    host.check_output("sleep 1")
    machine("balancer").check_output("/root/issue-host-certificate && systemctl reload haproxy")
    assert host.check_output(served) != before
    ended = "while systemctl --quiet is-active slow; do sleep 1; done"
    assert host.check_output(f"{ended}; cat /root/slow") == "200"


@pytest.mark.on("balancer")
def test_the_load_balancer_starts_at_boot(host: Host) -> None:
    assert host.service("haproxy").is_enabled


ASKED = (
    "python3 -c \"import socket; s = socket.create_connection(('balancer', 5500), 5); s.sendall(b'hello'); "
    'print(s.recv(100).decode())"'
)


def answering(host: Host, times: int = 6) -> set[str]:
    """Nodes that answered, each of which got what was sent as it was."""
    answers = [host.check_output(ASKED) for _ in range(times)]
    assert all(answer.endswith(" hello") for answer in answers)
    return {answer.split()[0] for answer in answers}


def until_second_is(state: str) -> str:
    """A command that waits until the balancer says so of the second node, or fails."""
    line = f'server_status{{proxy="exchange-5500",server="second",state="{state}"}} 1'
    return f"for i in $(seq 60); do {METRICS} | grep -qF '{line}' && exit 0; sleep 1; done; exit 1"


@pytest.mark.on("citizen")
def test_connections_are_passed_on_to_all_nodes_that_are_well(host: Host, machine: Machines) -> None:
    """One in maintenance gets no more, and comes back."""
    assert answering(host) == {"worker", "security-server"}
    try:
        machine("security-server").check_output("rm /root/well")
        machine("balancer").check_output(until_second_is("DOWN"))
        assert answering(host) == {"worker"}
    finally:
        machine("security-server").check_output("touch /root/well")
    machine("balancer").check_output(until_second_is("UP"))
    assert answering(host) == {"worker", "security-server"}
