"""Signed documents: a logged message with everything that proves it, as an ASiC-E container.

Names and contents of the entries are those of X-Road's `AsicContainer`; the same record always gives the
same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterable
from urllib.parse import quote_plus

from xroad_simulator.security.hash_chain import DSIG, SHA512
from xroad_simulator.security.message_log import Entry

MIMETYPE = "application/vnd.etsi.asic-e+zip"
_BASE_32 = "0123456789abcdefghijklmnopqrstuv"
_LONGEST_NAME = 226
_STAMP, _RESULT = "META-INF/timestamp.tst", "ts-hashchainresult.xml"


def name(entry: Entry) -> str:
    """File name of a record's container: message id, kind, and the record's number to base 32."""
    number, digits = entry.number, ""
    while number:
        number, digit = divmod(number, 32)
        digits = _BASE_32[digit] + digits
    kind = "response" if entry.is_response else "request"
    return f"{quote_plus(entry.message_id)[:_LONGEST_NAME]}-{kind}-{digits or '0'}.asice"


def container(entry: Entry) -> bytes:
    """The container of a time-stamped record."""
    proof = entry.signature.proof
    contents: dict[str, bytes | str | None] = {
        "mimetype": MIMETYPE,
        "message.xml": entry.message,
        "META-INF/signatures.xml": entry.signature.xml,
        "sig-hashchainresult.xml": None if proof is None else proof.result,
        "sig-hashchain.xml": None if proof is None else proof.chain,
        _RESULT: entry.stamp_result,
        "ts-hashchain.xml": entry.stamp_chain,
    }
    present = {key: value for key, value in contents.items() if value is not None}
    attached = {} if entry.body is None else {"attachment1": entry.body}
    present["META-INF/manifest.xml"] = _manifest(present, attached)
    if entry.stamp_result is not None and entry.token is not None:
        present["META-INF/ASiCManifest.xml"] = _stamp_manifest(entry.stamp_result)
        # A record that was stamped alone has its token in the signature.
        present[_STAMP] = entry.token
    return archive(entry, {**present, **attached})


def archive(entry: Entry, contents: dict[str, bytes | str]) -> bytes:
    """A ZIP file of entries that bear the time of the record."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.comment = f"mimetype={MIMETYPE}".encode()
        for title, content in contents.items():
            add(file, title, content, entry, stored=title == "mimetype")
    return made.getvalue()


def add(file: zipfile.ZipFile, title: str, content: bytes | str, entry: Entry, *, stored: bool = True) -> None:
    """Add a file under the time of a record."""
    info = zipfile.ZipInfo(title, entry.logged_at.timetuple()[:6])
    info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    file.writestr(info, content)


def bundle(entries: Iterable[Entry]) -> bytes:
    """A ZIP file with the containers of several records."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for entry in entries:
            add(file, name(entry), container(entry), entry)
    return made.getvalue()


def _manifest(contents: Iterable[str], attached: Iterable[str]) -> str:
    listed = [("/", MIMETYPE)]
    listed += [(title, "text/xml") for title in contents if title != "mimetype" and "/" not in title]
    listed += [(title, "application/octet-stream") for title in attached]
    lines = "".join(
        f'    <manifest:file-entry manifest:media-type="{kind}" manifest:full-path="{title}"/>\n'
        for title, kind in listed
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<manifest:manifest '
        'xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" manifest:version="1.2">\n'
        f"{lines}</manifest:manifest>\n"
    )


def _stamp_manifest(result: str) -> str:
    digest = base64.b64encode(hashlib.sha512(result.encode()).digest()).decode()
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<asic:ASiCManifest '
        f'xmlns:asic="http://uri.etsi.org/2918/v1.2.1#" xmlns:ds="{DSIG}">\n'
        f'<asic:SigReference URI="{_STAMP}" MimeType="vnd.etsi.timestamp-token"/>\n'
        f'<asic:DataObjectReference URI="{_RESULT}" MimeType="text/xml">\n'
        f'<ds:DigestMethod Algorithm="{SHA512}" />\n<ds:DigestValue>{digest}</ds:DigestValue>\n'
        "</asic:DataObjectReference>\n</asic:ASiCManifest>"
    )
