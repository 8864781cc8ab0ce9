"""How gunicorn serves `config.wsgi`, in `make run` and in production alike."""

import os
from pathlib import Path

_listener = os.environ.get("SYNC_LISTEN_FD")  # `manage.py serve` holds the socket over restarts
bind = (
    f"fd://{_listener}"
    if _listener
    else f"{os.environ.get('HOST') or '127.0.0.1'}:{os.environ.get('PORT') or '8000'}"
)
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
worker_class = "gthread"
# Webhooks that arrive during a commit share the next one: the more wait, the less each costs.
threads = int(os.environ.get("WEB_THREADS") or 16)
# Streams of events stay open for long: a stop cuts them rather than waiting for them.
graceful_timeout = 3
timeout = 60
keepalive = 5
max_requests = 20_000
max_requests_jitter = 2_000
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  heartbeats in memory
