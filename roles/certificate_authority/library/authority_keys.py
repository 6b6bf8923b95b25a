#!/usr/bin/python
"""Ansible module: keys and certificates of a root and the issuing authorities below it."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import NameOID
except ImportError:
    x509 = None  # type: ignore[assignment]

DOCUMENTATION = """
module: authority_keys
short_description: Make the keys and certificates of a root and its issuing authorities
description:
  - Makes what is missing and never replaces a key or a certificate that exists. Each file is written whole or
    not at all and a key before its certificate, so an interrupted run is continued by the next one.
  - Private keys are encrypted with their passphrases before they reach the disk. Keys of provisioners are JSON
    Web Keys, whose private half is encrypted with the provisioner's password.
options:
  root:
    description: The root.
    type: dict
    required: true
    suboptions:
      folder: {description: Where root.crt and root.key lie., type: path, required: true}
      common_name: {description: Name of the root., type: str, required: true}
      key: {description: Kind of its key., type: str, required: true}
      lifetime_days: {description: Life of its certificate., type: int, required: true}
      passphrase: {description: Encrypts its key., type: str, required: true}
  folder: {description: Where each issuer has a folder of its name., type: path, required: true}
  issuers:
    description:
      - The issuing authorities, with C(name), C(common_name), C(key), C(lifetime_days), C(passphrase) and
        C(provisioners), each with a C(name); other keys are not looked at. An issuer runs as C(ca-NAME).
    type: list
    elements: dict
    required: true
  passwords: {description: Passwords of all provisioners by name., type: dict, required: true}
  organization: {description: Organization in the names., type: str, required: true}
  country: {description: Country in the names., type: str, required: true}
author: the maintainers of this repository
"""

EXAMPLES = """
- name: Make keys and certificates
  authority_keys:
    organization: Site
    country: BJ
    root:
      folder: /etc/smartgouv/root
      common_name: Site Root CA
      key: ec-p384
      lifetime_days: 7300
      passphrase: "…"
    folder: /etc/smartgouv/ca
    issuers: []
    passwords: {}
"""

RETURN = """
made:
  description: Files that were made, or would be in check mode.
  type: list
  returned: always
provisioners:
  description: Public and encrypted private JSON Web Keys by issuer's and provisioner's name.
  type: dict
  returned: always
"""

KEYS = {
    "rsa-3072": lambda: rsa.generate_private_key(public_exponent=65537, key_size=3072),
    "rsa-4096": lambda: rsa.generate_private_key(public_exponent=65537, key_size=4096),
    "ec-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ec-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
}
PREDICTED: dict[str, Any] = {"key": {}, "encryptedKey": ""}
"""What stands for a provisioner that check mode doesn't make."""
BACKDATED = dt.timedelta(minutes=5)
"""How far before now a certificate begins, for hosts whose clocks are behind."""


class Refusal(Exception):  # noqa: N818 - a person decides; nothing broke
    """What is on disk doesn't fit what is wanted; a person has to decide."""


