"""Reading a signed document's file: an ASiC-E container with the entries that X-Road writes, and nothing else.

Nothing is unpacked to the disk. A file that isn't such a container, or that two programs could read
differently, is refused before anything in it is looked at.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

MIMETYPE = "application/vnd.etsi.asic-e+zip"
MESSAGE, SIGNATURE, MANIFEST = "message.xml", "META-INF/signatures.xml", "META-INF/manifest.xml"
SIGNED_RESULT, SIGNED_CHAIN = "sig-hashchainresult.xml", "sig-hashchain.xml"
STAMPED_RESULT, STAMPED_CHAIN = "ts-hashchainresult.xml", "ts-hashchain.xml"
STAMP, STAMP_MANIFEST = "META-INF/timestamp.tst", "META-INF/ASiCManifest.xml"
LINKING = "linkinginfo"
_KNOWN = {
    "mimetype",
    MESSAGE,
    SIGNATURE,
    MANIFEST,
    SIGNED_RESULT,
    SIGNED_CHAIN,
    STAMPED_RESULT,
    STAMPED_CHAIN,
    STAMP,
    STAMP_MANIFEST,
}
_ATTACHMENT = re.compile(r"attachment[1-9][0-9]{0,3}")
_LARGEST_FILE = 256 * 1024**2
_LARGEST_CONTENT = 256 * 1024**2
_MOST_ENTRIES = 100_000
_LOCAL_HEADER = struct.Struct("<4sHHHHHIIIHH")
_END = struct.Struct("<4sHHHHIIH")
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


class Unreadable(Exception):  # noqa: N818 - what people read is what is wrong with the file
    """The file is no container, is damaged, or is made to deceive."""


@dataclass(frozen=True, slots=True)
class Container:
    """What a container holds, by name."""

    name: str
    entries: dict[str, bytes]

    @property
    def attachments(self) -> dict[str, bytes]:
        """The body of a REST message is the first and only one."""
        return {name: data for name, data in self.entries.items() if _ATTACHMENT.fullmatch(name)}


@dataclass(frozen=True, slots=True)
class Documents:
    """One container, or several of a download or an archive."""

    containers: tuple[Container, ...]
    contents: dict[str, bytes]
    """The containers' files by name, in their order, where there are several."""
    linking: str | None = None
    """How an archive's containers are linked."""


def read(path: Path) -> Documents:
    """The containers of a file; Unreadable if it holds none, OSError if it can't be opened."""
    mode = path.stat()
    if not stat.S_ISREG(mode.st_mode):
        raise Unreadable("it isn't a file")
    if mode.st_size > _LARGEST_FILE:
        raise Unreadable(f"it has {mode.st_size} bytes, more than the {_LARGEST_FILE} that are read")
    entries = _entries(path.read_bytes())
    if "mimetype" in entries:
        return Documents((_container(path.name, entries),), {})
    linking = entries.pop(LINKING, None)
    strange = [name for name in entries if not name.endswith(".asice") or "/" in name]
    if strange or not entries:
        what = f"holds {strange[0]!r}" if strange else "is empty"
        raise Unreadable(f"it is neither a container nor a collection of containers: it {what}")
    containers: list[Container] = []
    for name, data in entries.items():
        try:
            containers.append(_container(name, _entries(data)))
        except Unreadable as problem:
            raise Unreadable(f"{name}: {problem}") from problem
    try:
        return Documents(tuple(containers), entries, None if linking is None else linking.decode())
    except UnicodeDecodeError as problem:
        raise Unreadable(f"{LINKING} isn't text") from problem


def _container(name: str, entries: dict[str, bytes]) -> Container:
    if entries.get("mimetype") != MIMETYPE.encode():
        raise Unreadable(f"its mimetype isn't {MIMETYPE}")
    strange = [entry for entry in entries if entry not in _KNOWN and not _ATTACHMENT.fullmatch(entry)]
    if strange:
        raise Unreadable(f"it holds {strange[0]!r}, which nothing in it vouches for")
    missing = [entry for entry in (MESSAGE, SIGNATURE) if entry not in entries]
    if missing:
        raise Unreadable(f"it holds no {missing[0]}")
    return Container(name, entries)


def _entries(data: bytes) -> dict[str, bytes]:
    """The files in a ZIP file, each once, one behind the other without a gap."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            found = file.infolist()
            _require_harmless(found)
            _require_gapless(data, found, file.start_dir)
            _require_end(data, file.start_dir)
            return {info.filename: _content(file, info) for info in found}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, ValueError) as error:
        raise Unreadable(f"it is damaged, or no ZIP file: {error}") from error


def _require_harmless(found: list[zipfile.ZipInfo]) -> None:
    if len(found) > _MOST_ENTRIES:
        raise Unreadable(f"it holds {len(found)} entries")
    if sum(info.file_size for info in found) > _LARGEST_CONTENT:
        raise Unreadable(f"its content has more than the {_LARGEST_CONTENT} bytes that are read")
    names: set[str] = set()
    for info in found:
        name = info.orig_filename
        if "\0" in name or "\\" in name or name.startswith("/") or ".." in name.split("/") or ":" in name:
            raise Unreadable(f"it holds {name!r}, which leads elsewhere")
        # Names that differ in case only are one file on some systems.
        if name.lower() in names:
            raise Unreadable(f"it holds {name!r} twice")
        names.add(name.lower())
        if info.flag_bits & 0x1 or info.compress_type not in _METHODS:
            raise Unreadable(f"{name!r} is encrypted or compressed in an uncommon way")


def _require_gapless(data: bytes, found: list[zipfile.ZipInfo], end: int) -> None:
    """What is read from the front, as X-Road's verifier does, is what is read from the directory at the end."""
    place = 0
    for info in sorted(found, key=lambda item: item.header_offset):
        if info.header_offset != place:
            raise Unreadable("it has bytes outside its entries")
        header = _LOCAL_HEADER.unpack_from(data, place)
        signature, flags, method, name_length, extra_length = header[0], header[2], header[3], *header[9:11]
        name = data[place + _LOCAL_HEADER.size : place + _LOCAL_HEADER.size + name_length]
        if (signature, flags, method) != (b"PK\x03\x04", info.flag_bits, info.compress_type):
            raise Unreadable(f"{info.filename!r} is described differently in two places")
        if name.decode("utf-8", "replace") != info.orig_filename:
            raise Unreadable(f"{info.filename!r} has another name in another place")
        place += _LOCAL_HEADER.size + name_length + extra_length + info.compress_size
        if flags & 0x8:
            # A descriptor follows; its signature is optional (APPNOTE 4.3.9).
            place += 16 if data[place : place + 4] == b"PK\x07\x08" else 12
        elif header[6:9] != (info.CRC, info.compress_size, info.file_size):
            raise Unreadable(f"{info.filename!r} has another size or checksum in another place")
    if place != end:
        raise Unreadable("it has bytes outside its entries")


def _require_end(data: bytes, start: int) -> None:
    """After the entries come their directory and its end, and nothing else."""
    place = data.rindex(b"PK\x05\x06")
    *_, size, offset, comment = _END.unpack_from(data, place)
    if (offset, offset + size, place + _END.size + comment) != (start, place, len(data)):
        raise Unreadable("it has bytes outside its entries")


def _content(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with file.open(info) as opened:
        content = opened.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise Unreadable(f"{info.filename!r} has another size than it says")
    return content
