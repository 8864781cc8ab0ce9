"""A real worker behind a real broker: what is asked for gets done, also when the worker is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.db import connection
from pytest_django import Settings

from config.embedded import var_dir
from syncsvc import jobs
from syncsvc.models import Repository, SyncJob
from syncsvc.service import SyncService
from syncsvc.simulator import Simulator, World
from tests.support import assert_equal_to_truth, discover

TWO_SLOTS = ("--concurrency", "2")

pytestmark = pytest.mark.django_db(transaction=True)

real_ring = jobs.ring  # as it is before the fixtures replace the broker by a list


@pytest.fixture(autouse=True)
def own_queue(settings: Settings, request: pytest.FixtureRequest) -> None:
    """Tests that run beside this one share the broker, not the queue."""
    settings.CELERY_TASK_DEFAULT_QUEUE = f"test-{os.getpid()}-{request.node.name}"


@pytest.fixture
def bells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the broker is real."""
    monkeypatch.setattr(jobs, "ring", real_ring)


def database_url() -> str:
    """The address of this test's own database."""
    where = connection.settings_dict
    login = quote(where["USER"] or "postgres")
    if where["PASSWORD"]:
        login += ":" + quote(where["PASSWORD"], safe="")
    if where["HOST"].startswith("/"):  # the folder of a socket
        return f"postgres://{login}@/{where['HOST']}/{quote(where['NAME'])}"
    return f"postgres://{login}@{where['HOST']}:{where['PORT'] or 5432}/{quote(where['NAME'])}"


@contextmanager
def worker(simulator: Simulator, log: Path, *how: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of its own process group, as `make run` and production start it: for everything, unless
    told how else."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {
        "DATABASE_URL": database_url(),
        "SECRET_KEY": django_settings.SECRET_KEY,
        "FIELD_ENCRYPTION_KEYS": django_settings.FIELD_ENCRYPTION_KEYS[0],
        "SYNC_VAR_DIR": str(var_dir()),
        "SYNC_LEASE_SECONDS": "5",
        "CELERY_QUEUE": django_settings.CELERY_TASK_DEFAULT_QUEUE,
        "ENV_FILE": "none",
        "GITHUB_API_URL": simulator.url,
        "GITHUB_APP_ID": str(simulator.app_id),
        "GITHUB_APP_PRIVATE_KEY": simulator.private_key_pem,
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "config", "worker", *(how or TWO_SLOTS)],
            env=environment,
            start_new_session=True,
            stderr=output,
            stdout=output,
        )
    try:
        yield process
    finally:
        kill(process, signal.SIGKILL)


def kill(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Sends the signal to the worker and all its children, and waits for its end."""
    if process.poll() is None:
        os.killpg(process.pid, how)
        process.wait(timeout=30)


def until(done: Callable[[], object], log: Path, seconds: float = 40) -> None:
    """Waits for the other process."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not done():
        assert time.monotonic() < deadline, log.read_text()
        pause.wait(0.1)


@pytest.mark.spec("R10.2")
def test_a_job_whose_worker_was_killed_is_taken_up_by_another(
    settings: Settings, tune: Callable[..., object], tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    tune(lease_seconds=5, manual_cooldown_seconds=0)
    world = World.generate(seed=5, repositories=1500)
    with Simulator(world, latency=1.0) as simulator:
        settings.GITHUB_API_URL = simulator.url
        settings.GITHUB_APP_ID = str(simulator.app_id)
        settings.GITHUB_APP_PRIVATE_KEY = simulator.private_key_pem
        octo = discover()
        job_id = SyncService.request(octo.pk, "cron", mode="reconcile").job_id or ""
        with worker(simulator, log) as first:
            until(Repository.objects.exists, log)
            kill(first, signal.SIGKILL)
        job = SyncJob.objects.get(pk=job_id)
        assert (job.status, job.attempt) == ("running", 1)
        simulator._dispatcher.latency = 0.0  # it was slow for the first worker to be met at work
        with worker(simulator, log):
            until(jobs.ring_waiting, log)  # what beat asks for every ten seconds
            until(lambda: SyncJob.objects.filter(status="succeeded").exists(), log)
        job.refresh_from_db()
        assert job.attempt == 2
        assert_equal_to_truth(world, octo)


@pytest.mark.spec("R3.2", "R5.5", "R10.2")
def test_a_worker_that_is_told_to_stop_hands_its_job_back_and_another_goes_on(
    settings: Settings, tune: Callable[..., object], tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    tune(manual_cooldown_seconds=0)
    world = World.generate(
        seed=5, repositories=300, issues_per_repository=1, pull_requests_per_repository=0,
        commits_per_repository=2,
    )  # fmt: skip
    with Simulator(world, latency=0.5) as simulator:
        settings.GITHUB_API_URL = simulator.url
        settings.GITHUB_APP_ID = str(simulator.app_id)
        settings.GITHUB_APP_PRIVATE_KEY = simulator.private_key_pem
        octo = discover()
        job_id = SyncService.request(octo.pk, "cron").job_id or ""
        with worker(simulator, log) as first:
            until(lambda: SyncJob.objects.filter(checkpoint__has_key="settled_at").exists(), log)
            told = time.monotonic()
            first.terminate()  # as `docker stop`, systemd and `make run` do: to the main process
            first.wait(timeout=30)
            assert time.monotonic() - told < 10
        job = SyncJob.objects.get(pk=job_id)
        assert (job.status, job.attempt, job.lease) == ("queued", 0, None)
        assert job.checkpoint["listed_at"]
        simulator._dispatcher.latency = 0.0
        simulator.reset_log()
        with worker(simulator, log):  # it was rung at once: no sweeper comes by here
            until(lambda: SyncJob.objects.filter(status="succeeded").exists(), log, 90)
        job.refresh_from_db()
        assert job.attempt == 1
        assert not simulator.requests("/installation/repositories")
        assert_equal_to_truth(world, octo)
