"""The audit trail's writer: what each run did, record by record, and what people did (R11.1).

Hides how thousands of records become few rows in one statement, and that nothing secret gets in.
Reading stands in `reconciliation.selectors_trail`.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Exists, OuterRef

from reconciliation import performance, selectors_trail, trail_text
from reconciliation.earlier import Earlier
from reconciliation.models import AuditEntry, AuditError, AuditRecord
from reconciliation.models.discrepancy import Entity
from reconciliation.models.trail import CATEGORIES
from reconciliation.performance import Slow
from syncsvc import clock, events
from syncsvc.endings import Outcome
from syncsvc.models import Installation, RateBudget, Repository, SyncJob
from syncsvc.plan import Change, Operation

SYSTEM: Final = "system"
DONE: Final = "done"
"""The status of what a person did; a run's entry has the status of its job."""

RUN: Final = "run"
"""The operation of errors that ended an attempt."""

AT_ONCE: Final = 500
RECOVERIES_SHOWN: Final = 20
#: Runs of this mode read what webhooks named, now one repository, now a hundred: none is usual.
UNEVEN: Final = frozenset({SyncJob.Mode.RECHECK})
_OF_ORPHANS: Final = ("status", "finished_at", "error", "error_category")
_GROUPED: Final = f"""
    INSERT INTO {AuditRecord._meta.db_table}
        (entry_id, at, repository_id, entity, operation, result, error, items)
    SELECT %s, %s, w.repository, %s, %s, %s, %s, string_to_array(w.items, ',')
    FROM unnest(%s::bigint[], string_to_array(%s, E'\\n')) AS w(repository, items)
"""  # noqa: S608  (the table's name is ours)
# A repository's own row is found by GitHub's id: what creates rows does not tell their keys.
_REPOSITORIES: Final = f"""
    INSERT INTO {AuditRecord._meta.db_table}
        (entry_id, at, repository_id, entity, operation, result, error, items)
    SELECT %s, %s, (SELECT r.id FROM {Repository._meta.db_table} AS r WHERE r.github_id = w.github_id),
           %s, %s, %s, %s, ARRAY[w.key]
    FROM unnest(%s::bigint[], %s::text[]) AS w(github_id, key)
"""  # noqa: S608  (the tables' names are ours)


