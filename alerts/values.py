"""What incidents are judged by, as values: what is true of one account, from where on it is a problem, and
what a problem is. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from reconciliation.accuracy import SLO


class Kind(StrEnum):
    """What kinds of problem are looked for here."""

    MASS_DISAPPEARANCE = "mass_disappearance"
    RESYNC_FAILED = "resync_failed"
    REPAIR_FAILED = "repair_failed"
    INTEGRITY = "integrity"
    AUDIT_DISAGREEMENT = "audit_disagreement"
    ACTION_NEEDED = "action_needed"
    DEAD_LETTERS = "dead_letters"
    ACCURACY = "accuracy"
    BREAKER_OPEN = "breaker_open"
    CONSECUTIVE_FAILURES = "consecutive_failures"
    STALE = "stale"
    GAPS = "gaps"
    PERFORMANCE = "performance"


class Severity(StrEnum):
    """How bad it is, the mildest first (R14.2)."""

    WARNING = "warning"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for the mildest."""
        return list(Severity).index(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """From where on something is a problem. Shares are 0 to 1."""

    slo: float = SLO
    failures: int = 3
    failures_high: int = 6
    stale: timedelta = timedelta(minutes=30)
    gaps: int = 5
    audit_items: int = 100
    """An independent audit of fewer items contradicts nobody."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Rows of one kind that wait: how many, the newest of them by name, and the run of the newest."""

    number: int
    examples: tuple[str, ...] = ()
    correlation_id: UUID | None = None

    @property
    def named(self) -> str:
        """The examples, and how many more there are."""
        if not self.examples:
            return f"{self.number:,} of them"
        more = self.number - len(self.examples)
        return ", ".join(self.examples) + (f" and {more:,} more" if more > 0 else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """Repositories that vanished at once; nothing is removed until somebody decides."""

    review_id: int
    vanished: Rows
    present: int
    limit_percent: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """`good` of `total` items."""

    good: int
    total: int

    @property
    def value(self) -> float:
        """0 to 1."""
        return self.good / self.total

    @property
    def shown(self) -> str:
        """As a percentage, never rounded up: 99.499 % is not 99.5 %."""
        hundredths = self.good * 10_000 // self.total
        return f"{hundredths // 100}.{hundredths % 100:02d} %"


@dataclass(frozen=True, kw_only=True, slots=True)
class Audited:
    """What independent samples found: `wrong` of `judged` items, and between which bounds the accuracy
    of the whole lies with 95 % certainty."""

    judged: int
    wrong: int
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """The last run over the whole account that was read to its end."""

    job_id: UUID
    warning: str = ""
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is true of one account at `now`.

    `read_at`: end of the last run that read all of it, also where single repositories failed; None
    before the first. `accuracy`: what the runs of 24 hours measured; `audit`: what independent
    samples of 7 days found; both None when nothing was looked at. `not_resynced`: what verification
    found missing and reading again did not bring; it may be known by number only. `missed`: webhook
    deliveries of the open gaps that are not made up for yet. `action_needed`: the sentence that the
    last run over all of it left for a person; `half_open`: the next sync is the breaker's trial.
    `dead_letters`: jobs and deliveries that were given up and wait for a decision.
    """

    installation_id: int
    login: str
    now: datetime
    active: bool = True
    interval: timedelta = timedelta(minutes=15)
    read_at: datetime | None = None
    run: Run | None = None
    failed_job_id: UUID | None = None
    action_needed: str = ""
    dead_letters: int = 0
    half_open: bool = False
    breaker_open_until: datetime | None = None
    consecutive_failures: int = 0
    last_error: str = ""
    held: Held | None = None
    not_resynced: Rows | None = None
    not_repaired: Rows | None = None
    broken: Rows | None = None
    accuracy: Share | None = None
    audit: Audited | None = None
    open_gaps: int = 0
    missed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """One problem that there is. The same problem has the same `key`, however large it has grown."""

    key: str
    kind: Kind
    severity: Severity
    title: str
    detail: str
    installation_id: int
    figures: dict[str, Any] = field(default_factory=dict)
    correlation_id: UUID | None = None
