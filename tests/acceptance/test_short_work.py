"""Runs never keep what is short waiting: real workers, real queues, each slot for runs taken."""

import signal
import time
from pathlib import Path
from random import Random

import pytest
from django.db import connection
from pytest_django import Settings

from syncsvc import clock, heartbeats, ringing
from syncsvc.models import Delivery, Heartbeat, Issue, SyncJob
from syncsvc.service import SyncService
from syncsvc.simulator import Simulator, World, happenings
from syncsvc.webhooks import inbox
from tests.acceptance.test_worker import bells, own_queue, until, worker  # noqa: F401  (fixtures)
from tests.support import discover, sync
from tests.webhook_support import SECRET, Post, arrive

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.spec("R6.3", "R10.2", "R19.3")
def test_webhooks_and_the_sweeper_do_not_wait_behind_runs(
    settings: Settings,
    app_mode: Simulator,
    world: World,
    tmp_path: Path,
    real_ring: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.GITHUB_WEBHOOK_SECRET = [SECRET]
    monkeypatch.setattr(inbox, "ring_bell", real_ring)
    log = tmp_path / "workers.log"
    octo, other = discover(), discover(app_mode.token_owner)
    sync(other)
    asked = [SyncService.request(each.pk, "cron") for each in (octo, other)]
    jobs = [str(decision.job_id) for decision in asked]
    runs, short = ringing.queue_of(ringing.RUN_JOB), ringing.short_queue()
    app_mode._dispatcher.latency = 3.0  # the run stands, whatever it asks for
    with (
        worker(app_mode, log, "--queues", runs, "--concurrency", "1", "-n", "worker@%h") as first,
        worker(app_mode, log, "-Q", short, "-P", "threads", "-c", "4", "-n", "clerk@%h"),
    ):
        until(SyncJob.objects.filter(status="running").exists, log)
        until(lambda: heartbeats.alive(heartbeats.SWEEPER, clock.now()), log)
        assert set(Heartbeat.objects.values_list("component", flat=True)) >= {"worker", "clerk"}
        [mine] = [
            each for each in world.owned(world.account(other.account_login)) if not each.archived
        ][:1]
        post = Post(world)
        happenings.open_issue(world, Random(1), mine)
        [told] = post.take("issues")
        arrive(told.event, told.body, told.guid)
        until(Delivery.objects.filter(status="processed").exists, log, 30)
        assert Issue.objects.filter(repository__github_id=mine.id).exists()
        assert (
            SyncJob.objects.filter(pk__in=jobs, status="running").count() == 1
        )  # still the slot's
        _cut_and_sweep_again(log)
        app_mode._dispatcher.latency = 0.2
        began = time.monotonic()
        first.send_signal(signal.SIGTERM)
        until(lambda: first.poll() is not None, log)
        assert time.monotonic() - began < 15
        # Ended, or handed back at its safe point: nobody has to wait for a lease to end.
        assert not SyncJob.objects.filter(pk__in=jobs, status="running").exists()
        assert not Heartbeat.objects.filter(component="worker").exists()


def _cut_and_sweep_again(log: Path) -> None:
    """The clerk's connections are cut, as by a restart of PostgreSQL; its next sweep is as good as ever."""
    Heartbeat.objects.filter(component=heartbeats.SWEEPER).delete()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle'"
        )

    def swept() -> bool:
        ringing.ring("syncsvc.ring_waiting_jobs", expires=60)
        return heartbeats.alive(heartbeats.SWEEPER, clock.now())

    until(swept, log, 20)
