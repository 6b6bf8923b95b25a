"""What operations read from forms: certificates, addresses, costs."""

from __future__ import annotations

from typing import Literal

from fastapi import UploadFile

from xroad_simulator.certificates import CertificateError, encode, parse_certificate
from xroad_simulator.errors import bad_request

CostType = Literal["FREE", "PAID", "UNDEFINED"]


def read_certificate(upload: UploadFile) -> str:
    """The certificate of a file, in base64; 400 if it isn't one."""
    try:
        return encode(parse_certificate(upload.file.read()))
    except CertificateError:
        raise bad_request("cannot_convert_bytes_to_certificate") from None


def require_url(url: str) -> None:
    """400 unless it is an address of the web."""
    if not url.startswith(("http://", "https://")):
        raise bad_request("invalid_url")
