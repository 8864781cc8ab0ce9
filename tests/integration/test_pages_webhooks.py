"""The pages of deliveries, gaps and hook health: what they say, to whom, and the button."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from syncsvc import clock, hook_health, pages_webhooks
from syncsvc.models import Gap, Installation, WebhookState
from syncsvc.webhooks import inbox, viewing
from syncsvc.webhooks.payloads import pack
from tests.factories import (
    DeliveryFactory,
    GapFactory,
    HookFactory,
    InstallationFactory,
    MissedDeliveryFactory,
    RepositoryFactory,
    SyncJobFactory,
    UserFactory,
)
from tests.integration.test_pages_home import text
from tests.people_support import browser, member_of, staff

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>"
LISTS: dict[str, Any] = {"/deliveries/": DeliveryFactory, "/gaps/": GapFactory}
lists = pytest.mark.parametrize("address", LISTS)


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Instead of the broker."""
    rings: list[bool] = []
    monkeypatch.setattr(inbox, "ring_bell", lambda: rings.append(True))
    return rings


@pytest.fixture
def acme() -> Installation:
    return InstallationFactory.create(account_login="acme")


@pytest.fixture
def client(acme: Installation) -> Client:
    return browser(member_of(acme))


@pytest.fixture
def operator(acme: Installation) -> Client:
    return browser(member_of(acme, "operator"))


def of(address: str, installation: Installation, **values: Any) -> Any:
    if address == "/deliveries/":
        return DeliveryFactory.create(account=installation, **values)
    return GapFactory.create(installation=installation, **values)


def rows(client: Client, address: str) -> list[Any]:
    page = client.get(address)
    assert page.status_code == 200
    return list(page.context["page"].object_list)


# -- lists -----------------------------------------------------------------------------------------


@pytest.mark.spec("R18.3", "R6.3")
def test_a_delivery_is_listed_with_what_became_of_it(acme: Installation, client: Client) -> None:
    site = RepositoryFactory.create(installation=acme, name="site")
    DeliveryFactory.create(account=acme, repository_github_id=site.github_id)
    DeliveryFactory.create(account=acme, status="ignored", outcome="unknown_event", event="fork")
    DeliveryFactory.create(account=acme, waiting=True, event="push", action="")
    page = text(client.get("/deliveries/"))
    for part in (
        "Deliveries 3 arrived",
        "issues · opened",
        "acme/site",
        "Processed The mirror was changed by what it told. 2 min ago",
        "Ignored An event of this kind is not used by the mirror.",
        "Received It waits for a worker.",
    ):
        assert part in page


@pytest.mark.spec("R18.3")
def test_deliveries_are_filtered_and_ordered(acme: Installation, client: Client) -> None:
    now = clock.now()
    old = DeliveryFactory.create(
        account=acme, event="push", action="", received_at=now - timedelta(hours=3)
    )
    new = DeliveryFactory.create(account=acme, status="failed", outcome="refused")
    assert rows(client, "/deliveries/") == [new, old]
    assert rows(client, "/deliveries/?order=oldest") == [old, new]
    assert rows(client, "/deliveries/?event=push") == [old]
    assert rows(client, "/deliveries/?status=failed&action=opened") == [new]
    assert rows(client, "/deliveries/?outcome=refused") == [new]
    assert rows(client, f"/deliveries/?guid={old.guid}") == [old]
    hour = f"{now - timedelta(hours=1):%Y-%m-%d %H:%M}"
    assert rows(client, f"/deliveries/?received_after={hour}") == [new]
    assert rows(client, f"/deliveries/?received_before={hour}") == [old]


@pytest.mark.spec("R18.3")
def test_deliveries_of_one_repository_say_its_name(acme: Installation, client: Client) -> None:
    site = RepositoryFactory.create(installation=acme, name="site")
    mine = DeliveryFactory.create(account=acme, repository_github_id=site.github_id)
    DeliveryFactory.create(account=acme)
    address = f"/deliveries/?repository={site.github_id}"
    assert rows(client, address) == [mine]
    assert "Repository acme/site Remove" in text(client.get(address))
    elsewhere = RepositoryFactory.create()
    hidden = client.get(f"/deliveries/?repository={elsewhere.github_id}")
    assert elsewhere.full_name not in text(hidden)


