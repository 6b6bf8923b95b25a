"""`serve` answers requests; `migrate` makes the table and the sample records."""

from __future__ import annotations

import argparse
import logging
import time

import psycopg
import uvicorn
from psycopg_pool import ConnectionPool

from sector_system import journal
from sector_system.database import PostgresqlRegistry, migrate
from sector_system.definition import Definition, load
from sector_system.service import service
from sector_system.settings import Settings

PATIENCE_SECONDS = 60
"""How long a migration waits for the database."""

log = logging.getLogger("sector_system")


def main() -> None:
    """Run the command that the container's arguments name."""
    parser = argparse.ArgumentParser(prog="sector_system", description=__doc__)
    parser.add_argument("command", choices=("serve", "migrate"))
    command = parser.parse_args().command
    journal.start()
    settings = Settings.read()
    definition = load(settings.sector)
    if command == "migrate":
        changed = _migrate(definition, settings)
        log.info("migrated", extra={"facts": {"table": definition.table, "records_changed": changed}})
    else:
        _serve(definition, settings)


def _migrate(definition: Definition, settings: Settings) -> int:
    """Migrate as soon as the database answers; SystemExit if it doesn't in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return migrate(definition, lambda: psycopg.connect(**settings.connection()))
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"the database doesn't answer: {error}") from error
            log.warning("the database doesn't answer yet", extra={"facts": {"error": type(error).__name__}})
            time.sleep(2)


def _serve(definition: Definition, settings: Settings) -> None:
    # The pool asks for its settings at each new connection, so a rotated password is used.
    # Giving up on a database early means trying again at the next request, not minutes later.
    with ConnectionPool(
        kwargs=settings.connection,
        check=ConnectionPool.check_connection,
        min_size=1,
        max_size=8,
        timeout=3,
        reconnect_timeout=10,
        max_lifetime=1800,
        open=False,
    ) as pool:
        uvicorn.run(
            service(definition, PostgresqlRegistry(definition, pool.connection)),
            host="0.0.0.0",  # noqa: S104 - inside a pod, behind its network policy
            port=settings.port,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=20,
        )


if __name__ == "__main__":
    main()
