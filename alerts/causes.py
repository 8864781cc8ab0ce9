"""Which problems an account has, given what is true of it now (R14.1).

Pure. Each problem says in sentences for people what it is, in figures how large, and what to do next.
What is said changes with the problem only, never with the time alone: moments are named, not ages, so
that looking again writes nothing.
"""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from alerts.values import Cause, Facts, Kind, Severity, Thresholds
from syncsvc import words

TITLE_LENGTH: Final = 300


def of(facts: Facts, thresholds: Thresholds | None = None) -> list[Cause]:
    """The problems that one account has, in the order of `Kind`."""
    limits = thresholds or Thresholds()
    judges = (*_ALWAYS, *_WHILE_ACTIVE) if facts.active else _ALWAYS
    found = (judge(facts, limits) for judge in judges)
    return [cause for cause in found if cause is not None]


def _cause(
    facts: Facts,
    kind: Kind,
    severity: Severity,
    title: str,
    detail: str,
    *,
    which: int | None = None,
    correlation_id: UUID | None = None,
    **figures: Any,
) -> Cause:
    suffix = "" if which is None else f":{which}"
    return Cause(
        key=f"{kind}:{facts.installation_id}{suffix}",
        kind=kind,
        severity=severity,
        title=title if len(title) <= TITLE_LENGTH else f"{title[: TITLE_LENGTH - 1]}…",
        detail=detail,
        installation_id=facts.installation_id,
        figures=figures,
        correlation_id=correlation_id,
    )


def _mass_disappearance(facts: Facts, _: Thresholds) -> Cause | None:
    held = facts.held
    if held is None:
        return None
    gone = held.vanished
    return _cause(
        facts,
        Kind.MASS_DISAPPEARANCE,
        Severity.CRITICAL,
        f"{gone.number:,} of {held.present:,} repositories of {facts.login} vanished at once",
        f"GitHub's list lacks {gone.named}. That is more than the {held.limit_percent:g} % that may go "
        "unasked, so nothing was removed. Next: look at GitHub whether they are really gone; approve "
        "the open review to let them go, or reject it to keep them. If they come back, it closes by "
        "itself.",
        which=held.review_id,
        correlation_id=gone.correlation_id,
        review=held.review_id,
        vanished=gone.number,
        present=held.present,
        limit_percent=held.limit_percent,
        examples=list(gone.examples),
    )


def _resync_failed(facts: Facts, _: Thresholds) -> Cause | None:
    rows = facts.not_resynced
    if rows is None:
        return None
    names = f": {rows.named}" if rows.examples else ""
    return _cause(
        facts,
        Kind.RESYNC_FAILED,
        Severity.HIGH,
        f"{_many(rows.number, 'item')} of {facts.login} stayed missing after the automatic resync",
        f"Verification found what GitHub shows and the mirror lacks, and reading it again did not bring "
        f"it{names}. It is tried again with every run. Next: look at the failures of the run and "
        "whether GitHub still lets us read these repositories, then press Sync now.",
        correlation_id=rows.correlation_id,
        items=rows.number,
        examples=list(rows.examples),
    )


def _repair_failed(facts: Facts, _: Thresholds) -> Cause | None:
    rows = facts.not_repaired
    if rows is None:
        return None
    return _cause(
        facts,
        Kind.REPAIR_FAILED,
        Severity.WARNING,
        f"{_many(rows.number, 'discrepancy')} of {facts.login} could not be repaired",
        f"The mirror still differs from GitHub in {rows.named}. Each discrepancy says why its repair "
        "failed. Next: repair them again from the list of discrepancies, or dismiss those that are right "
        "as they are.",
        correlation_id=rows.correlation_id,
        discrepancies=rows.number,
        examples=list(rows.examples),
    )


def _integrity(facts: Facts, _: Thresholds) -> Cause | None:
    rows = facts.broken
    if rows is None:
        return None
    return _cause(
        facts,
        Kind.INTEGRITY,
        Severity.HIGH,
        f"{_many(rows.number, 'row')} of {facts.login} in the mirror cannot be right",
        f"They break a rule that GitHub's own data keep: {rows.named}. Next: start a full sync, which "
        "reads them again; if they stay, look at them at GitHub and report it.",
        correlation_id=rows.correlation_id,
        issues=rows.number,
        examples=list(rows.examples),
    )