@pytest.mark.spec("R18.3", "R6.5")
def test_gaps_are_listed_filtered_and_ordered(acme: Installation, client: Client) -> None:
    is_open = GapFactory.create(installation=acme, missed=7)
    shut = GapFactory.create(
        installation=acme,
        closed=True,
        reason="silence",
        missed=9,
        opened_at=clock.now() - timedelta(days=1),
    )
    assert rows(client, "/gaps/") == [is_open, shut]
    assert rows(client, "/gaps/?open=true") == [is_open]
    assert rows(client, "/gaps/?open=false") == [shut]
    assert rows(client, "/gaps/?reason=silence") == [shut]
    assert rows(client, "/gaps/?order=missed") == [shut, is_open]
    page = text(client.get("/gaps/"))
    assert "Gaps 2 found so far" in page
    assert "Failed deliveries acme Found 7" in page
    assert "Silence acme Closed 9" in page
    assert "5 min 0 s 4 min 0 s" in page


@pytest.mark.spec("R19.2")
@lists
def test_a_list_and_its_rows_never_leave_the_tenant(address: str, acme: Installation) -> None:
    user = member_of(acme)
    second = InstallationFactory.create()
    mine, other = of(address, acme), of(address, second)
    client = browser(user)
    assert rows(client, address) == [mine]
    assert rows(client, f"{address}?installation={acme.pk}") == [mine]
    hidden = client.get(f"{address}?installation={second.pk}")
    assert list(hidden.context["page"].object_list) == []
    assert second.account_login not in text(hidden)
    assert client.get(f"{address}{mine.pk}/").status_code == 200
    assert client.get(f"{address}{other.pk}/").status_code == 404
    assert set(rows(browser(staff()), address)) == {mine, other}
    assert Client().get(address).status_code == 302
    assert Client().get(f"{address}{mine.pk}/").status_code == 302


@pytest.mark.spec("R18.3")
@lists
def test_an_empty_list_says_why(address: str, acme: Installation, client: Client) -> None:
    empty = text(client.get(address))
    assert ("No deliveries have arrived yet" in empty) or ("No gaps" in empty)
    field = "event=nothing" if address == "/deliveries/" else "reason=silence"
    of(address, acme)
    assert "matches" in text(client.get(f"{address}?{field}"))
    assert "here" in text(client.get(f"{address}?installation={2**40}"))
    wrong = client.get(f"{address}?installation=x")
    assert "Installation: Enter a whole number" in text(wrong)
    assert "Nothing was searched" in text(wrong)


