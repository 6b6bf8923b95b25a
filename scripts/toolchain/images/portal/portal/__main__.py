"""`serve` answers requests; `migrate` brings the database to the tables of this version."""

from __future__ import annotations

import argparse
import os
import sys
import time

import django
from django.core.management import call_command
from django.db import OperationalError

PATIENCE_SECONDS = 60
"""How long a migration waits for the database."""


def main() -> None:
    """Run the command that the container's arguments name."""
    parser = argparse.ArgumentParser(prog="portal", description=__doc__)
    parser.add_argument("command", choices=("serve", "migrate"))
    if parser.parse_args().command == "serve":
        arguments = ["gunicorn", "--bind=0.0.0.0:8000", "--workers=1", "--threads=8", "--timeout=60"]
        arguments += ["--worker-tmp-dir=/dev/shm", "--no-control-socket", "portal.wsgi:application"]
        os.execv(sys.executable, [sys.executable, "-m", *arguments])  # noqa: S606 - replaces this process
    django.setup()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            call_command("migrate", interactive=False)
        except OperationalError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"the database doesn't answer: {error}") from error
            time.sleep(2)
        else:
            return


if __name__ == "__main__":
    main()
