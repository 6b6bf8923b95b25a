"""What the authorities issue, asked for in the way that their clients ask."""

from __future__ import annotations

import re

import pytest
from testinfra.host import Host

ROOT = "/etc/smartgouv/root/root.crt"
CA = "/etc/smartgouv/ca"
URL = "https://authority.site.test"
PASSWORD = "order-certificates-of-hosts"


def issued(host: Host, subject: str, names: list[str], request: str) -> str:
    """The certificate, as text, that hosts get for a request made by openssl."""
    common_name = re.findall("/CN=([^/]+)", subject)[0]
    sans = " ".join(f"--san={name}" for name in names)
    server = f"--ca-url={URL}:9443 --root={ROOT}"
    host.check_output(
        "openssl req -new -newkey rsa:2048 -nodes -keyout /run/hosts.key -out /run/hosts.csr "
        f"-subj '{subject}' {request}"
    )
    host.check_output(
        f"printf %s {PASSWORD} | step ca token '{common_name}' {sans} {server} "
        f"--provisioner=hosts --provisioner-password-file=/dev/stdin > /run/token"
    )
    host.check_output(f"step ca sign /run/hosts.csr /run/hosts.crt --token=$(cat /run/token) {server} --force")
    return host.check_output("openssl x509 -in /run/hosts.crt -noout -text -nameopt multiline")


def usage(text: str, extension: str) -> set[str]:
    """Values of an extension of a certificate; none where it lacks the extension."""
    found = re.search(rf"X509v3 {extension}: *(?:critical)?\s*\n\s*(.+)", text)
    return set(found[1].split(", ")) if found else set()


@pytest.mark.parametrize("name", ["infrastructure-tls", "trust-services"])
def test_issuers_chain_to_the_root(host: Host, name: str) -> None:
    """Every issuing authority is below the root and may have no authority below itself."""
    assert host.run(f"openssl verify -CAfile {ROOT} {CA}/{name}/ca.crt").rc == 0
    text = host.check_output(f"openssl x509 -in {CA}/{name}/ca.crt -noout -text")
    assert "CA:TRUE, pathlen:0" in text
    assert usage(text, "Key Usage") == {"Digital Signature", "Certificate Sign", "CRL Sign"}


def test_names_and_keys_of_the_authorities(host: Host) -> None:
    """Names are the inventory's; the trust services key is RSA, which every X-Road server takes."""
    subject = host.check_output(f"openssl x509 -in {ROOT} -noout -subject -nameopt RFC2253")
    assert subject == "subject=CN=Scenario Root CA,O=Scenario,C=BJ"
    assert "(384 bit)" in host.check_output(f"openssl x509 -in {ROOT} -noout -text")
    assert "(3072 bit)" in host.check_output(f"openssl x509 -in {CA}/trust-services/ca.crt -noout -text")


@pytest.mark.parametrize("name", ["infrastructure-tls", "trust-services"])
def test_keys_are_in_tokens(host: Host, name: str) -> None:
    """No key lies in a file of its own, and the token shows none without its PIN."""
    assert host.run("grep -rl 'PRIVATE KEY' /etc/smartgouv /var/lib/smartgouv-ca").stdout == ""
    tool = (
        f"SOFTHSM2_CONF={CA}/{name}/softhsm2.conf pkcs11-tool --module /usr/lib/softhsm/libsofthsm2.so "
        f"--token-label {name}"
    )
    assert "Private Key Object" not in host.check_output(f"{tool} --list-objects")
    shown = host.check_output(f"PIN=open-the-{name}-token {tool} --login --pin env:PIN --list-objects")
    assert f"{name}-1" in shown
    assert "never extractable" in shown


@pytest.mark.parametrize("name", ["infrastructure-tls", "trust-services"])
def test_pins_are_for_the_service_alone(host: Host, name: str) -> None:
    """Its account may read them, and nobody else."""
    for file in ("pin", "officer-pin"):
        found = host.file(f"{CA}/{name}/{file}")
        assert (found.user, found.group, found.mode) == ("root", f"ca-{name}", 0o640)
    tokens = host.file(f"/var/lib/smartgouv-ca/{name}/tokens")
    assert (tokens.user, tokens.mode) == (f"ca-{name}", 0o700)


def test_one_issuer_cannot_read_the_other(host: Host) -> None:
    """Each service has an account of its own."""
    account = "ca-infrastructure-tls"
    tried = host.run(f"setpriv --reuid={account} --regid={account} --clear-groups cat {CA}/trust-services/pin")
    token = host.run(
        f"setpriv --reuid={account} --regid={account} --clear-groups ls /var/lib/smartgouv-ca/trust-services"
    )
    users = host.check_output("ps -C step-ca -o user:40= | sort").split()

    assert tried.rc != 0
    assert token.rc != 0
    assert users == ["ca-infrastructure-tls"]


def test_no_secret_is_in_an_argument(host: Host) -> None:
    """PINs reach the services as credentials, not as arguments."""
    assert "open-the" not in host.check_output("ps -eo args")


def test_the_tls_authority_answers(host: Host) -> None:
    """Clients that trust the root reach it by its name. The other authority is another role's to run."""
    assert "ok" in host.check_output(f"curl -sS --cacert {ROOT} {URL}:9443/health")
    assert not host.service("certificate-authority@trust-services").is_enabled


def test_acme_directory_is_offered(host: Host) -> None:
    """Programs that speak ACME find the infrastructure authority's directory."""
    assert "newOrder" in host.check_output(f"curl -sS --cacert {ROOT} {URL}:9443/acme/acme/directory")


def test_tls_certificate(host: Host) -> None:
    """A host gets what a TLS server and client need, for its names, for thirty days at most."""
    names = ["web.site.test", "alias.site.test"]
    request = "-addext subjectAltName=DNS:web.site.test,DNS:alias.site.test"
    text = issued(host, "/CN=web.site.test", names, request)

    assert usage(text, "Subject Alternative Name") == {"DNS:web.site.test", "DNS:alias.site.test"}
    assert usage(text, "Extended Key Usage") == {
        "TLS Web Server Authentication",
        "TLS Web Client Authentication",
    }
    assert host.run("openssl x509 -in /run/hosts.crt -noout -checkend 2592060").rc == 1
    assert host.run("openssl x509 -in /run/hosts.crt -noout -checkend 2505600").rc == 0


def test_token_is_good_for_its_names_only(host: Host) -> None:
    """A token for one host's name doesn't buy a certificate for another's."""
    request = "-addext subjectAltName=DNS:bank.site.test"

    with pytest.raises(AssertionError, match="valid DNS names"):
        issued(host, "/CN=web.site.test", ["web.site.test"], request)


def test_wrong_password_buys_nothing(host: Host) -> None:
    """Who doesn't know the provisioner's password gets no token."""
    tried = host.run(
        f"printf wrong | step ca token ss1 --ca-url={URL}:9443 --root={ROOT} --provisioner=hosts "
        "--provisioner-password-file=/dev/stdin"
    )

    assert tried.rc != 0
    assert tried.stdout == ""
