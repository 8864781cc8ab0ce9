"""What the notes of a storm say: who held which job, who asked GitHub when. Pure.

Times are epoch seconds of one machine. A job's holder is known by the name of the database session that
claimed it (`PGAPPNAME` is the service's name); a request's sender by the process at the other end of its
connection.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, Final

SLACK: Final = 0.5
"""Two clocks of one machine, read by processes that wait for a processor."""
CALM: Final = 5.0
"""So long what died before is still starting again."""
KILLS: Final = ("kill group", "kill leader", "kill child", "would not stop")
SWEEPERS: Final = ("beat", "clerk")
"""Beat says when, the clerk looks. The plain worker looks too, but dies as often as the other one."""
TIME_TO_TELL: Final = 1.0
"""A process that hears that a budget is exhausted has so long to write it down for the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One change of a job's row, as the database's own trigger noted it."""

    id: int
    at: float
    by: str
    """The service whose session changed it."""
    job: str
    installation: int
    old_status: str
    status: str
    old_lease: str
    lease: str
    old_expires: float
    expires: float
    attempt: int = 0


@dataclass(kw_only=True, slots=True)
class Lease:
    """One job in one service's hands, from its claim to its end."""

    token: str
    job: str
    installation: int
    holder: str
    claimed_at: float
    ended_at: float = float("inf")
    ended_by: str = ""
    """The service that ended it: the holder, or the one that took it over."""
    last_sign: float = 0.0
    expires: float = 0.0
    is_lost: bool = False
    """It ran out, and the job was taken from its holder."""
    taken_at: float = float("inf")
    """When the job was claimed the next time."""
    taken_by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """A service's end, or what kept it from giving signs of life."""

    name: str
    how: str
    at: float
    leader: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request that the simulator answered."""

    began: float
    answered: float
    installation: int
    service: str
    pid: int
    resource: str = "core"
    refused: bool = False
    until: float = 0.0
    secondary: bool = False
    path: str = ""


@dataclass(kw_only=True, slots=True)
class Verdict:
    """What was broken, as sentences, and figures."""

    violations: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


# -- leases ----------------------------------------------------------------------------------------


def leases(steps: Iterable[Step]) -> tuple[list[Lease], Verdict]:
    """Every lease there was, and what was wrong about how they went from hand to hand."""
    verdict = Verdict()
    found: list[Lease] = []
    held: dict[str, Lease] = {}
    last: dict[str, Lease] = {}
    for step in sorted(steps, key=lambda each: each.id):
        current = held.get(step.job)
        if current is not None and step.lease == current.token:
            if step.by != current.holder:
                verdict.violations.append(
                    f"Lease of job {step.job} was renewed by {step.by}, and {current.holder} holds it."
                )
            current.last_sign, current.expires = step.at, step.expires
            continue
        if current is not None:
            _ended(current, step, verdict)
            del held[step.job]
        if step.lease:
            lease = Lease(
                token=step.lease, job=step.job, installation=step.installation, holder=step.by,
                claimed_at=step.at, last_sign=step.at, expires=step.expires,
            )  # fmt: skip
            before = last.get(step.job)
            if before is not None:
                before.taken_at, before.taken_by = step.at, step.by
            held[step.job] = last[step.job] = lease
            found.append(lease)
    _overlaps(found, verdict)
    return found, verdict


def _ended(lease: Lease, step: Step, verdict: Verdict) -> None:
    lease.ended_at, lease.ended_by = step.at, step.by
    ran_out = step.old_expires <= step.at + SLACK
    if step.lease or step.by != lease.holder:
        lease.is_lost = True
    elif ran_out and step.status in ("queued", "dead"):
        lease.is_lost = True  # the sweeper may run in the very service that lost it
    if lease.is_lost and not ran_out:
        left = step.old_expires - step.at
        verdict.violations.append(
            f"{step.by} took job {step.job} from {lease.holder}, whose lease was good for another "
            f"{left:.1f} s."
        )


def _overlaps(found: Iterable[Lease], verdict: Verdict) -> None:
    by_installation: defaultdict[int, list[Lease]] = defaultdict(list)
    for lease in found:
        by_installation[lease.installation].append(lease)
    for installation, rows in by_installation.items():
        rows.sort(key=lambda each: each.claimed_at)
        for one, other in pairwise(rows):
            if other.claimed_at < one.ended_at - 0.001:
                verdict.violations.append(
                    f"Installation {installation}: {other.holder} claimed job {other.job} while "
                    f"{one.holder} held job {one.job}."
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeOver:
    """A job whose worker was killed: when, when that was noticed, and when another claimed it."""

    job: str
    died_at: float
    noticed_at: float
    claimed_at: float
    is_clean: bool
    """Those who look for dead workers, the database and the broker were all there, from shortly before
    the death until the job was taken back."""

    @property
    def to_notice(self) -> float:
        """Seconds from the death until the job was free for others."""
        return self.noticed_at - self.died_at

    @property
    def to_claim(self) -> float:
        """Seconds from the death until another worker had it."""
        return self.claimed_at - self.died_at


def take_overs(
    found: Iterable[Lease], deaths: Sequence[Death], troubles: Sequence[tuple[float, float]] = ()
) -> list[TakeOver]:
    """Every job that was taken from a worker that was killed.

    A lease counts when it was lost, and its holder was killed between its last sign of life and its end.
    `troubles`: when database or broker were away.
    """
    taken = []
    for lease in found:
        if not lease.is_lost or lease.taken_at == float("inf"):
            continue
        causes = [
            each.at
            for each in deaths
            if each.name == lease.holder
            and lease.last_sign - SLACK <= each.at <= lease.ended_at
            and each.how in KILLS
        ]
        if not causes:
            continue
        begin, end = min(causes), lease.ended_at
        others = [
            each for each in deaths if each.name in SWEEPERS and begin - CALM <= each.at <= end
        ]
        away = [each for each in troubles if each[0] <= end and each[1] >= begin - CALM]
        taken.append(
            TakeOver(
                job=lease.job, died_at=begin, noticed_at=end, claimed_at=lease.taken_at,
                is_clean=not (others or away),
            )
        )  # fmt: skip
    return taken


def in_time(taken: Sequence[TakeOver], *, heartbeat: float) -> Verdict:
    """Whether dead workers are noticed within two heartbeat intervals (R10.2), where nothing else went
    wrong meanwhile; on a machine that is busy starting processes half an interval more is let pass."""
    clean = [each for each in taken if each.is_clean]
    late = [each for each in clean if each.to_notice > 2.5 * heartbeat]
    return Verdict(
        violations=[
            f"Job {each.job} was free for others only {each.to_notice:.1f} s after its worker died."
            for each in late
        ],
        figures={
            "to_notice": spread([each.to_notice for each in taken]),
            "to_notice_undisturbed": spread([each.to_notice for each in clean]),
            "to_claim": spread([each.to_claim for each in taken]),
            "undisturbed": len(clean),
            "undisturbed_within_two_heartbeats": sum(
                each.to_notice <= 2 * heartbeat for each in clean
            ),
        },
    )


# -- readers ---------------------------------------------------------------------------------------


def readers(found: Iterable[Lease], asked: Iterable[Request], *, allowance: float) -> Verdict:
    """Whether at any time more than one process read for one installation.

    Each request is held against the lease in force when it began. It is in order when its sender's
    service holds that lease, and no other process of that service read under it. A request whose sender
    held the lease before is late: between the moment its job is given to another and its own next look
    at the lease, a slow (or frozen) holder may ask a little more. It writes nothing of that, for each
    write is fenced. Late by more than `allowance` seconds, or asked without ever having held a lease,
    it breaks the rule.
    """
    verdict = Verdict()
    by_installation: defaultdict[int, list[Lease]] = defaultdict(list)
    for lease in sorted(found, key=lambda each: each.claimed_at):
        by_installation[lease.installation].append(lease)
    pids: dict[str, set[int]] = {}
    late: list[float] = []
    unknown = strangers = 0
    for request in sorted(asked, key=lambda each: each.began):
        rows = by_installation.get(request.installation, [])
        place = bisect_right([each.claimed_at for each in rows], request.began + SLACK)
        mine = [each for each in rows[max(0, place - 20) : place] if each.holder == request.service]
        if not request.service:
            unknown += 1  # it was dead before its connection could be looked up
            continue
        if not mine:
            strangers += 1
            verdict.violations.append(
                f"{request.service} asked for {request.path} of installation "
                f"{request.installation} without a lease."
            )
            continue
        lease = mine[-1]
        lateness = request.began - lease.ended_at
        if lateness <= SLACK:
            pids.setdefault(lease.token, set()).add(request.pid)
            continue
        late.append(lateness)
        if lateness > allowance:
            verdict.violations.append(
                f"{request.service} asked for {request.path} of installation "
                f"{request.installation} {lateness:.1f} s after its lease had ended."
            )
    for token, seen in pids.items():
        if len(seen) > 2:  # the one before may be late, within the slack
            verdict.violations.append(f"{len(seen)} processes read under lease {token}.")
    verdict.figures = {
        "late_requests": len(late),
        "latest_seconds": round(max(late, default=0.0), 2),
        "without_a_sender": unknown,
    }
    return verdict


# -- budgets ---------------------------------------------------------------------------------------


def exhausted(
    asked: Sequence[Request],
    deaths: Sequence[Death],
    outages: Sequence[tuple[float, float]],
) -> Verdict:
    """Requests that were sent although a budget was known to be exhausted.

    Of an exhausted budget we can know by an answer only. A refused request counts against us when an
    answer that said so, for the same installation and resource (of a secondary limit: any resource), was
    on its way more than `TIME_TO_TELL` before, that limit still held, and whoever heard it could tell:
    its service was not killed, nor the database down, within that time. The process that heard it itself
    has no excuse.
    """
    verdict = Verdict()
    by_installation: defaultdict[int, list[Request]] = defaultdict(list)
    for each in asked:
        by_installation[each.installation].append(each)
    refused = against = 0
    for rows in by_installation.values():
        heard = [each for each in rows if each.until]
        for request in rows:
            if not request.refused:
                continue
            refused += 1
            known = [
                each
                for each in heard
                if each.answered + TIME_TO_TELL < request.began < each.until
                and (each.secondary or each.resource == request.resource)
                and (each.pid == request.pid or _could_tell(each, deaths, outages))
            ]
            if known:
                against += 1
                first = known[0]
                verdict.violations.append(
                    f"{request.service} asked for {request.path} of installation "
                    f"{request.installation} although {first.service} had heard "
                    f"{request.began - first.answered:.1f} s before that nothing is left for another "
                    f"{request.until - request.began:.1f} s."
                )
    verdict.figures = {"refused": refused, "against_us": against}
    return verdict


def _could_tell(
    heard: Request, deaths: Sequence[Death], outages: Sequence[tuple[float, float]]
) -> bool:
    begin, end = heard.answered - SLACK, heard.answered + TIME_TO_TELL
    died = any(each.name == heard.service and begin <= each.at <= end for each in deaths)
    down = any(first <= end and last >= begin for first, last in outages)
    return not died and not down


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and longest, rounded."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    return {
        "median": round(median(ordered), 2),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 2),
        "longest": round(ordered[-1], 2),
    }