class Workshop:
    """Makes what is missing, or in check mode only says so."""

    def __init__(self, organization: str, country: str, check_mode: bool) -> None:
        """Remember the names' common part."""
        self.organization = organization
        self.country = country
        self.check_mode = check_mode
        self.made: list[str] = []

    def directory(self, path: Path, mode: int, group: str) -> None:
        """Make a directory and set its mode and group."""
        if self.check_mode:
            if not path.is_dir():
                self.made.append(str(path))
            return
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        _give(path, group)

    def file(self, path: Path, content: bytes, mode: int, group: str) -> None:
        """Write a file that doesn't exist yet."""
        self.made.append(str(path))
        if self.check_mode:
            return
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _give(Path(temporary), group)
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)

    def key(self, path: Path, kind: str, passphrase: str, mode: int, group: str) -> Any:
        """The private key in a file, made first where there is none."""
        if path.exists():
            try:
                return serialization.load_pem_private_key(path.read_bytes(), passphrase.encode())
            except ValueError as error:
                raise Refusal(
                    f"{path} doesn't open with its passphrase. The key is never replaced. Next: bring back the "
                    "passphrase that it was made with."
                ) from error
        made = KEYS[kind]()
        content = made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(passphrase.encode()),
        )
        self.file(path, content, mode, group)
        return made

    def certificate(
        self, path: Path, key: Any, common_name: str, lifetime_days: int, issuer: tuple[Any, Any] | None
    ) -> Any:
        """The certificate in a file, made first where there is none; self-signed without an issuer."""
        if path.exists():
            return _checked(path, key, issuer)
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, self.country),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, self.organization),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )
        begins = dt.datetime.now(dt.timezone.utc) - BACKDATED  # noqa: UP017 (Python 3.10 on some hosts)
        ends = begins + dt.timedelta(days=lifetime_days)
        issuer_certificate, issuer_key = issuer or (None, key)
        issuer_public = issuer_key.public_key()
        if issuer_certificate is not None:
            # A certificate that outlives its issuer would fail anyway, only later and without a word.
            ends = min(ends, _end(issuer_certificate))
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if issuer_certificate is None else issuer_certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(
                x509.BasicConstraints(ca=True, path_length=1 if issuer is None else 0), critical=True
            )
            .add_extension(_key_usage(), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)
            .sign(
                issuer_key,
                hashes.SHA384() if isinstance(issuer_key, ec.EllipticCurvePrivateKey) else hashes.SHA256(),
            )
        )
        self.file(path, made.public_bytes(serialization.Encoding.PEM), 0o644, "root")
        return made

    def passphrase(self, path: Path, passphrase: str) -> None:
        """The file from which the service gets its passphrase: root's, and the only one that may change."""
        if not path.exists() or path.read_text(encoding="utf-8") != passphrase:
            self.file(path, passphrase.encode(), 0o600, "root")

    def provisioner(self, folder: Path, name: str, password: str) -> dict[str, Any]:
        """A provisioner's public key and its encrypted private one, made first where there are none."""
        path = folder / f"provisioner-{name}.json"
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return found
        if self.check_mode:
            self.made.append(str(path))
            return PREDICTED
        with tempfile.TemporaryDirectory(dir="/run") as work:
            subprocess.run(
                [
                    "/usr/bin/step", "crypto", "jwk", "create", f"{work}/public", f"{work}/private",
                    "--kty=EC", "--curve=P-256", "--use=sig", "--password-file=/dev/stdin",
                ],
                input=password.encode(), check=True, capture_output=True,
            )  # fmt: skip
            public = json.loads(Path(work, "public").read_text(encoding="utf-8"))
            private = json.loads(Path(work, "private").read_text(encoding="utf-8"))
        parts = ("protected", "encrypted_key", "iv", "ciphertext", "tag")
        made = {"key": public, "encryptedKey": ".".join(private[part] for part in parts)}
        self.file(path, json.dumps(made, sort_keys=True).encode(), 0o600, "root")
        return made


def _give(path: Path, group: str) -> None:
    shutil.chown(path, "root", group)


def _key_usage() -> Any:
    """What an authority may do: issue certificates and revocation lists, and sign its OCSP answers."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _end(certificate: Any) -> dt.datetime:
    """When a certificate ends. Before version 42 the library knows it without a time zone only."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_after_utc  # type: ignore[no-any-return]
    return certificate.not_valid_after.replace(tzinfo=dt.timezone.utc)  # type: ignore[no-any-return]  # noqa: UP017


