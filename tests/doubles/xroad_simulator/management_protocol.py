"""Management requests on the wire: what a security server sends to its central server.

`authCertReg` goes straight to the registration service as multipart/related with two signatures;
all others are X-Road messages to the management service provider (pr-mserv).
"""

from __future__ import annotations

import base64
import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes

OPERATIONS = (
    "authCertDeletion",
    "clientDeletion",
    "clientReg",
    "ownerChange",
    "clientEnable",
    "clientDisable",
    "addressChange",
    "clientRename",
    "maintenanceModeEnable",
    "maintenanceModeDisable",
)
"""The services that the description offers."""

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_XROAD = "http://x-road.eu/xsd/xroad.xsd"
_WSDL = "http://schemas.xmlsoap.org/wsdl/"
_WSDL_SOAP = "http://schemas.xmlsoap.org/wsdl/soap/"


class ManagementError(Exception):
    """The central server refused a management request; the code is X-Road's."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


def envelope(operation: str, fields: Mapping[str, str]) -> bytes:
    """A SOAP message with one element a field."""
    ET.register_namespace("soap", _SOAP)
    ET.register_namespace("xroad", _XROAD)
    root = ET.Element(f"{{{_SOAP}}}Envelope")
    body = ET.SubElement(root, f"{{{_SOAP}}}Body")
    request = ET.SubElement(body, f"{{{_XROAD}}}{operation}")
    for name, value in fields.items():
        ET.SubElement(request, f"{{{_XROAD}}}{name}").text = value
    document: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return document


def fault(code: str, text: str) -> bytes:
    """A SOAP fault."""
    ET.register_namespace("soap", _SOAP)
    root = ET.Element(f"{{{_SOAP}}}Envelope")
    body = ET.SubElement(root, f"{{{_SOAP}}}Body")
    element = ET.SubElement(body, f"{{{_SOAP}}}Fault")
    ET.SubElement(element, "faultcode").text = code
    ET.SubElement(element, "faultstring").text = text
    document: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return document


def read_envelope(data: bytes) -> tuple[str, dict[str, str]]:
    """Operation and fields; ManagementError if it is a fault or no envelope."""
    try:
        body = ET.fromstring(data).find(f"{{{_SOAP}}}Body")  # noqa: S314 - as below
    except ET.ParseError as error:
        raise ManagementError("Client.InvalidXml", str(error)) from error
    if body is None or len(body) != 1:
        raise ManagementError("Client.MalformedSoap", "no single body element")
    element = body[0]
    if element.tag == f"{{{_SOAP}}}Fault":
        raise ManagementError(element.findtext("faultcode") or "Server", element.findtext("faultstring") or "")
    operation = element.tag.rpartition("}")[2]
    return operation, {field.tag.rpartition("}")[2]: field.text or "" for field in element}


def description(address: str) -> bytes:
    """The WSDL of the management services."""
    ET.register_namespace("wsdl", _WSDL)
    ET.register_namespace("soap", _WSDL_SOAP)
    root = ET.Element(f"{{{_WSDL}}}definitions", {"targetNamespace": _XROAD})
    binding = ET.SubElement(root, f"{{{_WSDL}}}binding", {"name": "centralservice"})
    for name in OPERATIONS:
        ET.SubElement(binding, f"{{{_WSDL}}}operation", {"name": name})
    service = ET.SubElement(root, f"{{{_WSDL}}}service", {"name": "centralservice"})
    port = ET.SubElement(service, f"{{{_WSDL}}}port", {"name": "centralservice"})
    ET.SubElement(port, f"{{{_WSDL_SOAP}}}address", {"location": address})
    document: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return document


def read_description(data: bytes) -> tuple[list[str], str]:
    """Operations and address of a WSDL; ValueError if it isn't one."""
    try:
        root = ET.fromstring(data)  # noqa: S314 - expat limits expansion; test equipment
    except ET.ParseError as error:
        raise ValueError(str(error)) from error
    operations = [
        element.get("name", "") for element in root.findall(f"{{{_WSDL}}}binding/{{{_WSDL}}}operation")
    ]
    address = root.find(f"{{{_WSDL}}}service/{{{_WSDL}}}port/{{{_WSDL_SOAP}}}address")
    if not operations or address is None:
        raise ValueError("no operations or no address")
    return operations, address.get("location", "")


@dataclass(frozen=True, slots=True)
class CertificateRegistration:
    """`authCertReg`: the request, and proof that its sender holds both keys."""

    server: str
    address: str
    authentication_certificate: bytes
    signing_certificate: bytes
    authentication_signature: bytes
    signing_signature: bytes

    @staticmethod
    def signed_text(server: str, address: str, certificate: bytes) -> bytes:
        """What both keys sign."""
        encoded = base64.b64encode(certificate).decode()
        return json.dumps([server, address, encoded]).encode()

    def text(self) -> bytes:
        """What both keys signed."""
        return self.signed_text(self.server, self.address, self.authentication_certificate)

    def encode(self) -> tuple[str, bytes]:
        """Content type and body."""
        boundary = "xroad-management-request"
        parts = [
            (
                "text/xml",
                envelope("authCertReg", {"server": self.server, "address": self.address}),
            ),
            ("application/octet-stream", self.authentication_signature),
            ("application/octet-stream", self.signing_signature),
            ("application/octet-stream", self.authentication_certificate),
            ("application/octet-stream", self.signing_certificate),
        ]
        body = b"".join(
            f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
            + base64.b64encode(data)
            + b"\r\n"
            for kind, data in parts
        )
        return (
            f'multipart/related; boundary="{boundary}"',
            body + f"--{boundary}--\r\n".encode(),
        )

    @classmethod
    def decode(cls, content_type: str, body: bytes) -> CertificateRegistration:
        """Inverse of `encode`; ManagementError if it isn't such a request."""
        message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
        parts = [part for part in message.walk() if not part.is_multipart()]
        if len(parts) != 5:
            raise ManagementError("Client.InvalidRequest", "not five parts")
        contents = [part.get_payload(decode=True) for part in parts]
        if not all(isinstance(content, bytes) for content in contents):
            raise ManagementError("Client.InvalidRequest", "a part is not base64")
        operation, fields = read_envelope(bytes(contents[0]))
        if operation != "authCertReg":
            raise ManagementError("Client.UnknownService", operation)
        return cls(
            server=fields.get("server", ""),
            address=fields.get("address", ""),
            authentication_signature=bytes(contents[1]),
            signing_signature=bytes(contents[2]),
            authentication_certificate=bytes(contents[3]),
            signing_certificate=bytes(contents[4]),
        )
