"""Whether the mirror is right, in one sentence with its proof (R9.2, R8.3). Pure.

What nobody knows is said to be not known, and what is old is said to be old: a sentence that sounds good
because nobody looked would be the worst of all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from alerts.fleet_values import FleetTotals
from reconciliation.accuracy import Accuracy
from reconciliation.showing import LONG, floored
from syncsvc import words
from syncsvc.templatetags.mirror import percent

#: Of more of the active accounts than this share nothing may be known, or the whole is not called right.
MOST_UNMEASURED: Final = 0.1
CLOCKS_DIFFER: Final = timedelta(minutes=5)

Link = tuple[str, str]
"""Words, and the name of what they lead to; the page knows the address."""

TO_ACCOUNTS: Final = ("See the accounts", "attention")
TO_DISCREPANCIES: Final = ("See what was wrong", "discrepancies")
TO_OPEN: Final = ("See what is still wrong", "open")
TO_AUDITS: Final = ("See what the audits found", "audits")
TO_INCIDENTS: Final = ("See the incidents", "incidents")
TO_FIRST: Final = ("See how to mirror one", "first")
TO_SYSTEM: Final = ("See what is silent and what to do", "system")
TO_RUNS: Final = ("See the runs", "runs")
TO_FIGURES: Final = ("See the figures of each run", "figures")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The answer to the first question: a word, its tone, a sentence, and where the proof is."""

    badge: str
    tone: str
    sentence: str
    links: tuple[Link, ...] = ()


def judge(totals: FleetTotals, silent: Mapping[str, str]) -> Verdict:
    """What can honestly be said: the first reason for doubt, and only without any that it is right."""
    doubts = (doubt(totals, silent) for doubt in _DOUBTS)
    return next((found for found in doubts if found is not None), None) or _right(totals)


def only(verdict: Verdict, matching: int) -> Verdict:
    """The verdict of those that match the filters, which says nothing of the others."""
    if not matching:
        return replace(verdict, sentence="No account matches, so nothing is said of any.")
    said = f"{verdict.sentence[0].lower()}{verdict.sentence[1:]}"
    return replace(
        verdict, sentence=f"Of the {many(matching, 'account')} that {_match(matching)}: {said}"
    )


def _match(number: int) -> str:
    return "matches" if number == 1 else "match"


def goal(slo: float) -> str:
    """The goal as people write it."""
    return f"{slo * 100:g} %"


