"""A signed certificate is examined by pkilint before anybody gets it.

The authority's own rules say what a certificate should be; this says whether it is, by code that others wrote
for RFC 5280. A certificate with a finding isn't released.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pkilint import loader
from pkilint.itu.bitstring import has_named_bit
from pkilint.pkix import certificate, extension, name
from pkilint.validation import (
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


class _ByClass(ValidatorContainer):  # type: ignore[misc] # pkilint has no types
    """A container that only asks the validators that can match a part of its class and in its place.

    Which they are is remembered: asking all of them takes half of pkilint's time. The findings are the same.
    """

    def __init__(self, plain: ValidatorContainer) -> None:
        self.__dict__.update(plain.__dict__)
        inner = (_ByClass(item) if isinstance(item, ValidatorContainer) else item for item in plain.validators)
        self.validators = list(inner)
        self._candidates: dict[tuple[type, str], list[Validator]] = {}

    def _validate_rec(self, node: Any, results: list[Any]) -> None:
        kind, path = type(node.pdu), node.path
        candidates = self._candidates.get((kind, path))
        if candidates is None:
            # What NodeVisitor.match asks first, whatever else a validator asks.
            candidates = self._candidates[kind, path] = [
                item
                for item in self.validators
                if item._path in (None, path) and (item._pdu_class is None or issubclass(kind, item._pdu_class))
            ]
        for validator in candidates:
            if validator.match(node):
                result = validator.validate_wrapper(node)
                results += result if isinstance(result, list) else [result]
        for child in node.children.values():
            self._validate_rec(child, results)


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