class Trail:
    """What one run did, for the audit log."""

    def __init__(self, job: SyncJob, now: datetime) -> None:
        """Of `job`, whose present attempt began at `now`; touches no database."""
        self._job = job
        self._now = now
        self._entry: int | None = None
        self._errors: list[AuditError] = []
        self._is_taken_up = False

    # --- while it goes on -------------------------------------------------------------------------

    def begin(self) -> bool:
        """Opens the run's entry, or takes up the one that an earlier attempt opened (P6); returns
        whether there was one. Within the lease's transaction: the entry may be another's by now."""
        job = self._job
        now = {"status": str(SyncJob.Status.RUNNING), "attempts": job.attempt, "ended_at": None}
        made = now | {
            "at": job.started_at or self._now,
            "installation_id": job.installation_id,
            "repository": job.repository,
            "trigger": job.trigger,
            "mode": job.mode,
            "dry_run": job.dry_run,
            "actor_id": job.requested_by_id,
            "actor_name": job.requested_by.get_username() if job.requested_by else SYSTEM,
            "detail": {"baseline": True} if job.installation.last_listed_at is None else {},
        }
        entry, created = AuditEntry.objects.update_or_create(
            kind=AuditEntry.Kind.RUN,
            correlation_id=job.pk,
            defaults=now,
            create_defaults=made,
        )
        self._entry, self._is_taken_up = entry.pk, not created
        return self._is_taken_up

    @property
    def entry(self) -> int:
        """The key of the run's entry."""
        return self._opened()

    def follows(self, other: "Trail") -> None:
        """Takes over what another one of the same attempt has not written down yet."""
        self._errors = [*other.unwritten, *self._errors]

    @property
    def unwritten(self) -> Sequence[AuditError]:
        """The errors that no row tells of yet."""
        return tuple(self._errors)

    def recovered(self, what: str) -> None:
        """Notes that the run went on after something had ended it before (P31)."""
        entry = AuditEntry.objects.select_for_update().get(pk=self._opened())
        known = entry.detail.get("recoveries")
        before = known if isinstance(known, list) else []
        noted = {"at": clock.now().isoformat(), "attempt": self._job.attempt, "what": what}
        entry.detail["recoveries"] = [*before, noted][-RECOVERIES_SHOWN:]
        entry.save(update_fields=["detail"])

    def wrote(
        self,
        entity: str,
        operation: str,
        items: Iterable[tuple[int | None, object]],
        *,
        result: str = AuditRecord.Result.DONE,
        error: str = "",
    ) -> None:
        """Notes what was done to these records, in the transaction that did it (P7).

        `items` are pairs of our key of the repository, or None, and GitHub's id, or a commit's sha.
        One row a repository, or a few where there are many. Repositories themselves need no key of
        ours, only GitHub's id.
        """
        found = list(items)
        if not found:
            return
        words = (str(entity), str(operation), str(result), trail_text.shown(error))
        if entity == Entity.REPOSITORIES:
            ids = [key if isinstance(key, int) else None for _own, key in found]
            keys = [trail_text.clean(str(key)) for _own, key in found]
            self._insert(_REPOSITORIES, words, ids, keys)
            return
        grouped: defaultdict[int | None, list[str]] = defaultdict(list)
        for repository, key in found:
            grouped[repository].append(str(key))
        rows = [(own, part) for own, keys in grouped.items() for part in trail_text.parts(keys)]
        lines = trail_text.lines([part for _own, part in rows])
        if lines is not None:
            self._insert(_GROUPED, words, [own for own, _part in rows], lines)
        else:
            self._insert_odd(words, rows)

    def changed(
        self,
        changes: Sequence[Change],
        *,
        result: str = AuditRecord.Result.DONE,
        error: str = "",
    ) -> None:
        """The same of changes of repositories."""
        for operation in Operation:
            meant = [(None, each.github_id) for each in changes if each.operation is operation]
            self.wrote(Entity.REPOSITORIES, operation, meant, result=result, error=error)

    def _insert(self, sql: str, words: tuple[str, ...], keys: list[Any], items: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql, [self._opened(), clock.now(), *words, keys, items])

    def _insert_odd(
        self, words: tuple[str, ...], rows: Iterable[tuple[int | None, Sequence[str]]]
    ) -> None:
        """Keys that are neither ids nor shas, such as the place of a record without any."""
        entity, operation, result, error = words
        AuditRecord.objects.bulk_create(
            AuditRecord(
                entry_id=self._opened(),
                at=clock.now(),
                repository_id=repository,
                entity=entity,
                operation=operation,
                result=result,
                error=error,
                items=[trail_text.clean(key) for key in keys],
            )
            for repository, keys in rows
        )

    def _opened(self) -> int:
        if self._entry is None:
            self.begin()
        if self._entry is None:
            raise RuntimeError("the run has no audit entry")
        return self._entry

    def error(
        self,
        *,
        item: str,
        operation: str,
        category: str,
        message: str,
        entity: str,
        exception: BaseException | None = None,
    ) -> None:
        """Notes an error, in one category, with its stack or the caller's (P8, P25, R11.3).

        Kept here until the run rests or ends: the transaction under way may be the one that failed.
        """
        self._errors.append(
            AuditError(
                at=clock.now(),
                entity=str(entity)[:20],
                item=trail_text.shown(item),
                operation=operation[:40],
                category=category_of(category),
                message=trail_text.shown(message),
                trace=trail_text.trace(exception),
            )
        )
        if len(self._errors) >= AT_ONCE and not connection.in_atomic_block:
            self.flush()

    def flush(self) -> None:
        """Writes the errors down; the transaction under way, if any, is a sound one."""
        errors, self._errors = self._errors, []
        if errors and self._is_taken_up:
            errors = self._untold(errors)
        for error in errors:
            error.entry_id = self._opened()
        AuditError.objects.bulk_create(errors, batch_size=AT_ONCE)

    def _untold(self, errors: Iterable[AuditError]) -> list[AuditError]:
        """Those that no earlier attempt has told: an attempt that goes on finds some of them again.
        What ended an attempt is told each time."""
        names = ("entity", "item", "operation", "message")
        told = set(AuditError.objects.filter(entry=self._opened()).values_list(*names))
        found = []
        for error in errors:
            key = tuple(getattr(error, name) for name in names)
            if error.operation == RUN or key not in told:
                told.add(key)
                found.append(error)
        return found

    # --- its ends ---------------------------------------------------------------------------------

    def rest(self) -> None:
        """The run goes on later: a limit blocks it, or another attempt follows."""
        blocked = self._job.status == SyncJob.Status.BLOCKED
        status = SyncJob.Status.BLOCKED if blocked else SyncJob.Status.RUNNING
        with transaction.atomic():
            self.flush()
            # Whoever has the job by now may have ended it.
            left = AuditEntry.objects.filter(pk=self._opened(), ended_at__isnull=True)
            left.update(status=status)

    def end(self, outcome: Outcome, status: str, at: datetime) -> None:
        """Closes the run's entry (P5, P9, P23, P24); part of the transaction that ends the job.

        Says on entry and job when the run was slower than usual (P27).
        """
        pk, job = self._opened(), self._job
        self.flush()
        slow = self._slow(outcome) if status in selectors_trail.COMPLETED else None
        good, bad = performance.processed(outcome.counts)
        AuditEntry.objects.filter(pk=pk).update(
            ended_at=at,
            status=str(status),
            succeeded=good,
            failed=bad,
            counts=dict(outcome.counts),
            verification=dict(outcome.verification),
            phases_seconds=dict(outcome.phases_seconds),
            records_per_second=performance.rate(
                good + bad, outcome.phases_seconds.get("total", 0.0)
            ),
            api=dict(outcome.api) | {"budget_left": _budget_left(job.installation_id)},
            errors_by_category=_by_category(pk),
            warning=slow.sentence if slow else "",
        )
        if slow:
            SyncJob.objects.filter(pk=job.pk).update(warning=slow.sentence)
            found = slow
            transaction.on_commit(lambda: _say(job, found))

    def _slow(self, outcome: Outcome) -> Slow | None:
        if self._job.mode in UNEVEN or self._job.dry_run:
            return None
        return performance.judge(
            selectors_trail.timed(outcome.phases_seconds), selectors_trail.comparable(self._job)
        )


