"""An API server on loopback from the tool chain's binaries, for tests that need no node to run anything on."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from socket import socket

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager")
_DEADLINE_SECONDS = 120
_STOP_SECONDS = 20


def missing(folder: Path) -> list[str]:
    """Programs that `folder` lacks."""
    return [name for name in PROGRAMS if not (folder / name).exists()]


@contextmanager
def running(folder: Path, programs: Path) -> Iterator[Path]:
    """A cluster without nodes; its kubeconfig. Everything is gone afterwards."""
    api, etcd, peers, controllers = (_free_port() for _ in range(4))
    authority = _Authority(folder)
    authority.issue("server", "api-server", None)
    authority.issue("admin", "admin", "system:masters")
    kubeconfig = authority.kubeconfig(f"https://127.0.0.1:{api}")
    commands = {
        "etcd": [
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peers}",
        ],
        "kube-apiserver": [
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            f"--secure-port={api}",
            "--bind-address=127.0.0.1",
            "--service-cluster-ip-range=192.0.2.0/24",
            f"--client-ca-file={folder / 'authority.crt'}",
            f"--tls-cert-file={folder / 'server.crt'}",
            f"--tls-private-key-file={folder / 'server.key'}",
            f"--service-account-key-file={folder / 'server.crt'}",
            f"--service-account-signing-key-file={folder / 'server.key'}",
            "--service-account-issuer=https://api.test",
            "--authorization-mode=RBAC",
        ],
        "kube-controller-manager": [
            f"--kubeconfig={kubeconfig}",
            "--leader-elect=false",
            f"--secure-port={controllers}",
            f"--service-account-private-key-file={folder / 'server.key'}",
        ],
    }
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for name, arguments in commands.items():
            log = (folder / f"{name}.log").open("wb")
            processes.append(
                subprocess.Popen([str(programs / name), *arguments], cwd=folder, stdout=log, stderr=log)
            )
            if name == "kube-apiserver":
                _await_ready(f"https://127.0.0.1:{api}/readyz", folder, processes[-1])
        yield kubeconfig
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_ready(url: str, folder: Path, server: subprocess.Popen[bytes]) -> None:
    context = ssl.create_default_context(cafile=str(folder / "authority.crt"))
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, context=context, timeout=5):  # noqa: S310  its own address
                return
        except OSError:
            time.sleep(0.3)
    sys.stderr.write((folder / "kube-apiserver.log").read_text(errors="replace")[-2000:])
    raise RuntimeError(f"the API server ended, or isn't ready within {_DEADLINE_SECONDS} s")


class _Authority:
    """A throw-away CA with its files in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        builder = self._builder(self._name, self._key).add_extension(constraints, critical=True)
        self._write("authority", builder.sign(self._key, hashes.SHA256()), self._key)

    def issue(self, file: str, common_name: str, organisation: str | None) -> None:
        """A certificate for loopback, or for a client of an organisation."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        if organisation:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        builder = self._builder(x509.Name(attributes), key).add_extension(names, critical=False)
        self._write(file, builder.sign(self._key, hashes.SHA256()), key)

    def kubeconfig(self, server: str) -> Path:
        """The administrator's access to `server`."""
        path = self._folder / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n"
            "contexts: [{name: test, context: {cluster: test, user: test}}]\n"
            f"clusters: [{{name: test, cluster: {{server: '{server}', "
            f"certificate-authority: '{self._folder / 'authority.crt'}'}}}}]\n"
            f"users: [{{name: test, user: {{client-certificate: '{self._folder / 'admin.crt'}', "
            f"client-key: '{self._folder / 'admin.key'}'}}}}]\n"
        )
        return path

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=6))
        )

    def _write(self, file: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        (self._folder / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        descriptor = os.open(self._folder / f"{file}.key", os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            target.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
