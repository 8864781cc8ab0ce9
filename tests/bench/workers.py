"""Workers: how many runs a minute 1 to 10 of them do on one queue, and that none gets in another's way."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any, Final
from urllib.parse import quote

import psutil

from tests.bench import stage
from tests.bench.figures import Figures, Goal, Options, Table, percentile

TITLE: Final = "Workers on one queue"
ACCOUNTS: Final = 200
REPOSITORIES: Final = 3
LATENCY: Final = 1.0
WORKERS: Final = (1, 2, 5, 10)
#: So many runs for each worker, of different accounts: all of them are there, and ten get one each.
RUNS_EACH: Final = 12
SECONDS: Final = 600.0


def measure(options: Options) -> Figures:
    """Each number of workers on an empty mirror and a new GitHub."""
    each = 3 if options.quick else RUNS_EACH
    cases = []
    for workers in WORKERS:
        stage.say(f"workers: {workers}, {workers * each} runs")
        cases.append(_case(workers, workers * each))
    return {
        "accounts": ACCOUNTS,
        "repositories": REPOSITORIES,
        "latency_ms": round(1000 * LATENCY),
        "cpus": os.cpu_count(),
        "cases": cases,
    }


def _case(workers: int, runs: int) -> Figures:
    from django.db import connection  # noqa: PLC0415  (after `stage.server`)
    from django.test import override_settings  # noqa: PLC0415

    from syncsvc.models import SyncJob  # noqa: PLC0415
    from syncsvc.simulator import Simulator  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE syncsvc_installation RESTART IDENTITY CASCADE")
    with Simulator(_world(), latency=LATENCY) as simulator:
        github = {
            "GITHUB_API_URL": simulator.url,
            "GITHUB_APP_ID": str(simulator.app_id),
            "GITHUB_APP_PRIVATE_KEY": simulator.private_key_pem,
        }
        queue = f"bench-{os.getpid()}-{workers}"
        with override_settings(**github, CELERY_TASK_DEFAULT_QUEUE=queue):
            asked = _ask(runs)
        simulator.request_log.clear()
        with _celery(workers, queue, github) as process:
            cpu = _wait(process)
        requests = _requests(simulator.request_log.entries())
    jobs = list(SyncJob.objects.filter(pk__in=asked).select_related("installation"))
    began = min(job.started_at for job in jobs if job.started_at)
    ended = max(job.finished_at for job in jobs if job.finished_at)
    seconds = [
        (job.finished_at - job.started_at).total_seconds()
        for job in jobs
        if job.started_at and job.finished_at
    ]
    return {
        "workers": workers,
        "runs": runs,
        "statuses": dict(Counter(job.status for job in jobs)),
        "wall_seconds": (ended - began).total_seconds(),
        "cpu_seconds": cpu,
        "run_seconds": [round(each, 3) for each in sorted(seconds)],
        "requests": sum(sum(times.values()) for times in requests.values()),
        "attempts": max(job.attempt for job in jobs),
        "overlaps": _overlaps(jobs, requests),
        "workers_at_once": _at_once(jobs),
    }


def _world() -> Any:
    from syncsvc.simulator import World  # noqa: PLC0415
    from syncsvc.simulator.generate import AccountPlan  # noqa: PLC0415

    plans = [
        AccountPlan(login=f"account-{number:03d}", repositories=REPOSITORIES)
        for number in range(ACCOUNTS)
    ]
    return World.generate(
        seed=7,
        accounts=plans,
        issues_per_repository=3,
        pull_requests_per_repository=2,
        commits_per_repository=5,
    )


def _ask(runs: int) -> list[str]:
    """Discovers all accounts and asks for a sync of so many. Each message is sent twice: a broker may
    deliver it again, and then two workers stand before one job."""
    from syncsvc import discovery, jobs  # noqa: PLC0415
    from syncsvc.models import Installation  # noqa: PLC0415
    from syncsvc.service import SyncService  # noqa: PLC0415

    discovery.discover()
    found = list(Installation.objects.order_by("account_login"))
    if len(found) != ACCOUNTS:
        raise SystemExit(f"{len(found)} accounts were discovered, not {ACCOUNTS}.")
    asked = [SyncService.request(each.pk, "cron").job_id or "" for each in found[:runs]]
    for job_id in asked:
        jobs.ring(job_id)  # type: ignore[arg-type]  # its text is what is sent
    return asked


@contextmanager
def _celery(
    workers: int, queue: str, github: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """One Celery worker with so many processes, as production starts it."""
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "--loglevel=WARNING"]
    command += ["--concurrency", str(workers), "--without-gossip", "--without-mingle"]
    environment = os.environ | github | {"DATABASE_URL": _database_url(), "CELERY_QUEUE": queue}
    process = subprocess.Popen(
        command, cwd=stage.ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        process.wait()


def _database_url() -> str:
    from django.db import connection  # noqa: PLC0415

    where = connection.settings_dict
    host, name = where["HOST"], quote(where["NAME"])
    login = quote(where["USER"] or "postgres")
    if where["PASSWORD"]:
        login += ":" + quote(where["PASSWORD"], safe="")
    if host.startswith("/"):
        return f"postgres://{login}@/{host}/{name}"
    return f"postgres://{login}@{host or '127.0.0.1'}:{where['PORT'] or 5432}/{name}"


def _wait(process: subprocess.Popen[bytes]) -> float:
    """Until nothing is left to do; returns the CPU seconds that the workers took, from their first job."""
    from syncsvc.models import SyncJob  # noqa: PLC0415

    before: float | None = None
    latest = 0.0
    deadline = time.monotonic() + SECONDS
    while SyncJob.objects.filter(status__in=SyncJob.ACTIVE).exists():
        if time.monotonic() > deadline or process.poll() is not None:
            raise SystemExit("The workers did not finish.")
        latest = _cpu(process.pid)
        if before is None and SyncJob.objects.exclude(started_at=None).exists():
            before = latest
        time.sleep(0.1)
    return latest - (before or 0.0)


def _cpu(pid: int) -> float:
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        main = psutil.Process(pid)
        for process in (main, *main.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
    return total


def _requests(entries: Sequence[Any]) -> dict[str, Counter[str]]:
    """How often each installation asked for each address, by the name of its token."""
    found: dict[str, Counter[str]] = {}
    for entry in entries:
        if entry.principal.startswith("installation:"):
            seen = found.setdefault(entry.principal, Counter())
            seen[f"{entry.method} {entry.path}"] += 1
    return found


def _overlaps(jobs: Sequence[Any], requests: Mapping[str, Counter[str]]) -> int:
    """Accounts at which two workers were at work: their list was asked for twice, or a run was begun
    twice, or two runs of theirs lie over each other."""
    lists = sum(int(times["GET /installation/repositories"] > 1) for times in requests.values())
    again = sum(job.attempt > 1 for job in jobs)
    by_account: dict[int, list[tuple[datetime, datetime]]] = {}
    for job in jobs:
        if job.started_at and job.finished_at:
            by_account.setdefault(job.installation_id, []).append((job.started_at, job.finished_at))
    crossed = sum(
        later[0] < earlier[1]
        for times in by_account.values()
        for earlier, later in pairwise(sorted(times))
    )
    return int(lists + again + crossed)


def _at_once(jobs: Sequence[Any]) -> int:
    """How many ran at one moment at most."""
    steps = sorted(
        [(job.started_at, 1) for job in jobs if job.started_at]
        + [(job.finished_at, -1) for job in jobs if job.finished_at]
    )
    most = running = 0
    for _, step in steps:
        running += step
        most = max(most, running)
    return most


def about(figures: Figures) -> str:
    """What was asked of them."""
    cases = figures["cases"]
    each = cases[0]["requests"] / cases[0]["runs"]
    return (
        f"{figures['accounts']} installations of {figures['repositories']} repositories each; GitHub takes "
        f"{figures['latency_ms']} ms for each answer; first runs, mode `full`, {each:.1f} requests each, queued at "
        f"once, each message sent twice; one Celery worker with 1 to 10 processes, broker of files, "
        f"{figures['cpus']} CPUs for workers, GitHub and PostgreSQL together."
    )


def tables(figures: Figures) -> list[Table]:
    """Runs a minute by number of workers, and what bounds them."""
    single = _a_minute(figures["cases"][0])
    rows = []
    for case in figures["cases"]:
        cpu = case["cpu_seconds"] / case["runs"]
        rows.append(
            (
                str(case["workers"]),
                str(case["runs"]),
                f"{_a_minute(case):.1f}",
                f"{_a_minute(case) / single / case['workers']:.2f}",
                f"{_share(case, figures):.2f}",
                f"{median(case['run_seconds']):.2f}",
                f"{percentile(case['run_seconds'], 0.99):.2f}",
                f"{cpu:.2f}",
                str(case["workers_at_once"]),
                str(case["overlaps"]),
            )
        )
    headings = (
        "workers", "runs", "runs/min", "of linear", "of the latency's bound", "s a run p50", "p99",
        "CPU s a run", "at once", "overlaps",
    )  # fmt: skip
    note = (
        "*Of linear*: to as many times what one worker does. *Of the latency's bound*: to what the workers "
        "would do if nothing but GitHub's answers took time, with a run's requests one after the other. "
        "*Overlaps*: accounts at which two workers were at work, by GitHub's log and by our rows."
    )
    return [Table("Runs by workers", headings, rows, [note])]


def _a_minute(case: Figures) -> float:
    return float(60 * case["runs"] / case["wall_seconds"])


def _share(case: Figures, figures: Figures) -> float:
    """Of what the latency alone would allow."""
    a_run = case["requests"] / case["runs"] * figures["latency_ms"] / 1000
    return float(_a_minute(case) / (60 * case["workers"] / a_run))


def goals(figures: Figures) -> list[Goal]:
    """Nobody at the same account, all done, and ten do nearly ten times as much as one."""
    cases = figures["cases"]
    failed = sum(case["runs"] - case["statuses"].get("succeeded", 0) for case in cases)
    linear = _a_minute(cases[-1]) / _a_minute(cases[0]) / cases[-1]["workers"]
    return [
        Goal("workers", "accounts with two workers at once", "<= 0", sum(c["overlaps"] for c in cases)),
        Goal("workers", "runs that did not succeed", "<= 0", failed),
        Goal("workers", "begun more than once", "<= 1", max(c["attempts"] for c in cases)),
        Goal("workers", f"{cases[-1]['workers']} workers / linear", ">= 0.7", linear),
    ]  # fmt: skip
