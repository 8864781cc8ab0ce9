"""The guard before removals: too many at once are held until a person decides (R7.3).

Hides reviews: how one is opened, refreshed, acted on and withdrawn. Only what a list lacks is held. What
GitHub says outright, by the webhooks `repository.deleted` and `installation_repositories.removed`, one
repository at a time and signed, is its word and no conclusion of ours: that is carried out.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db.models import Q

from reconciliation import discrepancies, evidence, vanishing
from reconciliation.diff import Evidence, noted
from reconciliation.findings import REPOSITORIES, Finding, plain
from reconciliation.models import Discrepancy, Review
from reconciliation.run import Run
from reconciliation.vanishing import Absence, Answer, Limits
from syncsvc import clock, events, mirror, rechecks
from syncsvc.github.payloads import RepositoryRow
from syncsvc.github.values import parse_time
from syncsvc.models import Repository, SyncJob
from syncsvc.plan import Change, Kind, MirrorRepository, Operation
from syncsvc.rechecks import Asked

log = structlog.get_logger(__name__)

REJECTED_FOR: Final = timedelta(hours=24)
"""How long those that a person wants to keep open no other review."""

Said = RepositoryRow | Evidence


@dataclass(frozen=True, kw_only=True, slots=True)
class Sifted:
    """Which absent repositories may be gone on with, and what was heard of some of them already."""

    settled: Sequence[int]
    said: Mapping[int, Said] = field(default_factory=dict)
    approvals: Sequence[Review] = ()


def sift(run: Run, absent: Collection[int], present: int) -> Sifted:
    """Takes from the ids that a whole listing lacked those that must not go unasked.

    `present` is how many the mirror said were there. Those that are held are told, kept and marked;
    nothing else is done to them. Raises `GitHubError` for what says something about us.
    """
    reviews = _Reviews.of(run.job.installation_id, run.context.now)
    absence = Absence(
        absent=frozenset(absent),
        present=present,
        approved=reviews.approved,
        rejected=reviews.rejected,
    )
    limits = limits_of(run)
    said, answers = _asked_first(run, absence, limits, reviews)
    verdict = vanishing.judge(
        absence, {key: answer for key, (answer, _) in answers.items()}, limits
    )
    if verdict.held:
        _hold(run, verdict.held, absence.rest, answers, reviews)
    run.explained |= verdict.held | verdict.kept
    if verdict.held or verdict.kept:
        run.look.verified({"held": len(verdict.held), "kept": len(verdict.kept)})
        run.judge.unknown(REPOSITORIES, len(verdict.held | verdict.kept))
    if not run.job.dry_run:
        _end_what_came_back(run)
        if reviews.open is not None and not verdict.held:
            _withdraw(run, reviews.open, absence)
    return Sifted(settled=sorted(verdict.settled), said=said, approvals=reviews.approvals)


def carried_out(run: Run, approvals: Sequence[Review], unsettled: Collection[int]) -> None:
    """Notes that a run acted on these approvals, unless GitHub left one of their repositories open."""
    if run.job.dry_run:
        return
    for review in approvals:
        if _ids(review).isdisjoint(unsettled):
            with run.lease.writing():
                Review.objects.filter(
                    pk=review.pk, status=Review.Status.APPROVED, carried_out_at__isnull=True
                ).update(carried_out_at=clock.now())
            log.info("review.carried_out", review_id=review.pk, github_ids=sorted(_ids(review)))


def limits_of(run: Run) -> Limits:
    """The limits in force for the run's account."""
    settings = run.lease.settings
    return Limits(
        percent=settings.mass_disappearance_percent, minimum=settings.mass_disappearance_minimum
    )


def spared(run: Run, removals: Sequence[Change]) -> frozenset[int]:
    """Which removals must not be carried out that come from asking repositories by name or id,
    without a list: those that a review holds, all of them when they are too many at once, and those
    that a retry came upon, for retries come one by one however many vanished.

    The whole list is asked for then: the guard judges that. A transfer is no disappearance.
    """
    gone = {each.github_id for each in removals if is_disappearance(each)}
    if not gone:
        return frozenset()
    reviews = _Reviews.of(run.job.installation_id, run.context.now)
    spare = gone & (reviews.held | reviews.rejected) - reviews.approved
    rest = gone - spare - reviews.approved
    present = len(mirror.present_ids(run.job.installation_id))
    is_retry = run.job.mode == SyncJob.Mode.REPO and run.job.trigger == SyncJob.Trigger.CRON
    before = _just_removed(run)  # what vanishes in small doses vanishes all the same
    if rest and (is_retry or limits_of(run).exceeded_by(len(rest) + before, present + before)):
        spare |= rest
        log.warning("guard.spared", github_ids=sorted(rest), present=present)
        if not run.job.dry_run:
            whole = Asked(github_id=rechecks.WHOLE_LIST, itself=True, reason="vanished")
            rechecks.ask(
                run.job.installation_id, [whole], trigger=run.job.trigger, now=run.context.now
            )
    return frozenset(spare)