@pytest.mark.spec("R18.5")
@lists
def test_a_list_costs_the_same_queries_for_one_row_and_for_fifty(
    address: str,
    acme: Installation,
    client: Client,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    def more(number: int) -> None:
        for _ in range(number):
            of(address, acme, **({} if address == "/deliveries/" else {"closed": True}))

    more(1)
    with django_assert_num_queries(5):
        client.get(address)
    more(54)
    with django_assert_num_queries(5):
        page = client.get(f"{address}?order=oldest")
    assert "Page 1 of 2" in text(page)
    assert len(page.context["page"].object_list) == 50


@pytest.mark.spec("R18.5")
def test_a_list_without_end_is_counted_as_far_as_it_is_paged(
    acme: Installation, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_webhooks, "DELIVERIES", replace(pages_webhooks.DELIVERIES, most=3))
    DeliveryFactory.create_batch(5, account=acme)
    page = client.get("/deliveries/")
    assert "Deliveries 3 or more arrived" in text(page)
    assert len(page.context["page"].object_list) == 3


# -- one delivery ----------------------------------------------------------------------------------


@pytest.mark.spec("R18.3", "R11.3")
def test_a_delivery_is_shown_with_its_payload_masked(acme: Installation, client: Client) -> None:
    row = DeliveryFactory.create(
        account=acme,
        body={
            "hook": {"secret": "correct horse"},
            "pusher": {"email": "ann@example.com"},
            "title": HOSTILE,
        },
    )
    page = client.get(f"/deliveries/{row.pk}/")
    html = page.content.decode()
    assert "correct horse" not in html
    assert "ann@example.com" not in html
    assert "a***@example.com" in html
    assert HOSTILE not in html
    said = text(page)
    for part in ("issues · opened", "The mirror was changed", row.guid, "Outcome Updated", "acme"):
        assert part in said
    assert " style=" not in html


@pytest.mark.spec("R17.1")
def test_a_payload_that_is_gone_broken_or_too_large_says_so(
    acme: Installation, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned = DeliveryFactory.create(account=acme, pruned=True)
    assert "Payloads are kept for 14 days" in text(client.get(f"/deliveries/{pruned.pk}/"))
    broken = DeliveryFactory.create(account=acme, payload=b"no zlib")
    assert "cannot be read" in text(client.get(f"/deliveries/{broken.pk}/"))
    large = DeliveryFactory.create(account=acme, payload_bytes=24_000_000)
    assert "Too large to be laid out here" in text(client.get(f"/deliveries/{large.pk}/"))
    monkeypatch.setattr(viewing, "MOST_CHARACTERS", 20)
    cut = DeliveryFactory.create(account=acme, body={"text": "x" * 100})
    page = client.get(f"/deliveries/{cut.pk}/")
    assert "The beginning only" in text(page)
    assert "x" * 50 not in text(page)


@pytest.mark.spec("R17.1")
@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"t":"\\ud83d cut"}', "\ufffd cut"),
        (b'{"n":NaN}', "NaN"),
        (b'{"n":1e999}', "Infinity"),
        (b'{"\\ud83d":1}', "\ufffd"),
    ],
)
def test_a_payload_with_what_json_cannot_say_is_shown_all_the_same(
    body: bytes, shown: str, acme: Installation, client: Client
) -> None:
    row = DeliveryFactory.create(account=acme, payload=pack(body), payload_bytes=len(body))
    page = client.get(f"/deliveries/{row.pk}/")
    assert page.status_code == 200
    assert shown in text(page)


@pytest.mark.spec("R18.3")
def test_what_waits_says_for_what(acme: Installation, client: Client) -> None:
    row = DeliveryFactory.create(
        waiting=True, account=acme, attempts=2, due_at=clock.now() + timedelta(minutes=5)
    )
    page = text(client.get(f"/deliveries/{row.pk}/"))
    assert "An attempt failed. It is tried again by itself. Next attempt in" in page
    assert "Attempts 2" in page
    assert "Account not known yet" in page


@pytest.mark.spec("R18.3", "R19.1")
def test_the_button_replays_once(
    acme: Installation,
    operator: Client,
    rung: list[bool],
    django_capture_on_commit_callbacks: Any,
) -> None:
    row = DeliveryFactory.create(account=acme, status="failed", outcome="refused", attempts=5)
    address = f"/deliveries/{row.pk}/"
    assert f'action="{address}replay/"' in operator.get(address).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        page = operator.post(f"{address}replay/", follow=True)
    assert "waits to be processed once more" in text(page)
    row.refresh_from_db()
    assert (row.status, row.attempts, row.processed_at) == ("received", 0, None)
    again = operator.post(f"{address}replay/", follow=True)
    assert "still waits to be processed" in text(again)
    assert f'action="{address}replay/"' not in again.content.decode()
    assert rung == [True]


@pytest.mark.spec("R19.2")
def test_who_may_not_replay_is_told_why_and_cannot(acme: Installation, client: Client) -> None:
    row = DeliveryFactory.create(account=acme)
    page = client.get(f"/deliveries/{row.pk}/")
    assert "you need the role operator or admin" in text(page)
    assert "replay/" not in page.content.decode()
    assert client.post(f"/deliveries/{row.pk}/replay/").status_code == 403
    assert client.get(f"/deliveries/{row.pk}/replay/").status_code == 405
    stranger = browser(member_of(InstallationFactory.create(), "admin"))
    assert stranger.post(f"/deliveries/{row.pk}/replay/").status_code == 404
    row.refresh_from_db()
    assert row.status == "processed"


