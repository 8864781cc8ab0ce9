"""What the judge shows on the page of an account: how right the mirror is, and what waits for a decision.

Everything decided and worded; `syncsvc.blocks` puts it there without knowing what it is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from reconciliation import auditing, measuring, sampling, selectors
from reconciliation.accuracy import WEEK, Accuracy, Tally
from reconciliation.models import Discrepancy, Review
from syncsvc import blocks, words
from syncsvc.models import Installation
from syncsvc.selectors import Viewer
from syncsvc.templatetags.mirror import percent

NAMES_SHOWN: Final = 5
#: After so long without a sync that read everything, nothing is said to be right any more.
LONG: Final = timedelta(hours=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """How right the mirror is, in a word and a sentence."""

    badge: str
    tone: str
    sentence: str


def register() -> None:
    """Puts the judge's blocks on the page of an account."""
    blocks.register("review", review, "reconciliation/_review.html", place="top")
    blocks.register("accuracy", card, "reconciliation/_accuracy.html")


def card(installation: Installation, _user: Viewer, now: datetime) -> dict[str, Any]:
    """Accuracy of the last 24 hours and 7 days, the audits beside it, and what is open; four queries."""
    day, week = measuring.day_and_week([installation.pk], now)
    audit = auditing.standing(installation.pk, now - WEEK, now)
    disagrees = sampling.disagrees(week.tally.accuracy, audit)
    rows = Discrepancy.objects.filter(installation=installation)
    return {
        "verdict": _of_now(installation, verdict(day, week, disagrees=disagrees), now),
        "windows": [
            ("Last 24 hours", day, floored(day.tally)),
            ("Last 7 days", week, floored(week.tally)),
        ],
        "unknown": day.tally.unknown,
        "budget": week.budget.left,
        "audit": audit,
        "disagrees": disagrees,
        "open": selectors.open_discrepancies(rows, is_open=True).count(),
        "last": rows.order_by("-detected_at", "-pk").defer("before", "after").first(),
    }


def verdict(day: Accuracy, week: Accuracy, *, disagrees: bool) -> Verdict:
    """The day is judged; where nothing was compared in it, the week."""
    judged, when = (day, "24 hours") if day.tally.compared else (week, "7 days")
    if not judged.tally.compared:
        return Verdict(
            badge="Not known",
            tone="quiet",
            sentence="Nothing was compared in the last 7 days: the first run of an account only fills the "
            "mirror, later ones measure.",
        )
    goal, measured = percent(judged.slo), f"{floored(judged.tally)} in the last {when}"
    if disagrees:
        return Verdict(
            badge="In doubt",
            tone="bad",
            sentence=f"Runs measured {measured}, but independent audits find less right than that: "
            "believe the audits until it is explained.",
        )
    if judged.compliant and judged.tally.unknown > (1 - judged.slo) * judged.tally.compared:
        # More is unknown than may be wrong: nobody can say that the goal is kept.
        return Verdict(
            badge="Partly known",
            tone="warn",
            sentence=f"{measured} of what could be compared; the goal is {goal}, and "
            f"{judged.tally.unknown:,} items could not be told right or wrong.",
        )
    if judged.compliant:
        return Verdict(badge="Right", tone="good", sentence=f"{measured}; the goal is {goal}.")
    return Verdict(badge="Below the goal", tone="bad", sentence=f"{measured}; the goal is {goal}.")


def _of_now(installation: Installation, measured: Verdict, now: datetime) -> Verdict:
    """What was right when it was read is not known to be right hours later."""
    if measured.tone != "good":
        return measured
    if installation.status != Installation.Status.ACTIVE:
        why = f"the account is {installation.get_status_display().lower()}, so it is not read any more"
    elif (last := installation.last_synced_at) is not None and now - last > LONG:
        why = f"the last sync that read all of it ended {words.relative(last, now)}"
    else:
        return measured
    return Verdict(
        badge="Not known lately",
        tone="warn",
        sentence=f"{measured.sentence} But {why}: it is not known for now.",
    )


def floored(tally: Tally) -> str:
    """The accuracy in percent, never rounded up: what misses the goal by an item must not look as if
    it kept it."""
    if not tally.compared:
        return "not known"
    hundredths = tally.matched * 10_000 // tally.compared
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def said(values: Mapping[str, Any], name: str) -> str:
    """What one side of a discrepancy said of a field, as text; nothing where it said nothing."""
    if name not in values:
        return ""
    value = values[name]
    if value is None or value == []:
        return "none"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if name.endswith("_at") and value.endswith("+00:00"):
        return value.replace("T", " ").replace("+00:00", " UTC")
    return value


def review(installation: Installation, user: Viewer, _now: datetime) -> dict[str, Any] | None:
    """The disappearance of this account that waits for a decision, if there is one."""
    row = Review.objects.filter(installation=installation, status=Review.Status.OPEN).first()
    if row is None:
        return None
    names = [str(item.get("full_name", "")) for item in row.items[:NAMES_SHOWN]]
    return {
        "row": row,
        "names": names,
        "more": max(0, row.vanished - len(names)),
        "may_decide": selectors.may_decide(user, installation.pk),
    }