def _just_removed(run: Run) -> int:
    """How many repositories runs have removed within the hour, on their own answers alone."""
    return Repository.objects.filter(
        installation_id=run.job.installation_id,
        status__in=(Repository.Status.DELETED, Repository.Status.ACCESS_REMOVED),
        changed_by_job__isnull=False,
        last_written_at__gt=run.context.now - vanishing.ASKED_AGAIN,
    ).count()


def is_disappearance(change: Change) -> bool:
    """Whether the change removes a repository of which nobody says where it went."""
    return change.operation is Operation.DELETE and change.after.get("status") != "transferred"


# --- what is known and asked ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reviews:
    """The reviews that matter to a run, and the ids that are in them."""

    open: Review | None
    approvals: tuple[Review, ...]
    rejections: tuple[Review, ...]

    @classmethod
    def of(cls, installation_id: int, now: datetime) -> "_Reviews":
        rows = Review.objects.filter(installation_id=installation_id).filter(
            Q(status=Review.Status.OPEN)
            | Q(status=Review.Status.APPROVED, carried_out_at__isnull=True)
            | Q(status=Review.Status.REJECTED, decided_at__gt=now - REJECTED_FOR)
        )
        found: dict[str, list[Review]] = {}
        for row in rows:
            found.setdefault(row.status, []).append(row)
        return cls(
            open=next(iter(found.get(Review.Status.OPEN, ())), None),
            approvals=tuple(found.get(Review.Status.APPROVED, ())),
            rejections=tuple(found.get(Review.Status.REJECTED, ())),
        )

    @property
    def held(self) -> frozenset[int]:
        return _ids(self.open) if self.open is not None else frozenset()

    @property
    def approved(self) -> frozenset[int]:
        return frozenset().union(*map(_ids, self.approvals))

    @property
    def rejected(self) -> frozenset[int]:
        return frozenset().union(*map(_ids, self.rejections))


def _ids(review: Review) -> frozenset[int]:
    return frozenset(item["github_id"] for item in review.items)


def _asked_first(
    run: Run, absence: Absence, limits: Limits, reviews: _Reviews
) -> tuple[dict[int, Said], dict[int, tuple[Answer, str]]]:
    """What GitHub says of some of those that vanished, where their number calls for it."""
    asked = _asked_before(reviews.open)
    chosen = vanishing.questions(absence, limits, asked, run.context.now)
    said: dict[int, Said] = {}
    answers: dict[int, tuple[Answer, str]] = {}
    for number, mine in enumerate(mirror.read(chosen).values()):
        run.lease.progress("checking absentees", number, len(chosen), _name(mine))
        with run.phase("fetch"):
            said[mine.github_id] = evidence.ask(run.client, mine)
        answers[mine.github_id] = vanishing.answer_of(mine, said[mine.github_id], run.context)
    return said, answers


def _asked_before(review: Review | None) -> dict[int, datetime]:
    items = review.items if review is not None else ()
    times = {item["github_id"]: parse_time(item.get("asked_at")) for item in items}
    return {github_id: at for github_id, at in times.items() if at is not None}


# --- holding --------------------------------------------------------------------------------------


