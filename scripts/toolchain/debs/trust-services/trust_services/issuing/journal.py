"""Events of the running service: a line of JSON each on standard output, which the host's journal keeps."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime


class Lines(logging.Formatter):
    """Writes an event; what `extra={"facts": …}` brings stands beside its name."""

    def format(self, record: logging.LogRecord) -> str:
        """The line. An error's trace is a part of it: this service's requests hold no secret."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def start() -> None:
    """Send the service's events to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Lines())
    log = logging.getLogger("trust_services")
    log.setLevel(logging.INFO)
    log.handlers = [handler]
    log.propagate = False