# -- one gap ---------------------------------------------------------------------------------------


@pytest.mark.spec("R6.6", "R18.3")
def test_a_gap_tells_its_story(acme: Installation, client: Client) -> None:
    now = clock.now()
    job = SyncJobFactory.create(installation=acme, trigger="gap")
    row = GapFactory.create(
        installation=acme,
        job=job,
        closed=True,
        missed=2,
        opened_at=now - timedelta(minutes=10),
        evidence={
            "missing": [{"guid": "x"}],
            "repositories": [7, 8],
            "counts": {"issues": {"created": 3, "updated": 0}, "commits": {"created": 1}},
        },
        timeline=[
            {"at": (now - timedelta(minutes=10)).isoformat(), "what": "GitHub's log names 2."},
            {"at": (now - timedelta(minutes=8)).isoformat(), "what": "Asked GitHub.", "asked": 2},
            {"at": now.isoformat(), "what": "Everything arrived.", "healed_by": "redelivery"},
            {"what": "no time"},
            "nonsense",
        ],
    )
    healed = MissedDeliveryFactory.create(gap=row, installation=acme, healed=True)
    MissedDeliveryFactory.create(gap=row, installation=acme, kind="timed_out", requests=2)
    page = client.get(f"/gaps/{row.pk}/")
    said = text(page)
    for part in (
        "Failed deliveries Closed",
        "2 missed 5 min 0 s time to detect 4 min 0 s time to repair",
        "The first delivery was missed",
        "log names 2.",
        "Asked GitHub.",
        "Everything arrived.",
        "The run that caught up : succeeded",
        "Repositories read again 2",
        "What the run changed 4 created",
        "Answered with an error, 502 Bad Gateway",
        "GitHub redelivered it",
        "GitHub was asked 2 times to redeliver it",
        "not yet",
    ):
        assert part in said
    assert said.index("The first delivery") < said.index("Asked GitHub.")
    assert f"/jobs/{job.pk}/" in page.content.decode()
    assert f"guid={healed.guid}" in page.content.decode()


@pytest.mark.spec("R6.6")
def test_an_open_gap_says_for_how_long_and_what_comes_next(
    acme: Installation, client: Client
) -> None:
    row = GapFactory.create(
        installation=acme,
        reason="silence",
        missed=0,
        next_step_at=clock.now() + timedelta(minutes=3),
    )
    said = text(client.get(f"/gaps/{row.pk}/"))
    assert "open for 10 min" in said
    assert "Next step in 2 min" in said or "Next step in 3 min" in said
    assert "the evidence of a silence" in said
    assert "The last delivery before the silence" in said


