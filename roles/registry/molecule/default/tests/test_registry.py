"""The image registry, as those who push and pull see it."""

import hashlib
import json
import re

from testinfra.host import Host

CURL = "curl --silent --show-error --cacert /etc/smartgouv/tls/root.crt"
STATUS = f"{CURL} --output /dev/null --write-out '%{{http_code}}'"
REGISTRY = "https://registry.test:5000"
PUSH = "--user push:a-password-to-push-with"
PULL = "--user pull:a-password-to-pull-with"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


IMAGE = f"{REGISTRY}/v2/smartgouv/empty"
CONFIGURATION = "{}"
DIGEST_OF_CONFIGURATION = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def pushed(host: Host) -> str:
    """Push the smallest image there is and return the digest of its manifest."""
    configuration = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": DIGEST_OF_CONFIGURATION,
        "size": len(CONFIGURATION),
    }
    image = {"schemaVersion": 2, "mediaType": MANIFEST, "config": configuration, "layers": []}
    manifest = json.dumps(image)
    push = f"{CURL} --fail {PUSH}"
    answer = host.check_output(f"{push} -X POST --dump-header - --output /dev/null {IMAGE}/blobs/uploads/")
    place = re.search(r"(?im)^location: (\S+)", answer)
    assert place is not None
    blob = f"-H 'content-type: application/octet-stream' --data-binary '{CONFIGURATION}'"
    host.check_output(f"{push} -X PUT {blob} '{place[1]}&digest={DIGEST_OF_CONFIGURATION}'")
    host.check_output(
        f"{push} -X PUT -H 'content-type: {MANIFEST}' --data-binary '{manifest}' {IMAGE}/manifests/1"
    )
    return f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"


def test_nothing_is_read_or_written_without_an_account(host: Host) -> None:
    assert host.check_output(f"{STATUS} {REGISTRY}/v2/") == "401"
    assert host.check_output(f"{STATUS} {REGISTRY}/v2/_catalog") == "401"
    assert host.check_output(f"{STATUS} -X POST {REGISTRY}/v2/smartgouv/x/blobs/uploads/") == "401"
    assert host.check_output(f"{STATUS} --user push:guess {REGISTRY}/v2/") == "401"


def test_an_image_that_was_pushed_is_pulled_by_its_digest(host: Host) -> None:
    digest = pushed(host)
    asked = f"-H 'accept: {MANIFEST}' {IMAGE}/manifests/{digest}"
    assert json.loads(host.check_output(f"{CURL} --fail {PULL} {asked}"))["schemaVersion"] == 2


def test_nothing_can_be_deleted(host: Host) -> None:
    digest = pushed(host)
    place = f"{IMAGE}/manifests/{digest}"
    assert host.check_output(f"{STATUS} {PUSH} -X DELETE {place}") == "405"
    assert host.check_output(f"{STATUS} {PULL} -H 'accept: {MANIFEST}' {place}") == "200"


def test_images_survive_a_restart(host: Host) -> None:
    digest = pushed(host)
    place = f"{IMAGE}/manifests/{digest}"
    host.check_output("systemctl restart docker-registry")
    retry = "--retry 10 --retry-connrefused --retry-delay 1"
    assert host.check_output(f"{STATUS} {retry} {PULL} -H 'accept: {MANIFEST}' {place}") == "200"


def test_only_tls_of_today_is_spoken(host: Host) -> None:
    assert host.run(f"{STATUS} --tls-max 1.1 {REGISTRY}/v2/").rc == 35
    in_clear = host.check_output("curl --silent http://registry.test:5000/v2/")
    assert in_clear.startswith("Client sent an HTTP request to an HTTPS server")


def test_passwords_are_kept_as_hashes_and_logged_nowhere(host: Host) -> None:
    accounts = host.file("/etc/docker/registry/accounts")
    assert accounts.mode == 0o640
    assert accounts.group == "docker-registry"
    kept = [line.split("$")[0:2] for line in accounts.content_string.splitlines()]
    assert kept == [["push:", "2b"], ["pull:", "2b"]]
    assert "a-password-to" not in host.check_output("journalctl --no-pager")


def test_the_registry_does_not_run_as_root_and_starts_at_boot(host: Host) -> None:
    assert host.process.get(comm="docker-registry").user == "docker-registry"
    assert host.service("docker-registry").is_enabled
