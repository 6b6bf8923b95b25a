"""Checks a root's records from the first ceremony to the last, without its key.

Each certificate and revocation list is made again from the inputs that its transcript keeps, with the signature
that it carries: the bytes must come out the same, and the signature must be the root's. So a transcript can't
claim other inputs than those that were used, and nothing can have been issued that the inputs don't explain.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from trust_services.ceremony import agenda as agendas
from trust_services.ceremony import certificates, records, requests
from trust_services.ceremony.certificates import Term
from trust_services.ceremony.records import AGENDA
from trust_services.ceremony.transcript import Issued, Transcript
from trust_services.refusal import Refusal
from trust_services.signing import PublicKey, SigningKey, elsewhere
from trust_services.status import revocation_list

Made = x509.Certificate | x509.CertificateRevocationList


def replay(folder: Path, tell: Callable[[str], None]) -> int:
    """Replay all ceremonies; how many things were issued. Refusal at the first that doesn't come out."""
    history = records.load(folder)
    if history.root is None:
        raise Refusal(f"{folder}: there are no records", "bring the root's records")
    count = 0
    for path, text in zip(history.folders, history.transcripts, strict=True):
        for issued in text.issued:
            _compare(path, issued, _again(path, text, issued, history.root))
            count += 1
        tell(
            f"ceremony {text.number} of {text.began:%Y-%m-%d}: {len(text.issued)} issued, all come out alike; "
            f"witnessed by {', '.join(text.witnesses)}"
        )
    return count


def _again(folder: Path, text: Transcript, issued: Issued, root: x509.Certificate) -> Made:
    """What the inputs make, signed with the signature that the issued file carries."""
    agenda, _ = agendas.read(folder / AGENDA)
    original = load(folder / issued.file, issued.kind)
    key = _recorded(records.public_key(root), original)
    if issued.kind == "revocation_list":
        return revocation_list.sign(
            root,
            key,
            [entry.state() for entry in issued.revoked],
            number=issued.number or 0,
            this_update=issued.begins,
            next_update=issued.ends,
        )
    term = Term(issued.serial or 0, issued.begins, issued.ends)
    if issued.kind == "root":
        return certificates.root(agenda, key, term)
    if issued.request is None or issued.request not in text.inputs:
        raise Refusal(f"{folder / issued.file}: the transcript names no request for it")
    content = requests.Content.model_validate_json((folder / issued.request).read_bytes())
    csr = x509.load_pem_x509_csr((content.csr or "").encode())
    return certificates.authority(agenda, content.authority, csr.public_key(), root, key, term)


def load(path: Path, kind: str) -> Made:
    """What the root signed, out of its file."""
    content = path.read_bytes()
    return (
        x509.load_pem_x509_crl(content)
        if kind == "revocation_list"
        else x509.load_pem_x509_certificate(content)
    )


def _recorded(public: PublicKey, original: Made) -> SigningKey:
    """The root's key as far as `original` shows it: it gives the signature that it once gave."""

    def sign(data: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        if (
            original.signature_hash_algorithm is None
            or algorithm.name != original.signature_hash_algorithm.name
        ):
            raise Refusal("it was signed with another hash")
        if not requests.verify(public, original.signature, data):
            raise Refusal("its signature isn't the root's over what the inputs make")
        return original.signature

    return elsewhere(public, sign)


def _compare(folder: Path, issued: Issued, again: Made) -> None:
    original = load(folder / issued.file, issued.kind)
    encoding = serialization.Encoding.DER
    if again.public_bytes(encoding) != original.public_bytes(encoding):
        raise Refusal(f"{folder / issued.file}: the transcript's inputs make something else")