@pytest.mark.spec("R18.5")
def test_a_gap_costs_the_same_queries_however_much_was_missed(
    acme: Installation, client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    row = GapFactory.create(installation=acme)
    MissedDeliveryFactory.create(gap=row, installation=acme)
    with django_assert_num_queries(5):
        client.get(f"/gaps/{row.pk}/")
    MissedDeliveryFactory.create_batch(20, gap=row, installation=acme)
    with django_assert_num_queries(5):
        client.get(f"/gaps/{row.pk}/")


# -- hook health -----------------------------------------------------------------------------------


def health(row: Installation) -> hook_health.Health:
    return hook_health.read(row, clock.now())


@pytest.mark.spec("R6.4", "R18.3")
def test_the_badge_names_the_worst(acme: Installation) -> None:
    now = clock.now()
    assert health(acme).badge == "Nothing arrived yet"
    state = WebhookState.objects.create(installation=acme, last_delivery_at=now - timedelta(days=2))
    assert health(acme).badge == "Quiet"
    state.last_delivery_at = now
    state.save()
    hook = HookFactory.create()
    assert health(acme).badge == "Healthy"
    HookFactory.create(installation=InstallationFactory.create(), failing=True, github_id=4)
    assert health(acme).badge == "Healthy"
    hook.active = False
    hook.save()
    assert health(acme).badge == "Switched off"
    hook.failures = 1
    hook.save()
    assert health(acme).badge == "Log cannot be read"
    gap = GapFactory.create(installation=acme)
    assert health(acme).badge == "Gap open"
    Gap.objects.filter(pk=gap.pk).update(step="closed", closed_at=now)
    assert health(acme).badge == "Log cannot be read"
    acme.status = "suspended"
    assert health(acme).badge == "Paused"


@pytest.mark.spec("R6.4", "R18.3")
def test_the_page_of_an_account_shows_how_its_webhooks_are(
    acme: Installation, client: Client
) -> None:
    now = clock.now()
    shares = [0.0] * 168
    shares[24 + 9] = 0.5
    shares[24 + 10] = 0.25
    WebhookState.objects.create(
        installation=acme,
        last_delivery_at=now - timedelta(minutes=3),
        consecutive_failures=4,
        rhythm=shares,
        rhythm_at=now,
    )
    HookFactory.create(failing=True)
    DeliveryFactory.create_batch(2, account=acme)
    DeliveryFactory.create(account=acme, waiting=True)
    DeliveryFactory.create(account=acme, received_at=now - timedelta(days=2))
    gap = GapFactory.create(installation=acme)
    MissedDeliveryFactory.create(installation=acme, healed=True)
    MissedDeliveryFactory.create(installation=acme)
    page = client.get(f"/installations/{acme.pk}/")
    said = text(page)
    for part in (
        "Webhooks Gap open",
        "Last delivery 3 min ago",
        "1 received , 2 processed",
        "2 missed, 1 healed",
        "log 4",
        "GitHub refuses access",
        "Busiest on Tuesday at 09:00 UTC: deliveries in 50.0 % of the minutes.",
        "Tuesday 09:00 to 11:00",
        "Monday quiet",
    ):
        assert part in said
    html = page.content.decode()
    assert f"/gaps/{gap.pk}/" in html
    assert html.count("<rect") == 168
    assert 'role="img"' in html
    assert " style=" not in html


@pytest.mark.spec("R6.4")
@pytest.mark.parametrize("rhythm", [[], [0.0] * 168, [1.0] * 24, {"a": 1}, ["x"] * 168])
def test_a_rhythm_that_is_none_is_not_drawn(rhythm: Any) -> None:
    assert hook_health.week(rhythm, None) is None


@pytest.mark.spec("R18.5")
def test_health_costs_the_same_queries_however_much_there_is(
    acme: Installation, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(5):
        health(acme)
    DeliveryFactory.create_batch(5, account=acme)
    HookFactory.create_batch(3)
    MissedDeliveryFactory.create_batch(3, installation=acme)
    GapFactory.create(installation=acme)
    with django_assert_num_queries(5):
        health(acme)


@pytest.mark.spec("R18.3", "R19.2")
def test_a_repository_shows_its_last_deliveries_and_nobody_elses(
    acme: Installation, client: Client
) -> None:
    site = RepositoryFactory.create(installation=acme)
    assert "No webhook has told of this repository" in text(client.get(f"/repositories/{site.pk}/"))
    mine = DeliveryFactory.create_batch(6, account=acme, repository_github_id=site.github_id)
    # The repository came from another account, whose deliveries stay its own.
    DeliveryFactory.create(repository_github_id=site.github_id, event="star")
    page = client.get(f"/repositories/{site.pk}/")
    assert len(page.context["deliveries"]) == 5
    assert set(page.context["deliveries"]) < set(mine)
    assert "star" not in [row.event for row in page.context["deliveries"]]


@pytest.mark.spec("R18.3")
def test_who_sees_no_account_sees_empty_lists() -> None:
    DeliveryFactory.create()
    GapFactory.create()
    nobody = browser(UserFactory.create())
    assert rows(nobody, "/deliveries/") == []
    assert rows(nobody, "/gaps/") == []
