"""What follows from the evidence that deliveries were missed: which gaps, and the next step of each. Pure.

A gap goes one way (R6.6): GitHub is asked to redeliver what is missing; when that arrived, or was in vain,
or lasts too long, what was missed is read from GitHub itself; when a run that began after the last loss
has read it, the gap closes. What was missed meanwhile sends it round again. Every step is repeated until
it has worked, so that whatever is killed in between costs time and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from syncsvc import retrying

FAILED: Final = "failed_deliveries"
MISSING: Final = "missing_deliveries"
EXHAUSTED: Final = "redelivery_exhausted"
SILENCE: Final = "silence"

OPEN: Final = "open"
REDELIVERING: Final = "redelivering"
CATCHING_UP: Final = "catching_up"

RECHECK: Final = "recheck"
INCREMENTAL: Final = "incremental"

KEPT: Final = timedelta(days=3)
"""GitHub redelivers nothing older."""
REDELIVERY_WAIT: Final = timedelta(minutes=15)
"""For all redeliveries of a gap together, three of each: then it is read instead."""
TARGETED: Final = 50
"""More repositories than that are read by a run over the whole account."""
SUSPENDED_PAUSE: Final = timedelta(minutes=10)
SOON: Final = timedelta(seconds=30)

_OF_REPOSITORIES: Final = frozenset({"issues", "public", "pull_request", "push", "repository"})
"""Events that change the mirror: one that does not say which repository it is about may be any."""
_WHOLE_SECOND: Final = timedelta(seconds=1)
"""GitHub's times leave the rest of it out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Missed:
    """One event that did not arrive. `askable`: GitHub can still be asked to send it again."""

    id: int
    kind: str = "failed"
    event: str = "issues"
    repository_id: int | None = None
    first_at: datetime
    detected_at: datetime
    requests: int = 0
    requested_at: datetime | None = None
    askable: bool = True
    arrived: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Catchup:
    """What was asked for, when, and of which repositories; none of them means all."""

    asked_at: datetime
    mode: str
    repositories: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """The run that was started for the gap; `ended_at` is None while it is active."""

    started_at: datetime | None
    ended_at: datetime | None
    succeeded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Covering:
    """A run that read everything that was asked for, and began after it was asked for."""

    started_at: datetime
    changed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """All that the next step of a gap depends on. `attempts` are catch-ups that failed so far."""

    reason: str
    step: str
    status: str = "active"
    opened_at: datetime
    redelivering_since: datetime | None = None
    missed: tuple[Missed, ...] = ()
    catchup: Catchup | None = None
    job: Job | None = None
    covering: Covering | None = None
    attempts: int = 0

    def __post_init__(self) -> None:
        moments = [self.opened_at, self.redelivering_since]
        moments += [each.first_at for each in self.missed]
        if any(moment is not None and moment.tzinfo is None for moment in moments):
            raise ValueError("naive times are refused: nobody knows what they mean")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """Nothing to do before `until`."""

    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Redeliver:
    """Ask GitHub to send these events again, the newest first."""

    ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CatchUp:
    """Have it read from GitHub: these repositories, or the whole account if there are none."""

    repositories: frozenset[int] = frozenset()
    exhausted: bool = False
    failed: bool = False

    @property
    def mode(self) -> str:
        """The mode of the run."""
        return RECHECK if self.repositories else INCREMENTAL


@dataclass(frozen=True, kw_only=True, slots=True)
class Again:
    """More was missed since the run was asked for: begin anew with that. `read` are done."""

    read: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Close:
    """It is healed, by this."""

    healed_by: str


Step = Hold | Redeliver | CatchUp | Again | Close


def reason_of(kind: str) -> str:
    """The reason of the gap that a missed delivery of this kind belongs to (R6.5 b, d)."""
    return MISSING if kind == "lost" else FAILED


def next_step(facts: Facts, now: datetime, *, attempts: int) -> Step:
    """What to do now for a gap; `attempts` is how often a redelivery is asked for (R6.5 c)."""
    if now.tzinfo is None:
        raise ValueError("naive times are refused: nobody knows what they mean")
    if facts.status == "uninstalled":
        return Close(healed_by="uninstalled")
    if facts.status == "suspended":
        return Hold(until=now + SUSPENDED_PAUSE)
    if facts.step == CATCHING_UP:
        return _catching_up(facts, now)
    return _redelivering(facts, now, attempts)


