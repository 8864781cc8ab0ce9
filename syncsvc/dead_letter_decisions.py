"""What people decide about dead letters: have it done again, or discard it with a reason (R10.4).

Hides that two may press at once (one wins, the other is told so) and what "again" is: of a job, a sync
through the one door; of a delivery, a replay. Where that is not possible the letter stays open.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from syncsvc import clock, events, safe_text, status
from syncsvc.models import DeadLetter, Delivery, SyncJob
from syncsvc.policy import Action, Decision, Reason
from syncsvc.service import SyncService
from syncsvc.webhooks import replay

DECIDED: Final = {
    DeadLetter.Status.REQUEUED: "It was requeued already: the new job or the delivery tells how that went.",
    DeadLetter.Status.DISCARDED: "It was discarded already.",
}
GONE: Final = "It is not there any more."


class Refused(Exception):
    """The present state does not allow it, and the letter stays as it is; a sentence for people.

    `decision` is policy's, where it was policy that refused.
    """

    def __init__(self, sentence: str, decision: Decision | None = None) -> None:
        self.decision = decision
        super().__init__(sentence)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came of requeueing one letter: `refused` says why it was not; None when it was."""

    letter_id: int
    sentence: str
    refused: Refused | None = None


def requeue(letter_ids: Collection[int], user: Any) -> list[Answer]:
    """Has what these letters are about done again, each by itself, in order of their ids.

    `user` is None for a command on the machine. One that fails again gets a new letter.
    """
    answers = []
    for pk in sorted(set(letter_ids)):
        try:
            answers.append(Answer(letter_id=pk, sentence=requeue_one(pk, user)))
        except Refused as refused:
            answers.append(Answer(letter_id=pk, sentence=str(refused), refused=refused))
    return answers


def requeue_one(letter_id: int, user: Any) -> str:
    """Has it done again and returns the sentence that says so. Raises `Refused`."""
    row = DeadLetter.objects.select_related("job").filter(pk=letter_id).first()
    if row is None:
        raise Refused(GONE)
    if row.status != DeadLetter.Status.OPEN:
        raise Refused(DECIDED[DeadLetter.Status(row.status)])
    sentence = _do_again(row, user) if row.job else _replay(row, user)
    _say("dead_letter.requeued", row, user)
    return sentence


def discard(letter_ids: Collection[int], reason: str, user: Any) -> set[int]:
    """Lets these letters go, for a reason; returns those that were open until now.

    Raises `ValueError` with a sentence when no reason is given.
    """
    reason = safe_text.shown(reason).strip()
    if not reason:
        raise ValueError("A reason is needed.")
    done = set()
    for row in DeadLetter.objects.filter(pk__in=letter_ids).order_by("pk"):
        if _claim(row, DeadLetter.Status.DISCARDED, user, reason=reason):
            done.add(row.pk)
            _say("dead_letter.discarded", row, user, reason=reason)
    return done


def _claim(row: DeadLetter, to: DeadLetter.Status, user: Any, **changes: Any) -> bool:
    """Of any number who decide at once, one gets it."""
    is_open = DeadLetter.objects.filter(pk=row.pk, status=DeadLetter.Status.OPEN)
    return bool(is_open.update(status=to, decided_at=clock.now(), decided_by=user, **changes))


def _do_again(row: DeadLetter, user: Any) -> str:
    """The job's work once more, as policy lets it; an active run remembers the wish."""
    job = row.job
    assert job is not None  # noqa: S101  (a constraint says so of letters of this kind)
    with transaction.atomic():
        if not _claim(row, DeadLetter.Status.REQUEUED, user):
            raise _late(row.pk)
        decision = SyncService.request(
            job.installation_id,
            SyncJob.Trigger.MAINTENANCE,
            mode=job.mode,
            repository=job.repository,
            dry_run=job.dry_run,
            user=user,
        )
        running = decision.reason is Reason.ALREADY_SYNCING
        # A dry run is not remembered, for it would come back as a real one.
        if decision.action is not Action.START and (not running or job.dry_run):
            raise Refused(f"It stays open: {status.explain(decision)}", decision)
        DeadLetter.objects.filter(pk=row.pk).update(requeued_job=decision.job_id)
    if running:
        return "A sync is running already: another one follows when it ends."
    return "A new job takes it up again."


def _replay(row: DeadLetter, user: Any) -> str:
    """The delivery once more. Its row is locked before its letter, as wherever both are written."""
    user_id = user.pk if user is not None else None
    mine = DeadLetter.objects.filter(pk=row.pk)
    with transaction.atomic():
        replayed = replay.replay([row.delivery_id or 0], user_id=user_id)
        if replayed and not mine.filter(status=DeadLetter.Status.REQUEUED).exists():
            raise _late(row.pk)  # somebody discarded it this moment: then it is not replayed either
    if replayed:
        return "The delivery waits to be processed once more."
    if not mine.filter(status=DeadLetter.Status.OPEN).exists():
        raise _late(row.pk)
    waiting = Delivery.objects.filter(dead_letters=row.pk, status=Delivery.Status.RECEIVED)
    refusal = replay.Refusal.WAITING if waiting.exists() else replay.Refusal.PRUNED
    raise Refused(str(refusal))


def _late(letter_id: int) -> Refused:
    state = DeadLetter.objects.values_list("status", flat=True).filter(pk=letter_id).first()
    return Refused(DECIDED.get(DeadLetter.Status(state), GONE) if state else GONE)


def _say(name: str, row: DeadLetter, user: Any, **more: Any) -> None:
    events.emit(
        name,
        letter_id=row.pk,
        kind=row.kind,
        installation_id=row.installation_id,
        job_id=str(row.job_id) if row.job_id else None,
        delivery_id=row.delivery_id,
        user_id=user.pk if user is not None else None,
        **more,
    )
