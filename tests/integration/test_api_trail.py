"""The audit log and performance over the API: who may read it, every filter, and what one entry shows."""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from reconciliation import selectors_trail
from reconciliation.api_trail import AuditFilters
from reconciliation.models import AuditEntry, AuditError, AuditRecord
from syncsvc import clock
from syncsvc.models import Installation, Repository
from tests.factories import PASSWORD, InstallationFactory, RepositoryFactory, SyncJobFactory
from tests.people_support import PROBLEM, api, browser, member_of, staff

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIELDS = (
    "id kind at ended_at installation repository correlation_id trigger mode dry_run actor actor_name "
    "status attempts succeeded failed counts verification phases_seconds records_per_second api "
    "errors_by_category warning detail"
)


def entry(**values: Any) -> AuditEntry:
    """A run that succeeded; name what it is about."""
    made: dict[str, Any] = {
        "kind": "run",
        "at": clock.now(),
        "correlation_id": uuid.uuid4(),
        "trigger": "cron",
        "mode": "full",
        "status": "succeeded",
        "actor_name": "system",
    }
    return AuditEntry.objects.create(**made | values)


def record(of: AuditEntry, *items: str, **values: Any) -> AuditRecord:
    """What it did to these items."""
    made = {"at": of.at, "entity": "issues", "operation": "update", "result": "done"}
    return AuditRecord.objects.create(entry=of, items=list(items), **made | values)


def found(user: Any, query: str) -> list[int]:
    response = api(user).get(f"/api/v1/audit-log/?{query}")
    assert response.status_code == 200, response.json()
    return [row["id"] for row in response.json()["results"]]


# -- who -------------------------------------------------------------------------------------------


@pytest.mark.spec("R11.2", "R19.2")
def test_the_log_is_for_admins_each_of_whom_sees_their_own_installations() -> None:
    mine, other = InstallationFactory.create(), InstallationFactory.create()
    own, foreign = entry(installation=mine), entry(installation=other)
    login = entry(kind="login", correlation_id=None, status="done")
    assert found(staff(), "ordering=id") == [own.pk, foreign.pk, login.pk]
    admin = member_of(mine, "admin")
    assert found(admin, "") == [own.pk]
    assert api(admin).get(f"/api/v1/audit-log/{own.pk}/").status_code == 200
    for hidden in (foreign, login):
        for part in ("", "records/", "errors/"):
            path = f"/api/v1/audit-log/{hidden.pk}/{part}"
            assert api(admin).get(path).status_code == 404
    assert api().get("/api/v1/audit-log/").status_code == 401
    for role in ("member", "support", "operator"):
        client = api(member_of(mine, role))
        for path in ("", f"{own.pk}/", f"{own.pk}/records/", f"{own.pk}/errors/"):
            refused = client.get(f"/api/v1/audit-log/{path}")
            assert (refused.status_code, refused["Content-Type"]) == (403, PROBLEM)
    assert api(admin).delete(f"/api/v1/audit-log/{own.pk}/").status_code == 405


