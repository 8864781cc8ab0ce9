"""Ten workers on one queue: nobody's run twice, nobody's run beside itself, all of them done (R3.3, R10.2)."""

import queue
import random
import threading
from collections import Counter
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from reconciliation import conductor, tasks
from reconciliation.models import AuditEntry
from syncsvc import discovery, jobs, leases
from syncsvc.models import Installation, SyncJob
from syncsvc.service import SyncService
from syncsvc.simulator import Simulator, World
from syncsvc.simulator.generate import AccountPlan
from tests.support import mirrored, truth

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNTS = 25
WORKERS = 10


class Watch:
    """Who is at work at which account, as the runs themselves say when they begin and end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.at_work: Counter[int] = Counter()
        self.begun: Counter[int] = Counter()
        self.overlaps: list[int] = []
        self.most = 0

    def begin(self, account: int) -> None:
        with self._lock:
            self.begun[account] += 1
            self.at_work[account] += 1
            if self.at_work[account] > 1:
                self.overlaps.append(account)
            self.most = max(self.most, self.at_work.total())

    def end(self, account: int) -> None:
        with self._lock:
            self.at_work[account] -= 1


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    found = Watch()
    plain = conductor.execute

    def execute(lease: leases.Lease, **more: Any) -> SyncJob:
        found.begin(lease.job.installation_id)
        try:
            return plain(lease, **more)
        finally:
            found.end(lease.job.installation_id)

    monkeypatch.setattr(conductor, "execute", execute)
    return found


@pytest.mark.spec("R3.3", "R10.2", "P39")
def test_ten_workers_on_one_queue_run_each_account_once(
    settings: Settings, watch: Watch, bells: list[Any]
) -> None:
    plans = [AccountPlan(login=f"account-{n:02d}", repositories=2) for n in range(ACCOUNTS)]
    world = World.generate(
        seed=4,
        accounts=plans,
        issues_per_repository=1,
        pull_requests_per_repository=0,
        commits_per_repository=1,
    )
    with Simulator(world, latency=0.02) as simulator:
        settings.GITHUB_API_URL = simulator.url
        settings.GITHUB_APP_ID = str(simulator.app_id)
        settings.GITHUB_APP_PRIVATE_KEY = simulator.private_key_pem
        discovery.discover()
        accounts = list(Installation.objects.all())
        assert len(accounts) == ACCOUNTS
        for account in accounts:
            SyncService.request(account.pk, "cron")
        assert len(bells) == ACCOUNTS
        simulator.request_log.clear()
        # A broker may deliver a message again, in any order, and the sweeper rings beside it.
        messages = [str(job_id) for job_id in bells] * 3
        random.Random(1).shuffle(messages)
        work(messages)
        listed = Counter(
            entry.principal
            for entry in simulator.request_log.entries()
            if entry.path == "/installation/repositories"
        )
        done = SyncJob.objects.all()
        assert {(job.status, job.attempt) for job in done} == {("succeeded", 1)}
        assert done.count() == ACCOUNTS
        assert watch.overlaps == []
        assert set(watch.begun.values()) == {1}
        assert watch.most > WORKERS // 2  # they were at work at once
        assert len(listed) == ACCOUNTS
        assert set(listed.values()) == {1}  # GitHub saw each list asked for once
        entries = AuditEntry.objects.filter(kind="run")
        assert Counter(entries.values_list("installation", flat=True)) == Counter(
            account.pk for account in accounts
        )
        for account in accounts:
            assert mirrored(account) == truth(world, account)


def work(messages: list[str]) -> None:
    """Ten threads take messages off one queue until it is empty, as workers do."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for message in messages:
        waiting.put(message)
    errors: list[Exception] = []
    together = threading.Barrier(WORKERS)

    def take() -> None:
        try:
            together.wait(timeout=30)
            while True:
                tasks.run_job(waiting.get_nowait())
                if random.random() < 0.1:
                    jobs.ring_waiting()
        except queue.Empty:
            pass
        except Exception as error:  # noqa: BLE001  (told to the test below, whatever it is)
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=take) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
