"""Where the service's events go."""

from __future__ import annotations

import logging
import sys

from event_lines import Lines


def start() -> None:
    """Send every logger's events to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Connection attempts are told by the requests that needed them.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
