"""A lab's names are known to the work that needs them, and to nothing else."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

import estate
from operate.lab.names import with_names

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")


def test_programs_of_the_work_find_the_hosts() -> None:
    """By full name and by alias."""

    def look_up() -> list[str]:
        names = ("registry1.lab.smartgouv.test", "portal.lab.smartgouv.test")
        return [
            subprocess.run(
                ["getent", "hosts", name], capture_output=True, text=True, check=True
            ).stdout.split()[0]
            for name in names
        ]

    assert with_names(estate.load("lab"), look_up) == ["10.80.10.11", "10.80.60.11"]


def test_the_machine_itself_is_untouched() -> None:
    """Neither the file nor the rest of this process."""
    with_names(estate.load("lab"), lambda: None)

    with pytest.raises(socket.gaierror):
        socket.gethostbyname("registry1.lab.smartgouv.test")


def test_a_failure_comes_through() -> None:
    """As it was raised."""

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        with_names(estate.load("lab"), fail)
