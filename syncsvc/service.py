"""The one door through which every sync starts, whoever asks for it (R3.2)."""

from typing import Any

from django.db import IntegrityError, transaction

from syncsvc import circuit, clock, conf, events, jobs, policy, state
from syncsvc.models import SyncJob
from syncsvc.policy import Action, Decision, Reason

# A request of these that finds a run under way asks for something the run may already have passed:
# it is remembered and asked again when the run ends. The others are served by the running job.
REMEMBERED = frozenset({"gap", "webhook", "maintenance", "backfill"})


class SyncService:
    """Asks policy, creates the job, rings for a worker. No caller looks at state, time or budget."""

    @staticmethod
    def request(
        installation_id: int,
        trigger: str,
        *,
        mode: str = SyncJob.Mode.FULL,
        repository: str = "",
        dry_run: bool = False,
        user: Any = None,
        ring: bool = True,
        remember: bool = True,
    ) -> Decision:
        """Starts a sync if policy lets it; the decision names the job, or the one that is active.

        `ring=False` leaves the job for the caller to run in the foreground; `remember=False` says
        that what is asked for stands in a table of its own, and is asked for again. Raises
        `Installation.DoesNotExist`.
        """
        now = clock.now()
        snapshot = state.read_one(installation_id)
        settings = conf.for_installation(snapshot.installation)
        decision = policy.evaluate(snapshot.state, trigger, now, settings)
        if decision.action is Action.START:
            decision = _create(
                SyncJob(
                    installation=snapshot.installation,
                    trigger=trigger,
                    mode=mode,
                    repository=repository,
                    dry_run=dry_run,
                    requested_by=user,
                    created_at=now,
                    run_after=now,
                ),
                ring=ring,
            )
        # A dry run that is remembered would come back as a real one.
        remember = remember and not dry_run
        passed_by = decision.job_id and decision.action is Action.SKIP and remember
        if passed_by and not _remember(decision, trigger):
            # The job that would have served us ended since we looked: ask again.
            return SyncService.request(
                installation_id,
                trigger,
                mode=mode,
                repository=repository,
                dry_run=dry_run,
                user=user,
                ring=ring,
            )
        events.emit(
            "sync.request",
            installation_id=installation_id,
            trigger=trigger,
            decision=str(decision.action),
            reason=str(decision.reason),
            job_id=decision.job_id,
            **({"user_id": user.pk} if user else {}),
        )
        return decision


def _remember(decision: Decision, trigger: str) -> bool:
    """Notes a request that must not be lost on the job that runs; False when that has ended.

    A job that only reads what webhooks named, or a sample, serves nobody who asked for a sync.
    """
    active = SyncJob.objects.filter(pk=decision.job_id or "", status__in=SyncJob.ACTIVE)
    if trigger not in REMEMBERED:
        active.filter(mode__in=SyncJob.UNASKED, follow_up="").update(follow_up=trigger)
        return active.exists()
    lesser = [known for known in ("", *REMEMBERED) if known not in policy.URGENT_TRIGGERS]
    if trigger in policy.URGENT_TRIGGERS:
        lesser = ["", *REMEMBERED]
    return bool(active.filter(follow_up__in=lesser).update(follow_up=trigger)) or active.exists()


class _BreakerOpened(Exception):
    """The run that was under way when policy looked has failed since, and was one too many."""


def _create(job: SyncJob, *, ring: bool) -> Decision:
    try:
        with transaction.atomic():
            # The account's row before the job's, as everywhere (`circuit.hold`).
            if not circuit.began(job, job.created_at):
                raise _BreakerOpened
            job.save(force_insert=True)
            if ring:
                transaction.on_commit(lambda: jobs.ring(job.pk))
    except _BreakerOpened:
        return policy.evaluate(
            state.read_one(job.installation_id).state,
            job.trigger,
            job.created_at,
            conf.for_installation(job.installation),
        )
    except IntegrityError as error:
        if "one_active_job_per_installation" not in str(error):
            raise
        # Somebody else's job got there first; the database allows one (R3.3).
        active = SyncJob.objects.filter(
            installation=job.installation, status__in=SyncJob.ACTIVE
        ).first()
        if active is None:  # it has ended since: ask again
            return _create(job, ring=ring)
        return Decision(action=Action.SKIP, reason=Reason.ALREADY_SYNCING, job_id=str(active.pk))
    return Decision(action=Action.START, reason=Reason.ACCEPTED, job_id=str(job.pk))