def redelivery_due(missed: Missed, now: datetime, attempts: int) -> datetime | None:
    """When to ask GitHub for it the next time, None when it is of no use (any more)."""
    if not missed.askable or missed.arrived or now - missed.first_at >= KEPT:
        return None
    if missed.requests >= attempts:
        return None
    return _answer_due(missed) or now


def is_exhausted(missed: Missed, now: datetime, attempts: int) -> bool:
    """Whether GitHub was asked as often as is sensible, and nothing came (R6.5 c)."""
    waited = _answer_due(missed)
    asked = missed.requests >= attempts > 0
    return not missed.arrived and asked and waited is not None and waited <= now


def repositories_of(missed: Iterable[Missed]) -> frozenset[int]:
    """The repositories to read for these events; none when the whole account has to be read."""
    found: set[int] = set()
    for each in missed:
        if each.event.startswith("installation"):
            return frozenset()
        if each.repository_id is not None:
            found.add(each.repository_id)
        elif each.event in _OF_REPOSITORIES:
            return frozenset()
    return frozenset(found) if len(found) <= TARGETED else frozenset()


def retry_pause(attempts: int) -> timedelta:
    """How long to wait after so many catch-ups in a row that failed: a minute, doubling to an hour."""
    return retrying.delay(retrying.CATCH_UPS, attempts + 1)


def _answer_due(missed: Missed) -> datetime | None:
    """Until when a redelivery that was asked for is waited for."""
    if missed.requested_at is None or missed.requests == 0:
        return None
    return missed.requested_at + retrying.delay(retrying.REDELIVERIES, missed.requests)


def _redelivering(facts: Facts, now: datetime, attempts: int) -> Step:
    missing = [each for each in facts.missed if not each.arrived]
    since = facts.redelivering_since
    too_long = since is not None and now - since >= REDELIVERY_WAIT
    if missing and not too_long:
        due = {each.id: redelivery_due(each, now, attempts) for each in missing}
        ready = [each for each in missing if (at := due[each.id]) is not None and at <= now]
        if ready:
            ready.sort(key=lambda each: (each.first_at, each.id), reverse=True)
            return Redeliver(ids=tuple(each.id for each in ready))
        waits = [_answer_due(each) if each.askable else None for each in missing]
        later = [at for at in (*waits, *due.values()) if at is not None and at > now]
        if later:
            end = since + REDELIVERY_WAIT if since is not None else max(later)
            return Hold(until=min(*later, end))
    return CatchUp(
        repositories=repositories_of(facts.missed),
        exhausted=any(is_exhausted(each, now, attempts) for each in missing),
    )


def _catching_up(facts: Facts, now: datetime) -> Step:
    asked, run = facts.catchup, facts.covering
    if asked is not None and run is not None:
        left = [each for each in facts.missed if not _is_covered(each, asked, run)]
        if left:
            gone = {each.id for each in left}
            return Again(read=tuple(each.id for each in facts.missed if each.id not in gone))
        return Close(healed_by=_healer(facts, asked, run))
    if asked is None or facts.job is None:
        return CatchUp(repositories=_still(facts))
    if facts.job.ended_at is None:
        return Hold(until=now + SOON)
    if facts.job.succeeded:  # it had begun before this was asked for
        return CatchUp(repositories=_still(facts))
    due = facts.job.ended_at + retry_pause(facts.attempts)
    return CatchUp(failed=True) if due <= now else Hold(until=due)


def _still(facts: Facts) -> frozenset[int]:
    """What a request that led to nothing asked for; all of it once a run has failed."""
    return frozenset() if facts.attempts else repositories_of(facts.missed)


def _is_covered(missed: Missed, asked: Catchup, run: Covering) -> bool:
    """Whether the run has read what this event was about: it began afterwards, and knew of it."""
    if run.started_at < min(missed.first_at + _WHOLE_SECOND, missed.detected_at):
        return False
    return (
        not asked.repositories
        or missed.detected_at <= asked.asked_at
        or (missed.repository_id in asked.repositories)
    )


def _healer(facts: Facts, asked: Catchup, run: Covering) -> str:
    if facts.missed and all(each.arrived for each in facts.missed):
        return "redelivery" if any(each.requests for each in facts.missed) else "arrived"
    if facts.reason == SILENCE and not facts.missed and run.changed == 0:
        return "quiet"
    return "reread" if asked.repositories else "sync"