def _audit_disagreement(facts: Facts, limits: Thresholds) -> Cause | None:
    audit, measured = facts.audit, facts.accuracy
    if audit is None or measured is None or audit.judged < limits.audit_items:
        return None
    if measured.value <= audit.high:
        return None
    return _cause(
        facts,
        Kind.AUDIT_DISAGREEMENT,
        Severity.CRITICAL,
        f"The accuracy of {facts.login} is lower than our own runs say",
        f"The runs of the last 24 hours measured {measured.shown}. Of {audit.judged:,} items that were "
        f"read one by one by another path in the last 7 days, {audit.wrong:,} were wrong: with 95 % "
        f"certainty the accuracy lies between {_percent(audit.low)} and {_percent(audit.high)}. The mirror misses "
        "differences that it should see. Next: look at the wrong items of the audits, start a full sync, "
        "and report which items it does not find.",
        judged=audit.judged,
        wrong=audit.wrong,
        low=round(audit.low, 6),
        high=round(audit.high, 6),
        measured=round(measured.value, 6),
    )


def _action_needed(facts: Facts, _: Thresholds) -> Cause | None:
    if not facts.action_needed:
        return None
    return _cause(
        facts,
        Kind.ACTION_NEEDED,
        Severity.HIGH,
        f"Syncs of {facts.login} cannot succeed until somebody acts",
        f"{facts.action_needed} The last run ended because of it and was not tried again, for that could "
        "not help. Next: do what the sentence says, then press Sync now; the first run that succeeds ends "
        "this.",
        correlation_id=facts.failed_job_id,
        failures=facts.consecutive_failures,
    )


def _dead_letters(facts: Facts, _: Thresholds) -> Cause | None:
    number = facts.dead_letters
    if not number:
        return None
    return _cause(
        facts,
        Kind.DEAD_LETTERS,
        Severity.WARNING,
        f"{number:,} {'job or delivery' if number == 1 else 'jobs or deliveries'} of {facts.login} given up",
        "It was tried as often as is allowed, and nothing does it again by itself. Next: read in the dead "
        "letters of the account why, mend that and requeue them, or discard with a reason what need not be "
        "done; that ends this.",
        open_letters=number,
    )


def _accuracy(facts: Facts, limits: Thresholds) -> Cause | None:
    share = facts.accuracy
    if share is None or share.value >= limits.slo:
        return None
    return _cause(
        facts,
        Kind.ACCURACY,
        Severity.HIGH,
        f"The accuracy of {facts.login} is {share.shown} over 24 hours, below {limits.slo * 100:g} %",
        f"Of {share.total:,} items that were compared, {share.total - share.good:,} differed before they "
        "were repaired. Next: look at the types of the discrepancies; if webhooks were lost, look at the "
        "gaps, and whether the webhook at GitHub is active and reaches us.",
        accuracy=round(share.value, 6),
        compared=share.total,
        matched=share.good,
        slo=limits.slo,
    )


def _breaker_open(facts: Facts, _: Thresholds) -> Cause | None:
    until = facts.breaker_open_until
    if facts.half_open:
        return _half_open(facts)
    # A success takes the time away; one that has passed means a trial that nobody has seen succeed.
    if until is None or (until <= facts.now and not facts.consecutive_failures):
        return None
    return _cause(
        facts,
        Kind.BREAKER_OPEN,
        Severity.HIGH,
        f"Syncs of {facts.login} are paused after {_many(facts.consecutive_failures, 'failure')}",
        f"The circuit breaker opened; a trial follows by itself after {words.exact(until)}, and each "
        f"further failure doubles the pause, up to an hour.{_why(facts)} Next: mend the reason; the first "
        "trial that succeeds ends this.",
        correlation_id=facts.failed_job_id,
        until=until.isoformat(),
        failures=facts.consecutive_failures,
    )


