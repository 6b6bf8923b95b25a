"""The image registry, as those who push and pull see it."""

from testinfra.host import Host

CURL = "curl --silent --show-error --cacert /etc/smartgouv/tls/root.crt"
STATUS = f"{CURL} --output /dev/null --write-out '%{{http_code}}'"
REGISTRY = "https://registry.test:5000"
PUSH = "--user push:a-password-to-push-with"
PULL = "--user pull:a-password-to-pull-with"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def pushed(host: Host) -> str:
    """Push the smallest image there is and return the digest of its manifest."""
    script = f"""
set -eu
cd "$(mktemp -d)"
printf '{{}}' > config
digest=sha256:$(sha256sum config | cut -d' ' -f1)
place=$({CURL} {PUSH} -X POST -D - -o /dev/null {REGISTRY}/v2/smartgouv/empty/blobs/uploads/ | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')
{CURL} {PUSH} --fail -X PUT -H 'content-type: application/octet-stream' --data-binary @config "$place&digest=$digest"
printf '{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":2}},"layers":[]}}' "$digest" > manifest
{CURL} {PUSH} --fail -X PUT -H 'content-type: {MANIFEST}' --data-binary @manifest {REGISTRY}/v2/smartgouv/empty/manifests/1
echo "sha256:$(sha256sum manifest | cut -d' ' -f1)"
"""
    return host.check_output("sh -c %s", script).splitlines()[-1]


def test_nothing_is_read_or_written_without_an_account(host: Host) -> None:
    assert host.check_output(f"{STATUS} {REGISTRY}/v2/") == "401"
    assert host.check_output(f"{STATUS} {REGISTRY}/v2/_catalog") == "401"
    assert host.check_output(f"{STATUS} -X POST {REGISTRY}/v2/smartgouv/x/blobs/uploads/") == "401"
    assert host.check_output(f"{STATUS} --user push:guess {REGISTRY}/v2/") == "401"


def test_an_image_that_was_pushed_is_pulled_by_its_digest(host: Host) -> None:
    digest = pushed(host)
    asked = f"-H 'accept: {MANIFEST}' {REGISTRY}/v2/smartgouv/empty/manifests/{digest}"
    assert '"schemaVersion":2' in host.check_output(f"{CURL} --fail {PULL} {asked}")


def test_nothing_can_be_deleted(host: Host) -> None:
    digest = pushed(host)
    place = f"{REGISTRY}/v2/smartgouv/empty/manifests/{digest}"
    assert host.check_output(f"{STATUS} {PUSH} -X DELETE {place}") == "405"
    assert host.check_output(f"{STATUS} {PULL} -H 'accept: {MANIFEST}' {place}") == "200"


def test_images_survive_a_restart(host: Host) -> None:
    digest = pushed(host)
    place = f"{REGISTRY}/v2/smartgouv/empty/manifests/{digest}"
    host.check_output("systemctl restart docker-registry")
    retry = "--retry 10 --retry-connrefused --retry-delay 1"
    assert host.check_output(f"{STATUS} {retry} {PULL} -H 'accept: {MANIFEST}' {place}") == "200"


def test_only_tls_of_today_is_spoken(host: Host) -> None:
    assert host.run(f"{STATUS} --tls-max 1.1 {REGISTRY}/v2/").rc == 35
    assert host.check_output("curl --silent http://registry.test:5000/v2/").startswith("Client sent an HTTP request to an HTTPS")


def test_passwords_are_kept_as_hashes_and_logged_nowhere(host: Host) -> None:
    accounts = host.file("/etc/docker/registry/accounts")
    assert accounts.mode == 0o640
    assert accounts.group == "docker-registry"
    assert [line.split("$")[0:2] for line in accounts.content_string.splitlines()] == [["push:", "2b"], ["pull:", "2b"]]
    assert "a-password-to" not in host.check_output("journalctl --no-pager")


def test_the_registry_does_not_run_as_root_and_starts_at_boot(host: Host) -> None:
    assert host.process.get(comm="docker-registry").user == "docker-registry"
    assert host.service("docker-registry").is_enabled
