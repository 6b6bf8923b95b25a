"""What is refused before anything is verified: files that aren't containers, or are made to deceive."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from operate.messages import container
from operate.messages.container import Unreadable

GOOD = {"mimetype": container.MIMETYPE, "message.xml": "m", "META-INF/signatures.xml": "<s/>"}


def zipped(entries: list[tuple[str, bytes | str]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP file of these entries, whatever their names are."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as file:
        for name, content in entries:
            info = zipfile.ZipInfo("x" * len(name))
            info.compress_type = method
            file.writestr(info, content)
    data = made.getvalue()
    # The library makes names harmless: they are put in afterwards.
    for name, _ in entries:
        data = data.replace(b"x" * len(name), name.encode(), 1)
    start = data.index(b"PK\x01\x02")
    directory = data[start:]
    for name, _ in entries:
        directory = directory.replace(b"x" * len(name), name.encode(), 1)
    return data[:start] + directory


def good(**more: bytes | str) -> list[tuple[str, bytes | str]]:
    """The entries of a container, and more."""
    return [*GOOD.items(), *more.items()]


def read(tmp_path: Path, content: bytes) -> container.Documents:
    path = tmp_path / "x.asice"
    path.write_bytes(content)
    return container.read(path)


def test_a_container_is_read(tmp_path: Path) -> None:
    """Stored or deflated."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        (held,) = read(tmp_path, zipped(good(attachment1=b"body"), method)).containers
        assert held.entries["message.xml"] == b"m"
        assert held.attachments == {"attachment1": b"body"}


def test_a_container_with_descriptors_is_read(tmp_path: Path) -> None:
    """X-Road's are written as streams: sizes follow the content."""

    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.content += data
            return len(data)

    made = Stream()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:  # type: ignore[arg-type]
        for name, content in GOOD.items():
            file.writestr(name, content)
    assert read(tmp_path, bytes(made.content)).containers[0].entries["message.xml"] == b"m"


def test_several_containers(tmp_path: Path) -> None:
    """A download without `unique`, or an archive."""
    inner = zipped(good())
    several = read(tmp_path, zipped([("a.asice", inner), ("b.asice", inner), ("linkinginfo", "- - SHA-512\n")]))
    assert [held.name for held in several.containers] == ["a.asice", "b.asice"]
    assert several.linking == "- - SHA-512\n"


def _bomb() -> bytes:
    """300 MiB of zeros in 300 KiB."""
    return zipped(good(attachment1=b"\0" * (300 * 1024**2)))


def _lying_bomb() -> bytes:
    """One that says that it is small: size and descriptor tell a hundredth of what it unpacks to."""
    content = b"\0" * 1_000_000
    data = bytearray(zipped(good(attachment1=content)))
    packed = struct.pack("<I", len(content))
    while packed in data:
        place = data.index(packed)
        data[place : place + 4] = struct.pack("<I", 10)
    return bytes(data)


def _flags(data: bytes, flag: int) -> bytes:
    made = bytearray(data)
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = made.index(signature)
        made[start + place] |= flag
    return bytes(made)


def _other_local_name(data: bytes) -> bytes:
    place = data.index(b"message.xml")
    return data[:place] + b"massage.xml" + data[place + 11 :]


def _hidden(data: bytes) -> bytes:
    """An entry before the first one that the directory knows nothing of."""
    extra = zipped([("evil", b"x")])
    local = extra[: extra.index(b"PK\x01\x02")]
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    directory = bytearray(data[start:end])
    place = 0
    while place < len(directory):
        sizes = struct.unpack_from("<HHH", directory, place + 28)
        (offset,) = struct.unpack_from("<I", directory, place + 42)
        struct.pack_into("<I", directory, place + 42, offset + len(local))
        place += 46 + sum(sizes)
    tail = bytearray(data[end:])
    struct.pack_into("<I", tail, 16, start + len(local))
    return local + data[:start] + bytes(directory) + bytes(tail)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: b"", "no ZIP file"),
        (lambda: b"nothing at all", "no ZIP file"),
        (lambda: zipped(good())[:-30], "no ZIP file"),
        (lambda: b"PK\x05\x06" + bytes(18), "it is empty"),
        (lambda: zipped([("readme.txt", "x")]), "holds 'readme.txt'"),
        (lambda: zipped([("a.asice", b"nothing")]), "a.asice: it is damaged"),
        (lambda: zipped([("a.asice", zipped(good())), ("x", b"")]), "neither a container nor"),
        (lambda: zipped([("mimetype", "text/plain")]), "mimetype isn't"),
        (lambda: zipped([("mimetype", container.MIMETYPE)]), "holds no message.xml"),
        (lambda: zipped(good()[:2]), "holds no META-INF/signatures.xml"),
        (lambda: zipped(good(**{"run.sh": "x"})), "'run.sh', which nothing in it vouches for"),
        (lambda: zipped(good(attachment0="x")), "vouches for"),
        (lambda: zipped(good(**{"META-INF/other-signatures.xml": "x"})), "vouches for"),
        (lambda: zipped(good(**{"../../etc/passwd": "x"})), "leads elsewhere"),
        (lambda: zipped(good(**{"/etc/passwd": "x"})), "leads elsewhere"),
        (lambda: zipped(good(**{"a\\..\\b": "x"})), "leads elsewhere"),
        (lambda: zipped(good(**{"C:x": "x"})), "leads elsewhere"),
        (lambda: zipped([*good(), ("message.xml", "other")]), "'message.xml' twice"),
        (lambda: zipped(good(**{"Message.XML": "other"})), "'Message.XML' twice"),
        (_bomb, "more than the 268435456 bytes"),
        (_lying_bomb, ""),
        (lambda: _flags(zipped(good()), 1), "is encrypted"),
        (lambda: zipped(good(), zipfile.ZIP_LZMA), "uncommon way"),
        (lambda: b"MZ" + zipped(good()), "bytes outside"),
        (lambda: zipped(good()) + b"more", "bytes outside"),
        (lambda: _hidden(zipped(good())), "bytes outside"),
        (lambda: _other_local_name(zipped(good())), "another name"),
    ],
)
def test_refused(tmp_path: Path, make: Callable[[], bytes], told: str) -> None:
    """With the exact reason."""
    with pytest.raises(Unreadable) as caught:
        read(tmp_path, make())
    assert told in str(caught.value)


def test_a_wrong_checksum_is_found(tmp_path: Path) -> None:
    """A stored entry with another byte."""
    data = zipped(good(attachment1=b"body"), zipfile.ZIP_STORED)
    assert zlib.crc32(b"body") != zlib.crc32(b"bodY")
    with pytest.raises(Unreadable, match="Bad CRC"):
        read(tmp_path, data.replace(b"body", b"bodY", 1))


def test_what_isnt_a_file(tmp_path: Path) -> None:
    """A folder; a file that isn't there."""
    with pytest.raises(Unreadable, match="isn't a file"):
        container.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        container.read(tmp_path / "missing")
