"""The one retry policy: what failed is tried again, given up, or waits until GitHub lets us (R4.5, R10.1).

Pure. Whoever tries something has a `Policy`; `decide` says what comes after a failed attempt, `delay`
how long each wait is. There is no second formula for either.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

#: The waits grow no further: no cap is more than 2^40 times its base, and larger powers overflow.
_MOST_STEPS: Final = 40

RATE_LIMITED: Final = "rate_limited"
#: Kinds of failure that the same request meets again, however often it is sent (R10.1: 401, 403, 404).
HOPELESS: Final = frozenset(
    {
        "authentication",
        "suspended",
        "forbidden",
        "not_found",
        "gone",
        "version_retired",
        "legally_blocked",
        "validation",
        "configuration",
    }
)
#: Hopeless, and yet nobody has to do anything: what was deleted stays deleted.
_IN_ORDER: Final = frozenset({"gone"})
#: Kinds that are about an account or our access to it, whichever of its repositories was asked for.
ABOUT_THE_ACCOUNT: Final = frozenset(
    {"authentication", "suspended", "configuration", "version_retired"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How often something is tried, and how long the waits are: they double from `base` on.

    `attempts` counts the first one too; None: without end. `spread` is between which multiples of its
    step a wait lies (jitter); with the jitter no wait is longer than `cap`. `patience` is the longest
    `Retry-After` that is waited for; None: any. `factor`: what each wait is multiplied by, where it
    is not two.
    """

    attempts: int | None
    base: timedelta
    cap: timedelta
    spread: tuple[float, float] = (1.0, 1.0)
    patience: timedelta | None = None
    factor: int = 2


_AROUND: Final = (0.75, 1.25)

#: One request to GitHub: 3 retries, 1 s to 60 s (R4.5). To hold a worker for longer is a waste.
REQUESTS: Final = Policy(
    attempts=4,
    base=timedelta(seconds=1),
    cap=timedelta(seconds=60),
    spread=(1.0, 2.0),
    patience=timedelta(seconds=60),
)
#: One run (R10.1); how many attempts is a setting, see `with_attempts`.
#: What GitHub wants later than in an hour is left to the schedule.
JOBS: Final = Policy(
    attempts=5,
    base=timedelta(seconds=30),
    cap=timedelta(minutes=15),
    spread=_AROUND,
    patience=timedelta(hours=1),
)
#: One webhook delivery that could not be written.
DELIVERIES: Final = Policy(attempts=5, base=timedelta(seconds=10), cap=timedelta(minutes=15))
#: One list of one repository (R5.6).
LISTS: Final = Policy(
    attempts=None, base=timedelta(minutes=5), cap=timedelta(hours=6), spread=_AROUND
)
#: One repository that has to be read again (R6.3).
RECHECKS: Final = Policy(attempts=None, base=timedelta(minutes=1), cap=timedelta(hours=6))
#: GitHub's log of one webhook's deliveries (R6.4).
HOOK_LOGS: Final = Policy(attempts=None, base=timedelta(minutes=1), cap=timedelta(hours=1))
#: The answer to one redelivery that GitHub was asked for (R6.6): asking costs, so three times as long.
REDELIVERIES: Final = Policy(
    attempts=None, base=timedelta(minutes=1), cap=timedelta(minutes=3**6), factor=3
)
#: The catch-up of one gap (R6.6).
CATCH_UPS: Final = Policy(attempts=None, base=timedelta(minutes=1), cap=timedelta(hours=1))
#: A secondary limit for which GitHub named no time ("Best practices for using the REST API").
LIMITS: Final = Policy(attempts=None, base=timedelta(minutes=1), cap=timedelta(hours=1))
#: An account's open breaker, until its next trial (R10.3).
BREAKERS: Final = Policy(attempts=None, base=timedelta(minutes=5), cap=timedelta(hours=1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """What went wrong, as far as the decision depends on it.

    `kind` is one of `syncsvc.github.errors.Kind`, or empty for what is none of GitHub's; `sentence`
    is for people. `until`: when a limit ends; `retry_after`: how long GitHub asked us to wait.
    """

    category: str
    kind: str = ""
    retryable: bool = True
    sentence: str = ""
    retry_after: timedelta | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.until is not None and self.until.tzinfo is None:
            raise ValueError("naive times are refused: nobody knows what they mean")

    @property
    def is_limit(self) -> bool:
        """Whether GitHub only asks us to wait: no failure, and no attempt is used up (R4.2)."""
        return self.kind == RATE_LIMITED and self.until is not None

    @property
    def is_hopeless(self) -> bool:
        """Whether trying the very same thing again cannot help."""
        return not self.is_limit and (not self.retryable or self.kind in HOPELESS)

    @property
    def action_needed(self) -> str:
        """The sentence for the person who has to act; empty where time may help, or nothing need be
        done (R10.1)."""
        return self.sentence if self.is_hopeless and self.kind not in _IN_ORDER else ""

    @property
    def is_about_the_account(self) -> bool:
        """Whether it would have happened with any other repository of the account too."""
        return self.kind in ABOUT_THE_ACCOUNT


class Why(StrEnum):
    """Why something is given up."""

    HOPELESS = "hopeless"
    EXHAUSTED = "exhausted"
    TOO_LATE = "too_late"
    """It could be tried again, but only later than whoever tries is willing to wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryAt:
    """Try again, not before `at`; `wait` is the time until then."""

    at: datetime
    wait: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveUp:
    """That was the last attempt. `action_needed`: what a person has to do; empty for nothing."""

    why: Why
    action_needed: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockUntil:
    """Wait for GitHub; this attempt does not count (R4.2)."""

    until: datetime


def with_attempts(policy: Policy, attempts: int) -> Policy:
    """The same policy with another number of attempts, 1 at least."""
    return replace(policy, attempts=max(1, attempts))


def delay(policy: Policy, failures: int, draw: float = 0.5) -> timedelta:
    """How long to wait after failure number `failures` in a row (from 1): the base, doubled with each
    further one, spread by `draw` (0 to 1), never more than the cap."""
    low, high = policy.spread
    steps = min(max(failures, 1) - 1, _MOST_STEPS)
    # The cap is of what comes out, and yet those that reached it together part.
    grown = policy.base.total_seconds() * policy.factor**steps
    step = min(policy.cap.total_seconds() / high, grown)
    return timedelta(seconds=step * (low + (high - low) * min(max(draw, 0.0), 1.0)))


def decide(
    policy: Policy, attempt: int, trouble: Trouble, now: datetime, draw: float = 0.5
) -> RetryAt | GiveUp | BlockUntil:
    """What comes after attempt number `attempt` (from 1) ended in `trouble` at `now`.

    A limit only waits. What is hopeless is given up at once, with the sentence that a person needs.
    Everything else is tried again until the attempts are used up, and never before GitHub's
    `Retry-After`. `draw` (0 to 1) is the chance in the wait.
    """
    if trouble.is_limit and trouble.until is not None:
        return BlockUntil(until=max(now, trouble.until))
    if trouble.is_hopeless:
        return GiveUp(why=Why.HOPELESS, action_needed=trouble.action_needed)
    if policy.attempts is not None and attempt >= policy.attempts:
        return GiveUp(why=Why.EXHAUSTED)
    wait = delay(policy, attempt, draw)
    if trouble.retry_after is not None:
        if policy.patience is not None and trouble.retry_after > policy.patience:
            return GiveUp(why=Why.TOO_LATE)
        wait = max(wait, trouble.retry_after)
    return RetryAt(at=now + wait, wait=wait)
