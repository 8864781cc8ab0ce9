"""The dashboard: who may see it, what it says, how it is narrowed and ordered, and the same as a file."""

import csv
import io
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from alerts import fleet, pages_csv
from alerts.csv_export import recovered
from alerts.fleet_values import STATUSES, Fleet, FleetFilters, Order, Window
from alerts.models import Incident
from reconciliation.models import Discrepancy
from syncsvc import clock
from syncsvc.models import Heartbeat, Installation
from tests.factories import (
    DeadLetterFactory,
    GapFactory,
    InstallationFactory,
    RateBudgetFactory,
    SyncJobFactory,
    UserFactory,
)
from tests.judge_factories import (
    DiscrepancyFactory,
    ReviewFactory,
    RunFigureFactory,
    SampleAuditFactory,
)
from tests.people_support import browser, member_of, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.1")]

PAGE = "/admin/sync-health/"
FILE = "/admin/sync-health.csv"
HOSTILE = "<script>alert(1)</script>"
NEWS = {"HX-Request": "true"}
MOST_QUERIES = 15


@pytest.fixture(autouse=True)
def awake() -> None:
    """Everything gives signs of life: else the first sentence would only say that it does not."""
    now = clock.now()
    for component in ("worker", "beat", "sweeper"):
        Heartbeat.objects.create(
            component=component, instance="test", beaten_at=now, started_at=now
        )


@pytest.fixture
def client() -> Client:
    return browser(staff())


def account(login: str, *, compared: int = 0, matched: int = 0, **more: Any) -> Installation:
    row = InstallationFactory.create(account_login=login, last_synced_at=clock.now(), **more)
    if compared:
        RunFigureFactory.create(installation=row, compared=compared, matched=matched)
    return row


def get(client: Client, address: str = PAGE, **query: Any) -> Any:
    answer = client.get(f"{address}?{urlencode(query)}" if query else address)
    assert answer.status_code == 200, answer.content.decode()[:500]
    return answer


def text(client: Client, **query: Any) -> str:
    return " ".join(get(client, **query).content.decode().split())


def logins(answer: Any) -> list[str]:
    return [row.login for row, _ in answer.context["rows"]]


def parsed(client: Client, **query: Any) -> list[dict[str, str]]:
    body = get(client, FILE, **query).getvalue().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(body, newline="")))


# -- who -------------------------------------------------------------------------------------------


@pytest.mark.spec("R19.2")
@pytest.mark.parametrize("address", [PAGE, FILE])
def test_only_staff_may_see_it_others_come_to_the_admins_log_in(address: str) -> None:
    mine = account("acme")
    for client in (
        Client(),
        browser(member_of(mine, "admin")),
        browser(UserFactory.create(is_superuser=True)),
    ):
        answer = client.get(address)
        assert answer.status_code == 302
        assert answer["Location"] == f"/admin/login/?next={address}"
        assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"  # as there
    assert browser(UserFactory.create(is_staff=True)).get(address).status_code == 200


def test_a_page_that_asks_for_news_after_its_session_is_led_to_the_log_in() -> None:
    answer = Client().get(PAGE, headers=NEWS | {"HX-Current-URL": f"http://testserver{PAGE}?q=a"})

    assert answer["HX-Redirect"] == "/admin/login/?next=%2Fadmin%2Fsync-health%2F%3Fq%3Da"


def test_nothing_can_be_written_by_it(client: Client) -> None:
    assert client.post(PAGE).status_code == 405
    assert client.post(FILE).status_code == 405


# -- what ------------------------------------------------------------------------------------------


def test_an_empty_mirror_is_not_known_and_says_what_next(client: Client) -> None:
    page = text(client)

    assert "there is no account to look at" in page
    assert "Nothing is mirrored yet" in page
    assert re.search(r'href="/">See how to mirror one</a>', page)
    assert "100" not in re.sub(r"<script.*?</script>|<svg.*?</svg>", "", page.split("<main")[1])


def test_what_was_never_compared_is_nowhere_100_percent(client: Client) -> None:
    account("acme")

    page = text(client).split("<main")[1]

    assert "It is not known whether the mirror is right" in page
    assert not re.search(r"100(\.00)? %", page)
    assert parsed(client)[0]["accuracy_24h"] == ""
    assert parsed(client)[0]["success_rate_7d"] == ""