@pytest.mark.spec("R11.2")
@pytest.mark.parametrize(("role", "queries"), [("staff", 1), ("admin", 2)])
def test_the_list_costs_the_same_queries_however_long_it_is(
    role: str, queries: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    mine = InstallationFactory.create()
    client = api(staff() if role == "staff" else member_of(mine, "admin"))
    record(entry(installation=mine), "1")
    with django_assert_num_queries(queries):
        client.get("/api/v1/audit-log/")
    for _ in range(49):
        record(entry(installation=mine), "1")
    with django_assert_num_queries(queries):
        rows = client.get("/api/v1/audit-log/").json()["results"]
    assert len(rows) == 50
    assert set(FIELDS.split()) <= set(rows[0])


# -- one entry -------------------------------------------------------------------------------------


@pytest.mark.spec("R11.1", "P7", "P8")
def test_a_single_entry_shows_records_and_errors_and_leads_to_all_of_them() -> None:
    row = RepositoryFactory.create()
    run = entry(installation=row.installation)
    for number in range(130):
        record(run, str(number), repository=row)
        AuditError.objects.create(
            entry=run, at=run.at, item=str(number), category="network", message="No answer."
        )
    client = api(staff())
    shown = client.get(f"/api/v1/audit-log/{run.pk}/").json()
    assert (shown["records_total"], shown["errors_total"]) == (130, 130)
    assert (len(shown["records"]), len(shown["errors"])) == (100, 100)
    assert shown["records"][0] | {"id": 0, "at": ""} == {
        "id": 0,
        "at": "",
        "repository": row.pk,
        "repository_full_name": row.full_name,
        "entity": "issues",
        "operation": "update",
        "result": "done",
        "items": ["0"],
        "error": "",
    }
    assert shown["errors"][0]["category"] == "network"
    for name in ("records", "errors"):
        address, seen = f"/api/v1/audit-log/{run.pk}/{name}/?page_size=60", []
        while address:
            page = client.get(address).json()
            seen += [
                one["items"][0] if name == "records" else one["item"] for one in page["results"]
            ]
            address = page["next"]
        assert seen == [str(number) for number in range(130)]


# -- filters ---------------------------------------------------------------------------------------

KINDS = ("run", "manual_sync", "repair")
STATUSES = ("succeeded", "failed", "done")
ITEMS = tuple(str(number) for number in range(8))


@dataclass
class Known:
    """What the log holds, as plain values, and what it is asked."""

    entries: list[dict[str, Any]]
    installations: list[Installation]
    names: list[str]


def history() -> Known:
    """Sixty entries of three hours, of two accounts with two repositories each."""
    chance = random.Random(7)
    installations = [InstallationFactory.create(), InstallationFactory.create()]
    rows = [RepositoryFactory.create(installation=each) for each in installations for _ in range(2)]
    known = []
    for number in range(60):
        where = chance.choice([*installations, None])
        own = [row for row in rows if row.installation == where]
        about = chance.choice(own).full_name.upper() if own and chance.random() < 0.3 else ""
        made = entry(
            kind=chance.choice(KINDS),
            status=chance.choice(STATUSES),
            installation=where,
            repository=about,
            at=NOON + timedelta(minutes=3 * number),
        )
        names, items = {about.lower()} - {""}, set()
        for _ in range(chance.randint(0, 3)):
            row: Repository | None = chance.choice([*own, None]) if own else None
            keys = chance.sample(ITEMS, chance.randint(1, 3))
            record(made, *keys, repository=row)
            items |= set(keys)
            names |= {row.full_name.lower()} if row else set()
        known.append(
            {
                "pk": made.pk,
                "at": made.at,
                "kind": made.kind,
                "status": made.status,
                "installation": where.pk if where else None,
                "correlation_id": str(made.correlation_id),
                "names": names,
                "items": items,
            }
        )
    return Known(known, installations, [row.full_name for row in rows])


MATCHES: dict[str, Callable[[dict[str, Any], Any], bool]] = {
    "since": lambda row, value: row["at"] >= value,
    "until": lambda row, value: row["at"] < value,
    "kind": lambda row, value: row["kind"] == value,
    "status": lambda row, value: row["status"] == value,
    "installation": lambda row, value: row["installation"] == value,
    "correlation_id": lambda row, value: row["correlation_id"] == value,
    "repository": lambda row, value: value.lower() in row["names"],
    "item": lambda row, value: value in row["items"],
}


@pytest.mark.spec("R11.2", "P10")
def test_a_query_gives_every_entry_that_matches_all_filters_and_no_other() -> None:
    known = history()
    filterset: Any = AuditFilters
    moments = st.integers(min_value=-5, max_value=185).map(lambda n: NOON + timedelta(minutes=n))
    wishes = st.fixed_dictionaries(
        {},
        optional={
            "since": moments,
            "until": moments,
            "kind": st.sampled_from(KINDS),
            "status": st.sampled_from(STATUSES),
            "installation": st.sampled_from([*(each.pk for each in known.installations), 10**9]),
            "repository": st.sampled_from([*known.names, "nobody/nothing"]),
            "correlation_id": st.sampled_from([row["correlation_id"] for row in known.entries]),
            "item": st.sampled_from([*ITEMS, "none"]),
        },
    )
    people = {
        None: staff(),
        known.installations[0].pk: member_of(known.installations[0], "admin"),
    }

    @given(wishes, st.sampled_from(list(people)))
    def ask(query: dict[str, Any], tenant: int | None) -> None:
        said = {
            name: value.isoformat() if isinstance(value, datetime) else str(value)
            for name, value in query.items()
        }
        filters: Any = filterset(said, queryset=selectors_trail.entries(people[tenant]))
        assert filters.is_valid()
        expected = {
            row["pk"]
            for row in known.entries
            if all(MATCHES[name](row, value) for name, value in query.items())
            and (tenant is None or row["installation"] == tenant)
        }
        given_back = list(filters.qs.values_list("pk", flat=True))
        assert sorted(given_back) == sorted(expected)

    ask()
    one = known.entries[30]
    query = f"since={one['at']:%Y-%m-%dT%H:%M:%SZ}&until=2026-03-01T13:31:00Z&kind={one['kind']}"
    assert found(staff(), query) == [one["pk"]]
    assert found(staff(), f"repository={known.names[0].upper()}&page_size=500") == [
        row["pk"] for row in reversed(known.entries) if known.names[0].lower() in row["names"]
    ]


@pytest.mark.spec("R11.2")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("kind=boredom", "kind"),
        ("status=fine", "status"),
        ("since=yesterday", "since"),
        ("correlation_id=7", "correlation_id"),
        ("item=%00", "item"),
        ("repositry=a/b", "repositry"),
    ],
)
def test_a_wrong_or_unknown_filter_is_named(query: str, field: str) -> None:
    response = api(staff()).get(f"/api/v1/audit-log/?{query}")
    assert (response.status_code, response["Content-Type"]) == (400, PROBLEM)
    assert field in response.json()["errors"]


