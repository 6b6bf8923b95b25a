"""The database service, as its clients and its administrators see it."""

from collections.abc import Callable

import pytest
from testinfra.backend.base import CommandResult
from testinfra.host import Host

Machines = Callable[[str], Host]


def ask(
    host: Host,
    sql: str,
    role: str = "portal",
    database: str = "portal",
    password: str = "a-password-of-the-portal",
    tls: str = "verify-full",
) -> CommandResult:
    """Run a statement over the network, as the portal unless told otherwise."""
    place = f"host=database.test user={role} dbname={database} sslmode={tls} connect_timeout=5"
    root = "sslrootcert=/etc/smartgouv/tls/root.crt"
    return host.run(f"PGPASSWORD={password} psql -XAt '{place} {root}' -c \"{sql}\"")


def administer(host: Host, sql: str) -> str:
    """Run a statement on the host itself, as its administrator."""
    return host.check_output(f"runuser -u postgres -- psql -XAt -c \"{sql}\"")


@pytest.mark.on("client")
def test_an_owner_works_in_its_database_over_tls_1_3(host: Host) -> None:
    statement = "CREATE TABLE notes (n int); INSERT INTO notes VALUES (7); SELECT n FROM notes; DROP TABLE notes"
    assert "\n7\n" in ask(host, statement).stdout
    version = ask(host, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert version.stdout.strip() == "TLSv1.3"


@pytest.mark.on("client")
def test_nobody_connects_in_clear(host: Host) -> None:
    refused = ask(host, "SELECT 1", tls="disable")
    assert refused.rc == 2
    assert "no encryption" in refused.stderr


@pytest.mark.on("client")
def test_a_wrong_password_is_refused(host: Host) -> None:
    assert "password authentication failed" in ask(host, "SELECT 1", password="guess").stderr


@pytest.mark.on("client")
@pytest.mark.parametrize("database", ["health", "postgres", "template1"])
def test_an_owner_cannot_enter_another_database(host: Host, database: str) -> None:
    assert "no pg_hba.conf entry" in ask(host, "SELECT 1", database=database).stderr


@pytest.mark.on("client")
def test_the_administrator_cannot_come_over_the_network(host: Host) -> None:
    refused = ask(host, "SELECT 1", role="postgres", database="postgres", password="x")
    assert "no pg_hba.conf entry" in refused.stderr


@pytest.mark.on("stranger")
def test_another_host_cannot_use_a_right_password(host: Host) -> None:
    assert "no pg_hba.conf entry" in ask(host, "SELECT 1").stderr


@pytest.mark.on("database")
def test_only_the_owner_may_connect_even_from_the_host_itself(host: Host) -> None:
    asked = "SELECT has_database_privilege('portal', 'health', 'connect'), has_database_privilege('health', 'health', 'connect')"
    assert administer(host, asked) == "f|t"


@pytest.mark.on("database")
def test_roles_have_no_right_over_the_server(host: Host) -> None:
    powers = "rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
    assert administer(host, f"SELECT count(*) FROM pg_roles WHERE rolname IN ('portal', 'health') AND ({powers})") == "0"


@pytest.mark.on("database")
def test_passwords_are_kept_as_verifiers_and_appear_in_no_log(host: Host) -> None:
    kept = "SELECT count(*) FROM pg_authid WHERE rolname IN ('portal', 'health') AND rolpassword LIKE 'SCRAM-SHA-256$%'"
    assert administer(host, kept.replace("$", "\\$")) == "2"
    logged = host.check_output("cat /var/log/postgresql/*.log; journalctl --no-pager")
    assert "CREATE DATABASE" in logged
    assert "a-password-of" not in logged


@pytest.mark.on("database")
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_version_num", "17"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("shared_buffers", "128MB"),
        ("TimeZone", "Etc/UTC"),
    ],
)
def test_the_cluster_is_made_as_described(host: Host, setting: str, value: str) -> None:
    assert administer(host, f"SHOW {setting}").startswith(value)


@pytest.mark.on("database")
def test_a_renewed_certificate_is_taken_by_a_reload(host: Host) -> None:
    served = "openssl s_client -starttls postgres -connect database.test:5432 </dev/null 2>/dev/null | openssl x509 -noout -serial"
    before = host.check_output(served)
    host.check_output("/root/issue-host-certificate && systemctl reload postgresql@17-main && sleep 1")
    assert host.check_output(served) != before


@pytest.mark.on("database")
def test_the_cluster_starts_at_boot(host: Host) -> None:
    assert host.service("postgresql").is_enabled
    assert host.service("postgresql@17-main").is_running
