"""A signed certificate is examined by pkilint before anybody gets it.

The authority's own rules say what a certificate should be; this says whether it is, by code that others wrote
for RFC 5280. A certificate with a finding isn't released.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Any

from pkilint import loader
from pkilint.document import NodeVisitor, PDUNode, ValueDecoder
from pkilint.itu.bitstring import has_named_bit
from pkilint.pkix import certificate, extension, name
from pkilint.validation import (
    DecodingValidator,
    ValidationFinding,
    ValidationFindingEncountered,
    ValidationFindingSeverity,
    Validator,
    ValidatorContainer,
)
from pyasn1_alt_modules import rfc5280  # type: ignore[import-untyped]

ALLOWED_WARNINGS: Mapping[str, str] = {}
"""Codes of warnings that don't hold a certificate back, each with its reason. None is needed."""

_AUTHENTICATION_BITS = ("digitalSignature", "keyEncipherment", "dataEncipherment", "keyAgreement")


class _OneKindOfUsage(Validator):  # type: ignore[misc] # pkilint has no types
    """X-Road's own rule: a certificate signs or authenticates (`wrong_cert_usage.both`)."""

    BOTH = ValidationFinding(ValidationFindingSeverity.ERROR, "xroad.usage_both")

    def __init__(self) -> None:
        super().__init__(pdu_class=rfc5280.KeyUsage, validations=[self.BOTH])

    def validate(self, node: Any) -> None:
        """Raises the finding for a key usage of both kinds."""
        authenticates = any(has_named_bit(node, bit) for bit in _AUTHENTICATION_BITS)
        if has_named_bit(node, "nonRepudiation") and authenticates:
            raise ValidationFindingEncountered(self.BOTH)


@dataclass(frozen=True)
class _Shape:
    """A node and those below it, without the certificate that they are in."""

    name: str
    pdu: Any
    children: tuple[_Shape, ...]

    @classmethod
    def of(cls, node: PDUNode) -> _Shape:
        return cls(node.name, node.pdu, tuple(cls.of(child) for child in node.children.values()))

    def grow(self, parent: PDUNode) -> PDUNode:
        """Such nodes below `parent`."""
        # What PDUNode.__init__ does, but for finding out what is below.
        node = PDUNode.__new__(PDUNode)
        node.document, node.name, node.pdu, node.parent = parent.document, self.name, self.pdu, parent
        node.path = f"{parent.path}.{self.name}"
        node.children = {child.name: child.grow(node) for child in self.children}
        return node


class _ReadOnce(ValueDecoder):  # type: ignore[misc] # pkilint has no types
    """Reads the values of attributes and extensions as pkilint does, but the same octets only once.

    An authority's certificates have most of them in common. What was read belongs to many certificates, so
    nobody may change it; validators only look.
    """

    _MOST = 2000
    """Values that are remembered. Some, like key identifiers, don't come again."""

    def __init__(self, plain: ValueDecoder) -> None:
        self.__dict__.update(plain.__dict__)
        self._read: dict[tuple[int, bytes], _Shape] = {}

    def decode_value(self, node: Any, type_node: Any, value_node: Any, pdu_type: Any) -> None:
        """Put the value's nodes below `value_node`."""
        if value_node.children:
            # It was read before.
            return
        # Kinds of values are the decoder's own, which live as long as it does.
        name = (id(pdu_type), bytes(self.retrieve_substrate(value_node)))
        known = self._read.get(name)
        if known is not None:
            value_node.children[known.name] = known.grow(value_node)
            return
        if len(self._read) >= self._MOST:
            self._read.clear()
        self._read[name] = _Shape.of(super().decode_value(node, type_node, value_node, pdu_type))


class _ByClass(ValidatorContainer):  # type: ignore[misc] # pkilint has no types
    """A container that only asks the validators that can match a part of its class and in its place.

    Which they are is remembered: asking all of them takes half of pkilint's time. The findings are the same.
    """

    def __init__(self, plain: ValidatorContainer) -> None:
        self.__dict__.update(plain.__dict__)
        self.validators = [_quick(item) for item in plain.validators]
        self._candidates: dict[tuple[type, str], list[tuple[Validator, bool]]] = {}

    def _validate_rec(self, node: Any, results: list[Any]) -> None:
        known = self._candidates
        # In the order of a walk that goes down first, but without a call for each part.
        waiting = [node]
        while waiting:
            node = waiting.pop()
            name = (type(node.pdu), node.path)
            candidates = known.get(name)
            if candidates is None:
                candidates = known[name] = self._which(*name)
            for validator, asked in candidates:
                if asked or validator.match(node):
                    result = validator.validate_wrapper(node)
                    if isinstance(result, list):
                        results += result
                    else:
                        results.append(result)
            if node.children:
                waiting += reversed(node.children.values())

    def _which(self, kind: type, path: str) -> list[tuple[Validator, bool]]:
        """Those that can match, and whether they match without being asked."""
        # What NodeVisitor.match asks first, whatever else a validator asks.
        return [
            (item, _asks_no_more(item))
            for item in self.validators
            if item._path in (None, path) and (item._pdu_class is None or issubclass(kind, item._pdu_class))
        ]


def _asks_no_more(item: Validator) -> bool:
    """Whether a validator matches whatever is of its class and in its place."""
    more = (item._path_re, item._pdu_supertype, item._predicate)
    return type(item).match is NodeVisitor.match and more == (None, None, None)


def _quick(item: Validator) -> Validator:
    """A validator that finds the same, sooner."""
    if isinstance(item, ValidatorContainer):
        return _ByClass(item)
    if isinstance(item, DecodingValidator) and type(item.decode_func) is ValueDecoder:
        quick = copy(item)
        quick.decode_func = _ReadOnce(item.decode_func)
        return quick
    return item


@cache
def _linter() -> ValidatorContainer:
    return _ByClass(plain_linter())


def plain_linter() -> ValidatorContainer:
    """The validators for certificates, as pkilint's own lint_pkix_cert puts them together. Takes a while."""
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([_OneKindOfUsage()]),
            certificate.create_spki_validator_container([]),
        ],
    )


def findings(
    der: bytes, allowed: Mapping[str, str] = ALLOWED_WARNINGS, linter: ValidatorContainer | None = None
) -> list[str]:
    """What keeps this certificate from being released, a sentence each; empty if nothing does."""
    try:
        root = loader.load_certificate(der, "certificate").root
    except ValueError as error:
        return [f"FATAL certificate: {error}"]
    held = []
    for result in (linter or _linter()).validate(root):
        for item in result.finding_descriptions:
            severity, code = item.finding.severity, item.finding.code
            warning = severity == ValidationFindingSeverity.WARNING
            if severity > ValidationFindingSeverity.WARNING or (warning and code in allowed):
                continue
            held.append(f"{severity} {code}" + (f": {item.message}" if item.message else ""))
    return held


def prepare() -> None:
    """Put the validators together now rather than at the first certificate."""
    _linter()
