"""`serve` answers requests; `migrate` brings the database to the tables of this version."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time

import django
from django.core.management import call_command
from django.db import OperationalError, connection, transaction

PATIENCE_SECONDS = 60
"""How long a migration waits for the database."""

LOCK = 20_241_124
"""Any number: pods that start together take turns by it."""

log = logging.getLogger("portal")


def main() -> None:
    """Run the command that the container's arguments name."""
    parser = argparse.ArgumentParser(prog="portal", description=__doc__)
    parser.add_argument("command", choices=("serve", "migrate"))
    if parser.parse_args().command == "serve":
        arguments = ["gunicorn", "--config=python:portal.server", "portal.wsgi:application"]
        os.execv(sys.executable, [sys.executable, "-m", *arguments])  # noqa: S606 - replaces this process
    django.setup()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            _migrate()
        except OperationalError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"the database doesn't answer: {error}") from error
            log.warning("the database doesn't answer yet", extra={"facts": {"error": type(error).__name__}})
            time.sleep(2)
        else:
            log.info("migrated")
            return


def _migrate() -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        call_command("migrate", interactive=False, verbosity=0)


if __name__ == "__main__":
    main()
