"""When the clock counts as sure, and what each doubt is called."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from trust_services.timestamps.clock import NANOSECONDS, ClockWatch, Limits, Unsure, read_tracking

CHRONY_4_6 = (
    "0A4D0001,10.77.0.1,2,1795688100.123456789,0.000006523,-0.000006747,0.000035822,-3.225,-0.000,0.129,"
    "0.013639022,0.001100737,64.2,Normal"
)


def doubt(watch: ClockWatch) -> str:
    with pytest.raises(Unsure) as unsure:
        watch.now()
    return str(unsure.value)


def test_a_synchronised_clock_is_sure_and_says_how_sure(host: Any, watch: ClockWatch) -> None:
    host.tracks(offset=-0.0001, delay=0.002, dispersion=0.0004)
    watch.look()
    host.pass_time(1.25)
    moment = watch.now()
    assert moment.time == datetime.fromtimestamp(1_800_000_001, UTC).replace(microsecond=250_000)
    # chronyc(1): |system time| + root dispersion + half the root delay.
    assert moment.error == pytest.approx(0.0001 + 0.0004 + 0.001)


def test_the_time_is_cut_to_microseconds_not_rounded_up(host: Any, watch: ClockWatch) -> None:
    watch.look()
    host.wall += 999_999_999
    host.monotonic += 999_999_999
    assert watch.now().time.microsecond == 999_999


def test_nothing_is_sure_before_the_first_look(watch: ClockWatch) -> None:
    assert "hasn't been asked" in doubt(watch)
    assert watch.error is None


def test_a_line_of_chronyc_is_read() -> None:
    read = read_tracking(CHRONY_4_6)
    assert read.reference == "0A4D0001"
    assert read.source == "10.77.0.1"
    assert read.reference_time == 1795688100.123456789
    assert (read.offset, read.root_delay, read.root_dispersion) == (0.000006523, 0.013639022, 0.001100737)
    assert read.leap == "Normal"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "506 Cannot talk to daemon",
        CHRONY_4_6 + ",1",
        CHRONY_4_6.replace("0.001100737", "small"),
        CHRONY_4_6 + "\n" + CHRONY_4_6,
    ],
)
def test_another_line_is_refused(line: str) -> None:
    with pytest.raises(Unsure, match="chrony's answer has"):
        read_tracking(line)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"leap": "Not synchronised"}, "Not synchronised"),
        ({"leap": "Invalid"}, "Invalid"),
        ({"reference": "7F7F0101", "source": ""}, "no source outside"),
        ({"dispersion": 1.1}, "off by 1.101100 s, more than 1 s"),
        ({"delay": 2.2}, "more than 1 s"),
        ({"offset": -1.1}, "more than 1 s"),
        ({"offset": float("nan")}, "off by nan"),
        ({"dispersion": float("inf")}, "off by inf"),
        ({"measured": -3601.0}, "measured 3601 s ago"),
        ({"measured": 2.0}, "2 s after the time"),
        ({"measured": float("nan")}, "measured nan s ago"),
    ],
)
def test_what_chrony_says_can_make_the_clock_unsure(
    host: Any, watch: ClockWatch, said: dict[str, Any], why: str
) -> None:
    host.tracks(**said)
    watch.look()
    assert why in doubt(watch)
    host.tracks()
    watch.look()
    assert watch.now()


@pytest.mark.parametrize("leap", ["Insert second", "Delete second"])
def test_an_announced_leap_second_is_no_doubt(host: Any, watch: ClockWatch, leap: str) -> None:
    host.tracks(leap=leap)
    watch.look()
    assert watch.now()


@pytest.mark.parametrize("by", [3600.0, -3600.0, 1.0, -1.0, 0.01])
def test_a_clock_that_was_set_is_noticed_at_the_next_stamp(host: Any, watch: ClockWatch, by: float) -> None:
    watch.look()
    assert watch.now()
    host.set_clock(by)
    assert "the clock was set" in doubt(watch)


@pytest.mark.parametrize("by", [3600.0, -3600.0, 5.0])
def test_a_clock_that_was_set_stays_unsure_until_chrony_has_measured_it(
    host: Any, watch: ClockWatch, by: float
) -> None:
    watch.look()
    host.pass_time(4)
    host.set_clock(by)
    # chrony hasn't noticed: it still tells of the measurement before.
    host.tracks(measured=-24.0)
    watch.look()
    assert doubt(watch)
    host.pass_time(4)
    host.tracks(measured=-28.0)
    watch.look()
    assert doubt(watch)
    host.pass_time(4)
    host.tracks(measured=-1.0)
    watch.look()
    assert watch.now()


def test_a_measurement_between_a_look_and_a_step_proves_nothing(host: Any, watch: ClockWatch) -> None:
    watch.look()
    host.pass_time(4)
    host.set_clock(5.0)
    # Measured after the look before, but two seconds before the clock was set.
    host.tracks(measured=-7.0)
    watch.look()
    assert "the clock was set" in doubt(watch)


def test_a_clock_that_is_set_back_to_where_it_was_is_sure_again(host: Any, watch: ClockWatch) -> None:
    watch.look()
    host.set_clock(3600.0)
    watch.look()
    assert doubt(watch)
    host.set_clock(-3600.0)
    assert watch.now()


def test_a_machine_that_slept_is_unsure(host: Any, watch: ClockWatch) -> None:
    watch.look()
    host.wall += 60 * NANOSECONDS
    assert "the clock was set by 60" in doubt(watch)


def test_a_process_that_is_held_up_between_two_readings_sees_no_step(host: Any, watch: ClockWatch) -> None:
    watch.look()
    host.held_up = NANOSECONDS // 10
    assert watch.now()
    host.held_up = 0
    assert watch.now()


def test_a_look_that_is_too_old_does_not_count(host: Any, watch: ClockWatch) -> None:
    watch.look()
    host.pass_time(12.0)
    assert watch.now()
    host.pass_time(0.1)
    assert "hasn't answered for 12 s" in doubt(watch)


@pytest.mark.parametrize(
    ("script", "why", "patience"),
    [
        ("echo '506 Cannot talk to daemon'; exit 1", "506 Cannot talk to daemon", 20.0),
        ("exit 3", "failed: 3", 20.0),
        ("exit 0", "has 1 fields", 20.0),
        ("head -c 100000 /dev/zero", "has 1 fields", 20.0),
        ("exec sleep 20", "didn't answer within", 0.3),
        # A child that keeps the output open after its parent was killed.
        ("sleep 20 & sleep 20", "didn't answer within", 0.3),
    ],
)
def test_a_chronyc_that_fails_makes_the_clock_unsure_once_the_last_look_is_old(
    host: Any, watch: ClockWatch, script: str, why: str, patience: float
) -> None:
    watch.look()
    host.runs(script)
    watch.limits = replace(watch.limits, deadline=patience)
    began = time.monotonic()
    watch.look()
    # Not held up by what goes on for longer, however busy the machine is.
    assert time.monotonic() - began < 19
    assert watch.now()
    host.pass_time(13)
    assert why in doubt(watch)


def test_a_chronyc_that_is_missing_is_named(host: Any, watch: ClockWatch) -> None:
    host.program.unlink()
    watch.look()
    assert doubt(watch) == f"{host.program} can't be run: No such file or directory"


def test_the_watch_looks_by_itself(host: Any) -> None:
    host.wall = time.time_ns()
    host.tracks(leap="Not synchronised")
    watch = ClockWatch(Limits(command=host.limits.command, interval=0.05, deadline=20.0))
    watch.start()
    try:
        assert doubt(watch)
        host.tracks()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                assert watch.now().error < 1
                return
            except Unsure:
                time.sleep(0.02)
        pytest.fail("the watch didn't look again")
    finally:
        watch.stop()
