"""The home page and its cards, in every state, with and without JavaScript."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from syncsvc import clock
from syncsvc.models import Installation, SyncJob
from tests.factories import (
    PASSWORD,
    InstallationFactory,
    MembershipFactory,
    RepositoryFactory,
    SyncJobFactory,
    UserFactory,
)
from tests.people_support import browser, member_of, staff

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def mine() -> Installation:
    return InstallationFactory.create(
        account_login="acme", last_synced_at=clock.now() - timedelta(minutes=5)
    )


def text(response: Any) -> str:
    """The page as read: without tags, with single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def shown(installation: Installation) -> str:
    response = browser(member_of(installation)).get("/")
    assert response.status_code == 200
    return text(response)


def button(installation: Installation) -> str:
    page = browser(staff()).get("/").content.decode()
    found = re.search(rf'<button id="sync-{installation.pk}"[^>]*>', page)
    assert found is not None
    return found.group()


@pytest.mark.spec("R18.3")
def test_a_stranger_is_sent_to_the_log_in_and_back() -> None:
    UserFactory.create(username="mia")
    client = Client()
    assert client.get("/").headers["Location"] == "/login/?next=/"
    wrong = client.post("/login/", {"username": "mia", "password": "wrong"})
    assert "Please enter a correct username and password" in text(wrong)
    right = client.post("/login/", {"username": "mia", "password": PASSWORD, "next": "/"})
    assert right.headers["Location"] == "/"
    assert client.post("/logout/").headers["Location"] == "/login/"
    assert client.get("/").status_code == 302


@pytest.mark.spec("R18.3")
def test_a_fragment_whose_session_ended_sends_the_whole_page_to_the_log_in() -> None:
    response = Client().get("/installations/1/card/", headers=HTMX)
    assert response.headers["HX-Redirect"].startswith("/login/")


@pytest.mark.spec("R18.3", "R19.2")
def test_members_see_their_own_installations_only(mine: Installation) -> None:
    InstallationFactory.create(account_login="other-tenant")
    page = shown(mine)
    assert "acme" in page
    assert "other-tenant" not in page


@pytest.mark.spec("R18.3")
def test_without_installations_staff_learn_what_to_configure() -> None:
    page = text(browser(staff()).get("/"))
    for name in ("GITHUB_APP_ID", "GITHUB_TOKEN", "GITHUB_OWNER", "manage.py discover"):
        assert name in page


@pytest.mark.spec("R18.3")
def test_without_membership_people_learn_whom_to_ask() -> None:
    InstallationFactory.create()
    page = text(browser(UserFactory.create(username="mia")).get("/"))
    assert "manage.py member add mia" in page


@pytest.mark.spec("R18.3", "R3.4")
@pytest.mark.parametrize("column", ["next_scheduled_at", "waiting_since"])
def test_what_was_not_synced_when_due_is_not_up_to_date(mine: Installation, column: str) -> None:
    rows = Installation.objects.filter(pk=mine.pk)
    rows.update(**{column: clock.now() - timedelta(minutes=29)})
    assert "Up to date" in shown(mine)
    rows.update(**{column: clock.now() - timedelta(minutes=31)})
    page = shown(mine)
    assert "Up to date" not in page
    assert "Sync overdue" in page
    assert "A sync was due and none came" in page
    assert "Sync overdue" in browser(staff()).get("/admin/sync-health/").content.decode()


@pytest.mark.spec("R18.3", "P16")
def test_an_idle_card_says_what_the_last_run_came_to(mine: Installation) -> None:
    RepositoryFactory.create_batch(2, installation=mine)
    RepositoryFactory.create(installation=mine, status="deleted")
    counts = {"created": 4, "updated": 3, "unchanged": 1200, "deleted": 1, "errors": 0}
    job = SyncJobFactory.create(installation=mine, counts={"repositories": counts})
    page = shown(mine)
    assert "Up to date" in page
    assert "Last synced 5 min ago Repositories 2" in page
    assert "4 created 3 updated 1,200 unchanged 1 deleted 0 errors" in page
    assert f"/jobs/{job.pk}/" in browser(staff()).get("/").content.decode()
    assert "aria-disabled" not in button(mine)


