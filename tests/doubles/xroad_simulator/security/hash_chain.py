"""Hash chains: one signature or time stamp over many things, each with the proof of its place.

The tree, its steps and both documents are X-Road's (its `HashChainBuilder`, `DigestList` and
`hashchain.xsd`): a node is the SHA-512 of a DER sequence of its children's digests, each with the
algorithm's URI. The result names the top; a chain leads from the top down to one input.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from lxml import etree

SHA512 = "http://www.w3.org/2001/04/xmlenc#sha512"
CHAIN, DSIG = "http://cyber.ee/hashchain", "http://www.w3.org/2000/09/xmldsig#"
_DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_NAMESPACES = f'xmlns="{DSIG}" xmlns:ns2="{CHAIN}"'
_METHOD = f'Algorithm="{SHA512}"'
_MAXIMUM_STEPS = 64


class HashChainError(ValueError):
    """A chain that doesn't lead from its result to the parts that it is about."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A hash chain result and the chain that leads from it to an input."""

    result: str
    chain: str


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


_SINGLE = _tlv(0x0C, SHA512.encode()) + _tlv(0x30, b"")


def _step_digest(digests: Sequence[bytes]) -> bytes:
    """The digest of a step: SHA-512 over a DigestList."""
    singles = b"".join(_tlv(0x30, _tlv(0x04, digest) + _SINGLE) for digest in digests)
    return hashlib.sha512(_tlv(0x30, singles)).digest()


def _value(digest: bytes) -> str:
    return f"<DigestValue>{base64.b64encode(digest).decode()}</DigestValue>"


def _data(uri: str, digest: bytes) -> str:
    return f'<ns2:DataRef URI="{uri}">{_value(digest)}</ns2:DataRef>'


def _step(number: int, *entries: str) -> str:
    return f'<ns2:HashStep id="STEP{number}">{"".join(entries)}</ns2:HashStep>\n'


def _result(top: bytes, chain_name: str) -> str:
    return (
        f'{_DECLARATION}<ns2:HashChainResult {_NAMESPACES} URI="{chain_name}#STEP0">'
        f"<DigestMethod {_METHOD}></DigestMethod>{_value(top)}</ns2:HashChainResult>\n"
    )


def _chain(steps: Sequence[str]) -> str:
    return (
        f"{_DECLARATION}<ns2:HashChain {_NAMESPACES}>\n"
        f"<ns2:DefaultDigestMethod {_METHOD}></ns2:DefaultDigestMethod>\n{''.join(steps)}</ns2:HashChain>\n"
    )


def over_parts(digests: Sequence[tuple[str, bytes]], chain_name: str) -> Proof:
    """The chain of one message: a single step over the digests of its named parts."""
    top = _step_digest([digest for _, digest in digests])
    step = _step(0, *(_data(name, digest) for name, digest in digests))
    return Proof(_result(top, chain_name), _chain([step]))


class Tree:
    """A tree over two or more digests. Where it isn't full, a node without a right half is its left half."""

    def __init__(self, digests: Sequence[bytes]) -> None:
        if len(digests) < 2:
            raise ValueError("a tree has two inputs at least")
        self._digests = digests
        self._width = 1 << (len(digests) - 1).bit_length()
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._top = self._node(0, self._width)

    def _node(self, first: int, width: int) -> bytes:
        """The digest of `width` leaves from `first`, of those that are there."""
        if width == 1:
            return self._digests[first]
        known = self._nodes.get((first, width))
        if known is None:
            half = width // 2
            known = self._node(first, half)
            if first + half < len(self._digests):
                known = _step_digest([known, self._node(first + half, half)])
            self._nodes[first, width] = known
        return known

    def result(self, chain_name: str) -> str:
        """What is signed or stamped: the top, and the name of the chain's file."""
        return _result(self._top, chain_name)

    def chain(self, index: int, data_name: str) -> str:
        """The way from the top to one input, which is named `data_name`."""
        steps: list[str] = []
        first, width = 0, self._width
        while width > 1:
            width //= 2
            if first + width >= len(self._digests):
                continue
            is_right = index >= first + width
            sibling = self._node(first if is_right else first + width, width)
            first = first + width if is_right else first
            is_leaf = width == 1 or first + 1 >= len(self._digests)
            mine = (
                _data(data_name, self._digests[index])
                if is_leaf
                else f'<ns2:StepRef URI="#STEP{len(steps) + 1}"></ns2:StepRef>'
            )
            entries = [mine, f"<ns2:HashValue>{_value(sibling)}</ns2:HashValue>"]
            steps.append(_step(len(steps), *(reversed(entries) if is_right else entries)))
            if is_leaf:
                break
        return _chain(steps)


def parse(document: bytes) -> etree._Element:
    """An XML document without entities; HashChainError if it isn't one."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(document, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise HashChainError(f"not XML: {error}") from error
    if root.getroottree().docinfo.doctype:
        raise HashChainError("the document has a document type")
    return root


def verify(proof: Proof, digests: dict[str, bytes]) -> None:
    """HashChainError unless the chain leads from its result to each of the named digests, and to no others."""
    result, chain = parse(proof.result.encode()), parse(proof.chain.encode())
    _require_method(result.find(f"{{{DSIG}}}DigestMethod"))
    _require_method(chain.find(f"{{{CHAIN}}}DefaultDigestMethod"))
    steps = {step.get("id"): step for step in chain.findall(f"{{{CHAIN}}}HashStep")}
    if len(steps) > _MAXIMUM_STEPS:
        raise HashChainError("the hash chain is too long")
    used: set[str] = set()
    top = _resolve(str(result.get("URI")).partition("#")[2], steps, digests, used)
    if top != _digest_value(result):
        raise HashChainError("Hash chain result does not match hash chain calculation")
    if used != set(digests):
        raise HashChainError("Some inputs were not referenced by hash chain")


def _require_method(element: etree._Element | None) -> None:
    if element is None or element.get("Algorithm") != SHA512:
        raise HashChainError("the hash chain isn't of SHA-512")


def _digest_value(element: etree._Element) -> bytes:
    return base64.b64decode(element.findtext(f"{{{DSIG}}}DigestValue") or "")


def _resolve(
    name: str, steps: dict[str | None, etree._Element], digests: dict[str, bytes], used: set[str]
) -> bytes:
    # A step is taken once: a circle of references ends here.
    step = steps.pop(name, None)
    if step is None:
        raise HashChainError(f"Invalid hash step URI: {name}")
    values: list[bytes] = []
    for entry in step:
        kind, uri = etree.QName(entry).localname, str(entry.get("URI"))
        if kind == "HashValue":
            values.append(_digest_value(entry))
        elif kind == "StepRef":
            values.append(_resolve(uri.removeprefix("#"), steps, digests, used))
        elif kind == "DataRef" and uri in digests and uri not in used:
            if _digest_value(entry) != digests[uri]:
                raise HashChainError(f"Invalid digest value in hash chain reference to {uri}")
            used.add(uri)
            values.append(digests[uri])
        else:
            raise HashChainError(f"the hash chain refers to {kind} {uri}")
    return _step_digest(values)
