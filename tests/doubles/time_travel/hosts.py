"""A host's TLS certificate: the role's own script decides about renewal, by openssl, under the faked clock.

step-ca isn't run: Go takes the time from the kernel, so libfaketime can't move it. `step` is played here, with
step-ca's rules that matter for time: the life that the estate says, a minute back, and no renewal of what has
ended. Run as `python -m time_travel.hosts ca sign|renew …`, it is that program.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jinja2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from trust_services.signing import certificate_hash

TEMPLATE = Path(__file__).parents[3] / "roles" / "host_certificate" / "templates" / "host-certificate.j2"
UNIT = "trust-services-issuing.service"
_BACKDATED = timedelta(minutes=1)


class HostCertificate:
    """The certificate of one host, which serves with it."""

    def __init__(self, folder: Path, name: str, *, issuer: str, lifetime_hours: int, authority: Path) -> None:
        """`authority` is the folder of the played CA: `ca.crt` and `ca.key`."""
        self.folder = folder
        self._programs = folder.with_name(f"{folder.name}-programs")
        for made in (folder, self._programs):
            made.mkdir()
        self._restarts = self._programs / "restarted"
        self._authority = authority
        self._lifetime_hours = lifetime_hours
        self._script = self._write("host-certificate", self._rendered(name, issuer, lifetime_hours))
        python = shlex.quote(sys.executable)
        self._write("step", f'#!/bin/sh\nexec {python} -m time_travel.hosts "$@"\n')
        self._write("chown", "#!/bin/sh\n")
        self._write(
            "systemctl", f'#!/bin/sh\n[ "$1" = cat ] || echo "$2" >> {shlex.quote(str(self._restarts))}\n'
        )

    @property
    def certificate(self) -> x509.Certificate:
        """The one in force."""
        return x509.load_pem_x509_certificates((self.folder / "host.crt").read_bytes())[0]

    def enrol(self) -> None:
        """Have the first one."""
        self._run("enrol")

    def renew(self) -> bool:
        """What the timer runs; whether services were told to read a new one."""
        self._restarts.unlink(missing_ok=True)
        self._run("renew")
        return self._restarts.exists()

    def _run(self, command: str) -> None:
        environment = {
            **os.environ,
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "PLAYED_AUTHORITY": str(self._authority),
            "PLAYED_HOURS": str(self._lifetime_hours),
        }
        done = subprocess.run(
            [str(self._script), command],
            input="token",
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"host-certificate {command}: {done.stderr.strip()}")

    def _rendered(self, name: str, issuer: str, lifetime_hours: int) -> str:
        templates = jinja2.Environment(undefined=jinja2.StrictUndefined)  # noqa: S701 - a shell script
        templates.filters["comment"] = lambda text: f"# {text}"
        templates.filters["quote"] = lambda text: shlex.quote(str(text))
        return templates.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
            ansible_managed="of the test",
            __host_certificate_folder=str(self.folder),
            host_certificate_authority_url="https://ca.invalid",
            host_certificate_names=[name],
            host_certificate_issuer=issuer,
            host_certificate_lifetime_hours=lifetime_hours,
            host_certificate_reload_units=[UNIT],
        )

    def _write(self, name: str, content: str) -> Path:
        path = self._programs / name
        path.write_text(content, encoding="utf-8")
        path.chmod(0o755)
        return path


def _issued(asked: x509.CertificateSigningRequest | x509.Certificate) -> bytes:
    """A certificate for the key and names of a request or of a former certificate, and its issuer's, in PEM."""
    authority = Path(os.environ["PLAYED_AUTHORITY"])
    issuer = x509.load_pem_x509_certificate((authority / "ca.crt").read_bytes())
    signer = load_pem_private_key((authority / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(
            issuer.subject,
            asked.subject,
            asked.public_key(),
            x509.random_serial_number(),
            now - _BACKDATED,
            now + timedelta(hours=int(os.environ["PLAYED_HOURS"])),
        )
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(signer, certificate_hash(signer))
    )
    return made.public_bytes(Encoding.PEM) + issuer.public_bytes(Encoding.PEM)


def main(arguments: list[str]) -> int:
    """Play `step ca sign CSR CRT …` and `step ca renew CRT KEY --out=FILE …`."""
    if arguments[:2] == ["ca", "sign"]:
        request, certificate = arguments[2:4]
        Path(certificate).write_bytes(_issued(x509.load_pem_x509_csr(Path(request).read_bytes())))
        return 0
    present = x509.load_pem_x509_certificates(Path(arguments[2]).read_bytes())[0]
    if datetime.now(UTC) > present.not_valid_after_utc:
        sys.stderr.write("the certificate has expired\n")
        return 1
    out = next(word.removeprefix("--out=") for word in arguments if word.startswith("--out="))
    Path(out).write_bytes(_issued(present))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
