"""Webhooks: signed deliveries of 13 KB from another process, ours beside a bare Django view.

The servers take turns, so that whatever else runs on the machine slows all of them.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, Final

from tests.bench import stage, webhook_servers
from tests.bench.figures import Figures, Goal, Options, Table, spread
from tests.bench.webhook_load import ACCOUNT, INSTALLATION, SECRET, issues

TITLE: Final = "Webhooks"
ROUNDS: Final = 2
COUNT: Final = 1000
STEADY_RATE: Final = 200
STEADY_COUNT: Final = 300
WARM: Final = 100
PROCESSED: Final = 3000
_GUNICORN: Final = ("-m", "gunicorn")
_PLAIN: Final = ("--no-control-socket", "--log-level", "warning", "-w", "2")

OURS_APP: Final = "tests.bench.webhook_servers:ours"
SERVERS: Final[dict[str, tuple[str, ...]]] = {
    "bare view, 2 sync workers": (*_GUNICORN, *_PLAIN, "tests.bench.webhook_servers:bare"),
    "bare view, 2 x 4 threads": (
        *_GUNICORN, *_PLAIN, "-k", "gthread", "--threads", "4", "--keep-alive", "5",
        "tests.bench.webhook_servers:bare",
    ),
    "bare view, 2 x 16 threads": (  # as many as ours has
        *_GUNICORN, *_PLAIN, "-k", "gthread", "--threads", "16", "--keep-alive", "5",
        "tests.bench.webhook_servers:bare",
    ),
    "ours": (*_GUNICORN, "-c", "python:config.gunicorn_conf", OURS_APP),
}  # fmt: skip
OURS: Final = "ours"
BARE: Final = tuple(name for name in SERVERS if name != OURS)


def measure(options: Options) -> Figures:
    """Each server as fast as it goes, then at a steady rate; in turns."""
    from django.db import connection  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute(webhook_servers.CREATE)
    runs: dict[str, list[Figures]] = {name: [] for name in SERVERS}
    acknowledged: list[int] = []
    first = 0
    for number in range(ROUNDS):
        for name, words in SERVERS.items():
            stage.say(f"webhooks: round {number + 1} of {ROUNDS}, {name}")
            run = _run(words, first)
            first += 10 * COUNT
            told = run.pop("acknowledged")
            runs[name].append(run)
            if name == OURS:
                acknowledged += told
    return {"runs": runs, "ledger": _ledger(acknowledged), "processing": _processing()}


def _processing() -> Figures:
    """How fast one worker processes deliveries that wait: each of another issue, 64 repositories."""
    from reconciliation import deliveries  # noqa: PLC0415
    from syncsvc import clock  # noqa: PLC0415
    from syncsvc.models import Delivery, Installation, Issue  # noqa: PLC0415
    from syncsvc.webhooks.payloads import pack  # noqa: PLC0415

    now = clock.now()
    Delivery.objects.all().delete()
    Installation.objects.create(
        account_id=ACCOUNT, github_id=INSTALLATION, mode="app", account_login="acme",
        account_type="Organization", last_listed_at=now,
    )  # fmt: skip
    waiting = []
    for number, body in enumerate(issues(PROCESSED)):
        waiting.append(
            Delivery(
                guid=f"processed-{number}", event="issues", action="opened", received_at=now,
                due_at=now, account_id=ACCOUNT, payload=pack(body), payload_bytes=len(body),
            )
        )  # fmt: skip
    Delivery.objects.bulk_create(waiting)
    stage.say("webhooks: processing what waits")
    began = time.perf_counter()
    deliveries.drain()
    seconds = time.perf_counter() - began
    return {
        "per_second": PROCESSED / seconds,
        "left": Delivery.objects.exclude(status="processed").count(),
        "issues": Issue.objects.count(),
    }


def _run(words: tuple[str, ...], first: int) -> Figures:
    with _serving(words) as port:
        warm = _load(port, WARM, first)
        fast = _load(port, COUNT, first + COUNT)
        # Only ours knows what it has seen already.
        again = _load(port, WARM, first + COUNT) if OURS_APP in words else {"statuses": {}}
        new = _load(port, COUNT // 3, first + 3 * COUNT, keep=False)
        steady = _load(port, STEADY_COUNT, first + 5 * COUNT, rate=STEADY_RATE)
    return {
        "per_second": fast["per_second"],
        "new_connections_per_second": new["per_second"],
        "p50_ms": steady["p50_ms"],
        "p99_ms": steady["p99_ms"],
        "statuses": [each["statuses"] for each in (warm, fast, new, steady)],
        "statuses_again": again["statuses"],
        "acknowledged": [n for each in (warm, fast, new, steady) for n in each["acknowledged"]],
    }


@contextmanager
def _serving(words: tuple[str, ...]) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    address = () if "-c" in words else ("-b", f"127.0.0.1:{port}")
    process = subprocess.Popen(
        [sys.executable, *words, *address],
        cwd=stage.ROOT,
        env=os.environ | {"PORT": str(port), "GITHUB_WEBHOOK_SECRET": SECRET},
    )
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def _load(port: int, count: int, first: int, **how: Any) -> Figures:
    given = {"port": port, "count": count, "first": first, **how}
    return stage.child("webhook_load", json.dumps(given))


def _ledger(acknowledged: list[int]) -> Figures:
    """What is in the table, held against what was acknowledged."""
    from django.db import connection  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute("SELECT guid FROM syncsvc_delivery")
        stored = [row[0] for row in cursor.fetchall()]
    wanted = {f"bench-{number:08d}" for number in acknowledged}
    return {
        "acknowledged": len(wanted),
        "lost": len(wanted - set(stored)),
        "twice": len(stored) - len(set(stored)),
    }


def about(figures: Figures) -> str:
    """What was sent."""
    ledger = figures["ledger"]
    return (
        f"{COUNT:,} deliveries of 13 KB, 16 at once, over connections that stay open (a sync worker closes "
        f"each); then {COUNT // 3} that each open one; then {STEADY_RATE} a second for "
        f"{STEADY_COUNT / STEADY_RATE:.1f} s, timed from the moment at which each was due. Rounds in turn: "
        f"{len(figures['runs'][OURS])}. Of {ledger['acknowledged']:,} that we acknowledged, {ledger['lost']} were "
        f"not in the table and {ledger['twice']} were there twice. Then one worker processed {PROCESSED:,} that "
        f"waited, each of another issue: {figures['processing']['per_second']:.0f} a second."
    )


def tables(figures: Figures) -> list[Table]:
    """Deliveries a second, and how long one took at a steady rate."""
    rows = [
        (
            name,
            *(
                f"{median(values):.0f} ({min(values):.0f}..{max(values):.0f})"
                for key in ("per_second", "new_connections_per_second")
                for values in [[run[key] for run in runs]]
            ),
            *(spread([run[key] for run in runs]) for key in ("p50_ms", "p99_ms")),
            "" if name == OURS else f"{_ratio(figures, name):.2f}",
        )
        for name, runs in figures["runs"].items()
    ]
    headings = (
        "", "a second", "a second, new connections", f"p50 ms at {STEADY_RATE}/s",
        f"p99 ms at {STEADY_RATE}/s", "ours / this",
    )  # fmt: skip
    return [Table("Deliveries", headings, rows)]


def _ratio(figures: Figures, name: str) -> float:
    """Median of what each round came to: within a round both met the same machine."""
    pairs = zip(figures["runs"][OURS], figures["runs"][name], strict=True)
    return float(median(ours["per_second"] / bare["per_second"] for ours, bare in pairs))


def goals(figures: Figures) -> list[Goal]:
    """The rate beside each bare view, the slowest hundredth, and that nothing is lost or doubled."""
    ours, ledger = figures["runs"][OURS], figures["ledger"]
    failed = sum(
        count
        for run in ours
        for statuses in run["statuses"]
        for status, count in statuses.items()
        if status != "202"
    )
    doubled = sum(run["statuses_again"].get("202", 0) for run in ours)
    return [
        *(
            Goal("webhooks", f"rate, ours / {name}", ">= 0.8", _ratio(figures, name))
            for name in BARE
        ),
        Goal("webhooks", "deliveries a second", ">= 1100", median(r["per_second"] for r in ours)),
        Goal("webhooks", "p99 ms at 200 a second", "< 100", max(r["p99_ms"] for r in ours)),
        Goal("webhooks", "not accepted", "<= 0", float(failed)),
        Goal("webhooks", "not processed", "<= 0", float(figures["processing"]["left"])),
        Goal(
            "webhooks", "issues missing", "<= 0", PROCESSED - float(figures["processing"]["issues"])
        ),
        Goal("webhooks", "acknowledged and lost", "<= 0", float(ledger["lost"])),
        Goal("webhooks", "accepted or stored twice", "<= 0", float(doubled + ledger["twice"])),
    ]
