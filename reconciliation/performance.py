"""How long runs take: what is usual, whether one was slow and why, and figures over many (R12). Pure.

Hides what "usual" and "slow" mean; the callers bring the runs, the newest first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, fsum
from statistics import median
from typing import Final

from syncsvc.words import exact_span

PHASES: Final = ("fetch", "compare", "update", "verify")
#: Seconds that belong to no phase: waiting for the database, for tokens, for a safe point.
OTHER: Final = "other"
LOOKED_AT: Final = 20
AT_LEAST: Final = 5
SLOWER_BY: Final = 1.5
SECONDS_SLOWER: Final = 1.0

_DOING: Final[Mapping[str, str]] = {
    "fetch": "reading from GitHub",
    "compare": "comparing",
    "update": "writing",
    "verify": "verifying",
    OTHER: "what is outside of all phases",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run that has ended: seconds in all and by phase, and what it came to.

    `seconds` and `phases` are those of the attempt that ended it; `records` were compared or written,
    `bad` of them went wrong; `failed` says that the run as a whole failed.
    """

    seconds: float
    phases: Mapping[str, float] = field(default_factory=dict)
    records: int = 0
    bad: int = 0
    failed: bool = False
    requests: int = 0
    not_modified: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)

    def spent(self, phase: str) -> float:
        """Seconds in that phase; in `OTHER`, what no phase accounts for."""
        if phase == OTHER:
            return max(0.0, self.seconds - fsum(self.phases.get(name, 0.0) for name in PHASES))
        return self.phases.get(phase, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Slow:
    """A run that was slower than usual, and the phase that grew most; all figures in seconds."""

    seconds: float
    usual: float
    phase: str
    phase_seconds: float
    phase_usual: float

    @property
    def sentence(self) -> str:
        """For people: how slow it was, and where the time went."""
        return (
            f"Slower than usual: {exact_span(self.seconds)} instead of about "
            f"{exact_span(self.usual)}. The slow phase is {self.phase} ({_DOING[self.phase]}): "
            f"{exact_span(self.phase_seconds)} instead of about {exact_span(self.phase_usual)}."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Aggregate:
    """Figures over a set of runs (P26); None where there is nothing to divide by.

    `error_rate` is the share of runs that failed, `record_error_rate` that of records that went wrong;
    `throughput` is records a second over all of them; `phases` are mean seconds.
    """

    runs: int
    failed: int
    mean: float | None
    peak: float | None
    p95: float | None
    error_rate: float | None
    record_error_rate: float | None
    records: int
    throughput: float | None
    requests: int
    not_modified: int
    phases: Mapping[str, float]
    errors: Mapping[str, int]


def usual(past: Sequence[Run]) -> float | None:
    """The median seconds of the newest `LOOKED_AT` runs; None when there are fewer than `AT_LEAST`."""
    considered = past[:LOOKED_AT]
    if len(considered) < AT_LEAST:
        return None
    return median(run.seconds for run in considered)


def judge(run: Run, past: Sequence[Run]) -> Slow | None:
    """Whether `run` was degraded: more than half as long again as usual, and a second at least (R12.2).

    `past` are comparable runs, the newest first. Names the phase that grew most over its own usual.
    """
    expected = usual(past)
    if expected is None:
        return None
    if run.seconds <= SLOWER_BY * expected or run.seconds - expected < SECONDS_SLOWER:
        return None
    considered = past[:LOOKED_AT]
    usually = {name: median(each.spent(name) for each in considered) for name in (*PHASES, OTHER)}
    phase = max(usually, key=lambda name: run.spent(name) - usually[name])
    return Slow(
        seconds=run.seconds,
        usual=expected,
        phase=phase,
        phase_seconds=run.spent(phase),
        phase_usual=usually[phase],
    )


def rate(records: int, seconds: float) -> float | None:
    """Records a second (P24); None when no time passed."""
    return records / seconds if seconds > 0 else None


def processed(counts: Mapping[str, Mapping[str, int]]) -> tuple[int, int]:
    """Of a run's counts by entity: how many records went well, and how many did not."""
    bad = sum(each.get("errors", 0) for each in counts.values())
    return sum(sum(each.values()) for each in counts.values()) - bad, bad


def aggregate(runs: Iterable[Run]) -> Aggregate:
    """Mean, peak and p95 of seconds, error rates, throughput and requests of these runs (R12.1)."""
    known = list(runs)
    seconds = sorted(run.seconds for run in known)
    records, bad = sum(run.records for run in known), sum(run.bad for run in known)
    total, failed = fsum(seconds), sum(run.failed for run in known)
    errors: dict[str, int] = {}
    for run in known:
        for category, count in run.errors.items():
            errors[category] = errors.get(category, 0) + count
    return Aggregate(
        runs=len(known),
        failed=failed,
        mean=total / len(known) if known else None,
        peak=seconds[-1] if known else None,
        p95=seconds[ceil(0.95 * len(seconds)) - 1] if known else None,
        error_rate=failed / len(known) if known else None,
        record_error_rate=bad / records if records else None,
        records=records,
        throughput=rate(records, total),
        requests=sum(run.requests for run in known),
        not_modified=sum(run.not_modified for run in known),
        phases={
            name: fsum(run.spent(name) for run in known) / len(known) if known else 0.0
            for name in (*PHASES, OTHER)
        },
        errors=errors,
    )
