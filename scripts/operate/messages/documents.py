"""The XML of a container: parsed without surprises, canonical where it is signed; and its hash chains.

Hash chains are as X-Road makes them (`hashchain.xsd`, `DigestList`): a step's digest is that of a DER
sequence of its entries' digests, each with the algorithm's URI and an empty list of transforms.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

from asn1crypto import core
from lxml import etree

DSIG, XADES = "http://www.w3.org/2000/09/xmldsig#", "http://uri.etsi.org/01903/v1.3.2#"
HASH_CHAIN = "http://cyber.ee/hashchain"
CANONICAL = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
DIGESTS = {
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
_LARGEST = 16 * 1024**2
_MOST_STEPS = 64
_SPACES = str.maketrans("", "", " \t\r\n")


class Mismatch(Exception):  # noqa: N818 - what people read is what doesn't hold
    """Something in a container isn't what it should be."""


class _Transforms(core.SequenceOf):  # type: ignore[misc] # the library has no types
    _child_spec = core.Any


class _SingleDigest(core.Sequence):  # type: ignore[misc]
    _fields: ClassVar[list[tuple[str, Any]]] = [
        ("digest", core.OctetString),
        ("method", core.UTF8String),
        ("transforms", _Transforms),
    ]


class _DigestList(core.SequenceOf):  # type: ignore[misc]
    _child_spec = _SingleDigest


def parse(content: bytes, name: str) -> etree._Element:
    """The root of a document without document type, entities and processing instructions; else Mismatch."""
    if len(content) > _LARGEST:
        raise Mismatch(f"{name} has {len(content)} bytes")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Mismatch(f"{name} isn't XML: {error}") from error
    tree = root.getroottree()
    if tree.docinfo.doctype or any(not isinstance(item.tag, str) for item in root.iter()):
        raise Mismatch(f"{name} has a document type, comments or instructions, which X-Road doesn't write")
    return root


def only(element: etree._Element, path: str) -> etree._Element:
    """The one element at a path; Mismatch if there is none or more than one."""
    found: list[etree._Element] = element.findall(path)
    if len(found) != 1:
        raise Mismatch(f"{path.rpartition('}')[2]} is there {len(found)} times")
    return found[0]


