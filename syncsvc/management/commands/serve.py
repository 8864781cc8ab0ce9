"""`manage.py serve`, which is what `make run` runs: the whole product on one machine.

What it starts, in which order, and what it tells people stands here; how processes live and die is
in `config.supervisor`.
"""

import errno
import gc
import http.client
import importlib
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from config import administrator, demo, embedded, logs
from config.supervisor import Service, Supervisor, SupervisorError
from syncsvc import connect, ringing, startup
from syncsvc.models import Credential
from syncsvc.setup import demo_end
from syncsvc.simulator import World

DEMO_SEED = 1
DEMO_REPOSITORIES = 60
DEMO_ACTIVITY_SECONDS = 15.0
READY_SECONDS = 120.0
SET_UP = 10
"""How the first process says that an account was set up by clicks."""
ASK_SECONDS = 0.1
CLERK_THREADS = 4


class ServeError(Exception):
    """Why the product cannot be served; one sentence for people."""


class Command(BaseCommand):
    """Web, worker, clerk and beat, with the database and the simulator where those are ours to run."""

    help = "Serves everything: web, worker and beat. This is what `make run` runs."
    requires_system_checks = ()

    def handle(self, *_args: Any, **options: Any) -> None:
        """Runs until Ctrl-C or SIGTERM; a start that fails is one sentence and exit code 1."""
        try:
            supervisor = Supervisor(settings.VAR_DIR, verbose=options["verbosity"] > 1)
            listener = _listen(os.environ.get("HOST") or "127.0.0.1", settings.PORT)
            _serve(supervisor, listener)
        except (ServeError, SupervisorError, embedded.EmbeddedDatabaseError) as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(1) from None


def _serve(supervisor: Supervisor, listener: socket.socket) -> None:
    try:
        if settings.EMBEDDED:
            embedded.ensure_postgres()
        supervisor.start(_service("prepare", _prepare, restart=False, speaks=True))
        _import_early()
        code = supervisor.wait_for("prepare")
        if code and code != SET_UP:
            raise ServeError("Not started.") if code != 1 else SystemExit(1)
        if code != SET_UP and demo.is_wanted(os.environ):
            app = World.generate(DEMO_SEED, 0).app
            _adopt(demo.prepare(app_id=str(app.id)))
            supervisor.start(_service("simulator", _simulator, serves_others=True))
        gc.freeze()  # what is imported stays shared between the processes
        supervisor.start(_service("web", partial(_web, listener)))
        supervisor.start(_service("worker", _worker))
        supervisor.start(_service("clerk", _clerk))
        supervisor.start(_service("beat", _beat))
        supervisor.start(
            _service("welcome", partial(_welcome, listener), restart=False, speaks=True)
        )
        if supervisor.wait_for("welcome") == 0:
            supervisor.start(_service("discover", _discover, restart=False))
        supervisor.run()
    finally:
        supervisor.stop()
        embedded.release_postgres()


