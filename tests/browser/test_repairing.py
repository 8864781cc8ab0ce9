"""What operators do about a mirror that is wrong: repair, approve, replay, requeue, acknowledge."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from alerts.models import Incident
from reconciliation.models import Discrepancy, Review
from syncsvc import clock
from syncsvc.models import DeadLetter, Delivery, Repository, SyncJob
from syncsvc.service import SyncService
from tests.acceptance.served import until
from tests.browser.product import QUIET, Product
from tests.factories import DeadLetterFactory

pytestmark = pytest.mark.spec("R18.2", "R18.3")


@pytest.fixture
def stale(served: Product) -> Discrepancy:
    """A row of ours that somebody changed behind the mirror's back, found by a dry run."""
    row = (
        Repository.objects.filter(installation=served.installation())
        .exclude(discrepancies__repair_status__in=Discrepancy.OPEN)
        .latest("pk")
    )
    Repository.objects.filter(pk=row.pk).update(description="Written into the mirror by mistake")
    return found_by_a_dry_run(served, row)


def found_by_a_dry_run(served: Product, row: Repository) -> Discrepancy:
    before = Discrepancy.objects.count()
    served.settled()
    SyncService().request(row.installation_id, SyncJob.Trigger.MANUAL, dry_run=True)
    served.settled()
    until(lambda: Discrepancy.objects.count() > before, 10, lambda: "nothing was found")
    return Discrepancy.objects.filter(repository=row).latest("pk")


def test_a_discrepancy_is_found_in_the_list_and_repaired(
    served: Product, visit: Callable[..., Page], stale: Discrepancy
) -> None:
    page = visit(served.operator, "/discrepancies/?open=true")
    page.get_by_role("link", name=stale.name).first.click()
    expect(page.locator("main")).to_contain_text("Written into the mirror by mistake")
    page.get_by_role("button", name="Repair").click()
    expect(page.get_by_role("status").first).to_contain_text("GitHub is asked again")
    until(
        lambda: Discrepancy.objects.get(pk=stale.pk).repair_status == Discrepancy.Status.REPAIRED,
        30,
        lambda: str(Discrepancy.objects.filter(pk=stale.pk).values().get()),
    )
    page.reload()
    expect(page.locator(".heading .badge")).to_have_text("Repaired")
    row = Repository.objects.get(discrepancies=stale)
    assert row.description == served.world.repository(row.github_id).description


def test_two_operators_repair_the_same_discrepancy_once(
    served: Product, visit: Callable[..., Page], stale: Discrepancy
) -> None:
    address = f"/discrepancies/{stale.pk}/"
    pages = [visit(served.operator, address), visit(served.admin, address)]
    for page in pages:
        page.get_by_role("button", name="Repair").click()
        expect(page.locator("main > .note").nth(1)).to_be_visible()
    until(
        lambda: Discrepancy.objects.get(pk=stale.pk).repair_status == Discrepancy.Status.REPAIRED,
        30,
        lambda: str(Discrepancy.objects.filter(pk=stale.pk).values().get()),
    )
    assert Discrepancy.objects.get(pk=stale.pk).decided_by == served.operator


def test_a_held_run_is_approved(served: Product, visit: Callable[..., Page]) -> None:
    gone = [served.repository(QUIET, nth=n).id for n in range(6)]
    heard, served.world.on_event = served.world.on_event, None  # no webhook tells of it
    for repository in gone:
        served.world.delete(repository)
    served.world.on_event = heard
    page = visit(served.admin, "/")
    page.get_by_role("button", name=re.compile(f"Sync now ?: {QUIET}")).click()
    held = Review.objects.filter(status="open", installation=served.installation(QUIET))
    until(held.exists, 40, lambda: "no review was opened")
    served.settled(QUIET)
    page.goto(f"/installations/{served.installation(QUIET).pk}/")
    page.get_by_role("link", name=re.compile("decide|look|review|vanish", re.I)).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("6 of 12 repositories vanished")
    assert Repository.objects.filter(
        github_id__in=gone, status__in=Repository.PRESENT
    ).count() == len(gone)
    page.get_by_label("I have read the list").check()
    page.get_by_role("button", name="Approve: let them go").click()
    expect(page.locator("main")).to_contain_text("Approved: a run takes them out of the mirror.")
    until(
        lambda: (
            not Repository.objects.filter(
                github_id__in=gone, status__in=Repository.PRESENT
            ).exists()
        ),
        40,
        lambda: str(list(Review.objects.values())),
    )
    served.settled(QUIET)


def test_a_delivery_is_replayed(served: Product, visit: Callable[..., Page]) -> None:
    repository = served.repository(nth=2)
    served.world.edit(repository.id, description="Told by a webhook")
    until(
        lambda: Repository.objects.filter(
            github_id=repository.id, description="Told by a webhook"
        ).exists(),
        30,
        lambda: str(list(Delivery.objects.values("event", "status", "outcome"))),
    )
    Repository.objects.filter(github_id=repository.id).update(description="Lost afterwards")
    page = visit(served.operator, "/deliveries/")
    page.locator(".rows tbody a").first.click()
    delivery = Delivery.objects.get(pk=int(page.url.rstrip("/").rsplit("/", 1)[1]))
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("main > .note").nth(1)).to_be_visible()
    until(
        lambda: (
            (Delivery.objects.get(pk=delivery.pk).processed_at or clock.now()) > clock.now()
            or (Delivery.objects.get(pk=delivery.pk).processed_at != delivery.processed_at)
        ),
        30,
        lambda: str(Delivery.objects.filter(pk=delivery.pk).values()),
    )


def test_a_dead_letter_is_requeued(served: Product, visit: Callable[..., Page]) -> None:
    letter = DeadLetterFactory.create(installation=served.installation())
    page = visit(served.operator, "/")
    page.locator("nav summary", has_text="Evidence").click()
    page.get_by_role("link", name="Dead letters").click()
    page.goto(f"/dead-letters/{letter.pk}/")
    page.get_by_role("button", name="Requeue").click()
    page.get_by_role("link", name="The run that took it up").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Run of")
    letter.refresh_from_db()
    assert letter.status == DeadLetter.Status.REQUEUED
    served.settled()


def test_an_incident_is_acknowledged(served: Product, visit: Callable[..., Page]) -> None:
    now = clock.now()
    incident = Incident.objects.create(
        key="browser:test", kind="browser", severity="warning", opened_at=now, last_seen_at=now,
        title="Something is not as it should be", detail="Look at it.",
        installation=served.installation(),
    )  # fmt: skip
    page = visit(served.admin, "/admin/sync-health/incidents/")
    row = page.locator("tr, li, article", has_text=incident.title).first
    row.get_by_role("button", name=re.compile("Acknowledge")).click()
    until(
        lambda: Incident.objects.filter(
            pk=incident.pk, status__in=("acknowledged", "resolved")
        ).exists(),
        10,
        lambda: str(Incident.objects.filter(pk=incident.pk).values()),
    )
    assert Incident.objects.get(pk=incident.pk).acknowledged_by in (served.admin, None)
