"""Discrepancies, held disappearances and figures in the admin: found, read, decided, never edited."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from reconciliation.models import AuditEntry, Discrepancy, Review, SampledItem
from syncsvc import clock
from syncsvc.models import Recheck, SyncJob
from tests.factories import InstallationFactory, UserFactory
from tests.judge_factories import (
    DiscrepancyFactory,
    IntegrityIssueFactory,
    ReviewFactory,
    RunFigureFactory,
    SampleAuditFactory,
)
from tests.people_support import browser, member_of, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.2")]

HOSTILE = "<script>alert(1)</script>"
MAKERS: dict[str, Any] = {
    "discrepancy": DiscrepancyFactory.create,
    "review": ReviewFactory.create,
    "runfigure": RunFigureFactory.create,
    "sampleaudit": SampleAuditFactory.create,
    "integrityissue": IntegrityIssueFactory.create,
}
names = pytest.mark.parametrize("name", MAKERS)


@pytest.fixture
def client() -> Client:
    return browser(staff())


def address(name: str, *more: object) -> str:
    return "/".join(["/admin/reconciliation", name, *map(str, more), ""])


def found(client: Client, name: str, query: str) -> list[Any]:
    page = client.get(f"{address(name)}?{query}")
    assert page.status_code == 200
    return list(page.context["cl"].queryset)


def said(page: Any) -> list[str]:
    return [str(message) for message in page.context["messages"]]


def many(client: Client, name: str, act: str, rows: list[Any], **more: object) -> Any:
    body = {"action": act, "_selected_action": [row.pk for row in rows], **more}
    return client.post(address(name), body, follow=True)


@names
def test_each_row_opens_and_nobody_writes_it(name: str, client: Client) -> None:
    row = MAKERS[name]()
    page = client.get(address(name, row.pk, "change"))
    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    assert client.post(address(name, row.pk, "change"), {"reason": "x"}).status_code == 403
    assert client.get(address(name, "add")).status_code == 403
    assert client.post(address(name, row.pk, "delete"), {"post": "yes"}).status_code == 403
    many(client, name, "delete_selected", [row], post="yes")
    assert type(row).objects.filter(pk=row.pk).exists()


@names
@pytest.mark.parametrize("query", ["acme", "12345", "0b989ba4-242f"])
def test_every_list_can_be_searched(name: str, query: str, client: Client) -> None:
    MAKERS[name]()
    assert found(client, name, f"q={query}") == []


def test_discrepancies_are_searched_and_filtered(client: Client) -> None:
    row = DiscrepancyFactory.create(name="acme/site#7", cause="our_side")
    done = DiscrepancyFactory.create(repaired=True, detected_at=clock.now() - timedelta(days=3))
    assert found(client, "discrepancy", "q=ACME/site") == [row]
    assert found(client, "discrepancy", f"q={row.item_key}") == [row]
    assert found(client, "discrepancy", f"q={done.correlation_id}") == [done]
    assert found(client, "discrepancy", "open=yes") == [row]
    assert found(client, "discrepancy", "open=no") == [done]
    assert found(client, "discrepancy", "open=x") == [row, done]
    assert found(client, "discrepancy", "cause__exact=our_side") == [row]
    assert found(client, "discrepancy", "repair_status__exact=repaired") == [done]
    assert found(client, "discrepancy", f"installation__id__exact={row.installation_id}") == [row]
    page = client.get(address("discrepancy")).content.decode()
    assert "The mirror was changed, not GitHub" in page


@pytest.mark.spec("R7.4")
def test_what_the_mirror_said_stands_beside_what_github_said(client: Client) -> None:
    row = DiscrepancyFactory.create(
        before={"title": HOSTILE, "labels": ["bug"]}, after={"title": "New", "closed_at": None}
    )
    page = client.get(address("discrepancy", row.pk, "change")).content.decode()
    assert HOSTILE not in page
    for shown in ("&lt;script&gt;", "New", "bug", "The mirror said", "none"):
        assert shown in page
    assert address("discrepancy", row.pk, "dismiss_one") in page
    done = DiscrepancyFactory.create(repaired=True)
    page = client.get(address("discrepancy", done.pk, "change")).content.decode()
    assert address("discrepancy", done.pk, "dismiss_one") not in page


@pytest.mark.spec("R7.5")
def test_many_are_repaired_from_the_list_after_a_question(client: Client) -> None:
    rows = DiscrepancyFactory.create_batch(2)
    done = DiscrepancyFactory.create(repaired=True)
    page = many(client, "discrepancy", "repair", [*rows, done])
    assert "GitHub is asked again" in page.content.decode()
    assert not Recheck.objects.exists()
    page = many(client, "discrepancy", "repair", [*rows, done], decided="yes")
    assert Recheck.objects.count() == SyncJob.objects.count() == 2
    assert sum("put right by its answer" in each for each in said(page)) == 2
    assert f"{done}: It is repaired already." in said(page)
    assert AuditEntry.objects.filter(kind="repair").count() == 2


@pytest.mark.spec("R7.4")
def test_a_dismissal_asks_for_the_reason_first(client: Client) -> None:
    rows = DiscrepancyFactory.create_batch(2)
    page = many(client, "discrepancy", "dismiss", rows)
    assert "Dismiss" in page.context["title"]
    page = many(client, "discrepancy", "dismiss", rows, decided="yes", reason=" ")
    assert "A reason is needed." in page.content.decode()
    assert set(Discrepancy.objects.values_list("repair_status", flat=True)) == {"proposed"}
    many(client, "discrepancy", "dismiss", rows, decided="yes", reason="Known.")
    kept = set(Discrepancy.objects.values_list("repair_status", "reason"))
    assert kept == {("dismissed", "Known.")}


@pytest.mark.spec("R7.4", "R7.5")
def test_one_is_decided_from_its_page(client: Client) -> None:
    row = DiscrepancyFactory.create()
    for act in ("repair_one", "dismiss_one"):
        page = client.get(address("discrepancy", row.pk, act))
        assert page.status_code == 200
        assert str(row) in page.content.decode()
    assert not Recheck.objects.exists()
    page = client.post(
        address("discrepancy", row.pk, "dismiss_one"),
        {"decided": "yes", "reason": "x"},
        follow=True,
    )
    assert page.redirect_chain[0][0] == address("discrepancy", row.pk, "change")
    assert said(page) == [f"{row}: dismissed."]
    page = client.post(
        address("discrepancy", row.pk, "repair_one"), {"decided": "yes"}, follow=True
    )
    assert said(page) == [f"{row}: It is dismissed already."]
    assert client.get(address("discrepancy", 999_999, "repair_one")).status_code == 404


@pytest.mark.spec("R7.3")
def test_a_review_shows_what_would_go_and_is_approved_as_it_was_seen(client: Client) -> None:
    row = ReviewFactory.create()
    shown = client.get(address("review", row.pk, "change")).content.decode()
    assert "acme/gone-2" in shown
    assert "not found" in shown
    form = client.get(address("review", row.pk, "approve_one")).content.decode()
    assert f'name="vanished_{row.pk}" value="3"' in form
    assert f'name="fingerprint_{row.pk}" value="{row.fingerprint}"' in form
    seen = {
        "decided": "yes",
        f"vanished_{row.pk}": "3",
        f"fingerprint_{row.pk}": row.fingerprint,
    }
    others = [{**row.items[0], "github_id": 4}, *row.items[1:]]
    for changed in ({"vanished": 4}, {"items": others}):
        Review.objects.filter(pk=row.pk).update(**changed)
        page = client.post(address("review", row.pk, "approve_one"), seen, follow=True)
        assert "look at it again" in said(page)[0]
        assert not SyncJob.objects.exists()
        Review.objects.filter(pk=row.pk).update(vanished=3, items=row.items)
    page = client.post(address("review", row.pk, "approve_one"), {"decided": "yes"}, follow=True)
    assert "look at it again" in said(page)[0]
    page = client.post(address("review", row.pk, "approve_one"), seen, follow=True)
    assert said(page) == [f"{row}: approved; a run carries it out."]
    row.refresh_from_db()
    assert (row.status, SyncJob.objects.get().mode) == ("approved", "reconcile")


@pytest.mark.spec("R7.3")
def test_reviews_are_rejected_for_a_reason(client: Client) -> None:
    rows = ReviewFactory.create_batch(2)
    many(client, "review", "reject", rows, decided="yes")
    assert set(Review.objects.values_list("status", flat=True)) == {"open"}
    page = many(client, "review", "reject", rows, decided="yes", reason="GitHub is ill.")
    assert len(said(page)) == 2
    assert set(Review.objects.values_list("status", "reason")) == {("rejected", "GitHub is ill.")}
    assert found(client, "review", "status__exact=open") == []


def test_a_long_review_is_cut_on_the_page(client: Client) -> None:
    items = [{"github_id": n, "full_name": f"acme/gone-{n}"} for n in range(501)]
    row = ReviewFactory.create(items=items)
    page = client.get(address("review", row.pk, "change")).content.decode()
    assert "acme/gone-499" in page
    assert "acme/gone-500" not in page
    assert "and 1 more" in page


@pytest.mark.spec("R19.2")
@pytest.mark.parametrize(
    ("name", "act", "path"),
    [
        ("discrepancy", "dismiss", "dismiss_one"),
        ("discrepancy", "repair", "repair_one"),
        ("review", "approve", "approve_one"),
        ("review", "reject", "reject_one"),
    ],
)
def test_who_may_only_look_decides_nothing(name: str, act: str, path: str) -> None:
    row = MAKERS[name]()
    looker = UserFactory.create(is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename=f"view_{name}"))
    client = browser(looker)
    page = client.get(address(name, row.pk, "change"))
    assert page.status_code == 200
    assert path not in page.content.decode()
    body = {"decided": "yes", "reason": "x"}
    assert client.post(address(name, row.pk, path), body).status_code == 403
    many(client, name, act, [row], **body)
    member = browser(member_of(InstallationFactory.create(), "admin"))
    assert member.post(address(name, row.pk, path), body).status_code == 302
    assert not AuditEntry.objects.filter(kind__in=["repair", "dismissal", "review"]).exists()
    row.refresh_from_db()
    assert row.decided_at is None


@pytest.mark.spec("R9.1", "R8.3", "R8.1")
def test_figures_audits_and_integrity_problems_say_what_they_found(client: Client) -> None:
    RunFigureFactory.create(compared=1_000, matched=999)
    RunFigureFactory.create(compared=0, unknown=4, trigger="gap", mode="full")
    assert [row.unknown for row in found(client, "runfigure", "trigger=gap&mode=full")] == [4]
    assert found(client, "runfigure", "mode=repo") == []
    page = client.get(address("runfigure")).content.decode()
    assert "99.90 %" in page
    assert "not known" in page
    audit = SampleAuditFactory.create()
    SampleAuditFactory.create(estimate=None, low=None, high=None)
    for result in ("matched", "wrong"):
        SampledItem.objects.create(
            audit=audit, entity="issues", side="mirror", item_key=result, result=result, path="rest"
        )
    assert "100.00 % (91.20 % to 100.00 %)" in client.get(address("sampleaudit")).content.decode()
    page = client.get(address("sampleaudit", audit.pk, "change")).content.decode()
    assert page.index("issues wrong") < page.index("issues matched")
    issue = IntegrityIssueFactory.create(detail=HOSTILE)
    IntegrityIssueFactory.create(resolved_at=clock.now())
    assert found(client, "integrityissue", "open=yes") == [issue]
    assert HOSTILE not in client.get(address("integrityissue")).content.decode()
