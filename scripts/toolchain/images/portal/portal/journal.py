"""Where the portal's events go: standard output, one line each."""

from __future__ import annotations

from typing import Any

from event_lines import Lines

_HERE = {"handlers": ["console"], "level": "INFO", "propagate": False}
CONFIGURATION: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": Lines}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stdout"}
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "gunicorn.error": _HERE,
        "gunicorn.access": {**_HERE, "level": "WARNING"},
        "django": _HERE,
        # At its usual level httpx would log each address, and with it the identifier asked for.
        "httpx": {"level": "WARNING"},
    },
}
"""For Django and for gunicorn alike."""