def category_of(name: str) -> str:
    """The one category of an error; what nobody knows is `unknown` (P25)."""
    return name if name in CATEGORIES else "unknown"


def _say(job: SyncJob, slow: Slow) -> None:
    events.emit(
        "sync.job.slow",
        installation_id=job.installation_id,
        job_id=str(job.pk),
        seconds=slow.seconds,
        usual_seconds=slow.usual,
        phase=slow.phase,
        phase_seconds=slow.phase_seconds,
        phase_usual_seconds=slow.phase_usual,
    )


def _budget_left(installation_id: int) -> dict[str, int]:
    budgets = RateBudget.objects.filter(installation=installation_id)
    return dict(budgets.values_list("resource", "remaining"))


def _by_category(entry: int) -> dict[str, int]:
    found = AuditError.objects.filter(entry=entry).order_by().values_list("category")
    return dict(found.annotate(number=Count("pk")))


# --- entries whose run cannot close them, and people --------------------------------------------


def close_orphans(now: datetime) -> int:
    """Closes the entries of runs that ended without their worker: given up by the sweeper, or
    cancelled while they waited. Returns how many; at most `AT_ONCE`."""
    going_on = SyncJob.objects.filter(pk=OuterRef("correlation_id"), status__in=SyncJob.ACTIVE)
    left = AuditEntry.objects.filter(
        ~Exists(going_on), kind=AuditEntry.Kind.RUN, ended_at__isnull=True
    )
    found = list(left.order_by("at").values_list("pk", "correlation_id")[:AT_ONCE])
    jobs = SyncJob.objects.only(*_OF_ORPHANS).in_bulk([job_id for _pk, job_id in found if job_id])
    return sum(_close(pk, jobs.get(job_id) if job_id else None, now) for pk, job_id in found)


def _close(pk: int, job: SyncJob | None, now: datetime) -> bool:
    """Closes one entry, unless its run has just done so."""
    ended = (job.finished_at if job else None) or now
    status = job.status if job else SyncJob.Status.DEAD
    with transaction.atomic():
        left = AuditEntry.objects.filter(pk=pk, ended_at__isnull=True)
        if not left.update(ended_at=ended, status=str(status)):
            return False
        if job is not None and job.error:
            AuditError.objects.create(
                entry_id=pk,
                at=ended,
                item=str(job.pk),
                operation=RUN,
                category=category_of(job.error_category),
                message=trail_text.shown(job.error),
            )
        counts = _written(pk)
        good, _bad = performance.processed(counts)
        AuditEntry.objects.filter(pk=pk).update(
            errors_by_category=_by_category(pk), counts=counts, succeeded=good
        )
        if job is not None:
            SyncJob.objects.filter(pk=job.pk, counts={}).update(counts=counts)
    return True


def _written(entry: int) -> dict[str, dict[str, int]]:
    """The counts of a run that nobody lived to write down: what it wrote, by its records."""
    none = dict.fromkeys(("created", "updated", "unchanged", "deleted", "errors"), 0)
    return {entity: none | counts for entity, counts in Earlier(entry).counts().items()}


def act(
    kind: str,
    user: Any,
    *,
    installation: Installation | int | None = None,
    repository: str = "",
    correlation_id: UUID | str | None = None,
    **detail: Any,
) -> AuditEntry:
    """Notes what a person did (R11.2); `user` is None for a command on the machine.

    `detail` is shown as it is, so it must be JSON; text in it is freed of secrets.
    """
    now = clock.now()
    known = user is not None and user.pk is not None
    pk = installation.pk if isinstance(installation, Installation) else installation
    return AuditEntry.objects.create(
        kind=kind,
        at=now,
        ended_at=now,
        status=DONE,
        installation_id=pk,
        repository=repository,
        correlation_id=correlation_id,
        actor_id=user.pk if known else None,
        actor_name=user.get_username() if known else SYSTEM,
        detail={
            name: trail_text.shown(v) if isinstance(v, str) else v for name, v in detail.items()
        },
    )
