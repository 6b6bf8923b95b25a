"""What a control plane learns of etcd's members, and does with them, against etcd itself."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from socket import socket
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.ansible_source import loaded

pytestmark = pytest.mark.engine

PROGRAM = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "smartgouv/bin/etcd"
Signed = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def signed(name: str, by: Signed | None, *, authority: bool) -> Signed:
    """A certificate for loopback, by an authority or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    issuer, issuer_key = (by[0].subject, by[1]) if by else (subject, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    return builder.sign(issuer_key, hashes.SHA256()), key


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that kubeadm has: the CA of etcd is an intermediate one, and its root isn't there."""
    folder = tmp_path_factory.mktemp("pki")
    (folder / "etcd").mkdir()
    authority = signed("etcd CA", signed("root", None, authority=True), authority=True)
    for name, (certificate, key) in {
        "etcd/ca": authority,
        "etcd/server": signed("etcd", authority, authority=False),
        "apiserver-etcd-client": signed("client", authority, authority=False),
    }.items():
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.key").write_bytes(text)
    return folder


class Etcd:
    """A member of etcd on this machine."""

    def __init__(self, folder: Path, pki: Path, name: str, ports: tuple[int, int]) -> None:
        self.name, self.peer = name, f"http://127.0.0.1:{ports[1]}"
        self.url = f"https://127.0.0.1:{ports[0]}"
        self._command = [
            *(PROGRAM, f"--name={name}", f"--data-dir={folder / name}"),
            *(f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}"),
            *(f"--listen-peer-urls={self.peer}", f"--initial-advertise-peer-urls={self.peer}"),
            *(f"--cert-file={pki}/etcd/server.crt", f"--key-file={pki}/etcd/server.key"),
            *(f"--trusted-ca-file={pki}/etcd/ca.crt", "--client-cert-auth"),
        ]
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *others: Etcd) -> None:
        """Run it, with `others` in a cluster that exists."""
        cluster = ",".join(f"{member.name}={member.peer}" for member in (self, *others))
        state = "existing" if others else "new"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command, f"--initial-cluster={cluster}", f"--initial-cluster-state={state}"],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """As a machine that is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def members(tmp_path: Path, pki: Path) -> Iterator[tuple[Etcd, Etcd]]:
    """Two members; the first one runs."""
    if not PROGRAM.exists():
        pytest.skip("the tool chain hasn't built etcd")
    probes = [socket() for _ in range(4)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    first = Etcd(tmp_path, pki, "control1", (ports[0], ports[1]))
    second = Etcd(tmp_path, pki, "control2", (ports[2], ports[3]))
    first.start()
    try:
        yield first, second
    finally:
        for member in (first, second):
            member.kill()
        shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def store(members: tuple[Etcd, Etcd], pki: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The store as the first member's node asks it."""
    module = loaded("roles/kubernetes/module_utils/cluster_store.py")
    monkeypatch.setattr(module, "ETCD_URL", members[0].url)
    found = module.Store(pki)
    until(found, "")
    return found


def until(store: Any, trouble: str) -> None:
    """Wait until the store says this of itself."""
    deadline = time.monotonic() + 30
    while (found := store.trouble()) != trouble and (not trouble or trouble not in found):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def add(store: Any, peer: str, *, learner: bool) -> None:
    """What kubeadm does before it starts a member."""
    url = type(store).members.__globals__["ETCD_URL"]
    store._ask(f"{url}/v3/cluster/member/add", {"peerURLs": [peer], "isLearner": learner})


def test_member_that_never_started_is_found_and_removed(store: Any, members: tuple[Etcd, Etcd]) -> None:
    """As a join leaves it that was killed."""
    add(store, members[1].peer, learner=True)
    until(store, f"member at {members[1].peer} hasn't started")
    (stale,) = (member for member in store.members() if not member.name)
    assert (stale.peers, stale.learns, store.is_well(stale)) == ((members[1].peer,), True, False)
    store.remove(stale)
    assert [member.name for member in store.members()] == ["control1"]
    assert store.trouble() == ""


def test_member_that_follows_only_is_not_whole(store: Any, members: tuple[Etcd, Etcd]) -> None:
    add(store, members[1].peer, learner=True)
    members[1].start(members[0])
    until(store, "member control2 hasn't got everything yet")
    (learner,) = (member for member in store.members() if member.learns)
    store._ask(f"{members[0].url}/v3/cluster/member/promote", {"ID": learner.identity})
    until(store, "")
    assert sorted(member.name for member in store.members()) == ["control1", "control2"]


def test_lost_majority_is_told_and_nothing_is_removed(store: Any, members: tuple[Etcd, Etcd]) -> None:
    """One of two: etcd itself refuses to take the other out."""
    add(store, members[1].peer, learner=False)
    members[1].start(members[0])
    until(store, "")
    (lost,) = (member for member in store.members() if member.name == "control2")
    members[1].kill()
    until(store, "etcd doesn't answer, or has no majority")
    with pytest.raises((OSError, ValueError)):
        store.remove(lost)


def test_stranger_learns_nothing(store: Any, pki: Path, members: tuple[Etcd, Etcd], tmp_path: Path) -> None:
    """A client whose certificate is of another authority."""
    other = tmp_path / "other"
    shutil.copytree(pki, other)
    certificate, key = signed("client", signed("another CA", None, authority=True), authority=False)
    (other / "apiserver-etcd-client.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (other / "apiserver-etcd-client.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    # What the client sees of a refusal depends on who closes first.
    with pytest.raises(OSError, match=r"alert|reset|EOF|pipe"):
        type(store)(other).members()
    assert members[0].name in {member.name for member in store.members()}


def put(store: Any, key: str, value: bytes) -> None:
    """Write as the API server does."""
    url = type(store).members.__globals__["ETCD_URL"]
    said = {name: base64.b64encode(text).decode() for name, text in (("key", key.encode()), ("value", value))}
    store._ask(f"{url}/v3/kv/put", said)


def test_values_are_all_found_page_by_page(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the keys that begin so, and of no others."""
    monkeypatch.setitem(type(store).values.__globals__, "_PAGE", 2)
    written = {f"/registry/secrets/a/{number}": bytes([number]) for number in range(5)}
    for key, value in {**written, "/registry/secretsx": b"no", "/registry/pods/a/0": b"no"}.items():
        put(store, key, value)
    assert dict(store.values("/registry/secrets/")) == written
    assert dict(store.values("/registry/none/")) == {}


def test_secrets_of_another_key_are_found(store: Any) -> None:
    """Those in clear, too."""
    sys.modules["ansible.module_utils.cluster_store"] = loaded("roles/kubernetes/module_utils/cluster_store.py")
    module = loaded("roles/kubernetes/library/encrypted_secrets.py")
    for name, value in (
        ("new", b"k8s:enc:secretbox:v1:key-2:..."),
        ("old", b"k8s:enc:secretbox:v1:key-1:..."),
        ("longer", b"k8s:enc:secretbox:v1:key-22:..."),
        ("clear", b"k8s\x00..."),
    ):
        put(store, f"/registry/secrets/default/{name}", value)
    assert sorted(name.rpartition("/")[2] for name in module.others(store, "key-2")) == [
        "clear",
        "longer",
        "old",
    ]
