"""What an operator can set about the message log: section `[message-log]` of X-Road's `local.ini`.

Names and defaults are X-Road's (`MessageLogProperties`). The periods of time-stamping stay with the
server's other intervals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from xroad_simulator.identifiers import ClientId

_SIZE_LIMIT = 1024**3
_SWITCHES = {"true": True, "false": False}
_REPEATED = re.compile(r"0/(\d+)")
_ANY_DAY = {"*", "?", "1/1"}


class Grouping(StrEnum):
    """Whose records share an archive file (`archive-grouping`)."""

    NONE = "none"
    MEMBER = "member"
    SUBSYSTEM = "subsystem"


class MessageLogSettings(BaseModel):
    """What is logged, and what becomes of it. Times in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    stamps_at_once: bool = False
    """Every message waits for its own time stamp (`timestamp-immediately`)."""
    batch_size: int = Field(default=10_000, ge=1)
    """Records in one time stamp (`timestamp-records-limit`)."""
    logs_bodies: bool = True
    local_exceptions: frozenset[ClientId] = frozenset()
    """Providers on this server for which `logs_bodies` is reversed."""
    remote_exceptions: frozenset[ClientId] = frozenset()
    """Providers on other servers for which `logs_bodies` is reversed."""
    largest_body: int = Field(default=10 * 1024 * 1024, ge=0, le=_SIZE_LIMIT)
    cuts_bodies: bool = False
    """Log the beginning of larger bodies instead of refusing the message (`truncated-body-allowed`)."""
    archive_path: Path = Path("/var/lib/xroad")
    archive_interval: float = Field(default=6 * 3600, gt=0)
    archive_batch: int = Field(default=10_000, ge=1)
    archive_size: int = Field(default=32 * 1024 * 1024, ge=1)
    """A file is ended when its containers exceed this."""
    archive_grouping: Grouping = Grouping.NONE
    archive_transfer_command: str | None = None
    archive_encryption: bool = False
    clean_interval: float = Field(default=12 * 3600, gt=0)
    keep_days: int = Field(default=30, ge=0)
    """How long archived records stay in the database."""

    @classmethod
    def read(cls, section: Mapping[str, str], state: Path) -> Self:
        """From the section; ValueError names the parameter that can't be used. Archives go to `state`."""
        logs_bodies = _switch(section, "message-body-logging", True)
        word = "disabled" if logs_bodies else "enabled"
        for side in ("local", "remote"):
            unused = f"{'enabled' if logs_bodies else 'disabled'}-body-logging-{side}-producer-subsystems"
            if section.get(unused):
                raise ValueError(
                    f"[message-log] {unused} has no place where message-body-logging={logs_bodies}"
                )
        return cls(
            stamps_at_once=_switch(section, "timestamp-immediately", False),
            batch_size=_number(section, "timestamp-records-limit", 10_000),
            logs_bodies=logs_bodies,
            local_exceptions=_subsystems(section, f"{word}-body-logging-local-producer-subsystems"),
            remote_exceptions=_subsystems(section, f"{word}-body-logging-remote-producer-subsystems"),
            largest_body=_number(section, "max-loggable-message-body-size", 10 * 1024 * 1024),
            cuts_bodies=_switch(section, "truncated-body-allowed", False),
            archive_path=Path(section.get("archive-path", str(state))),
            archive_interval=_interval(section, "archive-interval", "0 0 0/6 1/1 * ? *"),
            archive_batch=_number(section, "archive-transaction-batch", 10_000),
            archive_size=_number(section, "archive-max-filesize", 32 * 1024 * 1024),
            archive_grouping=Grouping(section.get("archive-grouping", "none").lower()),
            archive_transfer_command=section.get("archive-transfer-command") or None,
            archive_encryption=_switch(section, "archive-encryption-enabled", False),
            clean_interval=_interval(section, "clean-interval", "0 0 0/12 1/1 * ? *"),
            keep_days=_number(section, "keep-records-for", 30),
        )

    def logs_body(self, provider: ClientId, *, is_local: bool) -> bool:
        """Whether the bodies of messages to a provider are logged."""
        exceptions = self.local_exceptions if is_local else self.remote_exceptions
        return self.logs_bodies != (provider in exceptions)


def _switch(section: Mapping[str, str], name: str, default: bool) -> bool:
    text = section.get(name)
    if text is None:
        return default
    if text.lower() not in _SWITCHES:
        raise ValueError(f"[message-log] {name}={text}: neither true nor false")
    return _SWITCHES[text.lower()]


def _number(section: Mapping[str, str], name: str, default: int) -> int:
    text = section.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"[message-log] {name}={text}: not a number")
    return int(text)


def _subsystems(section: Mapping[str, str], name: str) -> frozenset[ClientId]:
    try:
        found = [ClientId.parse(text.strip(), "/") for text in section.get(name, "").split(",") if text.strip()]
    except ValueError as error:
        raise ValueError(f"[message-log] {name}: {error}") from error
    if any(client.subsystem_code is None for client in found):
        raise ValueError(f"[message-log] {name}: four codes with slashes between them name a subsystem")
    return frozenset(found)


def _interval(section: Mapping[str, str], name: str, default: str) -> float:
    """The period of a Quartz expression of the form `0 0 0/6 1/1 * ? *`, in seconds."""
    text = section.get(name, default)
    seconds, minutes, hours, *days = text.split() + [""] * 3
    repeated = [_REPEATED.fullmatch(field) for field in (seconds, minutes, hours)]
    if {*days} <= _ANY_DAY | {""}:
        for place, length in ((2, 3600.0), (1, 60.0), (0, 1.0)):
            found, rest = repeated[place], (seconds, minutes, hours)[:place]
            above = (seconds, minutes, hours)[place + 1 :]
            if found is not None and int(found[1]) and set(rest) <= {"0"} and set(above) <= {"*"}:
                return int(found[1]) * length
    raise ValueError(f"[message-log] {name}={text}: only intervals such as `{default}` are understood")
