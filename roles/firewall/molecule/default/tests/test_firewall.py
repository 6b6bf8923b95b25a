"""What the packet filter lets through, seen from outside."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from testinfra.host import Host

Machine = Callable[[str], Host]
INNER = "198.51.100.7"


def connects(source: Host, target: str, port: int) -> bool:
    """Whether a TCP connection opens."""
    return source.run(f"nc -z -w 2 {target} {port}").rc == 0


@pytest.mark.on("node")
@pytest.mark.parametrize(
    ("source", "port", "opens"),
    [
        ("friend", 22, True),
        ("friend", 8000, True),
        ("friend", 8001, True),
        ("friend", 8002, False),
        ("stranger", 22, False),
        ("stranger", 8000, False),
        ("stranger", 8002, False),
    ],
)
def test_only_listed_connections_open(
    machine: Machine, addresses: dict[str, str], source: str, port: int, opens: bool
) -> None:
    """A source reaches the ports that a rule gives it, and no others."""
    assert connects(machine(source), addresses["node"], port) is opens


@pytest.mark.on("node")
@pytest.mark.parametrize(
    ("source", "port", "opens"), [("friend", 8000, True), ("friend", 8001, False), ("stranger", 8000, False)]
)
def test_only_listed_connections_are_passed_on(machine: Machine, source: str, port: int, opens: bool) -> None:
    """A router passes on what a rule allows, and nothing else."""
    assert connects(machine(source), INNER, port) is opens


@pytest.mark.on("node")
def test_echo_is_answered(machine: Machine, addresses: dict[str, str]) -> None:
    """Reachability can be measured from anywhere."""
    assert machine("stranger").run(f"ping -c 1 -W 2 {addresses['node']}").rc == 0


VRRP = """python3 - <<'END'
import socket
socket.socket(socket.AF_INET, socket.SOCK_RAW, 112).sendto(b'hello', ('{node}', 0))
END"""


@pytest.mark.on("node")
def test_only_those_who_share_an_address_speak_vrrp(
    machine: Machine, host: Host, addresses: dict[str, str]
) -> None:
    """Whoever else could take the address for itself by saying so."""

    def counted() -> str:
        table = host.check_output("nft list table inet smartgouv")
        return next(line for line in table.splitlines() if 'comment "shared"' in line)

    before = counted()
    machine("stranger").check_output(VRRP.format(node=addresses["node"]))
    assert counted() == before
    machine("friend").check_output(VRRP.format(node=addresses["node"]))
    assert counted() != before


@pytest.mark.on("node")
def test_host_itself_connects_freely(host: Host, addresses: dict[str, str]) -> None:
    """Answers to the host's own connections come back in, and loopback is open."""
    assert connects(host, addresses["inner"], 8002)
    assert connects(host, "127.0.0.1", 8002)


@pytest.mark.on("node")
def test_drops_and_flows_are_counted(machine: Machine, host: Host, addresses: dict[str, str]) -> None:
    """Each flow and each chain's drops have a counter that moves."""
    connects(machine("friend"), addresses["node"], 8000)
    connects(machine("stranger"), addresses["node"], 8000)
    table = host.check_output("nft list table inet smartgouv")
    ledger = next(line for line in table.splitlines() if 'comment "ledger"' in line)
    dropped = host.check_output("nft list counter inet smartgouv dropped_input")

    assert "packets 0 " not in ledger
    assert "packets 0 " not in dropped


@pytest.mark.on("node")
def test_tables_of_others_survive(host: Host) -> None:
    """Neither loading nor stopping the service touches tables of other programs."""
    host.check_output("systemctl restart firewall.service")

    assert "table ip somebody" in host.check_output("nft list tables")
    assert "table inet smartgouv" in host.check_output("nft list tables")


@pytest.mark.on("node")
def test_rules_return_at_boot(host: Host) -> None:
    """The service loads the rules when the host starts."""
    assert host.service("firewall").is_enabled


@pytest.mark.on("node")
def test_fall_back_is_disarmed(host: Host) -> None:
    """Proven rules stay."""
    assert host.run("systemctl is-active firewall-fallback.timer").rc != 0
