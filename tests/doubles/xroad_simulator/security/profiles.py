"""Subject names of certificate requests, as the certificate profile of a CA prescribes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from xroad_simulator.identifiers import ClientId
from xroad_simulator.security.records import Usage

_OBJECT_IDS = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "C": NameOID.COUNTRY_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "businessCategory": NameOID.BUSINESS_CATEGORY,
}


class SubjectError(Exception):
    """A subject that the profile doesn't allow."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a subject, as the API describes it."""

    id: str
    label_key: str
    default: str
    read_only: bool
    required: bool = True

    def view(self) -> dict[str, Any]:
        """`CsrSubjectFieldDescription`."""
        return {
            "id": self.id,
            "label_key": self.label_key,
            "default_value": self.default,
            "read_only": self.read_only,
            "required": self.required,
            "localized": True,
        }


def fields(usage: Usage, member: ClientId, member_name: str) -> list[Field]:
    """Fields of the Basic profile; the member's own data can't be changed."""
    if usage is Usage.AUTHENTICATION:
        return [
            Field("CN", "SERVER_DNS_NAME", "", read_only=False),
            Field("serialNumber", "SERIAL_NUMBER", member.member_code, read_only=True),
            Field("C", "COUNTRY_CODE", "", read_only=False),
            Field("O", "ORGANIZATION_NAME", member_name, read_only=True),
        ]
    return [
        Field("CN", "ORGANIZATION_NAME_CN", member_name, read_only=True),
        Field("businessCategory", "MEMBER_CLASS_BC", member.member_class, read_only=True),
        Field("C", "COUNTRY_CODE", "", read_only=False),
        Field("serialNumber", "MEMBER_CODE_SN", member.member_code, read_only=True),
        Field("O", "ORGANIZATION_NAME", member_name, read_only=True),
    ]


def subject(wanted: list[Field], values: Mapping[str, str]) -> x509.Name:
    """The subject's name; SubjectError for a missing, unknown or malformed value.

    Read-only fields have the profile's value, whatever the caller sends.
    """
    unknown = set(values) - {field.id for field in wanted} - {"subjectAltName"}
    if unknown:
        raise SubjectError(f"unknown field {min(unknown)}")
    attributes = []
    for field in wanted:
        value = field.default if field.read_only else values.get(field.id, "").strip()
        if field.required and not value:
            raise SubjectError(f"field {field.id} is missing its value")
        try:
            attributes.append(x509.NameAttribute(_OBJECT_IDS[field.id], value))
        except ValueError as error:
            raise SubjectError(f"field {field.id}: {error}") from error
    return x509.Name(attributes)
