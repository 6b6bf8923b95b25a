#!/usr/bin/python3
"""When the certificates and revocation lists in files of this host end, for node_exporter's textfile collector.

    certificate-scan PATTERNS OUTPUT

PATTERNS has a path or shell pattern on each line (`**` for any folders); OUTPUT is replaced as a whole. Files
are PEM (one may hold several), DER, or kubeconfigs with certificates inside. A path without wildcards must
exist. Keys that stand beside certificates in the same file are passed over: nothing but certificates and lists
is decoded. OpenSSL reads them; Python's library can't.
"""

from __future__ import annotations

import base64
import binascii
import glob
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

CERTIFICATE = "certificate"
LIST = "revocation list"
KINDS = {"CERTIFICATE": CERTIFICATE, "TRUSTED CERTIFICATE": CERTIFICATE, "X509 CRL": LIST}
"""By the label of PEM (RFC 7468)."""
MAXIMUM_BYTES = 16 << 20
EMBEDDED = re.compile(rb"\s*(?:client-certificate-data|certificate-authority-data):\s*([A-Za-z0-9+/=]+)\s*")
HELP = {
    "certificate_not_before_seconds": "When a certificate in a file begins, in seconds since 1970.",
    "certificate_not_after_seconds": "When a certificate in a file ends, in seconds since 1970.",
    "revocation_list_last_update_seconds": "When a revocation list in a file was made, in seconds since 1970.",
    "revocation_list_next_update_seconds": "When a revocation list in a file ends, in seconds since 1970.",
    "certificate_file_unreadable": "1 for a file whose certificates or lists can't be told.",
    "certificate_scan_success_timestamp_seconds": "When the files were last looked at, in seconds since 1970.",
}


class UnreadableError(Exception):
    """Why a file tells nothing, in words without anything that changes from one look to the next."""


def pieces(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Kind and bytes of each certificate and list in a file, DER or PEM as it stands there."""
    if content.startswith(b"\x30"):
        yield (LIST if _is_list(content) else CERTIFICATE), content
        return
    kind, block = "", b""
    for line in content.splitlines(keepends=True):
        if embedded := EMBEDDED.fullmatch(line):
            try:
                inner = base64.b64decode(embedded[1], validate=True)
            except binascii.Error:
                raise UnreadableError("malformed") from None
            yield from pieces(inner)
        elif line.startswith(b"-----BEGIN "):
            kind, block = KINDS.get(_label(line), ""), line
        elif kind and line.startswith(b"-----END "):
            yield kind, block + line
            kind = ""
        elif kind:
            block += line
    if kind:
        raise UnreadableError("malformed")


def figures(pattern: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each figure about the files of a pattern."""
    # pathlib's own matching skips links that lead nowhere.
    paths = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207
    for path in paths:
        if Path(path).is_dir():
            continue
        try:
            yield from _of(path)
        except UnreadableError as error:
            yield "certificate_file_unreadable", {"path": path, "reason": str(error)}, 1


def exposition(patterns: list[str], now: float) -> str:
    """All figures, in Prometheus's text format."""
    found: dict[str, dict[str, float]] = {name: {} for name in HELP}
    for pattern in patterns:
        for name, labels, value in figures(pattern):
            # A certificate may stand twice in a file, and a file fit two patterns.
            found[name][_braces(labels)] = value
    found["certificate_scan_success_timestamp_seconds"][""] = now
    lines: list[str] = []
    for name, meaning in HELP.items():
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
        lines += [f"{name}{labels} {value:.0f}" for labels, value in found[name].items()]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Replace the file in one step: the collector reads whenever it is asked."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        os.fchmod(descriptor, 0o644)
    Path(temporary).replace(path)


def _of(path: str) -> Iterator[tuple[str, dict[str, str], float]]:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAXIMUM_BYTES + 1)
    except FileNotFoundError:
        raise UnreadableError("missing") from None
    except OSError as error:
        raise UnreadableError(error.strerror or "unreadable") from None
    if len(content) > MAXIMUM_BYTES:
        raise UnreadableError("too long")
    # Whole before any of it is told: a file is right, or it is named as wrong.
    described = [(kind, describe(kind, piece)) for kind, piece in pieces(content)]
    if not described:
        raise UnreadableError("neither certificate nor list")
    for kind, said in described:
        if kind == CERTIFICATE:
            labels = {"path": path, **{name: said[name] for name in ("subject", "issuer", "serial")}}
            yield "certificate_not_before_seconds", labels, _seconds(said["notBefore"])
            yield "certificate_not_after_seconds", labels, _seconds(said["notAfter"])
        else:
            labels = {"path": path, "issuer": said["issuer"]}
            yield "revocation_list_last_update_seconds", labels, _seconds(said["lastUpdate"])
            yield "revocation_list_next_update_seconds", labels, _seconds(said["nextUpdate"])


@cache
def describe(kind: str, piece: bytes) -> dict[str, str]:
    """What OpenSSL says of a certificate or a list. The same one lies in several files."""
    form = "DER" if piece.startswith(b"\x30") else "PEM"
    asked = {
        CERTIFICATE: ["x509", "-subject", "-issuer", "-serial", "-startdate", "-enddate"],
        LIST: ["crl", "-issuer", "-lastupdate", "-nextupdate"],
    }
    names = "-nameopt=RFC2253,utf8,-esc_msb"
    command = ["openssl", *asked[kind], "-noout", "-inform", form, *names.split("=")]
    done = subprocess.run(command, input=piece, capture_output=True, timeout=30, check=False)
    if done.returncode != 0:
        raise UnreadableError("malformed")
    lines = done.stdout.decode("utf-8", errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition("=") for line in lines)}


def _is_list(content: bytes) -> bool:
    """Whether OpenSSL takes it for a revocation list. A certificate's first bytes are no other."""
    command = ["openssl", "crl", "-noout", "-inform", "DER"]
    return subprocess.run(command, input=content, capture_output=True, timeout=30, check=False).returncode == 0


def _label(line: bytes) -> str:
    return line.strip().removeprefix(b"-----BEGIN ").removesuffix(b"-----").decode("ascii", errors="replace")


def _seconds(moment: str) -> float:
    try:
        return ssl.cert_time_to_seconds(moment)
    except ValueError:
        # A list may leave nextUpdate out (RFC 5280 forbids it): it never says when it ends.
        raise UnreadableError("without an end") from None


def _braces(labels: dict[str, str]) -> str:
    quoted = (
        '{}="{}"'.format(name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for name, value in labels.items()
    )
    return f"{{{','.join(quoted)}}}"


def main(patterns: str, output: str) -> None:
    """Look once."""
    lines = Path(patterns).read_text(encoding="utf-8").splitlines()
    write(Path(output), exposition([line for line in lines if line.startswith("/")], time.time()))


if __name__ == "__main__":
    main(*sys.argv[1:])
