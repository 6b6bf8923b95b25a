"""Two nodes: what the primary changes reaches the secondary, and nothing goes the other way."""

from collections.abc import Callable

import pytest
from testinfra.host import Host

Machines = Callable[[str], Host]

OWN = "PGPASSWORD=ALongPassword1234 psql -qtAX --host=127.0.0.1 --port=5433 --username=serverconf serverconf"
CODES = "SELECT code FROM serverconf.identifier"
SOON = "for i in $(seq 60); do {} && exit 0; sleep 1; done; exit 1"


def own(statement: str) -> str:
    """A statement as X-Road's programs on the node give it."""
    return f'{OWN} --command="{statement}"'


def test_nodes_open_their_database_with_one_password(host: Host) -> None:
    assert "before" in host.check_output(own(CODES))


@pytest.mark.on("secondary")
def test_a_change_streams_to_the_secondary(host: Host, machine: Machines) -> None:
    machine("primary").check_output(own("INSERT INTO serverconf.identifier VALUES (2, 'after')"))
    asked = f"{own(CODES)} | grep -q after"
    host.check_output(SOON.format(asked))


@pytest.mark.on("secondary")
def test_the_secondary_only_reads(host: Host) -> None:
    done = host.run(own("INSERT INTO serverconf.identifier VALUES (3, 'wrong')"))
    assert done.rc != 0
    assert "read-only transaction" in done.stderr


@pytest.mark.on("primary")
def test_the_secondary_replicates_over_tls_with_its_certificate(host: Host) -> None:
    shown = host.check_output(
        "cd / && runuser --user postgres -- psql -p 5433 -qtAX --command="
        "'SELECT usename, state, client_dn FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)'"
    )
    assert shown == "secondary|streaming|/CN=secondary"


@pytest.mark.on("secondary")
def test_files_are_fetched_but_for_each_nodes_own(host: Host, machine: Machines) -> None:
    primary = machine("primary")
    primary.check_output("install -o xroad -g xroad -m 0640 /dev/null /etc/xroad/signer/new-key")
    host.check_output("systemctl start xroad-sync.service")
    assert host.file("/etc/xroad/signer/new-key").user == "xroad"
    assert host.file("/etc/xroad/signer/keyconf.xml").content_string == "keys\n"
    assert host.file("/etc/xroad/ssl/own").content_string == "secondary\n"
    primary.check_output("rm /etc/xroad/signer/new-key")
    host.check_output("systemctl start xroad-sync.service")
    assert not host.file("/etc/xroad/signer/new-key").exists


@pytest.mark.on("secondary")
def test_fetching_can_be_paused_for_an_upgrade(host: Host, machine: Machines) -> None:
    primary = machine("primary")
    host.check_output("xroad-cluster pause")
    try:
        primary.check_output(own("INSERT INTO serverconf.identifier VALUES (9, 'upgraded')"))
        primary.check_output("echo new >/etc/xroad/later")
        primary.check_output("chown xroad:xroad /etc/xroad/later")
        host.check_output("systemctl start xroad-sync.service")
        assert not host.file("/etc/xroad/later").exists
        assert "upgraded" not in host.check_output(own(CODES))
    finally:
        host.check_output("xroad-cluster resume")
    assert host.file("/etc/xroad/later").exists
    assert "upgraded" in host.check_output(own(CODES))


@pytest.mark.on("secondary")
def test_the_key_of_a_secondary_reads_the_configuration_and_does_nothing_else(
    host: Host, addresses: dict[str, str]
) -> None:
    ssh = (
        "runuser --user xroad -- ssh -i /var/lib/xroad/.ssh/cluster -o BatchMode=yes "
        f"-o UserKnownHostsFile=/etc/smartgouv/cluster/known_hosts xroad-slave@{addresses['primary']}"
    )
    assert host.run(f"{ssh} id").rc != 0
    assert "uid=" not in host.run(f"{ssh} id").stdout


@pytest.mark.on("secondary")
def test_x_road_is_told_where_its_configuration_is(host: Host) -> None:
    lines = host.file("/etc/xroad/db.properties").content_string.splitlines()
    assert "serverconf.hibernate.connection.url = jdbc:postgresql://127.0.0.1:5433/serverconf" in lines
    assert "serverconf.hibernate.connection.password = ALongPassword1234" in lines
    assert host.file("/etc/xroad/db.properties").mode == 0o640


@pytest.mark.on("primary")
def test_what_is_not_the_configuration_stays_where_it_was(host: Host) -> None:
    lines = host.file("/etc/xroad/db.properties").content_string.splitlines()
    assert "messagelog.hibernate.connection.url = jdbc:postgresql://127.0.0.1:5432/messagelog" in lines


def test_the_program_has_nothing_left_to_do(host: Host) -> None:
    assert host.check_output("xroad-cluster check") == ""
    assert host.service("postgresql@17-serverconf").is_enabled
