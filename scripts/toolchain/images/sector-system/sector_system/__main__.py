"""`serve` answers requests; `migrate` makes the table and the sample records."""

from __future__ import annotations

import argparse
import logging
import sys
import time

import psycopg
import uvicorn

from sector_system.database import PostgresqlRegistry, migrate
from sector_system.definition import load
from sector_system.service import service
from sector_system.settings import Settings

PATIENCE_SECONDS = 60
"""How long a migration waits for the database."""


def main() -> None:
    """Run the command that the container's arguments name."""
    parser = argparse.ArgumentParser(prog="sector_system", description=__doc__)
    parser.add_argument("command", choices=("serve", "migrate"))
    command = parser.parse_args().command
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    settings = Settings.read()
    definition = load(settings.sector)
    if command == "migrate":
        print(f"{_patiently(lambda: migrate(definition, settings))} records added")
        return
    registry = PostgresqlRegistry(definition, settings)
    uvicorn.run(service(definition, registry), host="0.0.0.0", port=settings.port, access_log=False)  # noqa: S104


def _patiently(work):  # type: ignore[no-untyped-def]
    """Try `work` until the database answers; the last error if it doesn't in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return work()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"the database doesn't answer: {error}") from error
            time.sleep(2)


if __name__ == "__main__":
    main()