def _half_open(facts: Facts) -> Cause:
    return _cause(
        facts,
        Kind.BREAKER_OPEN,
        Severity.HIGH,
        f"Syncs of {facts.login} are on trial after {_many(facts.consecutive_failures, 'failure')}",
        "The circuit breaker is half open: one sync runs as a trial. If it fails, syncs are paused again, "
        f"for twice as long, up to an hour.{_why(facts)} Next: mend the reason; the first trial that "
        "succeeds ends this.",
        correlation_id=facts.failed_job_id,
        failures=facts.consecutive_failures,
    )


def _consecutive_failures(facts: Facts, limits: Thresholds) -> Cause | None:
    number = facts.consecutive_failures
    if number < max(limits.failures, 1):
        return None
    return _cause(
        facts,
        Kind.CONSECUTIVE_FAILURES,
        Severity.HIGH if number >= limits.failures_high else Severity.WARNING,
        f"{_many(number, 'sync')} of {facts.login} failed in a row",
        f"The mirror of this account grows old.{_why(facts)} Next: do what the sentence says, then press "
        "Sync now.",
        correlation_id=facts.failed_job_id,
        failures=number,
    )


def _stale(facts: Facts, limits: Thresholds) -> Cause | None:
    # An interval that people have set longer is no lateness: then the second run in a row is missed.
    allowed = max(limits.stale, 2 * facts.interval)
    if facts.read_at is None or facts.now - facts.read_at <= allowed:
        return None
    return _cause(
        facts,
        Kind.STALE,
        Severity.WARNING,
        f"{facts.login} was last synced at {words.exact(facts.read_at)}",
        f"No run has read all of the account since, and {words.span(allowed.total_seconds())} are the "
        f"longest that may pass.{_why(facts)} Next: see on the account's page whether a run is under way, "
        "blocked by GitHub's limits or failing; `/readyz` says whether worker and scheduler live.",
        correlation_id=facts.run.job_id if facts.run else None,
        last_synced_at=facts.read_at.isoformat(),
        allowed_minutes=round(allowed.total_seconds() / 60),
    )


def _gaps(facts: Facts, limits: Thresholds) -> Cause | None:
    # At most one gap of each reason is open; what makes a gap large is what was missed in it.
    if max(facts.open_gaps, facts.missed) <= limits.gaps:
        return None
    what = (
        f"{_many(facts.missed, 'webhook delivery')} of {facts.login} missed and not made up for"
        if facts.missed > limits.gaps
        else f"{_many(facts.open_gaps, 'gap')} of {facts.login} not healed"
    )
    return _cause(
        facts,
        Kind.GAPS,
        Severity.WARNING,
        what,
        f"{_many(facts.open_gaps, 'gap')} open. GitHub is asked to redeliver, then the repositories "
        "concerned are read; that goes on by itself. Next, if it lasts: see on the page of the gaps which "
        "step they are at, and whether GitHub can reach our webhook.",
        open_gaps=facts.open_gaps,
        missed=facts.missed,
    )


def _performance(facts: Facts, _: Thresholds) -> Cause | None:
    run = facts.run
    if run is None or not run.warning:
        return None
    return _cause(
        facts,
        Kind.PERFORMANCE,
        Severity.WARNING,
        f"The last sync of {facts.login} was slower than usual",
        f"{run.warning} Next: the job's page shows the seconds of each phase; if it stays, look at "
        "PostgreSQL's load for slow comparing or updating, at GitHub's status for slow fetching.",
        correlation_id=run.job_id,
        seconds=run.seconds,
    )


def _why(facts: Facts) -> str:
    return f" The last run said: {facts.last_error}" if facts.last_error else ""


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def _many(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}"


_Judge = Callable[[Facts, Thresholds], Cause | None]
#: What waits for somebody stays a problem when an account is suspended.
_ALWAYS: Final[tuple[_Judge, ...]] = (
    _mass_disappearance,
    _resync_failed,
    _repair_failed,
    _integrity,
    _audit_disagreement,
    _action_needed,
    _dead_letters,
    _accuracy,
)
_WHILE_ACTIVE: Final[tuple[_Judge, ...]] = (
    _breaker_open,
    _consecutive_failures,
    _stale,
    _gaps,
    _performance,
)