def _checked(path: Path, key: Any, issuer: tuple[Any, Any] | None) -> Any:
    """The certificate in a file; Refusal where it isn't of this key and issuer, or has expired."""
    found = x509.load_pem_x509_certificate(path.read_bytes())
    encoding = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if found.public_key().public_bytes(*encoding) != key.public_key().public_bytes(*encoding):
        raise Refusal(f"{path} isn't the certificate of the key beside it. Next: restore both from one backup.")
    if issuer is not None and found.issuer != issuer[0].subject:
        raise Refusal(f"{path} was issued by another root. Next: restore the root that issued it.")
    if _end(found) <= dt.datetime.now(dt.timezone.utc):  # noqa: UP017
        raise Refusal(
            f"{path} has expired. Certificates below it are worthless too. Next: move the file away and apply "
            "again, which issues a new certificate for the same key; hosts enrol anew."
        )
    return found


def main() -> None:
    """Run the module."""
    common = {
        "folder": {"type": "path", "required": True},
        "common_name": {"type": "str", "required": True},
        "key": {"type": "str", "required": True, "choices": sorted(KEYS), "no_log": False},
        "lifetime_days": {"type": "int", "required": True},
        "passphrase": {"type": "str", "required": True, "no_log": True},
    }
    module = AnsibleModule(
        argument_spec={
            "organization": {"type": "str", "required": True},
            "country": {"type": "str", "required": True},
            "root": {"type": "dict", "required": True, "options": common},
            "folder": {"type": "path", "required": True},
            "issuers": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    **{name: spec for name, spec in common.items() if name != "folder"},
                    "name": {"type": "str", "required": True},
                    "provisioners": {"type": "list", "elements": "dict", "required": True},
                    # What only the service's configuration needs.
                    "leaf_lifetime_hours": {"type": "int"},
                    "names": {"type": "list", "elements": "str"},
                    "port": {"type": "int"},
                    "acme": {"type": "bool"},
                },
            },
            "passwords": {"type": "dict", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    wanted = module.params
    workshop = Workshop(wanted["organization"], wanted["country"], module.check_mode)
    if x509 is None:
        if module.check_mode:
            # The library comes with a package whose installation was only predicted.
            module.exit_json(
                changed=True,
                made=[],
                provisioners={
                    issuer["name"]: {provisioner["name"]: PREDICTED for provisioner in issuer["provisioners"]}
                    for issuer in wanted["issuers"]
                },
            )
        module.fail_json(msg="Python's cryptography is missing on this host: install python3-cryptography")
    provisioners: dict[str, dict[str, Any]] = {}
    try:
        root = wanted["root"]
        folder = Path(root["folder"])
        workshop.directory(folder.parent, 0o755, "root")
        workshop.directory(folder, 0o755, "root")
        root_key = workshop.key(folder / "root.key", root["key"], root["passphrase"], 0o600, "root")
        root_certificate = workshop.certificate(
            folder / "root.crt", root_key, root["common_name"], root["lifetime_days"], None
        )
        workshop.directory(Path(wanted["folder"]), 0o755, "root")
        for issuer in wanted["issuers"]:
            folder = Path(wanted["folder"], issuer["name"])
            group = f"ca-{issuer['name']}"
            workshop.directory(folder, 0o750, group)
            workshop.passphrase(folder / "passphrase", issuer["passphrase"])
            key = workshop.key(folder / "ca.key", issuer["key"], issuer["passphrase"], 0o640, group)
            workshop.certificate(
                folder / "ca.crt",
                key,
                issuer["common_name"],
                issuer["lifetime_days"],
                (root_certificate, root_key),
            )
            provisioners[issuer["name"]] = {
                name: workshop.provisioner(folder, name, wanted["passwords"][name])
                for name in sorted(provisioner["name"] for provisioner in issuer["provisioners"])
            }
    except Refusal as refusal:
        module.fail_json(msg=str(refusal))
    except subprocess.CalledProcessError as error:
        module.fail_json(msg=f"step couldn't make a provisioner's key: {error.stderr.decode(errors='replace')}")
    module.exit_json(changed=bool(workshop.made), made=workshop.made, provisioners=provisioners)


if __name__ == "__main__":
    main()
