"""The pages that prove it: a run, its trail, a discrepancy, a repository; who may see them, and what a
second click does."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from alerts.models import Incident
from reconciliation import decisions
from reconciliation.models import AuditEntry, AuditError, AuditRecord
from syncsvc import clock, run_story
from syncsvc.models import DeadLetter, Installation, LiveEvent, Recheck, SyncJob
from tests.factories import (
    DeadLetterFactory,
    DeliveryFactory,
    GapFactory,
    InstallationFactory,
    IssueFactory,
    RateBudgetFactory,
    RepositoryFactory,
    SyncJobFactory,
)
from tests.integration.test_pages_home import HTMX, text
from tests.judge_factories import DiscrepancyFactory, ReviewFactory, RunFigureFactory
from tests.people_support import browser, member_of

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.3")]

ODD = ("x" * 10_000, "مرحبا بالعالم", "😀" * 200)


@pytest.fixture
def mine() -> Installation:
    return InstallationFactory.create(account_login="acme", last_synced_at=clock.now())


@pytest.fixture
def run(mine: Installation) -> SyncJob:
    counts = {"created": 4, "updated": 3, "unchanged": 1, "deleted": 0, "errors": 1}
    return SyncJobFactory.create(
        installation=mine, counts={"issues": counts}, attempt=2,
        api={"requests": 250, "not_modified": 50, "graphql_points": 20},
    )  # fmt: skip


def entry_of(job: SyncJob, **values: Any) -> AuditEntry:
    return AuditEntry.objects.create(
        kind="run", at=job.created_at, installation=job.installation, correlation_id=job.pk,
        status=job.status, attempts=2, **values,
    )  # fmt: skip


def page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, address
    return text(answer)


# -- a run -----------------------------------------------------------------------------------------


@pytest.mark.spec("R12.1", "R9.1", "R14.4")
def test_a_run_tells_its_stages_cost_figures_findings_and_incidents(run: SyncJob) -> None:
    RateBudgetFactory.create(installation=run.installation, resource="core", limit=1_000)
    RunFigureFactory.create(installation=run.installation, job=run, compared=1_000, matched=999)
    found = DiscrepancyFactory.create(installation=run.installation, correlation_id=run.pk)
    mended = DiscrepancyFactory.create(
        installation=run.installation, repaired=True, repaired_in=run.pk, name="acme/earlier#7"
    )
    now = clock.now()
    incident = {"key": "k", "kind": "accuracy", "opened_at": now, "last_seen_at": now}
    for row in (run.installation, None):
        Incident.objects.create(
            **incident | {"key": f"k{row}"}, installation=row, correlation_id=run.pk,
            severity="high", title=f"Accuracy fell {row or 'everywhere'}",
        )  # fmt: skip
    GapFactory.create(installation=run.installation, job=run)
    shown = page(browser(member_of(run.installation)), f"/jobs/{run.pk}/")
    for part in (
        "4 new, 3 updated, 1 error.",
        "Waiting for a worker",
        "Requests, at most 200 1,000 20.0 %",
        "Issues 1,000 999 99.90 %",
        found.name,
        mended.name,
        "Accuracy fell acme",
        "It read what a gap had missed",
        str(run.pk),
    ):
        assert part in shown
    assert "everywhere" not in shown
    assert "Audit trail" not in shown


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"waiting": True}, "It waits for a worker"),
        ({"waiting": True, "status": "blocked"}, "GitHub asked for a pause."),
        ({"running": True}, "goes on"),
        ({"status": "cancelled"}, "cancelled before it had read anything"),
        ({"status": "failed", "error": "No."}, "ended before it had read anything"),
        ({"status": "dead", "error": "No."}, "No attempt came to an end"),
        ({"dry_run": True, "counts": {"issues": {"unchanged": 1}}}, "would change nothing"),
    ],
)
def test_a_run_says_in_each_state_what_is_or_is_not_there(
    mine: Installation, values: dict[str, Any], sentence: str
) -> None:
    later = {"run_after": clock.now() + timedelta(minutes=5)} if "status" in values else {}
    job = SyncJobFactory.create(installation=mine, **values, **later)
    assert sentence in page(browser(member_of(mine)), f"/jobs/{job.pk}/")


def test_stages_are_told_from_asking_to_end(mine: Installation) -> None:
    job = SyncJobFactory.create(installation=mine, waiting=True)
    for status, stage in (("running", "reading"), ("blocked", "blocked"), ("running", "reading")):
        lease = {"lease": job.pk, "lease_expires_at": clock.now()} if status == "running" else {}
        SyncJob.objects.filter(pk=job.pk).update(status=status, stage=stage, **lease)
    job.refresh_from_db()
    labels = [step.label for step in run_story.steps(job, clock.now())]
    waits = "Waiting: GitHub asked for it"
    assert labels == ["Waiting for a worker", "Reading", waits, "Reading"]


def test_of_a_long_run_whose_beginning_is_no_longer_kept_nothing_is_made_up(
    mine: Installation,
) -> None:
    now = clock.now()
    began = now - timedelta(hours=3)
    job = SyncJobFactory.create(installation=mine, running=True, stage="reading")
    SyncJob.objects.filter(pk=job.pk).update(
        created_at=began, started_at=began + timedelta(minutes=1), stage="issues",
        stage_started_at=now - timedelta(hours=2),
    )  # fmt: skip
    LiveEvent.objects.exclude(pk=LiveEvent.objects.order_by("-pk")[0].pk).delete()
    job.refresh_from_db()
    found = [(step.label, step.began) for step in run_story.steps(job, clock.now())]
    assert found == [
        ("Waiting for a worker", began),
        ("Earlier stages", began + timedelta(minutes=1)),
        ("Issues", now - timedelta(hours=2)),
    ]


def test_what_is_left_now_is_all_of_it_once_the_hour_is_over(mine: Installation) -> None:
    job = SyncJobFactory.create(installation=mine, api={"requests": 7})
    now = clock.now()
    mine.budgets.create(resource="core", limit=5_000, remaining=3, reset_at=now, observed_at=now)
    assert [cost.left for cost in run_story.costs(job, now)] == [5_000]
    assert [cost.left for cost in run_story.costs(job, now - timedelta(seconds=1))] == [3]


def test_a_reading_says_which_deliveries_asked_for_it(mine: Installation) -> None:
    job = SyncJobFactory.create(installation=mine, mode="recheck", trigger="webhook")
    now = clock.now()
    asked = DeliveryFactory.create(account=mine, outcome="recheck")
    DeliveryFactory.create(account=mine, outcome="updated")
    DeliveryFactory.create(account=mine, outcome="recheck", received_at=now + timedelta(seconds=5))
    DeliveryFactory.create(outcome="recheck")
    found = run_story.deliveries(job, member_of(mine))
    assert [row.pk for row in found] == [asked.pk]


@pytest.mark.spec("R11.2")
def test_the_trail_of_a_run_is_for_administrators_and_leads_to_what_changed(run: SyncJob) -> None:
    entry = entry_of(run, counts=run.counts)
    issue = IssueFactory.create(repository__installation=run.installation)
    AuditRecord.objects.create(
        entry=entry, at=clock.now(), repository=issue.repository, entity="issues",
        operation="create", result="done", items=[str(issue.github_id), "77"],
    )  # fmt: skip
    AuditError.objects.create(
        entry=entry, at=clock.now(), item="acme/x", operation="run", category="network",
        message="Too slow.", trace="NetworkError",
    )  # fmt: skip
    admin, member = (browser(member_of(run.installation, role)) for role in ("admin", "operator"))
    stranger = browser(member_of(InstallationFactory.create(), "admin"))
    address = f"/jobs/{run.pk}/trail/"
    assert "An attempt ended: network" in page(admin, f"/jobs/{run.pk}/")
    answer = admin.get(address)
    assert f'href="/issues/{issue.pk}/"' in answer.content.decode()
    assert "No record matches" in page(admin, f"{address}?operation=delete")
    assert "NetworkError" in page(admin, f"{address}?show=errors")
    for odd in ("page=9999", "page=x", "entity=%00", "show=nonsense"):
        assert admin.get(f"{address}?{odd}").status_code == 200
    assert member.get(address).status_code == 403
    assert stranger.get(address).status_code == 404
    assert Client().get(address).status_code == 302


# -- nothing grows with the rows -------------------------------------------------------------------


@pytest.mark.spec("R18.5")
def test_pages_of_runs_trails_and_repositories_cost_the_same_for_one_row_and_for_fifty(
    run: SyncJob, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    entry = entry_of(run)
    home = RepositoryFactory.create(installation=run.installation)

    def more(number: int) -> None:
        rows = {"installation": run.installation, "home": home, "correlation_id": run.pk}
        DiscrepancyFactory.create_batch(number, **rows)
        issues = IssueFactory.create_batch(number, repository=home)
        AuditRecord.objects.bulk_create(
            AuditRecord(
                entry=entry, at=clock.now(), repository=home, entity="issues",
                operation="update", result="done", items=[str(issue.github_id)],
            )
            for issue in issues
        )  # fmt: skip

    client = browser(member_of(run.installation, "admin"))
    more(1)
    costs: dict[str, int] = {
        f"/jobs/{run.pk}/": 25,
        f"/jobs/{run.pk}/trail/": 7,
        f"/repositories/{home.pk}/": 24,
    }
    measured = {address: _queries(client, address) for address in costs}
    more(50)
    for address, number in measured.items():
        assert number <= costs[address]
        with django_assert_num_queries(number):
            client.get(address)


def _queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as caught:
        assert client.get(address).status_code == 200
    return len(caught)


# -- odd names, strangers, ended sessions ----------------------------------------------------------


@pytest.mark.spec("R18.6")
@pytest.mark.parametrize("odd", ODD)
def test_long_right_to_left_and_emoji_texts_are_shown_whole_and_apart(
    mine: Installation, odd: str
) -> None:
    row = DiscrepancyFactory.create(
        installation=mine, before={"title": odd}, after={"title": odd[:-1]}, name=odd[:600]
    )
    client = browser(member_of(mine))
    shown = client.get(f"/discrepancies/{row.pk}/").content.decode()
    assert odd in shown
    assert f"<bdi>{row.name}</bdi>" in shown
    assert "differs" in shown
    home = RepositoryFactory.create(installation=mine, description=odd, name=odd[:100])
    assert odd in client.get(f"/repositories/{home.pk}/").content.decode()
    job = SyncJobFactory.create(installation=mine, error=odd, status="failed")
    assert odd in client.get(f"/jobs/{job.pk}/").content.decode()


@pytest.mark.spec("R19.2")
def test_another_tenants_evidence_is_not_there(mine: Installation) -> None:
    stranger = browser(member_of(mine, "admin"))
    repository, review = RepositoryFactory.create(), ReviewFactory.create()
    row, job = DiscrepancyFactory.create(), SyncJobFactory.create()
    for address in (
        f"/repositories/{repository.pk}/", f"/discrepancies/{row.pk}/", f"/reviews/{review.pk}/",
        f"/jobs/{job.pk}/", f"/jobs/{job.pk}/trail/",
    ):  # fmt: skip
        assert stranger.get(address).status_code == 404
    assert stranger.post(f"/repositories/{repository.pk}/sync/").status_code == 404


def test_whoever_was_logged_out_is_told_that_nothing_was_done(mine: Installation) -> None:
    gone = Client()
    came = {"Referer": f"http://testserver/installations/{mine.pk}/?q=x"}
    answer = gone.post(f"/installations/{mine.pk}/sync/", headers=came)
    back = f"/login/?next=%2Finstallations%2F{mine.pk}%2F%3Fq%3Dx"
    assert answer.headers["Location"] == back
    assert "so nothing was done" in text(gone.get(back))
    away = gone.post("/installations/1/sync/", headers={"Referer": "https://evil.example/x"})
    assert away.headers["Location"] == "/login/?next=%2F"
    part = gone.post(f"/installations/{mine.pk}/sync/", headers=HTMX)
    assert part.headers["HX-Redirect"].startswith("/login/")
    assert not SyncJob.objects.exists()


# -- a second click --------------------------------------------------------------------------------


def test_one_repository_is_read_alone_once_and_the_page_says_why_not_twice(
    mine: Installation,
) -> None:
    home = RepositoryFactory.create(installation=mine, owner="acme")
    client = browser(member_of(mine))
    address = f"/repositories/{home.pk}/"
    assert 'aria-disabled="true"' not in client.get(address).content.decode()
    answer = client.post(f"{address}sync/")
    job = SyncJob.objects.get()
    assert answer.headers["Location"] == f"/jobs/{job.pk}/"
    assert (job.mode, job.repository, job.trigger) == ("repo", home.full_name, "manual")
    assert "A sync is running already." in text(client.post(f"{address}sync/", follow=True))
    assert 'aria-disabled="true"' in client.get(address).content.decode()
    assert SyncJob.objects.count() == 1
    other = RepositoryFactory.create(installation=mine, owner="elsewhere")
    assert "belongs to elsewhere now" in page(client, f"/repositories/{other.pk}/")


@pytest.mark.spec("R7.5", "R10.4")
@pytest.mark.parametrize("button", ["sync", "cancel", "repair", "dismiss", "reject", "approve", "discard"])  # fmt: skip
def test_a_double_click_does_nothing_twice(mine: Installation, button: str) -> None:
    client = browser(member_of(mine, "operator"))
    make: dict[str, Callable[[], str]] = {
        "sync": lambda: f"/installations/{mine.pk}",
        "cancel": lambda: f"/jobs/{SyncJobFactory.create(installation=mine, waiting=True).pk}",
        "repair": lambda: f"/discrepancies/{DiscrepancyFactory.create(installation=mine).pk}",
        "dismiss": lambda: f"/discrepancies/{DiscrepancyFactory.create(installation=mine).pk}",
        "reject": lambda: f"/reviews/{ReviewFactory.create(installation=mine).pk}",
        "approve": lambda: f"/reviews/{ReviewFactory.create(installation=mine).pk}",
        "discard": lambda: f"/dead-letters/{DeadLetterFactory.create(installation=mine).pk}",
    }
    address = f"{make[button]()}/{button}/"
    form = {"reason": "Twice.", "vanished": "3", "agreed": "yes"}
    form["fingerprint"] = ReviewFactory.build().fingerprint
    said: list[str] = []
    after: list[tuple[int, ...]] = []
    for _ in range(2):
        answer = client.post(address, form, follow=True)
        assert answer.status_code == 200
        said.append(" ".join(str(each) for each in answer.context["messages"]))
        after.append(
            (
                AuditEntry.objects.exclude(kind="manual_sync").count(),
                Recheck.objects.count(),
                SyncJob.objects.filter(status__in=SyncJob.ACTIVE).count(),
                DeadLetter.objects.filter(status="open").count(),
            )
        )
    assert after[0] == after[1]
    assert all(said)
    assert button == "cancel" or said[0] != said[1]


def test_the_second_of_two_operators_is_told_who_was_first(mine: Installation) -> None:
    row = DiscrepancyFactory.create(installation=mine)
    first, second = member_of(mine, "operator"), member_of(mine, "admin")
    browser(first).post(f"/discrepancies/{row.pk}/repair/")
    answer = browser(second).post(f"/discrepancies/{row.pk}/repair/", follow=True)
    assert f"{first.username} has asked for this repair already" in text(answer)
    row.refresh_from_db()
    assert (row.decided_by, decisions.waits_for_github(row)) == (first, True)
    Recheck.objects.all().delete()  # GitHub was asked, and it still differs
    assert not decisions.waits_for_github(row)