def _listen(host: str, port: int) -> socket.socket:
    """The socket is bound before anything is started, and outlives a web process that dies."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            reason = "is in use: stop what uses it, or choose another port"
        else:
            reason = f"on {host} cannot be opened ({error}): choose another port"
        raise ServeError(f"Port {port} {reason}, for example PORT={_other(port)}.") from error
    return listener


def _other(port: int) -> int:
    return port + 1 if 1024 <= port < 65535 else 8001


def _service(name: str, run: Callable[[], object], **how: bool) -> Service:
    return Service(name=name, run=partial(_in_child, run), **how)


def _in_child(run: Callable[[], object]) -> None:
    logs.configure(level=os.environ.get("LOG_LEVEL") or "INFO")  # no terminal here: JSON lines
    run()


def _adopt(environment: dict[str, str]) -> None:
    """The settings are loaded already: both they and the environment get to know the simulator."""
    os.environ.update(environment)
    for name, value in environment.items():
        setattr(settings, name, value)
    settings.GITHUB_WEBHOOK_SECRET = [environment["GITHUB_WEBHOOK_SECRET"]]
    settings.SYNC_DEMO = True


def _import_early() -> None:
    """While the database is prepared: what every service would import for itself."""
    for module in (settings.ROOT_URLCONF, "gunicorn.app.wsgiapp", "gunicorn.workers.gthread"):
        importlib.import_module(module)
    from config.celery import app  # noqa: PLC0415  (only the child process needs it)

    app.loader.import_default_modules()
    importlib.import_module("celery.bin.worker")


# --- the services, each in its own process -----------------------------------------------------


def _prepare() -> None:
    """The tables, and whether an account was set up by clicks: then there is no demo."""
    call_command("prepare")
    if demo.has_left():
        world = World.generate(DEMO_SEED, DEMO_REPOSITORIES)
        if demo_end.forget_what_was_simulated(world):
            sys.stdout.write("The demo was left: what was simulated is forgotten.\n")
    if Credential.objects.exists():
        raise SystemExit(SET_UP)


def _simulator() -> None:
    call_command(
        "simulate_github",
        port=urlsplit(settings.GITHUB_API_URL).port,
        seed=DEMO_SEED,
        repos=DEMO_REPOSITORIES,
        private_key_file=Path(settings.GITHUB_APP_PRIVATE_KEY),
        webhook_url=f"http://127.0.0.1:{settings.PORT}/webhooks/github/",
        webhook_secret=settings.GITHUB_WEBHOOK_SECRET[0],
        activity=DEMO_ACTIVITY_SECONDS,
        # What happened since the first start happens again: the mirror's data was kept too.
        history=settings.VAR_DIR / "demo" / f"history-{DEMO_SEED}-{DEMO_REPOSITORIES}.jsonl",
    )


def _web(listener: socket.socket) -> None:
    # Asked before all are up, /readyz says 503: that is its job and no error to report.
    logging.getLogger("django.request").addFilter(
        lambda record: "/readyz" not in record.getMessage()
    )
    os.environ["SYNC_LISTEN_FD"] = str(listener.fileno())
    sys.argv = ["gunicorn", "-c", "python:config.gunicorn_conf", "config.wsgi:application"]
    importlib.import_module("gunicorn.app.wsgiapp").run()


def _worker() -> None:
    """Takes runs only: nothing short is caught in it while its slots are taken."""
    concurrency = os.environ.get("WORKER_CONCURRENCY") or "4"
    _celery_worker("worker", settings.CELERY_TASK_DEFAULT_QUEUE, f"--concurrency={concurrency}")


def _clerk() -> None:
    """The sweeper, the schedule, deliveries. Threads: these wait more than they compute, and a process
    for each would cost memory for nothing."""
    _celery_worker(
        "clerk", ringing.short_queue(), f"--concurrency={CLERK_THREADS}", "--pool=threads"
    )


def _celery_worker(name: str, queue: str, *how: str) -> None:
    from config.celery import app  # noqa: PLC0415  (only the child process needs it)

    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    who = [f"--hostname={name}@%h", f"--queues={queue}"]
    app.worker_main(["worker", "--loglevel=INFO", *who, *how, *quiet])


def _beat() -> None:
    from config.celery import app  # noqa: PLC0415  (only the child process needs it)

    app.start(["beat", "--loglevel=INFO", "--pidfile="])


# --- what people are told ------------------------------------------------------------------------


def _discover() -> None:
    """The first look at the accounts. What goes wrong here stops nothing: it is tried again."""
    if trouble := startup.after_start():
        sys.stdout.write(f"WARNING: {trouble}\n")


def _welcome(listener: socket.socket) -> None:
    """Once everything answers: where, for whom, what is mirrored."""
    if not _is_ready(listener):
        raise SystemExit(
            f"Not ready after {READY_SECONDS:.0f} seconds: {settings.BASE_URL}/readyz says what is "
            f"missing, {settings.VAR_DIR}/log/ says why."
        )
    if settings.SYNC_DEMO:
        source = (
            f"the GitHub simulator at {settings.GITHUB_API_URL} (no GitHub credentials are set)"
        )
    elif not (connect.has_app() or connect.has_token()):
        source = f"nothing yet: set it up at {settings.BASE_URL}/setup/"
    else:
        whose = connect.token_owner() or "the App installations"
        source = f"{whose} on {settings.GITHUB_API_URL}"
    sys.stdout.write(
        f"\n  Ready:    {settings.BASE_URL}\n"
        f"  Log in:   {administrator.how_to_log_in()}\n"
        f"  Mirrors:  {source}\n"
        f"  Ctrl-C stops everything; the data stays in {settings.VAR_DIR}.\n\n"
    )


def _is_ready(listener: socket.socket) -> bool:
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  not bound, asked
    headers = {"Host": urlsplit(settings.BASE_URL).netloc}
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        asking = http.client.HTTPConnection(host, port, timeout=10)
        try:
            asking.request("GET", "/readyz", headers=headers)
            if asking.getresponse().status == 200:
                return True
        except (OSError, http.client.HTTPException):
            pass  # not up yet
        finally:
            asking.close()
        time.sleep(ASK_SECONDS)
    return False