# -- what people do --------------------------------------------------------------------------------


@pytest.mark.spec("R11.2")
def test_syncs_cancels_and_logins_are_audited_with_the_user() -> None:
    mine = InstallationFactory.create(last_listed_at=clock.now())
    user = member_of(mine, "operator")
    client = browser(user)
    cache.clear()

    def ask(path: str) -> dict[str, Any]:
        answer: dict[str, Any] = client.post(path, content_type="application/json").json()
        return answer

    started = ask(f"/api/v1/installations/{mine.pk}/sync/")
    refused = ask(f"/api/v1/installations/{mine.pk}/sync/")
    ask(f"/api/v1/jobs/{started['job_id']}/cancel/")
    words = {"username": user.username, "password": PASSWORD}
    assert api().post("/api/v1/auth/token/", words, format="json").status_code == 200
    wrong = words | {"password": "wrong"}
    assert api().post("/api/v1/auth/token/", wrong, format="json").status_code == 401
    rows = AuditEntry.objects.order_by("pk")
    assert [(row.kind, row.installation_id, row.detail) for row in rows] == [
        ("login", None, {"through": "page"}),
        ("manual_sync", mine.pk, {"decision": "start", "reason": "accepted"}),
        ("manual_sync", mine.pk, {"decision": "skip", "reason": refused["decision"]["reason"]}),
        ("cancel", mine.pk, {}),
        ("login", None, {"through": "token"}),
        ("login_failed", None, {"name": user.username, "through": "token"}),
    ]
    assert {(row.actor_id, row.actor_name, row.status) for row in rows[:5]} == {
        (user.pk, user.username, "done")
    }
    assert (rows[5].actor_id, rows[5].actor_name) == (None, "system")
    assert str(rows[1].correlation_id) == str(rows[3].correlation_id) == started["job_id"]


# -- performance -----------------------------------------------------------------------------------


def timed(seconds: float, **values: Any) -> AuditEntry:
    phases = {"fetch": seconds / 2, "compare": 0.0, "update": 0.0, "verify": 0.0, "total": seconds}
    return entry(
        phases_seconds=phases,
        ended_at=clock.now(),
        succeeded=90,
        failed=10,
        api={"requests": 7, "not_modified": 3, "graphql_points": 1},
        errors_by_category={"network": 2},
        **values,
    )


