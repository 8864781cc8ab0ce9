"""The judge's pages for members: how right the mirror is, what was found wrong, and the decisions."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from reconciliation import showing
from reconciliation.accuracy import Tally
from reconciliation.models import Discrepancy, Review
from syncsvc import clock
from syncsvc.models import Installation, Recheck, SyncJob
from tests.factories import InstallationFactory, SyncJobFactory
from tests.judge_factories import (
    DiscrepancyFactory,
    ReviewFactory,
    RunFigureFactory,
    SampleAuditFactory,
)
from tests.people_support import browser, member_of, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.3")]

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def mine() -> Installation:
    return InstallationFactory.create(account_login="acme")


def text(client: Client, address: str) -> str:
    page = client.get(address)
    assert page.status_code == 200, address
    return " ".join(page.content.decode().split())


def home(client: Client, installation: Installation) -> str:
    return text(client, f"/installations/{installation.pk}/")


def said(page: Any) -> list[str]:
    return [str(message) for message in page.context["messages"]]


# -- the account's page ----------------------------------------------------------------------------


@pytest.mark.spec("R9.2")
def test_the_card_says_how_right_the_mirror_is_and_never_100_percent_of_nothing(
    mine: Installation,
) -> None:
    client = browser(member_of(mine))
    before = home(client, mine)
    assert "Nothing was compared in the last 7 days" in before
    assert "100.00 %" not in before
    RunFigureFactory.create(installation=mine, compared=10_000, matched=9_999, unknown=12)
    RunFigureFactory.create(
        installation=mine, compared=10_000, matched=9_950, at=clock.now() - timedelta(days=3)
    )
    RunFigureFactory.create(compared=10**6, matched=0)
    SampleAuditFactory.create(
        installation=mine, weight=40.0, weight_matched=40.0, weight_squares=40.0
    )
    row = DiscrepancyFactory.create(installation=mine)
    shown = home(client, mine)
    assert "99.99 % in the last 24 hours; the goal is 99.50 %." in shown
    assert "of 20,000 items" in shown
    assert "<dd>49.00 %</dd>" in shown
    assert "12 items" in shown
    assert "91.23 % to 100.00 %" in shown
    assert f"/discrepancies/?installation={mine.pk}&amp;open=true" in shown
    assert row.get_type_display() in shown


@pytest.mark.spec("R8.3", "R9.2")
@pytest.mark.parametrize(
    ("matched", "right", "badge"),
    [(1_000, 1_000, "Right"), (990, 1_000, "Below the goal"), (1_000, 800, "In doubt")],
)
def test_the_badge_says_whether_the_goal_is_kept_and_can_be_believed(
    mine: Installation, matched: int, right: int, badge: str
) -> None:
    RunFigureFactory.create(installation=mine, compared=1_000, matched=matched)
    weights = {"weight": 1_000.0, "weight_matched": float(right), "weight_squares": 1_000.0}
    counts = {"sampled": 1_000, "matched": right, "wrong": 1_000 - right}
    SampleAuditFactory.create(installation=mine, **counts, **weights)
    context = showing.card(mine, None, clock.now())
    assert context["verdict"].badge == badge
    assert badge in home(browser(member_of(mine)), mine)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"last_synced_at": timedelta(hours=3)}, "the last sync that read all of it ended 3 h ago"),
        ({"status": "suspended"}, "the account is suspended, so it is not read any more"),
    ],
)
def test_what_was_right_is_not_called_right_of_an_account_that_nobody_reads(
    mine: Installation, changed: dict[str, Any], why: str
) -> None:
    RunFigureFactory.create(installation=mine, compared=1_000)
    assert ">Right<" in home(browser(staff()), mine)
    now = clock.now()
    values = {
        key: now - value if key == "last_synced_at" else value for key, value in changed.items()
    }
    Installation.objects.filter(pk=mine.pk).update(**values)
    page = home(browser(staff()), mine)
    assert ">Right<" not in page
    assert why in page


@pytest.mark.parametrize(("unknown", "badge"), [(5, "Right"), (6, "Partly known")])
def test_more_unknown_items_than_may_be_wrong_are_not_called_right(
    mine: Installation, unknown: int, badge: str
) -> None:
    RunFigureFactory.create(installation=mine, compared=1_000, matched=1_000, unknown=unknown)
    assert showing.card(mine, None, clock.now())["verdict"].badge == badge


def test_without_figures_of_today_the_week_is_judged(mine: Installation) -> None:
    RunFigureFactory.create(installation=mine, matched=980, at=clock.now() - timedelta(days=2))
    verdict = showing.card(mine, None, clock.now())["verdict"]
    assert verdict.badge == "Below the goal"
    assert "98.00 % in the last 7 days" in verdict.sentence


def test_what_misses_the_goal_by_an_item_does_not_look_as_if_it_kept_it() -> None:
    assert showing.floored(Tally(compared=20_000, matched=19_899)) == "99.49 %"
    assert showing.floored(Tally(compared=20_000, matched=19_900)) == "99.50 %"
    assert showing.floored(Tally(compared=10**9, matched=10**9 - 1)) == "99.99 %"
    assert showing.floored(Tally(compared=3, matched=3)) == "100.00 %"
    assert showing.floored(Tally(unknown=3)) == "not known"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("body", None, "none"),
        ("labels", [], "none"),
        ("labels", ["bug", "ü"], "bug, ü"),
        ("archived", False, "false"),
        ("stars", 0, "0"),
        ("title", "2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05+00:00"),
        ("closed_at", "2026-01-02T03:04:05+00:00", "2026-01-02 03:04:05 UTC"),
    ],
)
def test_what_one_side_said_is_told_in_plain_words(name: str, value: Any, text: str) -> None:
    assert showing.said({name: value}, name) == text
    assert showing.said({}, name) == ""


def test_the_card_costs_four_queries_however_much_was_found(
    mine: Installation, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(2):
        DiscrepancyFactory.create_batch(5, installation=mine)
        RunFigureFactory.create_batch(5, installation=mine)
        with django_assert_num_queries(4):
            showing.card(mine, None, clock.now())


@pytest.mark.spec("R7.3")
def test_a_held_disappearance_is_a_banner_that_leads_to_the_decision(mine: Installation) -> None:
    operator, member = browser(member_of(mine, "operator")), browser(member_of(mine))
    assert "missing from GitHub" not in home(operator, mine)
    row = ReviewFactory.create(installation=mine, vanished=7)
    ReviewFactory.create()
    shown = home(operator, mine)
    assert "7 of 10 repositories are missing from GitHub" in shown
    assert "acme/gone-1, acme/gone-2, acme/gone-3 and 4 more" in shown
    assert f'<a href="/reviews/{row.pk}/">See what would go, and decide</a>' in shown
    assert "an operator or admin of this account decides" in home(member, mine)


# -- discrepancies ---------------------------------------------------------------------------------


@pytest.mark.spec("R7.4")
def test_discrepancies_are_listed_filtered_and_opened(
    mine: Installation, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = browser(member_of(mine))
    assert "No discrepancies" in text(client, "/discrepancies/")
    row = DiscrepancyFactory.create(installation=mine, before={"title": HOSTILE})
    DiscrepancyFactory.create(installation=mine, repaired=True, name="acme/done#1")
    other = DiscrepancyFactory.create()
    shown = text(client, "/discrepancies/?open=true")
    assert row.name in shown
    assert "acme/done#1" not in shown
    assert other.name not in text(client, "/discrepancies/")
    single = text(client, f"/discrepancies/{row.pk}/")
    assert "&lt;script&gt;" in single
    assert HOSTILE not in single
    assert "The mirror said" in single
    assert client.get(f"/discrepancies/{other.pk}/").status_code == 404
    with django_assert_num_queries(5):
        client.get("/discrepancies/")
    DiscrepancyFactory.create_batch(30, installation=mine)
    with django_assert_num_queries(5):
        client.get("/discrepancies/")


@pytest.mark.spec("R7.5", "R19.2")
def test_operators_repair_and_dismiss_members_look_on(mine: Installation) -> None:
    job = SyncJobFactory.create(installation=mine)
    row = DiscrepancyFactory.create(installation=mine, correlation_id=job.pk)
    address = f"/discrepancies/{row.pk}/"
    looker, operator = browser(member_of(mine)), browser(member_of(mine, "operator"))
    shown = text(looker, address)
    assert "you need the role operator or admin" in shown
    assert f"{address}repair/" not in shown
    assert f"/jobs/{job.pk}/" in shown
    for act in ("repair", "dismiss"):
        assert looker.post(f"{address}{act}/", {"reason": "x"}).status_code == 403
        assert operator.get(f"{address}{act}/").status_code == 405
        stranger = browser(member_of(InstallationFactory.create(), "admin"))
        assert stranger.post(f"{address}{act}/", {"reason": "x"}).status_code == 404
    assert f"{address}repair/" in text(operator, address)
    page = operator.post(f"{address}repair/", follow=True)
    assert said(page) == ["GitHub is asked again, and the mirror put right by its answer."]
    assert "asked for a repair" in page.content.decode()
    assert Recheck.objects.get().github_id == row.repository_github_id
    page = operator.post(f"{address}dismiss/", {"reason": " \0"}, follow=True)
    assert said(page) == ["A reason is needed."]
    page = operator.post(f"{address}dismiss/", {"reason": "Kno\0wn."}, follow=True)
    assert said(page) == ["It is dismissed."]
    assert "Known." in page.content.decode()
    assert Discrepancy.objects.get().repair_status == "dismissed"
    page = operator.post(f"{address}repair/", follow=True)
    assert said(page) == ["It is dismissed already."]


# -- reviews ---------------------------------------------------------------------------------------


@pytest.mark.spec("R7.3", "R19.2")
def test_operators_approve_what_they_saw_members_look_on(mine: Installation) -> None:
    row = ReviewFactory.create(installation=mine)
    address = f"/reviews/{row.pk}/"
    looker, operator = browser(member_of(mine)), browser(member_of(mine, "operator"))
    shown = text(looker, address)
    assert "acme/gone-2" in shown
    assert "not found" in shown
    assert "Approve" not in shown
    assert looker.post(f"{address}approve/", {"vanished": 3}).status_code == 403
    stranger = browser(member_of(InstallationFactory.create(), "admin"))
    assert stranger.get(address).status_code == 404
    assert stranger.post(f"{address}reject/", {"reason": "x"}).status_code == 404
    form = text(operator, address)
    assert 'name="vanished" value="3"' in form
    assert f'name="fingerprint" value="{row.fingerprint}"' in form
    which = {"fingerprint": row.fingerprint}
    for seen in ("2", "", "x", "9" * 5_000):
        agreed = {"vanished": seen, "agreed": "yes", **which}
        page = operator.post(f"{address}approve/", agreed, follow=True)
        assert "look at it again" in said(page)[0]
    page = operator.post(f"{address}approve/", {"vanished": "3", **which}, follow=True)
    assert said(page) == ["Nothing was done: say first that you have read what would go."]
    agreed = {"vanished": "3", "agreed": "yes", **which}
    others = [{**row.items[0], "github_id": 4}, *row.items[1:]]
    Review.objects.filter(pk=row.pk).update(items=others)  # one came back, another vanished
    page = operator.post(f"{address}approve/", agreed, follow=True)
    assert "look at it again" in said(page)[0]
    assert not SyncJob.objects.exists()
    again = [{**each, "says": "access removed"} for each in reversed(row.items)]
    Review.objects.filter(pk=row.pk).update(items=again)  # the same ones, asked about once more
    page = operator.post(f"{address}approve/", agreed, follow=True)
    assert said(page) == ["Approved: a run takes them out of the mirror."]
    assert SyncJob.objects.get().mode == "reconcile"
    page = operator.post(f"{address}reject/", {"reason": "x"}, follow=True)
    assert said(page) == ["It is approved already."]


@pytest.mark.spec("R7.3")
def test_a_rejected_review_says_by_whom_and_why(mine: Installation) -> None:
    row = ReviewFactory.create(installation=mine)
    user = member_of(mine, "admin")
    page = browser(user).post(f"/reviews/{row.pk}/reject/", {"reason": HOSTILE}, follow=True)
    shown = page.content.decode()
    assert f"Rejected by {user.username}" in shown
    assert HOSTILE not in shown
    assert Review.objects.get().reason == HOSTILE
    assert "missing from GitHub" not in home(browser(user), mine)
