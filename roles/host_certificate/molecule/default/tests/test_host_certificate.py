import pytest

TLS = "/etc/smartgouv/tls"

pytestmark = pytest.mark.on("node")


def test_certificate_chains_to_the_root_for_both_names(host):
    for name in ("node.site.test", "service.site.test"):
        verified = host.run(
            f"cd {TLS} && openssl verify -CAfile root.crt -untrusted host.crt -verify_hostname {name} host.crt"
        )
        assert verified.rc == 0, verified.stderr


def test_certificate_lives_a_day(host):
    assert host.run(f"openssl x509 -in {TLS}/host.crt -noout -checkend 82800").rc == 0
    assert host.run(f"openssl x509 -in {TLS}/host.crt -noout -checkend 90000").rc == 1


def test_chain_has_the_issuing_authority(host):
    assert host.file(f"{TLS}/host.crt").content_string.count("BEGIN CERTIFICATE") == 2


def test_only_the_group_reads_the_key(host):
    key = host.file(f"{TLS}/host.key")

    assert (key.user, key.group, key.mode) == ("root", "ssl-cert", 0o640)


def test_root_is_trusted_by_the_system(host):
    assert host.run("curl --silent --fail https://authority.site.test:9443/health").rc == 0


def test_timer_waits(host):
    assert host.service("host-certificate.timer").is_running
    assert host.service("host-certificate.timer").is_enabled


def test_reader_was_told(host):
    assert host.file("/run/reader").content_string.startswith("reloaded")


def test_renewal_waits_until_a_third_is_left(host):
    before = host.run(f"sha256sum {TLS}/host.crt").stdout

    assert host.run("systemctl start host-certificate.service").rc == 0
    assert host.run(f"sha256sum {TLS}/host.crt").stdout == before


def test_late_certificate_is_renewed_with_the_same_key(host):
    key = host.run(f"sha256sum {TLS}/host.key").stdout
    before = host.run(f"openssl x509 -in {TLS}/host.crt -noout -serial").stdout
    # The tool believes in a life of 90 hours, so that what is left of a day is less than a third of it.
    host.run(
        "sed 's/^lifetime=.*/lifetime=90/' /usr/local/sbin/host-certificate > /root/late; chmod +x /root/late"
    )
    renewed = host.run("/root/late renew")

    assert renewed.rc == 0, renewed.stderr
    assert host.run(f"openssl x509 -in {TLS}/host.crt -noout -serial").stdout != before
    assert host.run(f"sha256sum {TLS}/host.key").stdout == key
    assert host.file(f"{TLS}/host.key").mode == 0o640
    assert host.run("/usr/local/sbin/host-certificate check").rc == 0


def test_a_renewal_can_be_had_at_once(host):
    before = host.run(f"openssl x509 -in {TLS}/host.crt -noout -serial").stdout
    key = host.run(f"sha256sum {TLS}/host.key").stdout
    renewed = host.run("/usr/local/sbin/host-certificate renew now")

    assert renewed.rc == 0, renewed.stderr
    assert host.run(f"openssl x509 -in {TLS}/host.crt -noout -serial").stdout != before
    assert host.run(f"sha256sum {TLS}/host.key").stdout == key


def test_a_certificate_of_a_former_authority_is_noticed(host):
    host.run("sed 's/^issuer=.*/issuer=Successor/' /usr/local/sbin/host-certificate > /root/successor")
    noticed = host.run("sh /root/successor check")

    assert noticed.rc == 1
    assert "it was issued by 'Scenario Intermediate CA', not 'Successor'" in noticed.stderr


def test_the_key_stays_when_another_certificate_is_asked_for(host, machine):
    """Whoever reads both while they change sees no certificate with another's key."""
    serial = f"openssl x509 -in {TLS}/host.crt -noout -serial"
    before, key = host.check_output(serial), host.check_output(f"sha256sum {TLS}/host.key")
    host.check_output(f"printf %s '{token(machine)}' | /usr/local/sbin/host-certificate enrol")

    assert host.check_output(serial) != before
    assert host.check_output(f"sha256sum {TLS}/host.key") == key
    assert host.run("/usr/local/sbin/host-certificate check").rc == 0


def test_a_missing_key_is_made(host, machine):
    key = host.check_output(f"sha256sum {TLS}/host.key")
    host.check_output(f"rm {TLS}/host.key")
    host.check_output(f"printf %s '{token(machine)}' | /usr/local/sbin/host-certificate enrol")

    assert host.check_output(f"sha256sum {TLS}/host.key") != key
    assert host.file(f"{TLS}/host.key").mode == 0o640
    assert host.run("/usr/local/sbin/host-certificate check").rc == 0


def token(machine):
    """Good for one certificate of the host."""
    return machine("authority").check_output(
        "step ca token node.site.test --san=node.site.test --san=service.site.test --provisioner=hosts"
        " --ca-url=https://authority.site.test:9443 --root=/root/authority/certs/root_ca.crt"
        " --provisioner-password-file=/root/password"
    )


def test_a_foreign_key_is_noticed(host):
    host.run(f"cp -a {TLS} /root/tls-copy")
    host.run(f"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {TLS}/host.key")
    noticed = host.run("/usr/local/sbin/host-certificate check")
    host.run(f"cp -a /root/tls-copy/host.key {TLS}/host.key")

    assert noticed.rc == 1
    assert "the key is another" in noticed.stderr
    assert host.run("/usr/local/sbin/host-certificate check").rc == 0


def test_no_token_or_password_is_left(host):
    assert host.run("grep -rl scenario-only /etc /root /var/log /usr/local").stdout == ""
