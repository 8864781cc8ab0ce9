"""The dashboard, its CSV, the API, /metrics and the page of an account say the same of the same moment."""

import csv
import io
import re
from datetime import timedelta
from random import Random
from typing import Any

import pytest
import time_machine

from reconciliation import rolling
from syncsvc import clock, words
from syncsvc.models import Installation
from tests.factories import InstallationFactory, SyncJobFactory
from tests.judge_factories import (
    DiscrepancyFactory,
    ReviewFactory,
    RunFigureFactory,
    SampleAuditFactory,
)
from tests.people_support import api, browser, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.1", "R9.2")]

PAGE = "/admin/sync-health/"
METRIC = re.compile(r'^(mirror_\w+)(?:\{\w+="(\w+)"\})? ([0-9.e+-]+)$', re.M)


def history(random: Random) -> list[Installation]:
    """Three accounts with ten days of runs, figures, discrepancies and audits."""
    now = clock.now()
    rows = [
        InstallationFactory.create(account_login=f"acme-{n}", last_synced_at=now) for n in range(3)
    ]
    for _ in range(40):
        row = random.choice(rows[:2])  # of the third nothing is known
        at = now - timedelta(seconds=random.randrange(10 * 86_400))
        compared = random.randrange(0, 900)
        known = {"installation": row, "at": at}
        RunFigureFactory.create(
            **known, compared=compared, matched=compared - random.randrange(0, compared // 99 + 1)
        )
        SyncJobFactory.create(
            installation=row, finished_at=at, started_at=at - timedelta(seconds=9),
            status=random.choice(["succeeded", "partial", "failed"]), error="No.",
            dry_run=random.random() < 0.2,
        )  # fmt: skip
        DiscrepancyFactory.create(installation=row, detected_at=at)
        right = random.randrange(30, 40)
        SampleAuditFactory.create(
            **known, sampled=40, matched=right, wrong=40 - right, weight=40.0,
            weight_matched=float(right), weight_squares=40.0,
            weight_squares_wrong=float(40 - right),
        )  # fmt: skip
    ReviewFactory.create(installation=rows[0])
    return rows


@pytest.mark.parametrize("rolled", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_place_says_the_same_of_the_same_moment(seed: int, *, rolled: bool) -> None:
    now = clock.now()
    with time_machine.travel(now, tick=False):
        rows = history(Random(seed))
        if rolled:
            assert rolling.roll(now)
        client, asker = browser(staff()), api(staff())
        for pk in (None, *(row.pk for row in rows)):
            agree(client, asker, pk)
        metrics(client, page(client))


def page(client: Any, **query: Any) -> Any:
    answer = client.get(PAGE, {key: value for key, value in query.items() if value is not None})
    assert answer.status_code == 200
    return answer


def totals(answer: Any) -> dict[str, str]:
    return {
        tile["label"]: tile["value"]
        for tile in (*answer.context["right"], *answer.context["doing"])
    }


def agree(client: Any, asker: Any, pk: int | None) -> None:
    only = {} if pk is None else {"installation": pk}
    for window in ("24h", "7d"):
        shown = totals(page(client, window=window, **only))
        summary = asker.get("/api/v1/sync-health/summary/", {"window": window, **only}).json()
        told = asker.get("/api/v1/accuracy/", {"window": window, **only}).json()
        said = summary["totals"][f"accuracy_{window}"]
        for name in ("accuracy", "compared", "matched", "compliant", "slo"):
            assert said[name] == told[name], (window, name)
        label = {"24h": "24 hours", "7d": "7 days"}[window]
        assert shown[f"Accuracy, {label}"] == percent(said)
        for name in ("audits", "sampled", "matched", "wrong"):
            assert summary["totals"]["audit"][name] == told["audit"][name], (window, name)
        assert summary["totals"]["audit"]["low"] == pytest.approx(told["audit"]["low"])
        assert shown["Discrepancies open"] == f"{summary['totals']['open']['discrepancies']:,}"
        in_file(client, summary, window=window, **only)
        if pk is not None:
            account = client.get(f"/installations/{pk}/").content.decode()
            assert (percent(said) in account) or not said["compared"]


def percent(said: dict[str, Any]) -> str:
    if not said["compared"]:
        return "not known"
    hundredths = said["matched"] * 10_000 // said["compared"]
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def in_file(client: Any, summary: dict[str, Any], **query: Any) -> None:
    body = client.get("/admin/sync-health.csv", query).getvalue().decode("utf-8-sig")
    lines = {
        int(line["installation"]): line for line in csv.DictReader(io.StringIO(body, newline=""))
    }
    assert set(lines) == {row["installation"] for row in summary["installations"]}
    for row in summary["installations"]:
        line = lines[row["installation"]]
        for window in ("24h", "7d"):
            said = row[f"accuracy_{window}"]
            assert line[f"accuracy_{window}"] == (
                "" if said["accuracy"] is None else repr(said["accuracy"])
            )
            assert int(line[f"compared_{window}"]) == said["compared"]
            assert int(line[f"runs_succeeded_{window}"]) == row[f"runs_{window}"]["succeeded"]
        assert int(line["discrepancies_found"]) == row["found"]
        assert int(line["open_discrepancies"]) == row["open"]["discrepancies"]
        assert line["attention"] == "; ".join(row["attention"])


def metrics(client: Any, shown: Any) -> None:
    body = client.get("/metrics").content.decode()
    found = {(name, which): float(number) for name, which, number in METRIC.findall(body)}
    values = totals(shown)
    for window, label in (("24h", "24 hours"), ("7d", "7 days")):
        ratio = found.get(("mirror_accuracy_ratio", window))
        said = "not known" if ratio is None else words.percent(ratio)
        assert values[f"Accuracy, {label}"] == said
    waiting = sum(
        number for (name, _), number in found.items() if name == "mirror_discrepancies_waiting"
    )
    assert values["Discrepancies open"] == f"{waiting:,.0f}"
