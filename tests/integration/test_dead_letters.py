"""Dead letters of jobs: what they hold, that there is one, and what people decide about them (R10.4)."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from reconciliation.models import AuditEntry
from syncsvc import clock, conf, dead_letters, endings, jobs, safe_text
from syncsvc import dead_letter_decisions as decisions
from syncsvc.leases import Lease
from syncsvc.models import DeadLetter, Delivery, Installation, SyncJob
from syncsvc.webhooks import inbox
from tests.factories import (
    DeadLetterFactory,
    DeliveryFactory,
    InstallationFactory,
    SyncJobFactory,
    UserFactory,
)

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R10.4")]

SAID = "Authorization: Bearer ghp_16C7e42F292c6912E7710c838347Ae178B4a\nand a row of the database"
TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker."""
    monkeypatch.setattr(inbox, "ring_bell", lambda: True)
    monkeypatch.setattr(jobs, "ring", lambda _job_id: True)


def last_attempt() -> Lease:
    job = SyncJobFactory.create(
        waiting=True,
        attempt=conf.defaults().job_attempts - 1,
        mode="repo",
        repository="acme/site",
        checkpoint={"page": 7, "token": TOKEN},
    )
    lease = jobs.claim(job.pk)
    assert lease is not None
    SyncJob.objects.filter(pk=job.pk).update(
        stage="contents", current=3, total=9, current_item="x/y"
    )
    return lease


def die(lease: Lease) -> None:
    failures = tuple(
        {"item": f"acme/{n}", "message": f"{TOKEN} was refused " + "x" * 900, "category": "network"}
        for n in range(50)
    )
    try:
        raise RuntimeError(SAID)
    except RuntimeError:
        lease.fail(
            endings.Outcome(failures=failures, counts={"issues": {"created": 2}}),
            sentence=f"GitHub did not answer {TOKEN}.",
            category="network",
            retryable=True,
        )


def test_the_letter_of_a_job_holds_what_somebody_needs_and_no_secret() -> None:
    lease = last_attempt()
    die(lease)
    job = SyncJob.objects.get()
    assert job.status == "dead"
    letter = DeadLetter.objects.get()
    assert (letter.kind, letter.status, letter.job) == ("job", "open", job)
    assert letter.installation == job.installation
    assert (letter.attempts, letter.category) == (job.attempt, "network")
    assert letter.error == "GitHub did not answer [redacted]."
    assert "in die" in letter.stack
    assert "RuntimeError: Authorization: " in letter.stack
    assert "row of the database" not in letter.stack
    told = letter.context
    assert told["correlation_id"] == str(job.pk)
    assert (told["trigger"], told["mode"], told["repository"]) == ("manual", "repo", "acme/site")
    assert (told["stage"], told["progress"]) == (
        "contents",
        {"current": 3, "total": 9, "item": "x/y"},
    )
    assert told["counts"] == {"issues": {"created": 2}}
    assert told["checkpoint"] == {"page": 7, "token": "[redacted]"}
    assert len(told["failures"]) == safe_text.MOST_ITEMS
    assert len(told["failures"][0]["message"]) == safe_text.MOST_CHARACTERS
    assert TOKEN not in repr(letter.__dict__)


def test_a_worker_that_died_leaves_a_letter_without_a_stack() -> None:
    lease = last_attempt()
    SyncJob.objects.update(lease_expires_at=clock.now() - timedelta(seconds=1))
    jobs.ring_waiting()
    letter = DeadLetter.objects.get()
    assert letter.job_id == lease.job.pk
    assert (letter.stack, letter.context["stage"]) == ("", "contents")
    assert "died" in letter.error
    jobs.ring_waiting()
    assert DeadLetter.objects.count() == 1


@pytest.mark.parametrize("status", ["failed", "succeeded", "cancelled"])
def test_only_dead_jobs_are_buried_and_each_once(status: str) -> None:
    dead_letters.bury_job(SyncJobFactory.create(status=status).pk, clock.now(), {})
    assert not DeadLetter.objects.exists()
    job = SyncJobFactory.create(status="dead")
    for _ in range(2):
        dead_letters.bury_job(job.pk, clock.now(), {})
    assert DeadLetter.objects.count() == 1


def test_what_ends_a_job_and_its_letter_are_one_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lease = last_attempt()

    def broken(*_: Any) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(dead_letters, "_write", broken)
    with pytest.raises(RuntimeError, match="killed"):
        die(lease)
    assert SyncJob.objects.get().status == "running"


# -- once more -------------------------------------------------------------------------------------


def test_a_requeued_job_starts_as_maintenance_and_is_audited() -> None:
    user = UserFactory.create()
    letter = DeadLetterFactory.create(job__mode="repo", job__repository="acme/site")
    [answer] = decisions.requeue([letter.pk], user)
    assert answer.refused is None
    letter.refresh_from_db()
    job = SyncJob.objects.get(status="queued")
    assert (letter.status, letter.requeued_job, letter.decided_by) == ("requeued", job, user)
    assert (job.trigger, job.mode, job.repository) == ("maintenance", "repo", "acme/site")
    entry = AuditEntry.objects.get(kind="dead_letter")
    assert (entry.actor, entry.installation) == (user, letter.installation)
    assert entry.detail["decision"] == "requeued"
    [again] = decisions.requeue([letter.pk], user)
    assert "already" in again.sentence
    assert SyncJob.objects.filter(status="queued").count() == 1