@pytest.mark.spec("R18.3", "P15")
def test_a_running_card_shows_stage_amount_item_and_time_left(mine: Installation) -> None:
    SyncJobFactory.create(
        installation=mine,
        running=True,
        stage="reading repositories",
        current=512,
        total=1204,
        current_item="acme/site",
        started_at=clock.now() - timedelta(seconds=60),
    )
    page = shown(mine)
    assert "Syncing" in page
    assert "Reading repositories 512 of 1,204 · about 1 min left" in page
    assert "acme/site" in page
    raw = browser(staff()).get("/").content.decode()
    assert 'max="1204"' in raw
    assert "every 1s" in raw
    assert 'aria-disabled="true"' in button(mine)


@pytest.mark.spec("R18.3")
@pytest.mark.parametrize(
    ("changes", "badge", "sentence"),
    [
        ({"status": "suspended"}, "Suspended", "unsuspend it on GitHub"),
        ({"status": "uninstalled"}, "Uninstalled", "install it again"),
        ({"blocked_until": 5}, "Paused", "You can sync again in"),
        ({"breaker_open_until": 5}, "Paused", "paused for a while"),
    ],
)
def test_a_blocked_card_says_why_and_until_when(
    mine: Installation, changes: dict[str, Any], badge: str, sentence: str
) -> None:
    for name, value in changes.items():
        later = clock.now() + timedelta(minutes=value) if isinstance(value, int) else value
        setattr(mine, name, later)
    mine.save()
    page = shown(mine)
    assert badge in page
    assert sentence in page
    assert 'aria-disabled="true"' in button(mine)


@pytest.mark.spec("R18.3")
def test_a_job_that_github_set_aside_says_when_it_goes_on(mine: Installation) -> None:
    SyncJobFactory.create(
        installation=mine,
        waiting=True,
        status="blocked",
        run_after=clock.now() + timedelta(minutes=9, seconds=30),
    )
    assert "GitHub asked us to wait. Goes on in 9 min" in shown(mine)


@pytest.mark.spec("R18.3")
def test_a_cooling_card_counts_the_seconds(mine: Installation, tune: Callable[..., Any]) -> None:
    tune(manual_cooldown_seconds=60)
    mine.last_synced_at = clock.now()
    mine.save()
    assert re.search(r"You can sync again in \d+ s\.|in 1 min\.", shown(mine))
    assert 'aria-disabled="true"' in button(mine)


@pytest.mark.spec("R18.3", "R3.5")
def test_a_failed_card_says_the_sentence_for_people(mine: Installation) -> None:
    mine.last_error = "GitHub did not answer: the next run tries again."
    mine.save()
    page = shown(mine)
    assert "Last sync had errors" in page
    assert mine.last_error in page


@pytest.mark.spec("R18.6")
def test_the_button_works_without_javascript(mine: Installation) -> None:
    client = browser(member_of(mine))
    address = f"/installations/{mine.pk}/sync/"
    page = client.post(address, follow=True)
    assert page.redirect_chain == [("/", 302)]
    assert "The sync of acme has started." in text(page)
    assert SyncJob.objects.get().trigger == "manual"
    again = client.post(address, follow=True)
    assert "acme: A sync is running already." in text(again)
    assert SyncJob.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.spec("R18.3")
def test_with_htmx_the_button_is_answered_with_the_card(
    mine: Installation, bells: list[UUID]
) -> None:
    response = browser(member_of(mine)).post(f"/installations/{mine.pk}/sync/", headers=HTMX)
    page = response.content.decode()
    assert page.lstrip().startswith(f'<article id="card-{mine.pk}"')
    assert "Waiting for a worker" in page
    assert 'hx-swap-oob="innerHTML"' in page
    assert bells == [SyncJob.objects.get().pk]


@pytest.mark.spec("R19.2")
def test_the_button_of_another_tenant_is_not_there(mine: Installation) -> None:
    stranger = browser(member_of(InstallationFactory.create()))
    for path in ("", "card/"):
        assert stranger.get(f"/installations/{mine.pk}/{path}").status_code == 404
    assert stranger.post(f"/installations/{mine.pk}/sync/").status_code == 404
    assert not SyncJob.objects.exists()