@pytest.mark.spec("P18")
@pytest.mark.spec("P19")
@pytest.mark.spec("P20")
@pytest.mark.spec("P21")
@pytest.mark.spec("P22")
def test_one_page_answers_every_question(client: Client) -> None:
    now = clock.now()
    row = account(
        "acme", compared=10_000, matched=9_999, next_scheduled_at=now + timedelta(minutes=9)
    )
    run = SyncJobFactory.create(installation=row)
    SyncJobFactory.create(installation=row, failed=True)
    SampleAuditFactory.create(installation=row)
    GapFactory.create(installation=row)
    DiscrepancyFactory.create(installation=row, correlation_id=run.pk)
    RateBudgetFactory.create(installation=row)
    Incident.objects.create(
        key="k", kind="stale", severity="high", title=f"Stale {HOSTILE}", installation=row,
        opened_at=now - timedelta(minutes=20), last_seen_at=now, correlation_id=run.pk,
    )  # fmt: skip

    answer = get(client)
    page = " ".join(answer.content.decode().split())

    for question in (
        "Is the mirror right?", "Where is it not?", "Since when?", "What is being done about it?",
        "What does it cost?", "Prove it",
    ):  # fmt: skip
        assert f">{question}</h2>" in page
    assert "The mirror is right: 99.99 % over 24 h, goal 99.5 %; 1 discrepancy still open." in page
    assert "66.66 %" in page  # two of three runs succeeded; nothing is rounded up
    assert HOSTILE not in page
    assert f'href="/admin/sync-health/find/?q={run.pk}"' in page
    for address in (
        f"/installations/{row.pk}/",
        f"/discrepancies/?installation={row.pk}&amp;open=true",
        f"/gaps/?installation={row.pk}&amp;open=true",
        f"/admin/sync-health/incidents/?installation={row.pk}&amp;open=true",
    ):
        assert f'href="{address}"' in page
    [(shown, _)] = answer.context["rows"]
    assert f'href="/jobs/{shown.last_run.job_id}/"' in page
    assert len(answer.context["charts"]) == 6
    assert "As a table" in page


def test_a_server_that_sleeps_is_said_before_any_figure(client: Client) -> None:
    account("acme", compared=10, matched=10)
    Heartbeat.objects.filter(component="worker").update(beaten_at=clock.now() - timedelta(hours=1))

    page = text(client)

    assert "a part of this server gives no sign of life" in page
    assert 'href="/system/"' in page
    assert "The mirror is right" not in page


def test_every_link_of_the_page_leads_somewhere(client: Client) -> None:
    row = account("acme", compared=10, matched=9)
    SyncJobFactory.create(installation=row)
    ReviewFactory.create(installation=row)
    DeadLetterFactory.create(installation=row)
    DiscrepancyFactory.create(installation=row)
    GapFactory.create(installation=row)

    page = text(client, installation=row.pk)
    addresses = {
        found.replace("&amp;", "&").partition("#")[0]
        for found in re.findall(r'href="(/[^"]+|\?[^"]+)"', page.split("<main")[1])
    }

    assert len(addresses) > 20
    for address in addresses:
        full = f"{PAGE}{address}" if address.startswith("?") else address
        answer = client.get(full)
        if answer.streaming:
            answer.getvalue()
        assert answer.status_code == 200, full
        if not address.startswith("/admin/"):
            assert "Nothing was searched" not in answer.content.decode(), full


@pytest.mark.parametrize(
    "login", ["x" * 255, "שלום-עולם", "🚀🌍", "-x", "=1+1", "'quoted", HOSTILE, "100%"]
)
def test_odd_logins_are_shown_as_they_are_and_cannot_break_out(client: Client, login: str) -> None:
    account(login, compared=10, matched=10)

    answer = get(client, q=login)

    assert logins(answer) == [login]
    assert HOSTILE not in answer.content.decode()
    [line] = parsed(client, q=login)
    assert recovered(line["account"]) == login
    assert not line["account"].startswith(("=", "+", "-", "@", "\t", "\r"))


# -- news ------------------------------------------------------------------------------------------


