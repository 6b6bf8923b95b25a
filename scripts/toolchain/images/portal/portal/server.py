"""Gunicorn's settings, under gunicorn's own names."""

from __future__ import annotations

from portal.journal import CONFIGURATION

bind = "0.0.0.0:8000"
workers = 1
"""More pods rather than more processes: a pod is what the cluster counts, places and limits."""
threads = 8
timeout = 60
graceful_timeout = 25
keepalive = 30
limit_request_line = 2048
worker_tmp_dir = "/dev/shm"  # noqa: S108 - memory of the container; its root is read-only
control_socket_disable = True
logconfig_dict = CONFIGURATION
