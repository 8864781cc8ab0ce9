"""When so many repositories vanish at once that nobody may remove them unasked (R7.3). Pure.

Each of an expired token, a changed permission, a selection that was mistyped and a GitHub that is ill can
make every single repository look gone, each for itself beyond doubt; only their number gives it away.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from reconciliation.diff import Context, Evidence, compare_absent
from syncsvc.github.payloads import RepositoryRow
from syncsvc.plan import MirrorRepository, Operation

MOST_ASKED: Final = 50
"""How many of those that vanished one run asks by themselves before it judges."""
ASKED_AGAIN: Final = timedelta(hours=1)
"""What GitHub said of one that is held is believed so long; then it is asked again."""


class Answer(StrEnum):
    """What GitHub said of a repository that its list lacked."""

    NOT_ASKED = "not_asked"
    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    UNAVAILABLE = "unavailable"
    DESELECTED = "deselected"
    BLOCKED = "blocked"
    MOVED = "moved"
    OURS = "ours"


#: GitHub itself says where these are: they did not vanish.
ACCOUNTED: Final = frozenset({Answer.BLOCKED, Answer.MOVED, Answer.OURS})

_WORDS: Final = {
    Answer.NOT_ASKED: "not asked",
    Answer.NOT_FOUND: "not found",
    Answer.FORBIDDEN: "forbidden",
    Answer.UNAVAILABLE: "no usable answer",
    Answer.DESELECTED: "still there, outside the App's selection",
    Answer.BLOCKED: "blocked for legal reasons",
    Answer.OURS: "still there",
}


def answer_of(
    mirror: MirrorRepository, said: RepositoryRow | Evidence, context: Context
) -> tuple[Answer, str]:
    """What GitHub's own word comes to, and the same in plain words."""
    if isinstance(said, Evidence):
        answer = Answer(str(said))
        return answer, _WORDS[answer]
    change = compare_absent(mirror, said, context)
    if change is None or change.operation is not Operation.DELETE:
        return Answer.OURS, _WORDS[Answer.OURS]
    if said.owner_id is not None and said.owner_id != context.account_id:
        return Answer.MOVED, f"moved to {said.owner}"
    return Answer.DESELECTED, _WORDS[Answer.DESELECTED]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Up to which share, in percent, and below which number repositories may go unasked."""

    percent: float
    minimum: int

    def exceeded_by(self, vanished: int, present: int) -> bool:
        """Whether so many of so many are too many at once."""
        return vanished >= max(self.minimum, 1) and vanished * 100 > self.percent * present


@dataclass(frozen=True, kw_only=True, slots=True)
class Absence:
    """What a whole listing lacked. `present`: how many the mirror said were there before it.

    `approved`: people have let these go; `rejected`: people have just said that these stay.
    """

    absent: frozenset[int]
    present: int
    approved: frozenset[int] = frozenset()
    rejected: frozenset[int] = frozenset()

    @property
    def unjudged(self) -> frozenset[int]:
        """Those of which nobody has decided."""
        return self.absent - self.approved - self.rejected

    @property
    def rest(self) -> int:
        """How many there were besides those that people have let go: what others are a share of."""
        return self.present - len(self.absent & self.approved)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`settled` are gone on with, each by what it says itself; nothing is done to the others.

    `held` wait for a person; `kept` were to stay by a person's word.
    """

    settled: frozenset[int]
    held: frozenset[int]
    kept: frozenset[int]


def questions(
    absence: Absence, limits: Limits, asked: Mapping[int, datetime], now: datetime
) -> list[int]:
    """Which to ask by themselves before judging: none while so few are missing that it makes no
    difference, and at most `MOST_ASKED`, those first that were never asked."""
    if not limits.exceeded_by(len(absence.unjudged), absence.rest):
        return []
    due = [each for each in absence.unjudged if _is_due(asked.get(each), now)]
    due.sort(key=lambda each: (each in asked, asked.get(each, now), each))
    return due[:MOST_ASKED]


def _is_due(asked_at: datetime | None, now: datetime) -> bool:
    return asked_at is None or not now - ASKED_AGAIN < asked_at <= now


def judge(absence: Absence, answers: Mapping[int, Answer], limits: Limits) -> Verdict:
    """What may be gone on with. Who was not asked, or gave no answer, counts as vanished."""
    accounted = {each for each in absence.unjudged if answers.get(each) in ACCOUNTED}
    vanished = absence.unjudged - accounted
    held = vanished if limits.exceeded_by(len(vanished), absence.rest) else frozenset[int]()
    kept = absence.absent & absence.rejected - absence.approved
    return Verdict(settled=absence.absent - held - kept, held=held, kept=kept)


def sentence(
    vanished: int, present: int, limits: Limits, examples: Collection[str], *, review: bool = True
) -> str:
    """What a held run says: figures, and what to do next; a dry run opens no `review`."""
    decide = "Approve the open review to let them go, or reject it to keep them"
    if not review:
        decide = "A sync opens a review, in which a person lets them go or keeps them"
    share = 100 * vanished / max(present, 1)
    some = ", ".join(sorted(examples)[:3])
    more = f" ({some}{', ...' if vanished > len(examples) or len(examples) > 3 else ''})"
    return (
        f"{vanished} of {present} repositories{more if some else ''} are missing from GitHub's list at "
        f"once, {share:.0f} % where {limits.percent:g} % may be: nothing was removed. {decide}; if "
        "they come back it closes by itself."
    )
