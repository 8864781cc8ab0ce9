"""How gunicorn serves `config.wsgi`, in `make run` and in production alike."""

import gc
import os
import resource
from pathlib import Path
from typing import Any

_listener = os.environ.get("SYNC_LISTEN_FD")  # `manage.py serve` holds the socket over restarts
bind = (
    f"fd://{_listener}"
    if _listener
    else f"{os.environ.get('HOST') or '127.0.0.1'}:{os.environ.get('PORT') or '8000'}"
)
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
worker_class = "config.gunicorn_worker.Worker"
# Webhooks that arrive during a commit share the next one: the more wait, the less each costs.
threads = int(os.environ.get("WEB_THREADS") or 16)
# Live streams are out of its hands (`syncsvc.live.door`) and end by themselves when a worker stops.
graceful_timeout = 3
timeout = 60
keepalive = 5
max_requests = 20_000
max_requests_jitter = 2_000
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  heartbeats in memory

_DESCRIPTORS = 4_096
#: A page of a thousand accounts makes hundreds of thousands of values that die with it by themselves.
_COLLECT_AFTER = (50_000, 20, 50)


def post_worker_init(worker: Any) -> None:
    """Each live stream is a file descriptor, and ends as soon as this worker is told to stop."""
    from syncsvc.live import hub  # noqa: PLC0415  (the master, which reads this file, needs no Django)

    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if most == resource.RLIM_INFINITY else min(_DESCRIPTORS, most)
    if least != resource.RLIM_INFINITY and least < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    hub.hub.lives_while(lambda: worker.alive)
    # What is loaded stays: to look through it for garbage would cost a page a fifth of its time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