def test_a_running_job_remembers_the_wish() -> None:
    letter = DeadLetterFactory.create()
    running = SyncJobFactory.create(running=True, installation=letter.installation)
    decisions.requeue_one(letter.pk, None)
    letter.refresh_from_db()
    running.refresh_from_db()
    assert (letter.status, letter.requeued_job) == ("requeued", running)
    assert running.follow_up == "maintenance"


def test_a_dry_run_is_not_turned_into_a_real_one() -> None:
    letter = DeadLetterFactory.create(job__dry_run=True)
    running = SyncJobFactory.create(running=True, installation=letter.installation)
    with pytest.raises(decisions.Refused):
        decisions.requeue_one(letter.pk, None)
    letter.refresh_from_db()
    running.refresh_from_db()
    assert (letter.status, running.follow_up) == ("open", "")


def test_where_syncs_are_blocked_the_letter_stays_open_and_says_why() -> None:
    letter = DeadLetterFactory.create(installation__status=Installation.Status.SUSPENDED)
    [answer] = decisions.requeue([letter.pk], None)
    assert answer.refused is not None
    assert "suspended" in answer.sentence
    letter.refresh_from_db()
    assert (letter.status, letter.decided_at) == ("open", None)
    assert not SyncJob.objects.filter(status="queued").exists()
    assert not AuditEntry.objects.filter(kind="dead_letter").exists()


def test_one_refusal_keeps_no_other_letter_from_being_requeued() -> None:
    blocked = DeadLetterFactory.create(installation__status=Installation.Status.SUSPENDED)
    fine = DeadLetterFactory.create()
    answers = decisions.requeue([fine.pk, blocked.pk, 999_999], None)
    assert [answer.refused is None for answer in answers] == [False, True, False]


def test_a_delivery_is_processed_once_more() -> None:
    user = UserFactory.create()
    letter = DeadLetterFactory.create(of_delivery=True)
    decisions.requeue_one(letter.pk, user)
    letter.refresh_from_db()
    delivery = Delivery.objects.get()
    assert (letter.status, letter.decided_by) == ("requeued", user)
    assert (delivery.status, delivery.attempts) == ("received", 0)
    assert AuditEntry.objects.get(kind="dead_letter").detail["of"] == "delivery"


def test_a_delivery_without_its_payload_cannot_be_repeated() -> None:
    installation = InstallationFactory.create()
    pruned = DeliveryFactory.create(pruned=True, account=installation, status="failed")
    letter = DeadLetterFactory.create(of_delivery=True, installation=installation, delivery=pruned)
    with pytest.raises(decisions.Refused, match="payload was removed"):
        decisions.requeue_one(letter.pk, None)
    letter.refresh_from_db()
    assert letter.status == "open"


def test_a_letter_is_discarded_with_a_reason_only() -> None:
    user = UserFactory.create()
    letter, other = DeadLetterFactory.create_batch(2)
    with pytest.raises(ValueError, match="reason"):
        decisions.discard([letter.pk], " \n", user)
    assert decisions.discard([letter.pk], f"Known, {TOKEN}", user) == {letter.pk}
    assert decisions.discard([letter.pk], "Again", user) == set()
    letter.refresh_from_db()
    other.refresh_from_db()
    assert (letter.status, letter.reason) == ("discarded", "Known, [redacted]")
    assert (letter.decided_by, other.status) == (user, "open")
    entry = AuditEntry.objects.get(kind="dead_letter")
    assert (entry.detail["decision"], entry.detail["reason"]) == ("discarded", "Known, [redacted]")
    with pytest.raises(decisions.Refused, match="discarded"):
        decisions.requeue_one(letter.pk, user)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("of_delivery", [False, True])
def test_of_those_who_decide_at_once_one_wins(of_delivery: bool) -> None:
    letter = DeadLetterFactory.create(of_delivery=of_delivery)
    begin = threading.Barrier(4)
    done: list[str] = []

    def at_once(act: Callable[[], object], name: str) -> None:
        begin.wait()
        try:
            if act() != set():
                done.append(name)
        except decisions.Refused:
            pass
        finally:
            connection.close()

    acts: list[tuple[Callable[[], object], str]] = [
        (lambda: decisions.requeue_one(letter.pk, None), "requeued"),
        (lambda: decisions.discard([letter.pk], "No", None), "discarded"),
    ] * 2
    threads = [threading.Thread(target=at_once, args=act) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    letter.refresh_from_db()
    assert done == [letter.status]
    assert SyncJob.objects.filter(status="queued").count() == (
        done == ["requeued"] and not of_delivery
    )
    assert not transaction.get_connection().in_atomic_block
