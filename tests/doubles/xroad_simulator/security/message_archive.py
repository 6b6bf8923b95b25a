"""What becomes of logged messages: time-stamped records go to archive files, and later from the database.

A file is `mlog-START-END-DIGEST.zip` (X-Road's `LogArchiveWriter`): containers, and `linkinginfo`, in which
each digest takes in the one before it (`LinkingInfoBuilder`); the first takes in the last of the file
before, so that no file can be left out or replaced without a trace.

A file has its name only after its records are marked. One that a killed server left under its working
name gets its name at the next run, and one whose records weren't marked is written again.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import logging
import os
import re
import subprocess
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from xroad_simulator.clock import now
from xroad_simulator.identifiers import ClientId
from xroad_simulator.message_log_settings import Grouping, MessageLogSettings
from xroad_simulator.security import containers
from xroad_simulator.security.message_log import Entry, MessageLog
from xroad_simulator.security.server import SecurityServer

_LOG = logging.getLogger(__name__)
_UNSUITABLE = re.compile(r"[\0\\<>/:|*?\x01-\x1f]")
_TRANSFER_SECONDS = 3600


def _group(owner: str, grouping: Grouping) -> str:
    client = ClientId.parse(owner)
    if grouping is Grouping.NONE:
        return ""
    return "/".join((client.member if grouping is Grouping.MEMBER else client).parts)


def archive(settings: MessageLogSettings, log: MessageLog) -> list[Path]:
    """Put every time-stamped record that isn't in a file into one; the files that were made.

    OSError if the directory can't be written to: the records stay as they are.
    """
    if settings.archive_encryption:
        raise OSError("archive-encryption-enabled: nothing is archived, for the simulator doesn't encrypt")
    _name_leftovers(settings.archive_path, log)
    made: list[Path] = []
    while waiting := log.to_archive(settings.archive_batch):
        for group, records in itertools.groupby(
            waiting, lambda record: _group(record[0], settings.archive_grouping)
        ):
            for part in _files((log.entry(number) for _, number in records), settings.archive_size):
                made.append(_write(settings.archive_path, log, group, part))
        if len(waiting) < settings.archive_batch:
            break
    return made


def _files(entries: Iterable[Entry], size: int) -> Iterator[list[tuple[Entry, bytes]]]:
    """Records with their containers, a list a file: no more is held at once."""
    held: list[tuple[Entry, bytes]] = []
    total = 0
    for entry in entries:
        content = containers.container(entry)
        held.append((entry, content))
        total += len(content)
        if total > size:
            yield held
            held, total = [], 0
    if held:
        yield held


def _write(directory: Path, log: MessageLog, group: str, records: Sequence[tuple[Entry, bytes]]) -> Path:
    previous_file, digest = log.last_archives().get(group, ("", ""))
    linking = [f"{digest or '-'} {previous_file or '-'} SHA-512"]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for entry, container in records:
            title = containers.name(entry)
            containers.add(file, title, container, entry)
            digest = _digest(digest + hashlib.sha512(container).hexdigest())
            linking.append(f"{digest} {title}")
        containers.add(file, "linkinginfo", "".join(f"{line}\n" for line in linking), records[-1][0])
    times = [entry.logged_at.strftime("%Y%m%d%H%M%S") for entry, _ in records]
    prefix = f"{_UNSUITABLE.sub('_', group)[:199]}-" if group else ""
    path = directory / f"mlog-{prefix}{min(times)}-{max(times)}-{digest[:16]}.zip"
    working = _working(path)
    with working.open("wb") as written:
        written.write(content.getvalue())
        written.flush()
        os.fsync(written.fileno())
    log.archived([entry.number for entry, _ in records], group, path.name, digest)
    working.replace(path)
    return path


def _digest(text: str) -> str:
    return hashlib.sha512(text.encode()).hexdigest()


def _working(path: Path) -> Path:
    return path.with_name(f"tmp-{path.stem}.tmp")


def _name_leftovers(directory: Path, log: MessageLog) -> None:
    """Finish what a killed server began: only the last file of a grouping can be unfinished."""
    for file, _ in log.last_archives().values():
        working = _working(directory / file)
        if working.exists():
            working.replace(directory / file)
    for abandoned in directory.glob("tmp-mlog-*.tmp"):
        abandoned.unlink()


def transfer(command: str | None) -> bool:
    """Run the operator's command that takes archive files away; False if it fails. X-Road uses bash as well."""
    if command is None:
        return True
    try:
        ended = subprocess.run(
            ["/bin/bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_TRANSFER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        _LOG.error("archive transfer command failed: %s", error)
        return False
    if ended.returncode:
        told = ended.stderr.decode(errors="replace").strip()
        _LOG.error("archive transfer command ended with %s: %s", ended.returncode, told)
    return not ended.returncode


def _archive_once(server: SecurityServer, log: MessageLog) -> None:
    settings = server.settings.message_log
    made = archive(settings, log)
    if made:
        _LOG.info("%s archive files written to %s", len(made), settings.archive_path)
        transfer(settings.archive_transfer_command)


async def keep_archiving(server: SecurityServer) -> None:
    """Archive on the interval. Whatever fails is tried again at the next one."""
    log = MessageLog(server)
    while True:
        await asyncio.sleep(server.settings.message_log.archive_interval / server.settings.time_scale)
        try:
            await asyncio.to_thread(_archive_once, server, log)
        except Exception:  # noqa: BLE001 - logged; the loop must go on
            _LOG.exception("messages not archived")


async def keep_cleaning(server: SecurityServer) -> None:
    """Remove on the interval what was archived and kept long enough."""
    log = MessageLog(server)
    while True:
        await asyncio.sleep(server.settings.message_log.clean_interval / server.settings.time_scale)
        try:
            removed = await asyncio.to_thread(log.clean, now())
        except Exception:  # noqa: BLE001 - logged; the loop must go on
            _LOG.exception("archived messages not removed")
        else:
            _LOG.info("%s archived messages removed", removed)
