"""Whether the host's clock can be trusted, and how far it may be off.

chrony knows how well it holds the clock; it is asked every few seconds. Between two looks, and before chrony
has measured its sources again, only the monotonic clock can tell that somebody set the time: it is compared at
every time stamp. A leap second is such a step too, so that none is stamped until chrony has measured after it.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

NANOSECONDS = 1_000_000_000
_LOOKS_UNTIL_STALE = 3
_LOCAL_REFERENCE = "7F7F0101"
_SYNCHRONISED = ("Normal", "Insert second", "Delete second")


class Unsure(Exception):  # noqa: N818 - a state of the clock, which callers ask for
    """Why the clock can't be trusted now."""


@dataclass(frozen=True)
class Limits:
    """What is asked of a clock."""

    command: Sequence[str] = ("chronyc", "-c", "tracking")
    """Prints one line as chronyc's `-c tracking` does."""
    interval: float = 4.0
    """Seconds between looks."""
    deadline: float = 2.0
    """Seconds until a command that doesn't end is killed."""
    error: float = 1.0
    """Seconds that the clock may be off at most."""
    reference_age: float = 3600.0
    """Seconds since chrony's last measurement; longer, and its estimate is only an extrapolation."""


@dataclass(frozen=True)
class Tracking:
    """What chrony says (chronyc(1), `tracking`)."""

    reference: str
    source: str
    reference_time: float
    """When the last measurement was taken into account: seconds since 1970."""
    root_delay: float
    root_dispersion: float
    offset: float
    """Of the system clock to chrony's own idea of the time, in seconds."""
    leap: str

    @property
    def error(self) -> float:
        """Seconds that the clock is off at most: the bound that chronyc(1) gives under `Root dispersion`."""
        return abs(self.offset) + self.root_dispersion + self.root_delay / 2


@dataclass(frozen=True)
class Moment:
    """A time, and how far it may be off."""

    time: datetime
    error: float
    """Seconds."""


@dataclass(frozen=True)
class _Reading:
    """Both clocks, read together. How far they are apart lies between the two bounds: nanoseconds."""

    wall: int
    monotonic: int
    nearest: int
    farthest: int

    def step_since(self, earlier: _Reading) -> float:
        """Seconds by which the clock was certainly set between two readings; 0 if that can't be told."""
        return max(0, self.nearest - earlier.farthest, earlier.nearest - self.farthest) / NANOSECONDS


@dataclass(frozen=True)
class _Look:
    """One answer of chrony's, and when it was."""

    tracking: Tracking
    reading: _Reading


class ClockWatch:
    """Looks at the clock in the background and says at any time what can be relied on."""

    def __init__(
        self,
        limits: Limits,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.limits = limits
        self._wall = wall
        self._monotonic = monotonic
        self._last: _Look | None = None
        self._confirmed: _Reading | None = None
        """A reading since which the clock wasn't set, or was and has been measured by chrony since."""
        self._after_step: _Reading | None = None
        """The first look after the clock was set, while chrony hasn't measured since."""
        self._problem = "chrony hasn't been asked yet"
        self._stopping = threading.Event()

    def start(self) -> None:
        """Look once, then go on looking in a thread of its own until `stop`."""
        self.look()
        threading.Thread(target=self._watch, name="clock", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def _watch(self) -> None:
        while not self._stopping.wait(self.limits.interval):
            self.look()

    def look(self) -> None:
        """Ask chrony once. Without an answer the one before holds until it is stale."""
        try:
            tracking = self._ask()
        except Unsure as unsure:
            self._problem = str(unsure)
            return
        reading = self._read()
        if self._confirmed is None:
            self._confirmed = reading
        elif reading.step_since(self._confirmed) <= tracking.error:
            self._after_step = None
        elif self._after_step is None or reading.step_since(self._after_step) > tracking.error:
            self._after_step = reading
        elif tracking.reference_time * NANOSECONDS > self._after_step.wall:
            # Measured after the step was seen; a measurement before that look may be older than the step.
            self._confirmed, self._after_step = self._after_step, None
        self._last = _Look(tracking, reading)
        self._problem = "nobody looks any more"

    def now(self) -> Moment:
        """The time. Unsure if the clock can't be trusted, with the reason."""
        look, confirmed = self._last, self._confirmed
        if look is None or confirmed is None:
            raise Unsure(self._problem)
        reading = self._read()
        age = (reading.monotonic - look.reading.monotonic) / NANOSECONDS
        if age > _LOOKS_UNTIL_STALE * self.limits.interval:
            raise Unsure(f"chrony hasn't answered for {age:.0f} s: {self._problem}")
        step = reading.step_since(confirmed)
        if step > look.tracking.error:
            raise Unsure(f"the clock was set by {step:.6f} s and chrony hasn't measured it since")
        _check(look.tracking, reading.wall / NANOSECONDS, self.limits)
        time_of_day = datetime.fromtimestamp(reading.wall // NANOSECONDS, UTC)
        return Moment(time_of_day.replace(microsecond=reading.wall % NANOSECONDS // 1000), look.tracking.error)

    @property
    def error(self) -> float | None:
        """Seconds that the clock is off at most, as chrony said last; None if it never did."""
        return self._last.tracking.error if self._last else None

    def _read(self) -> _Reading:
        before = self._monotonic()
        wall = self._wall()
        after = self._monotonic()
        # This process may have been held up between any two of these.
        return _Reading(wall, before, nearest=wall - after, farthest=wall - before)

    def _ask(self) -> Tracking:
        command = list(self.limits.command)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=self.limits.deadline,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unsure(f"{command[0]} didn't answer within {self.limits.deadline:g} s") from None
        except OSError as error:
            raise Unsure(f"{command[0]} can't be run: {error.strerror}") from None
        said = done.stdout.decode(errors="replace").strip()
        if done.returncode != 0:
            raise Unsure(f"{command[0]} failed: {said[-200:] or done.returncode}")
        return read_tracking(said)


def read_tracking(line: str) -> Tracking:
    """What a line of `chronyc -c tracking` says. Unsure if it isn't one.

    The fields are those of `chronyc tracking`, in its order, after the reference in hexadecimal its name
    (client.c, process_cmd_tracking).
    """
    fields = line.split(",")
    if len(fields) != 14:
        raise Unsure(f"chrony's answer has {len(fields)} fields, not 14: {line[:200]}")
    try:
        reference_time, offset, root_delay, root_dispersion = (float(fields[at]) for at in (3, 4, 10, 11))
    except ValueError:
        raise Unsure(f"chrony's answer has a word where a number should be: {line[:200]}") from None
    return Tracking(
        reference=fields[0],
        source=fields[1],
        reference_time=reference_time,
        root_delay=root_delay,
        root_dispersion=root_dispersion,
        offset=offset,
        leap=fields[13],
    )


def _check(tracking: Tracking, now: float, limits: Limits) -> None:
    if tracking.leap not in _SYNCHRONISED:
        raise Unsure(f"chrony says that the clock is: {tracking.leap}")
    if tracking.reference == _LOCAL_REFERENCE and not tracking.source:
        raise Unsure("chrony follows the host's own clock, no source outside it")
    # A comparison with what isn't a number is false: so this also refuses `nan`.
    if not tracking.error <= limits.error:
        raise Unsure(f"the clock may be off by {tracking.error:.6f} s, more than {limits.error:g} s")
    age = now - tracking.reference_time
    if not age <= limits.reference_age:
        raise Unsure(f"chrony measured {age:.0f} s ago, longer than {limits.reference_age:g} s")
    if age < -limits.error:
        raise Unsure(f"chrony measured {-age:.0f} s after the time that the clock shows")