def _hold(
    run: Run,
    held: Collection[int],
    present: int,
    answers: Mapping[int, tuple[Answer, str]],
    reviews: _Reviews,
) -> None:
    """Writes the review, or refreshes the open one; in a dry run it is told and nothing written."""
    limits, mine = limits_of(run), mirror.read(held)
    items = _items(mine, answers, reviews.open, run.context.now)
    names = [item["full_name"] for item in items[:3]]
    review = reviews.open is not None or not run.job.dry_run
    told = vanishing.sentence(len(items), present, limits, names, review=review)
    run.failed(REPOSITORIES, "hold", "validation", told)
    if run.job.dry_run:
        for item in items:
            after = {"listed": False, "says": item["says"]}
            run.proposed_item(REPOSITORIES, "hold", item["full_name"], after=after)
        return
    facts: dict[str, Any] = {
        "last_seen_at": run.context.now,
        "correlation_id": run.job.pk,
        "vanished": len(items),
        "present": present,
        "threshold_percent": limits.percent,
        "items": items,
    }
    opened: Review | None = None
    with run.phase("update"), run.lease.writing():
        if reviews.open is None:
            opened = Review.objects.create(
                installation_id=run.job.installation_id, opened_at=run.context.now, **facts
            )
        else:
            same = Review.objects.filter(pk=reviews.open.pk, status=Review.Status.OPEN)
            if not same.update(**facts):
                # Whoever has decided meanwhile decided on what was shown: the next run acts on that,
                # and nothing waits for a person any more.
                return
        run.judge.held(_findings(items, mine))
        # Bookkeeping of ours: nobody reads by name what its list lacks. Who wrote a row meanwhile
        # knew more, so nothing is lost with a lost race.
        since = [
            noted(row, missing_since=run.context.now)
            for row in mine.values()
            if row.missing_since is None
        ]
        mirror.apply(since, run.author)
    if opened is not None:
        events.emit(
            "review.opened",
            installation_id=run.job.installation_id,
            job_id=str(run.job.pk),
            review_id=opened.pk,
            vanished=opened.vanished,
            present=opened.present,
            threshold_percent=opened.threshold_percent,
        )


def _items(
    mine: Mapping[int, MirrorRepository],
    answers: Mapping[int, tuple[Answer, str]],
    review: Review | None,
    now: datetime,
) -> list[dict[str, Any]]:
    """What would go, with GitHub's word of it: this run's, else what an earlier one heard."""
    before = {item["github_id"]: item for item in review.items} if review is not None else {}
    items = []
    for github_id, row in sorted(mine.items(), key=lambda pair: _name(pair[1]).lower()):
        if github_id in answers:
            answer, says = answers[github_id]
            heard = {"answer": str(answer), "says": says, "asked_at": now.isoformat()}
        else:
            old = before.get(github_id, {})
            heard = {
                "answer": old.get("answer", str(Answer.NOT_ASKED)),
                "says": old.get("says", "not asked"),
                "asked_at": old.get("asked_at"),
            }
        items.append({"github_id": github_id, "full_name": _name(row), **heard})
    return items


def _findings(
    items: Iterable[Mapping[str, Any]], mine: Mapping[int, MirrorRepository]
) -> list[Finding]:
    return [
        Finding(
            entity=REPOSITORIES,
            key=str(item["github_id"]),
            name=item["full_name"],
            repository_github_id=item["github_id"],
            kind=Kind.MISSING_AT_GITHUB,
            action="review",
            before=plain({"status": mine[item["github_id"]].status}),
            after={"listed": False, "says": item["says"]},
        )
        for item in items
    ]


def _name(mine: MirrorRepository) -> str:
    return f"{mine.owner}/{mine.name}"


# --- the end of it --------------------------------------------------------------------------------


def _end_what_came_back(run: Run) -> None:
    """What was held and is listed again differs from GitHub no more."""
    rows = Discrepancy.objects.filter(
        installation_id=run.job.installation_id,
        entity=REPOSITORIES,
        type=Kind.MISSING_AT_GITHUB,
        repair_status=Discrepancy.Status.NEEDS_MANUAL_REVIEW,
    )
    back = [pk for pk, key in rows.values_list("pk", "item_key") if int(key) in run.seen]
    if back:
        with run.lease.writing():
            discrepancies.obsolete(back, run.judge.finder())


def _withdraw(run: Run, review: Review, absence: Absence) -> None:
    left = len(_ids(review) & absence.absent)
    if left:
        reason = (
            f"Of {review.vanished} repositories {left} are still missing from GitHub's list, which is "
            "not held: each was asked for by itself."
        )
    else:
        reason = "GitHub lists all of them again, or has said of each what became of it."
    with run.lease.writing():
        withdrawn = Review.objects.filter(pk=review.pk, status=Review.Status.OPEN).update(
            status=Review.Status.WITHDRAWN, decided_at=run.context.now, reason=reason
        )
    if withdrawn:
        events.emit(
            "review.withdrawn",
            installation_id=run.job.installation_id,
            job_id=str(run.job.pk),
            review_id=review.pk,
            left=left,
        )
