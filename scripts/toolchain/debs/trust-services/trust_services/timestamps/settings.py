"""The configuration file, and the key and certificates that it names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import ExtendedKeyUsageOID
from pydantic import BaseModel, ConfigDict, Field, IPvAnyAddress, PlainValidator, ValidationError

from trust_services.refusal import Refusal
from trust_services.timestamps.clock import Limits

MINIMUM_KEY_BITS = 3072
"""Time stamps must hold for years: 128 bits of strength (NIST SP 800-57 part 1, table 2)."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _object_identifier(value: Any) -> ObjectIdentifier:
    if not isinstance(value, str):
        raise ValueError("an object identifier is a text of numbers and dots")  # noqa: TRY004 - pydantic's way
    return ObjectIdentifier(value)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)


class Clock(_Model):
    """What is asked of the clock; see `Limits`."""

    command: Annotated[tuple[str, ...], Field(min_length=1)] = tuple(Limits.command)
    interval_seconds: Seconds = Limits.interval
    deadline_seconds: Seconds = Limits.deadline
    maximum_error_seconds: Seconds = Limits.error
    maximum_reference_age_seconds: Seconds = Limits.reference_age

    @property
    def limits(self) -> Limits:
        """The same, for the watch."""
        return Limits(
            command=self.command,
            interval=self.interval_seconds,
            deadline=self.deadline_seconds,
            error=self.maximum_error_seconds,
            reference_age=self.maximum_reference_age_seconds,
        )


class Settings(_Model):
    """The configuration file. Relative paths start at the file's folder, that of `passphrase` at systemd's."""

    address: IPvAnyAddress
    port: Annotated[int, Field(ge=1, le=65535)]
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    policy: Annotated[ObjectIdentifier, PlainValidator(_object_identifier)]
    certificate: Path
    """PEM: the authority's certificate."""
    chain: Path | None = None
    """PEM: the certificates between the authority's and the root, if clients that ask shall get them too."""
    key: Path
    """PEM: the private key, encrypted."""
    passphrase: Path
    """A file that holds the key's passphrase: a systemd credential (systemd.exec(5), `LoadCredential=`)."""
    clock: Clock = Clock()


@dataclass(frozen=True)
class Identity:
    """A key and the certificates that tell whose it is."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]


def read_settings(file: Path) -> Settings:
    """What the configuration file says. Refusal that names file, key and value if it says something else."""
    try:
        return Settings.model_validate_json(_read(file))
    except ValidationError as error:
        wrong = [
            f"{file}: {'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}{_shown(each)}"
            for each in error.errors()
        ]
        raise Refusal("\n".join(wrong), f"mend {file}") from None


def _shown(error: Any) -> str:
    return "" if error["type"] in ("missing", "json_invalid") else f": {error['input']!r}"


def identity_files(file: Path, settings: Settings) -> tuple[Path, ...]:
    """The files that `settings`, read from `file`, name for key and certificates, and the key's passphrase."""
    place = file.parent
    credentials = Path(os.environ.get("CREDENTIALS_DIRECTORY", place))
    chain = (place / settings.chain,) if settings.chain else ()
    return (place / settings.certificate, place / settings.key, credentials / settings.passphrase, *chain)


def read_identity(file: Path, settings: Settings, now: datetime | None = None) -> Identity:
    """The key and the certificates that `settings`, read from `file`, name. Refusal if they can't stamp."""
    certificate_file, key_file, passphrase_file, *chain_file = identity_files(file, settings)
    certificate = _certificates(certificate_file)[0]
    _check_certificate(certificate_file, certificate, now or datetime.now(UTC))
    chain = _certificates(chain_file[0]) if chain_file else ()
    below = certificate
    for issuer in chain:
        try:
            below.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            raise Refusal(
                f"{settings.chain}: {issuer.subject.rfc4514_string()} didn't issue "
                f"{below.subject.rfc4514_string()}",
                "put the issuer of the authority's certificate first, then its issuer, and so on",
            ) from None
        below = issuer
    key = _key(key_file, passphrase_file)
    if key.public_key() != certificate.public_key():
        raise Refusal(f"{certificate_file}: the certificate isn't for the key in {key_file}")
    return Identity(key, certificate, chain)


def _check_certificate(file: Path, certificate: x509.Certificate, now: datetime) -> None:
    next_step = "issue the authority a certificate with the profile for time stamps"
    extensions = certificate.extensions
    try:
        usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        usage = None
    # RFC 3161 section 2.3.
    if usage is None or not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise Refusal(
            f"{file}: the certificate's extended key usage isn't critical and timeStamping alone", next_step
        )
    try:
        bits = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        bits = None
    # What OpenSSL asks of a time stamping certificate, where there is a key usage (X509_check_purpose(3)).
    if bits and (
        not (bits.digital_signature or bits.content_commitment)
        or bits.key_encipherment
        or bits.data_encipherment
        or bits.key_agreement
        or bits.key_cert_sign
        or bits.crl_sign
    ):
        raise Refusal(f"{file}: the certificate's key usage isn't for signing alone", next_step)
    if now >= certificate.not_valid_after_utc:
        raise Refusal(f"{file}: the certificate ended at {certificate.not_valid_after_utc}", next_step)
    if now < certificate.not_valid_before_utc:
        raise Refusal(
            f"{file}: the certificate begins at {certificate.not_valid_before_utc}",
            "chronyc tracking   # is the clock right?",
        )


def _certificates(file: Path) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(_read(file)))
    except ValueError as error:
        raise Refusal(f"{file}: not a certificate in PEM: {error}") from None


def _key(file: Path, passphrase_file: Path) -> rsa.RSAPrivateKey:
    pem = _read(file)
    passphrase = _read(passphrase_file).removesuffix(b"\n")
    if not passphrase:
        raise Refusal(f"{passphrase_file}: the passphrase is empty")
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except TypeError:
        raise Refusal(
            f"{file}: the key isn't encrypted", f"openssl pkcs8 -topk8 -v2 aes-256-cbc -in {file}"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        # Not with the cause: it could tell something about the passphrase.
        raise Refusal(
            f"{file}: not a private key in PEM that the passphrase in {passphrase_file} opens"
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < MINIMUM_KEY_BITS:
        raise Refusal(f"{file}: not an RSA key of {MINIMUM_KEY_BITS} bits or more")
    return key


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Refusal(f"{file}: {error.strerror}") from None
