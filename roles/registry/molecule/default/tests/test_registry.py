"""The image registry, as those who push and pull see it."""

import hashlib
import json
import re
from urllib.parse import urljoin

from testinfra.host import Host

CURL = "curl --silent --show-error --cacert /etc/smartgouv/tls/root.crt"
STATUS = f"{CURL} --output /dev/null --write-out '%{{http_code}}'"
A_LINE_EACH = STATUS.replace("}'", "}\\n'")
REGISTRY = "https://registry.test:5000"
PUSH = "--user push:a-password-to-push-with"
PULL = "--user pull:a-password-to-pull-with"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
SOCKET = "/run/docker-registry/http.sock"
RENEW = "/root/issue-host-certificate && systemctl try-reload-or-restart registry-tls"
SHOWN = "openssl s_client -connect registry.test:5000 </dev/null 2>/dev/null | openssl x509 -noout -serial"
PROCESSES = "systemctl show --property=MainPID --value registry-tls docker-registry"

IMAGE = f"{REGISTRY}/v2/smartgouv/empty"
CONFIGURATION = "{}"
DIGEST_OF_CONFIGURATION = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def upload(host: Host) -> str:
    """Begin to upload a blob and return where it is to be sent."""
    begin = f"{CURL} --fail {PUSH} -X POST --dump-header - --output /dev/null {IMAGE}/blobs/uploads/"
    place = re.search(r"(?im)^location: (\S+)", host.check_output(begin))
    assert place is not None
    return urljoin(IMAGE, place[1])


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
    blob = f"-H 'content-type: application/octet-stream' --data-binary '{CONFIGURATION}'"
    host.check_output(f"{push} -X PUT {blob} '{upload(host)}&digest={DIGEST_OF_CONFIGURATION}'")
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
    in_clear = host.run("curl --silent --show-error http://registry.test:5000/v2/")
    assert in_clear.rc == 52
    assert in_clear.stderr.strip() == "curl: (52) Empty reply from server"


def test_an_upload_continues_at_the_address_that_the_client_knows(host: Host) -> None:
    forged = "-H 'X-Forwarded-Proto: http' -H 'X-Forwarded-Host: other.test' -H 'Forwarded: host=other.test'"
    begin = f"{CURL} --fail {PUSH} {forged} -X POST --dump-header - {IMAGE}/blobs/uploads/"
    place = re.search(r"(?im)^location: (\S+)", host.check_output(begin))
    assert place is not None
    assert urljoin(IMAGE, place[1]).startswith(f"{IMAGE}/blobs/uploads/")


def test_the_registry_itself_is_reached_through_tls_alone(host: Host) -> None:
    """It listens on no port, and an account of the host's can't open its socket; whoever can still logs in."""
    ports = [line.split()[3] for line in host.check_output("ss -Hltn").splitlines()]
    processes = host.check_output("ss -Hltnp")
    assert "docker-registry" not in processes
    assert "*:5000" in ports or "[::]:5000" in ports
    ask = f"curl --silent --output /dev/null --write-out '%{{http_code}}' --unix-socket {SOCKET} http://registry/v2/"
    assert host.run(f"runuser --user nobody -- {ask}").rc == 7
    assert host.check_output(ask) == "401"


def test_what_ends_tls_reads_neither_images_nor_passwords(host: Host) -> None:
    process = host.check_output("systemctl show --property=MainPID --value registry-tls")
    entered = f"nsenter --mount --target {process} ls -A"
    for path in ("/var/lib/docker-registry", "/etc/docker/registry"):
        assert host.check_output(f"{entered} {path}") == ""
    # Users that systemd makes for the time in which a service runs.
    assert int(host.check_output(f"stat --format=%u /proc/{process}")) in range(61184, 65520)


def test_logs_tell_who_asked_and_nobody_can_pretend(host: Host, addresses: dict[str, str]) -> None:
    host.check_output(f"{STATUS} {PULL} -H 'X-Forwarded-For: 192.0.2.1' {REGISTRY}/v2/seen/tags/list")
    for unit in ("docker-registry", "registry-tls"):
        lines = host.check_output(f"journalctl --no-pager --unit {unit} --grep /v2/seen/tags/list")
        assert addresses["registry"] in lines
        assert "192.0.2.1" not in lines


def test_a_renewed_certificate_turns_no_client_away(host: Host) -> None:
    """Four ask without a pause, each time by a new connection, while the certificate is renewed three times."""
    shown, processes = host.check_output(SHOWN), host.check_output(PROCESSES)
    asking = f"(until test -e /run/enough; do {A_LINE_EACH} {REGISTRY}/v2/; done) &"
    renewing = f"sleep 1; ({RENEW}) >&2; sleep 1"
    answers = host.check_output(
        f"rm -f /run/enough; for _ in 1 2 3 4; do {asking} done;"
        f" for _ in 1 2 3; do {renewing}; done; touch /run/enough; wait"
    ).split()
    assert len(answers) >= 100
    assert set(answers) == {"401"}
    assert host.check_output(SHOWN) != shown
    assert host.check_output(PROCESSES) == processes


def test_a_client_that_keeps_its_connection_asks_on_after_a_renewal(host: Host) -> None:
    """It learns by an answer that the connection ends, not by a request that gets none."""
    ask = "printf 'GET /v2/ HTTP/1.1\\r\\nHost: registry.test:5000\\r\\n\\r\\n'"
    connection = "openssl s_client -quiet -connect registry.test:5000 -CAfile /etc/smartgouv/tls/root.crt"
    asking = f"({ask}; sleep 1; ({RENEW}) >&2; sleep 1; {ask})"
    answers = host.check_output(f"{asking} | {connection} | grep --text -iE '^(HTTP|connection)'")
    lines = [line.strip() for line in answers.lower().splitlines()]
    assert lines == ["http/1.1 401 unauthorized"] * 2 + ["connection: close"]


def test_a_layer_arrives_whole_though_the_certificate_is_renewed_meanwhile(host: Host) -> None:
    """Its upload takes six seconds, and goes on with the process that showed the former certificate."""
    host.check_output("head --bytes 48M /dev/urandom > /root/layer")
    digest = f"sha256:{host.check_output('sha256sum /root/layer').split()[0]}"
    place = f"'{upload(host)}&digest={digest}'"
    slowly = f"{STATUS} {PUSH} --limit-rate 8M --upload-file /root/layer {place}"
    shown = host.check_output(SHOWN)
    assert host.check_output(f"(sleep 1; {RENEW}) >&2 & {slowly}; wait") == "201"
    assert host.check_output(SHOWN) != shown
    pulled = host.check_output(f"{CURL} --fail {PULL} {IMAGE}/blobs/{digest} | sha256sum").split()[0]
    assert f"sha256:{pulled}" == digest


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
    assert host.service("registry-tls").is_enabled


def test_the_package_s_own_proxy_does_not_run(host: Host) -> None:
    assert not host.service("haproxy").is_running
    assert not host.service("haproxy").is_enabled