def test_news_are_the_parts_that_change_and_are_said_once(client: Client) -> None:
    account("acme", compared=10, matched=10)
    poll = re.search(r'hx-get="([^"]+)"', get(client, window="7d").content.decode())
    assert poll is not None
    address = PAGE + poll[1].replace("&amp;", "&")

    quiet = client.get(address, headers=NEWS).content.decode()
    RunFigureFactory.create(installation=Installation.objects.get(), compared=100, matched=1)
    loud = client.get(address, headers=NEWS).content.decode()

    assert "<html" not in quiet
    assert "<form" not in quiet  # what somebody types is left alone
    assert "window=7d" in quiet
    assert 'id="verdict"' in quiet
    assert "health-news" not in quiet
    assert re.search(r'id="health-news"[^>]*>The mirror is not right', loud)


def test_what_a_reader_may_stand_on_or_open_has_a_name_of_its_own(client: Client) -> None:
    for login in ("a", "b"):
        DiscrepancyFactory.create(installation=account(login, compared=10, matched=9))
    page = text(client)

    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    part = page[page.index('<div id="health"') : page.index('<section class="proof"')]
    assert not [
        link
        for link in re.findall(r"<a [^>]*>", part)
        if " id=" not in link and "?page" not in link
    ]
    assert not [each for each in re.findall(r"<details[^>]*>", part) if " id=" not in each]
    assert "style=" not in page
    assert not re.search(r"<script(?![^>]* src=)", page)


# -- narrowed and ordered --------------------------------------------------------------------------


def test_accounts_are_narrowed_by_login_and_number(client: Client) -> None:
    acme = account("acme")
    account("beta")

    assert logins(get(client, q="AC")) == ["acme"]
    assert logins(get(client, installation=acme.pk)) == ["acme"]
    assert logins(get(client, installation="beta")) == ["beta"]
    assert logins(get(client, q="%")) == []
    assert "No account matches" in text(client, q="nobody")


def test_accounts_are_narrowed_by_type_of_what_was_found(client: Client) -> None:
    old = clock.now() - timedelta(days=3)
    DiscrepancyFactory.create(installation=account("acme"), type="missing_issue")
    DiscrepancyFactory.create(installation=account("beta"), type="missing_issue", detected_at=old)
    account("gamma")

    assert logins(get(client, type="missing_issue")) == ["acme"]
    assert sorted(logins(get(client, type="missing_issue", window="7d"))) == ["acme", "beta"]
    assert logins(get(client, type="stale_issue", window="30d")) == []


def test_accounts_are_narrowed_by_status(client: Client) -> None:
    account("asleep", status="suspended", suspended_at=clock.now())
    account("busy")
    SyncJobFactory.create(installation=Installation.objects.get(account_login="busy"), running=True)
    account("fine", compared=10, matched=10)

    assert logins(get(client, status="suspended")) == ["asleep"]
    assert logins(get(client, status="syncing")) == ["busy"]
    assert sorted(logins(get(client, status="active"))) == ["busy", "fine"]
    for status in STATUSES:
        assert get(client, status=status).context["asked"].filters.status == status


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("way", ["", "-"])
def test_every_order_is_the_same_on_page_and_in_file(client: Client, order: str, way: str) -> None:
    for number, login in enumerate(("c", "a", "b", "unknown")):
        row = account(login, compared=0 if login == "unknown" else 100, matched=90 + number)
        if login == "c":
            DiscrepancyFactory.create(installation=row)

    answer = get(client, order=f"{way}{order}")

    assert sorted(logins(answer)) == ["a", "b", "c", "unknown"]
    assert logins(answer) == [line["account"] for line in parsed(client, order=f"{way}{order}")]
    if order in ("accuracy", "accuracy_week"):
        assert logins(answer) == [*("bac" if way else "cab"), "unknown"]  # unknown is no extreme
    if order != "attention":
        sort = "descending" if way else "ascending"
        assert f'aria-sort="{sort}"' in answer.content.decode()


def test_filters_are_kept_by_heads_pages_and_file(client: Client) -> None:
    account("acme")
    page = text(client, q="ac", window="7d")

    assert 'href="?q=ac&amp;window=7d&amp;order=login#accounts"' in page
    assert 'href="/admin/sync-health.csv?q=ac&amp;window=7d"' in page