def many(number: int, one: str, more: str = "") -> str:
    """So many of them, in words."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"


def _nobody(totals: FleetTotals, _: Mapping[str, str]) -> Verdict | None:
    if totals.installations:
        return None
    return Verdict(
        badge="Not known",
        tone="quiet",
        sentence="The mirror is not known to be right: there is no account to look at.",
        links=(TO_FIRST,),
    )


def _silent(totals: FleetTotals, silent: Mapping[str, str]) -> Verdict | None:
    """Figures of a server that sleeps are figures of yesterday."""
    if not silent:
        return None
    judged, when = _judged(totals)
    last = f" What was measured last: {floored(judged.tally)} over {when}." if judged else ""
    return Verdict(
        badge="Not known",
        tone="bad",
        sentence="It is not known whether the mirror is right now: a part of this server gives no sign of "
        f"life. {' '.join(silent.values())}{last}",
        links=(TO_SYSTEM,),
    )


def _nobody_reads(totals: FleetTotals, _: Mapping[str, str]) -> Verdict | None:
    """What GitHub no longer shows us may have become anything since."""
    if totals.active:
        return None
    judged, when = _judged(totals)
    last = f" What was measured last: {floored(judged.tally)} over {when}." if judged else ""
    return Verdict(
        badge="Not known",
        tone="warn",
        sentence="It is not known whether the mirror is right now: "
        f"{_unread(totals.installations)}, so nothing is read.{last}",
        links=(TO_RUNS,),
    )


def _nothing_compared(totals: FleetTotals, _: Mapping[str, str]) -> Verdict | None:
    if _judged(totals)[0] is not None:
        return None
    first = totals.last_success is None
    why = (
        "no run has read an account to its end yet; the first one fills the mirror, later ones measure"
        if first
        else "nothing was compared in the last 7 days"
    )
    return Verdict(
        badge="Not known",
        tone="quiet" if first else "warn",
        sentence=f"It is not known whether the mirror is right: {why}.",
        links=(TO_RUNS,),
    )


def _in_doubt(totals: FleetTotals, _: Mapping[str, str]) -> Verdict | None:
    if not totals.disagrees:
        return None
    audit = totals.audit_week or totals.audit
    return Verdict(
        badge="In doubt",
        tone="bad",
        sentence=f"The mirror is less right than its runs say: they measured {floored(totals.week.tally)} "
        f"over 7 d, but independent audits of {many(audit.sampled, 'item')} find between "
        f"{percent(audit.low)} and {percent(audit.high)} right. Believe the audits until it is explained.",
        links=(TO_AUDITS, TO_DISCREPANCIES),
    )


def _wrong(totals: FleetTotals, _: Mapping[str, str]) -> Verdict | None:
    judged, when = _judged(totals)
    if judged is None or judged.compliant:
        return None
    return Verdict(
        badge="Not right",
        tone="bad",
        sentence=f"The mirror is not right: {floored(judged.tally)} over {when}, goal {goal(judged.slo)}; "
        f"{many(judged.tally.wrong, 'item was', 'items were')} wrong when looked at"
        f"{_still(totals)}.",
        links=(TO_ACCOUNTS, TO_OPEN if totals.open.discrepancies else TO_DISCREPANCIES),
    )


def _too_much_unknown(totals: FleetTotals, _: Mapping[str, str]) -> Verdict | None:
    judged, when = _judged(totals)
    if judged is None or judged.tally.unknown <= (1 - judged.slo) * judged.tally.compared:
        return None
    return Verdict(
        badge="Partly known",
        tone="warn",
        sentence=f"It is only partly known whether the mirror is right: {floored(judged.tally)} of what "
        f"could be compared over {when}, goal {goal(judged.slo)}, but "
        f"{many(judged.tally.unknown, 'item')} could not be told right or wrong.",
        links=(TO_RUNS, TO_FIGURES),
    )


def _was_right(totals: FleetTotals, _: Mapping[str, str]) -> Verdict | None:
    if totals.day.tally.compared:
        return None
    return Verdict(
        badge="Not known lately",
        tone="warn",
        sentence=f"The mirror was right: {floored(totals.week.tally)} over 7 d, goal "
        f"{goal(totals.week.slo)}; but nothing was compared in the last 24 h, so it is not known for now.",
        links=(TO_RUNS,),
    )


def _long_ago(totals: FleetTotals, _: Mapping[str, str]) -> Verdict | None:
    """What was right when it was read is not known to be right hours later."""
    now, last = totals.day.until, totals.last_success
    if last is not None and -CLOCKS_DIFFER <= now - last <= LONG:
        return None
    if last is None:
        why = "no sync has read all of an account yet"
    elif last > now:
        why = "the last sync ended in the future, so a clock was or is wrong"
    else:
        why = f"the last sync that read all of an account ended {words.relative(last, now)}"
    return Verdict(
        badge="Not known lately",
        tone="warn",
        sentence=f"The mirror was right where it was looked at: {floored(totals.day.tally)} over 24 h, goal "
        f"{goal(totals.day.slo)}; but {why}, so it is not known for now.",
        links=(TO_RUNS, TO_SYSTEM),
    )


def _right(totals: FleetTotals) -> Verdict:
    day = totals.day
    where = "is right where it was looked at" if totals.unmeasured else "is right"
    said = f"The mirror {where}: {floored(day.tally)} over 24 h, goal {goal(day.slo)}"
    links = [TO_FIGURES]
    if totals.open.discrepancies:
        said += f"; {many(totals.open.discrepancies, 'discrepancy', 'discrepancies')} still open"
        links.append(TO_OPEN)
    said += "."
    if totals.unmeasured:
        said += f" Of {many(totals.unmeasured, 'account')} nothing was compared in that time."
    if unread := totals.installations - totals.active:
        said += f" {_unread(unread).capitalize()}: what is kept of {'it' if unread == 1 else 'them'} grows old."
    if totals.open.incidents:
        are = "incident is" if totals.open.incidents == 1 else "incidents are"
        said += f" {totals.open.incidents:,} {are} open, the worst {totals.worst_severity}."
        links.append(TO_INCIDENTS)
    if totals.attention:
        said += (
            f" {totals.attention:,} of {many(totals.installations, 'account')} "
            f"{'needs' if totals.attention == 1 else 'need'} somebody."
        )
        links.append(TO_ACCOUNTS)
    mostly = totals.unmeasured <= MOST_UNMEASURED * totals.active
    badge, tone = ("Right", "good") if mostly else ("Partly known", "warn")
    return Verdict(badge=badge, tone=tone, sentence=said, links=tuple(links))


def _judged(totals: FleetTotals) -> tuple[Accuracy | None, str]:
    """The figures that are judged: the day's, or the week's where the day has none."""
    if totals.day.tally.compared:
        return totals.day, "24 h"
    if totals.week.tally.compared:
        return totals.week, "7 d"
    return None, ""


def _unread(number: int) -> str:
    return f"{many(number, 'account is', 'accounts are')} suspended or uninstalled"


def _still(totals: FleetTotals) -> str:
    still = totals.open.discrepancies
    are = many(still, "discrepancy is", "discrepancies are")
    return f", {are} still open" if still else ""


_DOUBTS: Final[Sequence[Callable[[FleetTotals, Mapping[str, str]], Verdict | None]]] = (
    _nobody,
    _silent,
    _nobody_reads,
    _nothing_compared,
    _in_doubt,
    _wrong,
    _too_much_unknown,
    _was_right,
    _long_ago,
)
