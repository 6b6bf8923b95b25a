"""Checking a container from its entries to the root: each check has a name, and says what it found.

The order is that of dependence: a check whose ground has fallen isn't made, and says so. A container is
valid only if every check was made and none failed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from lxml import etree

from operate.messages import container as names
from operate.messages import documents, headers, trust
from operate.messages.container import Container, Documents
from operate.messages.documents import Mismatch
from operate.messages.headers import Message
from operate.messages.signature import Signature
from operate.messages.stamps import Stamp
from operate.messages.trust import Anchors, name_of

_MANIFEST = "{urn:oasis:names:tc:opendocument:xmlns:manifest:1.0}"
_ASIC = "{http://uri.etsi.org/2918/v1.2.1#}"


_DAMAGED = (ValueError, TypeError, KeyError, OverflowError, UnsupportedAlgorithm)
"""What the libraries raise about content that somebody made to confuse them: it proves nothing either."""


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    name: str
    passed: bool | None
    """None: it couldn't be made."""
    text: str


@dataclass
class Verdict:
    """What is known of one container."""

    name: str
    checks: list[Check] = field(default_factory=list)
    message: Message | None = None
    """What the message says of itself; believed only where all checks passed."""
    signer: str | None = None
    claimed_time: str | None = None
    stamped_at: datetime | None = None
    body_digest: str | None = None
    """SHA-512 of the body in hex, None where there is none."""

    @property
    def valid(self) -> bool:
        """Whether everything was checked and holds."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def document(self) -> dict[str, Any]:
        """For programs."""
        said = self.message
        return {
            "file": self.name,
            "valid": self.valid,
            "kind": None if said is None else said.kind,
            "client": None if said is None else "/".join(said.client),
            "service": None if said is None else "/".join(said.service),
            "message_id": None if said is None else said.message_id,
            "request_id": None if said is None else said.request_id,
            "what": None if said is None else said.what,
            "user": None if said is None else said.user,
            "body_sha512": self.body_digest,
            "signer": self.signer,
            "claimed_signing_time": self.claimed_time,
            "stamped_at": None if self.stamped_at is None else self.stamped_at.isoformat(),
            "checks": [vars_of(check) for check in self.checks],
        }


def vars_of(check: Check) -> dict[str, Any]:
    """A check for programs."""
    words = {True: "ok", False: "failed", None: "not checked"}
    return {"name": check.name, "result": words[check.passed], "text": check.text}


class _Unfounded(Exception):  # noqa: N818 - not an error: what a check stands on isn't there
    """An earlier check failed on which this one depends."""


def verify(container: Container, anchors: Anchors) -> Verdict:
    """Make every check on a container."""
    return _Verification(container, anchors).run()


class _Verification:
    """One container and what has been found so far."""

    def __init__(self, container: Container, anchors: Anchors) -> None:
        self._entries = container.entries
        self._attachments = container.attachments
        self._anchors = anchors
        self._signature: Signature | None = None
        self._stamp: Stamp | None = None
        self._path: list[Any] | None = None
        self._verdict = Verdict(container.name)

    def run(self) -> Verdict:
        """All checks in their order."""
        steps: list[tuple[str, Callable[[], str]]] = [
            ("structure", self._structure),
            ("message", self._message),
            ("content", self._content),
            ("signature", self._signature_value),
            ("signer", self._signer),
            ("time stamp", self._time_stamp),
            ("place in the batch", self._place),
            ("time-stamping authority", self._stamp_authority),
            ("certificate chain", self._chain),
            ("certificate status", self._status),
        ]
        for name, step in steps:
            try:
                check = Check(name, True, step())
            except Mismatch as problem:
                check = Check(name, False, str(problem))
            except _DAMAGED as error:
                check = Check(name, False, f"something in it can't be read: {error}")
            except _Unfounded as missing:
                check = Check(name, None, f"without {missing}")
            self._verdict.checks.append(check)
        return self._verdict

    def _structure(self) -> str:
        """Entries that belong together are there together, and the manifests tell the same."""
        for first, second in (
            (names.SIGNED_RESULT, names.SIGNED_CHAIN),
            (names.STAMPED_RESULT, names.STAMPED_CHAIN),
            (names.STAMPED_RESULT, names.STAMP),
            (names.STAMPED_RESULT, names.STAMP_MANIFEST),
        ):
            if (first in self._entries) != (second in self._entries):
                there, missing = (first, second) if first in self._entries else (second, first)
                raise Mismatch(f"there is {there}, but no {missing}")
        self._signature = Signature.read(self._entries[names.SIGNATURE])
        self._verdict.claimed_time = self._signature.claimed_time
        self._manifest()
        if names.STAMP_MANIFEST in self._entries:
            self._stamp_manifest()
        return f"{len(self._entries)} entries, as the manifest lists them"

    def _manifest(self) -> None:
        if names.MANIFEST not in self._entries:
            raise Mismatch("there is no manifest")
        root = documents.parse(self._entries[names.MANIFEST], names.MANIFEST)
        listed = [str(item.get(f"{_MANIFEST}full-path")) for item in root.findall(f"{_MANIFEST}file-entry")]
        present = ["/", *(name for name in self._entries if name != "mimetype" and "/" not in name)]
        if sorted(listed) != sorted(present):
            differing = sorted(set(listed) ^ set(present)) or ["something twice"]
            raise Mismatch(f"the manifest doesn't list what is there: {differing[0]}")

    def _stamp_manifest(self) -> None:
        root = documents.parse(self._entries[names.STAMP_MANIFEST], names.STAMP_MANIFEST)
        stamp = documents.only(root, f"{_ASIC}SigReference")
        stamped: etree._Element = documents.only(root, f"{_ASIC}DataObjectReference")
        if (stamp.get("URI"), stamped.get("URI")) != (names.STAMP, names.STAMPED_RESULT):
            raise Mismatch("ASiCManifest.xml doesn't name the time stamp and what it is of")
        documents.require_digest(stamped, self._entries[names.STAMPED_RESULT], names.STAMPED_RESULT)

    def _message(self) -> str:
        said = self._verdict.message = headers.read(self._entries[names.MESSAGE])
        if set(self._attachments) - {"attachment1"}:
            raise Mismatch("a REST message has one body at most")
        body = self._attachments.get("attachment1")
        self._verdict.body_digest = None if body is None else hashlib.sha512(body).hexdigest()
        size = "no body" if body is None else f"body of {len(body)} bytes"
        return f"{said.kind} {said.message_id}, {size}"

    def _content(self) -> str:
        """Message and body are what the signature refers to, by themselves or through the hash chain."""
        signature = self._read_signature()
        message = self._entries[names.MESSAGE]
        if signature.subject == f"/{names.MESSAGE}":
            if self._attachments or names.SIGNED_RESULT in self._entries:
                raise Mismatch("the signature is of message.xml alone, but there is more")
            signature.require_content(message, names.MESSAGE)
            return "message.xml is what was signed"
        if signature.subject != f"/{names.SIGNED_RESULT}" or names.SIGNED_RESULT not in self._entries:
            raise Mismatch(f"the signature is of {signature.subject!r}, which isn't there")
        inputs = {f"/{names.MESSAGE}": message} | {f"/{name}": data for name, data in self._attachments.items()}
        result = self._entries[names.SIGNED_RESULT]
        signature.require_content(result, names.SIGNED_RESULT)
        pair = names.SIGNED_RESULT, names.SIGNED_CHAIN
        documents.require_chain(result, self._entries[names.SIGNED_CHAIN], pair, inputs, set(inputs))
        return f"{' and '.join(name.removeprefix('/') for name in inputs)} are what was signed"

    def _read_signature(self) -> Signature:
        if self._signature is None:
            raise _Unfounded("a signature that can be read")
        return self._signature

    def _signature_value(self) -> str:
        signature = self._read_signature()
        signature.require_properties()
        signature.require_value()
        self._verdict.signer = name_of(signature.certificate.subject)
        return f"of {self._verdict.signer}"

    def _signer(self) -> str:
        """The certificate names the member that the message says it is of."""
        signature, said = self._read_signature(), self._verdict.message
        if said is None:
            raise _Unfounded("a message that can be read")
        trust.require_signing(signature.certificate)
        member, claimed = trust.member_of(signature.certificate), (said.sender[1], said.sender[2])
        if member != claimed:
            raise Mismatch(
                f"the certificate is of {'/'.join(member)}, but the {said.kind} says that it is of "
                f"{'/'.join(claimed)}"
            )
        return f"the certificate is of {'/'.join(member)}, which the {said.kind} names"

    def _time_stamp(self) -> str:
        """The token is of the batch's hash chain result, or of this signature's value."""
        signature = self._read_signature()
        known = (*signature.carried, *self._anchors.others)
        if names.STAMP in self._entries and names.STAMPED_RESULT in self._entries:
            if signature.token is not None:
                raise Mismatch("there are two time stamps: a file, and one in the signature")
            token, content, what = (
                self._entries[names.STAMP],
                self._entries[names.STAMPED_RESULT],
                names.STAMPED_RESULT,
            )
        elif signature.token is not None:
            token, content, what = signature.token, signature.value, "the signature's value"
        else:
            raise Mismatch("there is no time stamp")
        stamp = Stamp.read(token, known)
        stamp.require_about(content, what)
        self._stamp = stamp
        self._verdict.stamped_at = stamp.moment
        return f"{stamp.moment:%Y-%m-%d %H:%M:%S} UTC, by {name_of(stamp.authority.subject)}, of {what}"

    def _place(self) -> str:
        """The signature is in the batch that was stamped."""
        self._read_stamp()
        if names.STAMPED_RESULT not in self._entries:
            return "the time stamp is of this message alone"
        if names.STAMPED_CHAIN not in self._entries:
            raise _Unfounded("a hash chain")
        inputs = {f"/{names.SIGNATURE}": self._entries[names.SIGNATURE]}
        pair = names.STAMPED_RESULT, names.STAMPED_CHAIN
        documents.require_chain(
            self._entries[names.STAMPED_RESULT], self._entries[names.STAMPED_CHAIN], pair, inputs, set(inputs)
        )
        return "the hash chain leads from what was stamped to this signature"

    def _read_stamp(self) -> Stamp:
        if self._stamp is None:
            raise _Unfounded("a time stamp")
        return self._stamp

    def _stamp_authority(self) -> str:
        stamp = self._read_stamp()
        carried = (*stamp.carried, *self._read_signature().carried)
        return _shown(self._anchors.path(stamp.authority, carried, stamp.moment))

    def _chain(self) -> str:
        signature, stamp = self._read_signature(), self._read_stamp()
        carried = (*signature.carried, *stamp.carried)
        self._path = self._anchors.path(signature.certificate, carried, stamp.moment)
        return _shown(self._path)

    def _status(self) -> str:
        """Good at the time of the stamp: the certificate, and each authority above it that was asked about."""
        signature, stamp = self._read_signature(), self._read_stamp()
        if self._path is None:
            raise _Unfounded("a chain to the root")
        status = trust.require_good(self._path[0], self._path[1], signature.statuses, stamp.moment)
        for below, above in zip(self._path[1:-1], self._path[2:], strict=True):
            if trust.is_asked_about(below, above, signature.statuses):
                trust.require_good(below, above, signature.statuses, stamp.moment)
        return f"good at {status.said_at:%Y-%m-%d %H:%M:%S} UTC, says {name_of(status.responder.subject)}"


def _shown(path: list[Any]) -> str:
    return ", below ".join(name_of(item.subject) for item in path)


def verify_all(read: Documents, anchors: Anchors) -> tuple[list[Verdict], Check | None]:
    """Verdicts on every container, and on how an archive's are linked where that is told."""
    verdicts = [verify(container, anchors) for container in read.containers]
    if read.linking is None:
        return verdicts, None
    try:
        return verdicts, Check("links", True, _links(read))
    except Mismatch as problem:
        return verdicts, Check("links", False, str(problem))


def _links(read: Documents) -> str:
    """Each digest of `linkinginfo` takes in the one before and a container (X-Road's `LinkingInfoBuilder`)."""
    lines = (read.linking or "").splitlines()
    first = lines[0].split(" ") if lines else []
    if len(first) != 3 or first[2] not in ("SHA-512", "SHA-384", "SHA-256"):
        raise Mismatch("linkinginfo doesn't begin with the file before it")
    algorithm = first[2].replace("-", "").lower()
    digest = "" if first[0] == "-" else first[0]
    listed = [line.split(" ", 1) for line in lines[1:]]
    if any(len(item) != 2 for item in listed) or [item[1] for item in listed] != list(read.contents):
        raise Mismatch("linkinginfo lists other containers than there are, or in another order")
    for told, name in listed:
        content = hashlib.new(algorithm, read.contents[name]).hexdigest()
        digest = hashlib.new(algorithm, (digest + content).encode()).hexdigest()
        if digest != told:
            raise Mismatch(f"{name} isn't the container that was archived")
    before = "nothing before it" if first[1] == "-" else f"after {first[1]}"
    return f"{len(listed)} containers, {before}; the last digest is {digest}"
