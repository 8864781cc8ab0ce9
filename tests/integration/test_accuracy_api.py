"""Accuracy in the API: added up by the database, judged by the pure core, told to whom it concerns."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from reconciliation import accuracy, measuring
from reconciliation.accuracy import DAY, WEEK, Figure, Tally
from reconciliation.models import RunFigure
from syncsvc import clock
from tests.factories import InstallationFactory
from tests.judge_factories import DiscrepancyFactory, RunFigureFactory, SampleAuditFactory
from tests.people_support import PROBLEM, api, member_of, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R9.2")]

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
ENTITIES = ("commits", "issues", "pull_requests", "repositories")


@pytest.fixture(autouse=True)
def noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def told(query: str = "", user: Any = None) -> dict[str, Any]:
    answer = api(user or staff()).get(f"/api/v1/accuracy/?{query}")
    assert answer.status_code == 200, answer.json()
    found = answer.json()
    assert isinstance(found, dict)
    return found


def test_a_window_says_all_that_was_measured_in_it() -> None:
    acme = InstallationFactory.create()
    runs = {"installation": acme, "vouched": 10}
    RunFigureFactory.create(
        **runs, compared=990, matched=985, unknown=3, by_type={"stale_issue": 5}
    )
    RunFigureFactory.create(
        **runs, compared=1_010, matched=1_009, entity="commits", by_type={"missing_commit": 1}
    )
    RunFigureFactory.create(
        **runs | {"vouched": 0}, compared=0, unknown=7, at=NOW - timedelta(hours=2)
    )
    yesterday = NOW - timedelta(hours=25)
    RunFigureFactory.create(**runs, compared=500, matched=0, at=yesterday, by_type={"x": 500})
    shown = told(f"installation={acme.pk}")
    assert shown["by_day"][0] == {
        "day": "2026-11-21",
        "whole": False,
        "accuracy": None,
        "compared": 0,
        "matched": 0,
        "unknown": 0,
        "compliant": None,
    }
    assert shown["by_day"][1]["accuracy"] == 0.997
    del shown["by_day"]
    burnt = shown["burn_rate"].pop("7d")
    assert burnt == pytest.approx(506 / 2_500 / 0.005)
    assert shown == {
        "window": "24h",
        "installation": acme.pk,
        "since": "2026-11-21T12:30:00Z",
        "until": "2026-11-22T12:30:00Z",
        "accuracy": 0.997,
        "compared": 2_000,
        "matched": 1_994,
        "vouched": 20,
        "unknown": 10,
        "discrepancy_rate": 0.003,
        "by_type": {"stale_issue": 5, "missing_commit": 1},
        "by_entity": {
            "commits": {
                "accuracy": 1_009 / 1_010,
                "compared": 1_010,
                "matched": 1_009,
                "vouched": 10,
                "unknown": 0,
                "discrepancy_rate": 1 / 1_010,
            },
            "issues": {
                "accuracy": 985 / 990,
                "compared": 990,
                "matched": 985,
                "vouched": 10,
                "unknown": 10,
                "discrepancy_rate": 5 / 990,
            },
        },
        "slo": 0.995,
        "compliant": True,
        "error_budget": {"allowed": 10.0, "used": 6, "left": 0.4},
        "burn_rate": {"1h": 0.6, "24h": 0.6},
        "time_to_detect": {"p50": None, "p95": None, "p99": None, "count": 0, "unknown": 0},
        "time_to_repair": {"p50": None, "p95": None, "p99": None, "count": 0, "unknown": 0},
        "audit": {
            "audits": 0,
            "sampled": 0,
            "matched": 0,
            "wrong": 0,
            "in_flight": 0,
            "unknown": 0,
            "estimate": None,
            "low": 0.0,
            "high": 1.0,
            "disagrees": False,
        },
    }
    week = told(f"installation={acme.pk}&window=7d")
    assert (week["compared"], week["matched"], week["compliant"]) == (2_500, 1_994, False)
    assert week["error_budget"]["left"] < 0
    assert [day["compared"] for day in week["by_day"]] == [0] * 6 + [500, 2_000]


def test_nothing_measured_is_not_known() -> None:
    shown = told()
    assert (shown["accuracy"], shown["compliant"], shown["discrepancy_rate"]) == (None, None, None)
    assert shown["error_budget"] == {"allowed": 0.0, "used": 0, "left": None}
    assert shown["burn_rate"] == {"1h": None, "24h": None, "7d": None}
    assert (shown["by_type"], shown["by_entity"], shown["installation"]) == ({}, {}, None)


def test_the_database_adds_up_what_the_pure_core_would(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    chance = random.Random(5)
    accounts = InstallationFactory.create_batch(2)
    borders = [0, 3_600, 86_400, 7 * 86_400, 45_000, -60]
    figures: dict[int, list[Figure]] = {each.pk: [] for each in accounts}
    for _ in range(60):
        account = chance.choice(accounts)
        age = chance.choice([*borders, chance.randrange(8 * 86_400)])
        compared = chance.randrange(1_000)
        tally = Tally(compared=compared, matched=compared - chance.randrange(min(compared, 9) + 1))
        at, entity = NOW - timedelta(seconds=age), chance.choice(ENTITIES)
        RunFigureFactory.create(
            installation=account,
            at=at,
            entity=entity,
            compared=tally.compared,
            matched=tally.matched,
        )
        figures[account.pk].append(Figure(at=at, entity=entity, tally=tally))
    everything = [each for rows in figures.values() for each in rows]
    for window in (DAY, WEEK):
        for scope, rows in [(None, everything), *(([pk], it) for pk, it in figures.items())]:
            with django_assert_num_queries(4):
                standing = measuring.read(scope, window, NOW)
            assert standing.accuracy == accuracy.measure(rows, NOW, window)
        with django_assert_num_queries(1):
            each = measuring.of_each(None, window, NOW)
        for pk, rows in figures.items():
            assert each[pk] == accuracy.measure(rows, NOW, window).tally
    with django_assert_num_queries(1):
        day, week = measuring.day_and_week(list(figures), NOW)
    assert (day.tally, week.tally) == tuple(
        accuracy.measure(everything, NOW, window).tally for window in (DAY, WEEK)
    )


@pytest.mark.spec("R9.3")
def test_times_to_detect_and_repair_are_nearest_ranks_and_say_what_is_unknown() -> None:
    acme = InstallationFactory.create()
    seconds = [float(n * n % 97) for n in range(1, 41)]
    found = NOW - timedelta(hours=1)
    for took in seconds:
        DiscrepancyFactory.create(
            installation=acme,
            detected_at=found,
            occurred_at=found - timedelta(seconds=took),
            repair_status="repaired",
            repaired_at=found + timedelta(seconds=2 * took),
        )
    DiscrepancyFactory.create_batch(3, installation=acme, detected_at=found)
    ahead = found + timedelta(minutes=1)  # GitHub's clock may be ahead of ours
    DiscrepancyFactory.create(installation=acme, detected_at=found, occurred_at=ahead)
    DiscrepancyFactory.create(installation=acme, detected_at=NOW - timedelta(days=2))
    DiscrepancyFactory.create(detected_at=found, occurred_at=found - timedelta(days=9))
    shown = told(f"installation={acme.pk}")
    detect, repair = sorted([0.0, *seconds]), sorted(2 * took for took in seconds)
    for spread, ordered, unknown in (
        (shown["time_to_detect"], detect, 3),
        (shown["time_to_repair"], repair, 4),
    ):
        assert (spread["count"], spread["unknown"]) == (len(ordered), unknown)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            assert spread[name] == accuracy.percentile(ordered, share)


@pytest.mark.spec("R8.3")
def test_independent_audits_stand_beside_and_their_disagreement_shows() -> None:
    acme, other = InstallationFactory.create_batch(2)
    RunFigureFactory.create(installation=acme, compared=1_000)
    sample = {"sampled": 60, "matched": 51, "wrong": 6, "in_flight": 2, "unknown": 1}
    weights = {"weight": 57.0, "weight_matched": 51.0, "weight_squares": 57.0}
    SampleAuditFactory.create_batch(2, installation=acme, **sample, **weights)
    SampleAuditFactory.create(installation=acme, at=NOW - timedelta(days=2), **sample, **weights)
    SampleAuditFactory.create(installation=other)
    shown = told(f"installation={acme.pk}")
    assert shown["accuracy"] == 1.0
    audit = shown["audit"]
    assert (audit["audits"], audit["sampled"], audit["matched"], audit["wrong"]) == (
        2,
        120,
        102,
        12,
    )
    assert (audit["in_flight"], audit["unknown"]) == (4, 2)
    assert audit["low"] < audit["estimate"] == 102 / 114 < audit["high"] < 1.0
    assert audit["disagrees"] is True
    assert told(f"installation={acme.pk}&window=7d")["audit"]["audits"] == 3
    assert told(user=member_of(acme))["audit"]["audits"] == 2
    assert told()["audit"]["audits"] == 3
    assert told(f"installation={other.pk}")["audit"]["disagrees"] is False


@pytest.mark.spec("R19.2")
def test_members_see_the_figures_of_their_own_accounts_only() -> None:
    mine, other = InstallationFactory.create(), InstallationFactory.create()
    RunFigureFactory.create(installation=mine, compared=10)
    RunFigureFactory.create(installation=other, compared=90, matched=0, by_type={"x": 90})
    DiscrepancyFactory.create(installation=other)
    user = member_of(mine)
    shown = told(user=user)
    assert (shown["compared"], shown["accuracy"], shown["by_type"]) == (10, 1.0, {})
    assert shown["time_to_detect"]["unknown"] == 0
    assert told(f"installation={mine.pk}", user)["compared"] == 10
    assert told()["compared"] == 100
    hidden = api(user).get(f"/api/v1/accuracy/?installation={other.pk}")
    assert (hidden.status_code, hidden["Content-Type"]) == (404, PROBLEM)
    assert api().get("/api/v1/accuracy/").status_code == 401
    nobody = told(user=member_of(InstallationFactory.create()))
    assert nobody["accuracy"] is None


def test_an_answer_costs_the_same_queries_however_much_was_measured(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    mine = InstallationFactory.create()
    client = api(member_of(mine))
    for _ in range(2):
        RunFigureFactory.create_batch(10, installation=mine)
        DiscrepancyFactory.create_batch(10, installation=mine)
        for query in ("", f"?installation={mine.pk}", "?window=7d"):
            with django_assert_num_queries(5):
                client.get(f"/api/v1/accuracy/{query}")


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("window=1h", "window"),
        ("installation=acme", "installation"),
        ("installation=0", "installation"),
        ("installation=99999999999999999999", "installation"),
        ("windows=7d", "windows"),
        ("window=7d&window=24h", "window"),
    ],
)
def test_a_wrong_question_is_a_problem_that_names_the_field(query: str, field: str) -> None:
    answer = api(staff()).get(f"/api/v1/accuracy/?{query}")
    assert (answer.status_code, answer["Content-Type"]) == (400, PROBLEM)
    assert set(answer.json()["errors"]) == {field}
    assert api(staff()).get("/api/v1/accuracy/?installation=999999").status_code == 404


def test_a_window_is_read_by_the_index_of_the_account() -> None:
    accounts = InstallationFactory.create_batch(3)
    jobs = [RunFigureFactory.create(installation=each).job for each in accounts]
    RunFigure.objects.all().delete()
    RunFigure.objects.bulk_create(
        RunFigure(
            job=job,
            installation=job.installation,
            entity=f"e{number}",
            at=NOW - timedelta(minutes=15 * number),
            trigger="cron",
            mode="incremental",
            compared=10,
            matched=10,
        )
        for job in jobs
        for number in range(900)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE reconciliation_runfigure")
    with CaptureQueriesContext(connection) as queries:
        measuring.of_each([accounts[0].pk], DAY, clock.now())
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {queries[0]['sql']}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "figure_of_account" in plan


@pytest.mark.spec("R9.1")
def test_each_run_says_what_it_measured_and_did(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    row = RunFigureFactory.create(
        compared=200, matched=198, vouched=150, unknown=4, by_type={"stale_issue": 2}
    )
    row.job.counts = {
        "repositories": {"created": 1, "updated": 2, "unchanged": 30, "deleted": 1, "errors": 1},
        "issues": {"updated": 2, "errors": 3},
    }
    row.job.phases_seconds = {"fetch": 1.5, "total": 2.5}
    row.job.save()
    acme = {"installation": row.installation}
    DiscrepancyFactory.create(**acme, repaired=True, correlation_id=row.job_id)
    DiscrepancyFactory.create(**acme, repaired=True, repaired_in=row.job_id)  # found by another
    DiscrepancyFactory.create(**acme, repaired=True, repaired_in=row.job_id, repaired_by="github")
    DiscrepancyFactory.create(**acme, correlation_id=row.job_id)
    client = api(member_of(row.installation))
    with django_assert_num_queries(1):
        shown = client.get("/api/v1/run-figures/").json()["results"]
    assert shown == [
        {
            "id": row.pk,
            "job": str(row.job_id),
            "installation": row.installation_id,
            "entity": "issues",
            "at": "2026-11-22T12:29:00Z",
            "trigger": "cron",
            "mode": "incremental",
            "version": "0.1.0",
            "compared": 200,
            "matched": 198,
            "vouched": 150,
            "unknown": 4,
            "accuracy": 0.99,
            "discrepancy_rate": 0.01,
            "by_type": {"stale_issue": 2},
            "repaired": 2,
            "failures": 3,
            "repositories_scanned": 34,
            "seconds": 2.5,
        }
    ]
    RunFigureFactory.create_batch(49, installation=row.installation, compared=0)
    RunFigureFactory.create()
    with django_assert_num_queries(1):
        rows = client.get("/api/v1/run-figures/").json()["results"]
    assert len(rows) == 50
    assert {each["accuracy"] for each in rows} == {None, 0.99}
    narrowed = client.get(f"/api/v1/run-figures/?job={row.job_id}&since=2026-11-22").json()
    assert narrowed["results"] == shown