@pytest.mark.spec("R12.1", "P26")
def test_performance_adds_up_the_runs_that_ended_in_a_time() -> None:
    mine, other = InstallationFactory.create(), InstallationFactory.create()
    now = clock.now()
    for seconds, status in ((1.0, "succeeded"), (2.0, "partial"), (9.0, "failed")):
        timed(seconds, installation=mine, status=status)
    timed(50.0, installation=mine, status="cancelled")
    timed(50.0, installation=mine, dry_run=True)
    timed(50.0, installation=mine, at=now - timedelta(days=8))
    timed(100.0, installation=other)
    entry(installation=mine, status="running")
    user = member_of(mine)
    shown = api(user).get("/api/v1/performance/").json()
    assert shown["phases_mean_seconds"]["fetch"] == pytest.approx(2.0)
    assert {name: shown[name] for name in shown if name not in ("since", "until")} | {
        "phases_mean_seconds": {}
    } == {
        "truncated": False,
        "runs": 3,
        "failed": 1,
        "error_rate": pytest.approx(1 / 3),
        "record_error_rate": pytest.approx(0.1),
        "mean_seconds": pytest.approx(4.0),
        "peak_seconds": 9.0,
        "p95_seconds": 9.0,
        "phases_mean_seconds": {},
        "records": 300,
        "records_per_second": pytest.approx(25.0),
        "requests": 21,
        "not_modified": 9,
        "errors_by_category": {"network": 6},
    }
    client = api(staff())
    assert client.get("/api/v1/performance/").json()["runs"] == 4
    assert client.get(f"/api/v1/performance/?installation={other.pk}").json()["runs"] == 1
    early = (now - timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%SZ")
    asked = f"/api/v1/performance/?installation={mine.pk}&since={early}"
    assert client.get(asked).json()["runs"] == 4
    until = (now - timedelta(days=8, hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    nothing = client.get(f"{asked}&until={until}").json()
    assert (nothing["runs"], nothing["mean_seconds"], nothing["error_rate"]) == (0, None, None)


@pytest.mark.spec("R12.1", "R19.2")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("installation=acme", "installation"),
        ("since=yesterday", "since"),
        ("since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z", "until"),
        ("until=0001-01-01", "until"),
        ("colour=red", "colour"),
    ],
)
def test_a_wrong_question_about_performance_names_the_field(query: str, field: str) -> None:
    response = api(staff()).get(f"/api/v1/performance/?{query}")
    assert (response.status_code, response["Content-Type"]) == (400, PROBLEM)
    assert field in response.json()["errors"]


@pytest.mark.spec("R12.1", "R19.2")
def test_performance_of_another_tenant_is_absent(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    mine, other = InstallationFactory.create(), InstallationFactory.create()
    client = api(member_of(mine))
    assert client.get(f"/api/v1/performance/?installation={other.pk}").status_code == 404
    assert api().get("/api/v1/performance/").status_code == 401
    for _ in range(3):
        timed(1.0, installation=mine)
    with django_assert_num_queries(1):
        assert client.get("/api/v1/performance/").json()["runs"] == 3


# -- the admin, and the page of a run ---------------------------------------------------------------


@pytest.mark.spec("R11.2", "R18.2")
def test_the_admin_finds_entries_by_repository_and_item_and_changes_none() -> None:
    row = RepositoryFactory.create()
    mine = entry(installation=row.installation, warning="Slower than usual.")
    record(mine, *(str(number) for number in range(40, 50)), repository=row)
    AuditError.objects.create(
        entry=mine, at=mine.at, item="<b>", category="unknown", message="<script>alert(1)</script>"
    )
    other = entry(kind="login", correlation_id=None, status="done", actor_name="somebody")
    client = browser(staff())
    AuditEntry.objects.exclude(pk__in=[mine.pk, other.pk]).delete()

    def listed(query: str) -> list[int]:
        page = client.get(f"/admin/reconciliation/auditentry/?{query}")
        assert page.status_code == 200
        return [each.pk for each in page.context["cl"].queryset]

    assert listed("") == [other.pk, mine.pk]
    for query in (f"q={row.full_name}", "q=47", f"q={mine.correlation_id}", "status=succeeded"):
        assert listed(query) == [mine.pk], query
    assert listed("q=somebody") == listed("kind__exact=login") == [other.pk]
    page = client.get(f"/admin/reconciliation/auditentry/{mine.pk}/change/").content.decode()
    assert "40, 41, 42, 43, 44 and 5 more" in page
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    for model in ("auditrecord", "auditerror"):
        shown = client.get(f"/admin/reconciliation/{model}/?entry__id__exact={mine.pk}")
        assert len(shown.context["cl"].queryset) == 1
        assert client.get(f"/admin/reconciliation/{model}/?q=47").status_code == 200
        pk = shown.context["cl"].queryset[0].pk
        assert client.get(f"/admin/reconciliation/{model}/{pk}/change/").status_code == 200
        assert client.post(f"/admin/reconciliation/{model}/{pk}/delete/").status_code == 403
    assert client.post(f"/admin/reconciliation/auditentry/{mine.pk}/delete/").status_code == 403
    assert client.get("/admin/reconciliation/auditentry/add/").status_code == 403


@pytest.mark.spec("R12.2", "P27")
def test_the_page_and_the_api_of_a_slow_run_say_so() -> None:
    job = SyncJobFactory.create(warning="Slower than usual: the slow phase is fetch.")
    user = member_of(job.installation)
    assert "the slow phase is fetch" in browser(user).get(f"/jobs/{job.pk}/").content.decode()
    assert api(user).get(f"/api/v1/jobs/{job.pk}/").json()["warning"] == job.warning
