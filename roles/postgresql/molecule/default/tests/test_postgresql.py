"""The database service, as its clients and its administrators see it."""

import pytest
from testinfra.backend.base import CommandResult
from testinfra.host import Host

PASSWORD = "a-password-of-the-portal"


def ask(
    host: Host,
    sql: str,
    role: str = "portal",
    database: str = "portal",
    password: str = PASSWORD,
    tls: str = "verify-full",
) -> CommandResult:
    """Run a statement over the network, as the portal unless told otherwise."""
    place = f"host=database.test user={role} dbname={database} sslmode={tls} connect_timeout=5"
    root = "sslrootcert=/etc/smartgouv/tls/root.crt"
    return host.run(f"PGPASSWORD={password} psql -XAt '{place} {root}' -c \"{sql}\"")


def administer(host: Host, sql: str) -> str:
    """Run a statement on the host itself, as its administrator."""
    return host.check_output(f'runuser -u postgres -- psql -XAt -c "{sql}"')


@pytest.mark.on("client")
def test_an_owner_works_in_its_database_over_tls_1_3(host: Host) -> None:
    statement = "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7); SELECT n FROM kept; DROP TABLE kept"
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


@pytest.mark.on("database")
def test_a_host_that_is_not_listed_cannot_use_a_right_password(host: Host) -> None:
    assert "no pg_hba.conf entry" in ask(host, "SELECT 1").stderr


@pytest.mark.on("database")
@pytest.mark.parametrize(("role", "may"), [("portal", "f"), ("health", "t")])
def test_only_the_owner_may_connect_even_from_the_host_itself(host: Host, role: str, may: str) -> None:
    assert administer(host, f"SELECT has_database_privilege('{role}', 'health', 'connect')") == may


@pytest.mark.on("database")
def test_roles_have_no_right_over_the_server(host: Host) -> None:
    listed = administer(host, "\\\\du")
    assert "portal|3 connections\n" in listed + "\n"
    assert "health|3 connections\n" in listed + "\n"


@pytest.mark.on("database")
def test_passwords_are_kept_as_verifiers_and_appear_in_no_log(host: Host) -> None:
    kept = administer(host, "SELECT rolpassword FROM pg_authid WHERE rolname IN ('portal', 'health')")
    assert [line.partition("$")[0] for line in kept.splitlines()] == ["SCRAM-SHA-256", "SCRAM-SHA-256"]
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
    shown = "openssl s_client -starttls postgres -connect database.test:5432 </dev/null 2>/dev/null"
    served = f"{shown} | openssl x509 -noout -serial"
    before = host.check_output(served)
    host.check_output("/root/issue-host-certificate && systemctl reload postgresql@17-main && sleep 1")
    assert host.check_output(served) != before


@pytest.mark.on("database")
def test_the_cluster_starts_at_boot(host: Host) -> None:
    assert host.service("postgresql").is_enabled
    assert host.service("postgresql@17-main").is_running
