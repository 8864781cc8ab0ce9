"""What holds for whoever looks at any account and presses its button, on pages and in the API."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from syncsvc import cards, clock
from syncsvc.models import Installation, SyncJob
from syncsvc.simulator import Simulator, World
from tests.factories import InstallationFactory, SyncJobFactory, UserFactory
from tests.integration.test_pages_home import HTMX, text
from tests.people_support import browser, staff
from tests.support import discover, roomy, run, sync

STATES = {"idle", "syncing", "blocked", "error"}
for_any = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
count = st.integers(0, 10**6)


@pytest.fixture
def world() -> World:
    """A GitHub of two repositories with little in them."""
    return World.generate(
        seed=11, repositories=2, issues_per_repository=1, pull_requests_per_repository=0,
        commits_per_repository=1,
    )  # fmt: skip


class People:
    """Somebody with a browser and a program, who may see everything."""

    def __init__(self) -> None:
        user = staff()
        self.browser: Client = browser(user)
        self.program = APIClient()
        self.program.force_authenticate(user)

    def page(self, address: str) -> str:
        # As a fragment: what is around it is the same on all pages, and takes the most time.
        answer = self.browser.get(address, headers=HTMX)
        assert answer.status_code == 200
        return text(answer)

    def told(self, address: str) -> Any:
        answer = self.program.get(f"/api/v1/{address}")
        assert answer.status_code == 200
        return answer.json()


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> People:
    """They may ask as often as a property needs."""
    monkeypatch.setattr(
        "rest_framework.throttling.SimpleRateThrottle.allow_request", lambda *_: True
    )
    return People()


@pytest.fixture
def frozen() -> Iterator[None]:
    """Time stands still, so that what is shown of it can be said beforehand."""
    with time_machine.travel(clock.now(), tick=False):
        yield


@pytest.mark.spec("P13")
@pytest.mark.django_db
@for_any
@given(
    minutes=st.one_of(st.none(), st.integers(1, 59)),
    status=st.sampled_from(["active", "suspended", "uninstalled"]),
    error=st.sampled_from(["", "GitHub did not answer."]),
    job=st.sampled_from([None, "queued", "running", "blocked"]),
    paused=st.booleans(),
)
@pytest.mark.usefixtures("frozen")
def test_any_reading_of_a_status_tells_the_last_sync_and_the_state(
    people: People, minutes: int | None, status: str, error: str, job: str | None, paused: bool
) -> None:
    now = clock.now()
    synced = None if minutes is None else now - timedelta(minutes=minutes)
    row = InstallationFactory.create(
        last_synced_at=synced, status=status, last_error=error,
        breaker_open_until=now + timedelta(minutes=5) if paused else None,
    )  # fmt: skip
    if job is not None:
        kind = {"running": {"running": True}}.get(job, {"waiting": True, "status": job})
        SyncJobFactory.create(installation=row, **{"started_at": now, **kind})
    told = people.told(f"installations/{row.pk}/status/")
    assert told["state"] in STATES
    assert (told["state"] == "syncing") == (job in ("queued", "running"))
    expected = synced.isoformat().replace("+00:00", "Z") if synced else None
    assert told["last_synced_at"] == expected
    page = people.page(f"/installations/{row.pk}/card/")
    assert f"Last synced {f'{minutes} min ago' if minutes else 'never'}" in page
    assert (
        cards.read(UserFactory.build(is_staff=True), Installation.objects.filter(pk=row.pk))[
            0
        ].badge
        in page
    )
    row.delete()


@pytest.mark.spec("P14")
@pytest.mark.django_db(transaction=True)
@for_any
@given(door=st.sampled_from(["page", "fragment", "api"]), edits=st.integers(0, 2))
def test_any_button_that_starts_a_sync_starts_a_full_run_that_looks_back(
    app_mode: Simulator, people: People, door: str, edits: int
) -> None:
    row = Installation.objects.order_by("pk").last()
    if row is None:
        row = discover()
        sync(row, "initial")
    for number in range(edits):
        app_mode.world.edit(roomy(app_mode.world).id, description=f"{app_mode.world.time} {number}")
    address = f"/installations/{row.pk}/sync/"
    if door == "api":
        answer: Any = people.program.post(f"/api/v1{address}", {}, format="json")
        assert answer.status_code == 202
    else:
        headers = {"HX-Request": "true"} if door == "fragment" else {}
        answer = people.browser.post(address, headers=headers)
        assert answer.status_code == (200 if door == "fragment" else 302)
    job = SyncJob.objects.latest("created_at")
    assert (job.trigger, job.mode, job.dry_run, job.status) == ("manual", "full", False, "queued")
    assert job.requested_by is not None
    job = run(job.pk)
    assert job.status == "succeeded"
    assert job.verification["executed"] is True
    assert job.verification["counts"]["github"] == job.verification["counts"]["mirror"]
    assert "The mirror holds exactly what GitHub showed" in people.page(f"/jobs/{job.pk}/")


@pytest.mark.spec("P15")
@pytest.mark.django_db
@for_any
@given(
    current=count,
    more=st.one_of(st.none(), count),
    errors=count,
    stage=st.sampled_from(["", "reading repositories", "verifying"]),
)
def test_any_run_in_progress_tells_how_much_is_done_and_how_many_errors_there_were(
    people: People, current: int, more: int | None, errors: int, stage: str
) -> None:
    total = None if more is None else current + more
    job = SyncJobFactory.create(
        running=True, stage=stage, current=current, total=total, errors=errors
    )
    card = f"/installations/{job.installation_id}/card/"
    told = people.told(f"jobs/{job.pk}/")["progress"]
    assert (told["current"], told["total"], told["errors"]) == (current, total, errors)
    for page in (people.page(f"/jobs/{job.pk}/"), people.page(card)):
        if total:
            assert f"{current:,} of {total:,}" in page
        elif current:
            assert f"{current:,} so far" in page
        assert (f"{errors:,} error" in page) == bool(errors)
    job.installation.delete()


@pytest.mark.spec("P16")
@pytest.mark.django_db
@for_any
@given(
    counts=st.dictionaries(
        st.sampled_from(["repositories", "issues", "pull_requests", "commits"]),
        st.fixed_dictionaries(
            dict.fromkeys(("created", "updated", "unchanged", "deleted", "errors"), count)
        ),
        min_size=1,
    ),
    status=st.sampled_from(["succeeded", "partial"]),
)
def test_any_manual_run_that_has_ended_tells_what_is_new_updated_and_wrong(
    people: People, counts: dict[str, dict[str, int]], status: str
) -> None:
    job = SyncJobFactory.create(counts=counts, status=status, requested_by=staff())
    new, updated, errors = (
        sum(each[name] for each in counts.values()) for name in ("created", "updated", "errors")
    )
    told = people.told(f"jobs/{job.pk}/")["counts"]
    assert {name: sum(each[name] for each in told.values()) for name in ("created", "updated", "errors")} == {
        "created": new, "updated": updated, "errors": errors,
    }  # fmt: skip
    wrong = f"{errors:,} error" if errors else "no errors"
    summary = re.compile(rf"{new:,} new, {updated:,} updated, (?:[\d,]+ gone, )?{wrong}")
    assert summary.search(people.page(f"/jobs/{job.pk}/"))
    assert summary.search(people.page(f"/installations/{job.installation_id}/card/"))
    job.installation.delete()