def test_a_sync_is_never_started_by_a_link(mine: Installation) -> None:
    assert browser(staff()).get(f"/installations/{mine.pk}/sync/").status_code == 405


@pytest.mark.spec("R18.6")
def test_a_card_that_a_page_shows_already_is_not_sent_again(mine: Installation) -> None:
    client = browser(member_of(mine))
    page = client.get("/").content.decode()
    poll = re.search(r'hx-get="([^"]+card/[^"]+)"', page)
    assert poll is not None
    address = poll.group(1).replace("&amp;", "&")
    assert client.get(address, headers=HTMX).status_code == 204
    SyncJobFactory.create(installation=mine, running=True)
    changed = client.get(address, headers=HTMX)
    assert changed.status_code == 200
    assert 'hx-swap-oob="innerHTML"' in changed.content.decode()


@pytest.mark.spec("R18.5")
def test_home_costs_the_same_queries_for_one_card_and_for_twenty(
    mine: Installation, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    user = member_of(mine)
    SyncJobFactory.create(installation=mine, running=True)
    client = browser(user)
    with django_assert_num_queries(12):
        client.get("/")
    for _ in range(19):
        other = MembershipFactory.create(user=user).installation
        SyncJobFactory.create(installation=other)
        SyncJobFactory.create(installation=other, running=True)
    with django_assert_num_queries(12):
        assert client.get("/").content.decode().count("<article") == 20


def test_many_installations_come_in_pages_and_can_be_searched() -> None:
    InstallationFactory.create_batch(30)
    InstallationFactory.create(account_login="needle")
    client = browser(staff())
    assert "Page 1 of 2" in text(client.get("/"))
    assert "needle" not in text(client.get("/"))
    assert client.get("/?q=NEED").content.decode().count("<article") == 1
    assert "No account matches" in text(client.get("/?q=%00nothing"))


@pytest.mark.parametrize("demo", [True, False])
def test_every_page_of_the_demo_says_that_it_is_one(settings: Settings, demo: bool) -> None:
    settings.SYNC_DEMO = demo
    client = browser(staff())
    pages = [client.get(path) for path in ("/", "/nothing/", "/admin/")]
    pages.append(Client().get("/login/"))
    pages.append(Client().get("/admin/login/"))
    assert [("simulated GitHub account" in text(page)) for page in pages] == [demo] * 5


@pytest.mark.spec("R18.6")
def test_pages_need_no_inline_script_no_inline_style_and_no_other_host(mine: Installation) -> None:
    SyncJobFactory.create(installation=mine, running=True, current=1, total=2)
    page = browser(staff()).get("/").content.decode()
    assert not re.search(r"<script(?![^>]*src=)", page)
    assert not re.search(r'\sstyle="|<style|\son\w+="', page)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert 'href="#main"' in page
    assert '<html lang="en">' in page


@pytest.mark.parametrize(
    ("status", "advice"), [(403, "Your role does not allow it"), (404, "The address is wrong")]
)
def test_error_pages_say_what_to_do_next(mine: Installation, status: int, advice: str) -> None:
    job = SyncJobFactory.create(installation=mine, waiting=True)
    client = browser(member_of(mine))
    answer = client.post(f"/jobs/{job.pk}/cancel/") if status == 403 else client.get("/nothing/")
    assert answer.status_code == status
    assert advice in text(answer)


def test_a_form_without_its_token_is_explained(mine: Installation) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(member_of(mine))
    answer = client.post(f"/installations/{mine.pk}/sync/")
    assert answer.status_code == 403
    assert "reload the page, and send the form again" in text(answer)


def test_a_failure_of_ours_is_a_page_without_details(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("syncsvc.selectors.installations", fail)
    client = browser(staff())
    client.raise_request_exception = False
    answer = client.get("/")
    assert answer.status_code == 500
    assert "Something broke on our side" in text(answer)
    assert "secret" not in answer.content.decode()