def binary(text: str | None, what: str) -> bytes:
    """Base64, with line breaks or without; Mismatch if it is anything else."""
    try:
        return base64.b64decode((text or "").translate(_SPACES), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Mismatch(f"{what} isn't base64") from error


def canonical(element: etree._Element) -> bytes:
    """An element as it is signed (Canonical XML 1.0, without comments)."""
    try:
        made: bytes = etree.tostring(element, method="c14n", exclusive=False, with_comments=False)
    except etree.LxmlError as error:
        raise Mismatch(f"{etree.QName(element).localname} has no canonical form: {error}") from error
    return made


def digest_method(element: etree._Element | None, what: str) -> str:
    """The algorithm that a DigestMethod names; Mismatch if it is none that is good enough."""
    algorithm = "" if element is None else str(element.get("Algorithm"))
    if algorithm not in DIGESTS:
        raise Mismatch(f"{what} is digested with {algorithm or 'nothing'}")
    return algorithm


def require_digest(reference: etree._Element, content: bytes, what: str) -> None:
    """Mismatch unless a reference's DigestMethod and DigestValue are those of a content."""
    algorithm = digest_method(reference.find(f"{{{DSIG}}}DigestMethod"), what)
    wanted = binary(only(reference, f"{{{DSIG}}}DigestValue").text, f"the digest of {what}")
    if hashlib.new(DIGESTS[algorithm], content).digest() != wanted:
        raise Mismatch(f"{what} isn't what was signed: its digest is another")


def require_chain(
    result: bytes, chain: bytes, names: tuple[str, str], inputs: Mapping[str, bytes], required: set[str]
) -> None:
    """Mismatch unless a hash chain leads from its result to the inputs, and to nothing that isn't there.

    `names` are those of result and chain; `required` are the inputs that must be reached: all by default.
    """
    result_name, chain_name = names
    top = parse(result, result_name)
    if top.tag != f"{{{HASH_CHAIN}}}HashChainResult":
        raise Mismatch(f"{result_name} isn't a hash chain result")
    where, _, first = str(top.get("URI")).partition("#")
    if where != f"/{chain_name}":
        raise Mismatch(f"{result_name} refers to {where or 'itself'}, not to {chain_name}")
    steps = _Steps(parse(chain, chain_name), chain_name, inputs)
    algorithm = digest_method(top.find(f"{{{DSIG}}}DigestMethod"), result_name)
    wanted = binary(only(top, f"{{{DSIG}}}DigestValue").text, f"the digest in {result_name}")
    if hashlib.new(DIGESTS[algorithm], steps.resolve(first)).digest() != wanted:
        raise Mismatch(f"{chain_name} doesn't lead to {result_name}")
    unused = sorted(required - steps.used)
    if unused:
        raise Mismatch(f"{unused[0].removeprefix('/')} isn't in {chain_name}")


class _Steps:
    """The steps of one chain."""

    def __init__(self, chain: etree._Element, name: str, inputs: Mapping[str, bytes]) -> None:
        if chain.tag != f"{{{HASH_CHAIN}}}HashChain":
            raise Mismatch(f"{name} isn't a hash chain")
        self._name, self._inputs = name, inputs
        self._default = chain.find(f"{{{HASH_CHAIN}}}DefaultDigestMethod")
        found = chain.findall(f"{{{HASH_CHAIN}}}HashStep")
        self._steps = {str(step.get("id")): step for step in found}
        if len(found) > _MOST_STEPS or len(self._steps) != len(found):
            raise Mismatch(f"{name} has too many steps, or two of one name")
        self.used: set[str] = set()

    def resolve(self, name: str) -> bytes:
        """The DER of a step's digests. Every step is taken once: there are no circles."""
        step = self._steps.pop(name, None)
        if step is None:
            raise Mismatch(f"{self._name} has no step {name!r}, or comes back to it")
        singles = [self._single(entry) for entry in step]
        return bytes(_DigestList(singles).dump())

    def _single(self, entry: etree._Element) -> _SingleDigest:
        kind = etree.QName(entry).localname
        own = entry.find(f"{{{DSIG}}}DigestMethod")
        algorithm = digest_method(self._default if own is None else own, self._name)
        if kind == "StepRef":
            content = self.resolve(str(entry.get("URI")).removeprefix("#"))
            digest = hashlib.new(DIGESTS[algorithm], content).digest()
        elif kind == "HashValue":
            digest = binary(only(entry, f"{{{DSIG}}}DigestValue").text, f"a digest in {self._name}")
        elif kind == "DataRef":
            digest = self._data(entry, algorithm)
        else:
            raise Mismatch(f"{self._name} has a {kind}")
        return _SingleDigest({"digest": digest, "method": algorithm, "transforms": []})

    def _data(self, entry: etree._Element, algorithm: str) -> bytes:
        uri = str(entry.get("URI"))
        if entry.find(f"{{{DSIG}}}Transforms") is not None:
            raise Mismatch(f"{self._name} transforms {uri}, which X-Road doesn't do")
        if uri not in self._inputs:
            raise Mismatch(f"{self._name} refers to {uri}, which isn't there")
        if uri in self.used:
            raise Mismatch(f"{self._name} refers to {uri} twice")
        self.used.add(uri)
        digest = hashlib.new(DIGESTS[algorithm], self._inputs[uri]).digest()
        if digest != binary(only(entry, f"{{{DSIG}}}DigestValue").text, f"the digest of {uri}"):
            raise Mismatch(f"{uri.removeprefix('/')} isn't what was signed: its digest is another")
        return digest