@pytest.mark.parametrize(
    "wrong",
    [{"window": "1y"}, {"status": "odd"}, {"type": HOSTILE}, {"order": "up"}, {"q": "x" * 300}],
)
def test_a_wrong_filter_is_said_at_its_field_and_loses_nothing(
    client: Client, wrong: dict[str, str]
) -> None:
    account("acme")
    [name] = wrong

    page = text(client, **({"q": "acme", "status": "active"} | wrong))

    assert f'id="error-{name}"' in page
    assert "Nothing was searched" in page
    assert HOSTILE not in page
    if name != "q":
        assert 'value="acme"' in page
    if name != "status":
        assert '<option value="active" selected>' in page
    answer = client.get(f"{FILE}?{urlencode(wrong)}")
    assert answer.status_code == 302
    assert str(answer["Location"]).startswith(f"{PAGE}?")


@pytest.mark.parametrize("page", ["0", "-1", "x", "99999999999999", "7"])
def test_a_page_that_is_not_there_is_the_nearest(client: Client, page: str) -> None:
    account("acme")

    assert logins(get(client, page=page)) == ["acme"]


# -- as a file -------------------------------------------------------------------------------------


def test_the_file_has_all_pages_of_what_is_filtered_and_what_the_database_says(
    client: Client,
) -> None:
    InstallationFactory.create_batch(53)
    row = account("acme", compared=1_000, matched=999)
    DiscrepancyFactory.create(installation=row)
    SyncJobFactory.create(installation=row)

    first, second = get(client, order="login"), get(client, order="login", page=2)
    lines = parsed(client, order="login")

    assert [len(first.context["rows"]), len(second.context["rows"])] == [50, 4]
    assert [line["account"] for line in lines] == logins(first) + logins(second)
    assert sorted(line["account"] for line in lines) == sorted(
        Installation.objects.values_list("account_login", flat=True)
    )
    [mine] = [line for line in lines if line["account"] == "acme"]
    assert float(mine["accuracy_24h"]) == 0.999
    assert (mine["compared_24h"], mine["wrong_7d"]) == ("1000", "1")
    assert mine["open_discrepancies"] == str(Discrepancy.objects.count())
    assert mine["discrepancies_by_type"] == "stale_issue 1"
    assert mine["last_run_status"] == "succeeded"
    [only] = parsed(client, q="acme")
    assert only["installation"] == str(row.pk)


def test_the_file_is_named_by_its_day_and_filters_and_leaves_before_it_is_read(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    account("acme")
    read: list[FleetFilters] = []
    reading = fleet.read

    def noted(filters: FleetFilters, *args: Any, **more: Any) -> Fleet:
        read.append(filters)
        return reading(filters, *args, **more)

    monkeypatch.setattr(fleet, "read", noted)

    answer: Any = client.get(f"{FILE}?window=7d&status=active&q=AC")

    day = clock.now().date().isoformat()
    assert answer["Content-Disposition"] == (
        f'attachment; filename="sync-health-{day}-7d-ac-status-active.csv"'
    )
    pieces = iter(answer.streaming_content)
    assert next(pieces).decode("utf-8-sig").startswith("account,installation,")
    assert not read
    assert next(pieces).startswith(b"acme,")


def test_every_column_of_the_file_is_explained() -> None:
    explained = re.findall(
        r"^\| `([a-z0-9_]+)` \|",
        (Path(__file__).parents[2] / "docs" / "sync-health.md").read_text(),
        re.MULTILINE,
    )
    assert explained == pages_csv.header()


# -- cost ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", list(Window))
def test_many_accounts_cost_as_many_queries_as_one(client: Client, window: str) -> None:
    def fill(login: str) -> None:
        row = account(login, compared=10, matched=9)
        SyncJobFactory.create(installation=row)
        SampleAuditFactory.create(installation=row)
        DiscrepancyFactory.create(installation=row)
        RateBudgetFactory.create(installation=row)

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            get(client, window=window)
        return len(found)

    fill("first")
    queries()
    few = queries()
    for number in range(8):
        fill(f"more-{number}")
    assert queries() == few <= MOST_QUERIES


def test_the_figures_are_those_of_the_fleet(client: Client) -> None:
    account("acme", compared=1_000, matched=990)
    found = fleet.read(FleetFilters(), clock.now())

    answer = get(client)

    assert answer.context["right"][0]["value"] == "99.00 %"
    assert found.totals.day.tally.wrong == 10
