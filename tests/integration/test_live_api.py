"""Who hears what, without a stream: the answer that a server gives which can hold none (R18.4, R19.2)."""

import json
import re
import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse
from rest_framework_simplejwt.tokens import AccessToken

from syncsvc import clock
from syncsvc.live import door, reading, rights
from syncsvc.live.cursor import Cursor
from syncsvc.models import Installation, LiveEvent, SyncJob
from tests.factories import InstallationFactory, SyncJobFactory, UserFactory
from tests.people_support import PROBLEM, api, browser, member_of, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.4")]
URL = door.PATH


@pytest.fixture
def account() -> Installation:
    return InstallationFactory.create()


@pytest.fixture
def job(account: Installation) -> SyncJob:
    return SyncJobFactory.create(installation=account, running=True, total=9)


def heard(body: bytes) -> list[tuple[str, str, dict[str, Any]]]:
    """Id, name and data of each event."""
    found = re.findall(rb"(?:id: ([0-9-]+)\n)?event: (\S+)\ndata: (.+)\n\n", body)
    return [(mark.decode(), name.decode(), json.loads(data)) for mark, name, data in found]


def last_id(body: bytes) -> str:
    return str(re.findall(rb"^id: (\S+)$", body, re.MULTILINE)[-1].decode())


def step(job: SyncJob, *currents: int) -> None:
    for current in currents:
        SyncJob.objects.filter(pk=job.pk).update(current=current)


def currents(body: bytes) -> list[int]:
    return [data["current"] for _, _, data in heard(body)]


def test_the_door_knows_its_address() -> None:
    assert reverse("api:job-stream") == door.PATH


def test_who_comes_first_hears_how_things_stand(account: Installation, job: SyncJob) -> None:
    answer = browser(member_of(account)).get(URL)
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")
    assert (answer["Cache-Control"], answer["X-Accel-Buffering"]) == ("no-cache", "no")
    assert answer.content.startswith(b"retry: 2000\n\n")
    [(mark, name, data)] = heard(answer.content)
    assert (mark, name, data["job_id"], data["id"]) == ("", "sync:progress", str(job.pk), None)
    assert last_id(answer.content) == str(LiveEvent.objects.latest("pk").pk)


def test_a_run_that_ended_while_the_page_loaded_is_told(
    account: Installation, job: SyncJob
) -> None:
    SyncJob.objects.filter(pk=job.pk).update(
        status="succeeded", finished_at=clock.now(), lease=None, lease_expires_at=None
    )
    [(_, name, data)] = heard(browser(member_of(account)).get(URL).content)
    assert (name, data["status"]) == ("sync:complete", "succeeded")


def test_who_comes_back_hears_each_thing_once(account: Installation, job: SyncJob) -> None:
    client = browser(member_of(account))
    first = last_id(client.get(URL).content)
    step(job, 1, 2, 3)
    body = client.get(URL, headers={"Last-Event-ID": first}).content
    assert currents(body) == [1, 2, 3]
    [(second, _, _), *_] = heard(body)
    assert currents(client.get(URL, headers={"Last-Event-ID": second}).content) == [2, 3]
    assert heard(client.get(URL, headers={"Last-Event-ID": last_id(body)}).content) == []


def test_what_was_committed_late_is_told_late(account: Installation, job: SyncJob) -> None:
    client = browser(member_of(account))
    step(job, 1, 2, 3)
    late, newest = LiveEvent.objects.order_by("-pk")[1:2].get(), LiveEvent.objects.latest("pk").pk
    body = client.get(URL, headers={"Last-Event-ID": str(Cursor(newest, (late.pk,)))}).content
    assert currents(body) == [2]
    assert last_id(body) == str(newest)


@pytest.mark.parametrize("mark", ["x", "-1", "0x10", "9" * 18, "9" * 30, "1-2", "٣", "a" * 9_000])
def test_a_strange_id_begins_anew(account: Installation, job: SyncJob, mark: str) -> None:
    headers = {"Last-Event-ID": mark.encode().decode("latin-1")}
    body = browser(member_of(account)).get(URL, headers=headers).content
    assert [name for _, name, _ in heard(body)][-1] == "sync:progress"
    assert last_id(body) == str(LiveEvent.objects.latest("pk").pk)


def test_who_was_away_too_long_is_told_to_look_anew(account: Installation, job: SyncJob) -> None:
    old = LiveEvent.objects.latest("pk").pk
    step(job, 1, 2, 3)
    LiveEvent.objects.filter(pk__lte=old + 1).delete()  # pruned meanwhile
    client = browser(member_of(account))
    body = client.get(URL, headers={"Last-Event-ID": str(old)}).content
    assert [name for _, name, _ in heard(body)] == ["sync:reset", "sync:progress"]
    body = client.get(URL, headers={"Last-Event-ID": str(old + 1)}).content
    assert [name for _, name, _ in heard(body)] == ["sync:progress", "sync:progress"]


def test_who_missed_very_much_is_told_to_look_anew(
    account: Installation, job: SyncJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_MISSED", 2)
    old = LiveEvent.objects.latest("pk").pk
    step(job, 1, 2, 3)
    body = browser(member_of(account)).get(URL, headers={"Last-Event-ID": str(old)}).content
    assert heard(body)[0][1] == "sync:reset"


# -- whose events ----------------------------------------------------------------------------------


@pytest.mark.spec("R19.2")
def test_another_tenants_runs_are_not_heard(account: Installation, job: SyncJob) -> None:
    other = SyncJobFactory.create(running=True)
    mark = last_id(browser(staff()).get(URL).content)
    step(job, 1)
    step(other, 2)
    headers = {"Last-Event-ID": mark}
    assert currents(browser(member_of(account)).get(URL, headers=headers).content) == [1]
    assert currents(browser(staff()).get(URL, headers=headers).content) == [1, 2]
    assert currents(browser(UserFactory.create()).get(URL, headers=headers).content) == []


@pytest.mark.spec("R19.2")
def test_what_belongs_to_another_tenant_is_not_there(account: Installation, job: SyncJob) -> None:
    other = SyncJobFactory.create(running=True)
    client = api(member_of(account))
    queries: tuple[dict[str, Any], ...] = (
        {"installation": other.installation_id},
        {"job": other.pk},
        {"installation": account.pk, "job": other.pk},
        {"job": uuid.uuid4()},
    )
    for query in queries:
        answer = client.get(URL, query, HTTP_ACCEPT="text/event-stream")
        assert (answer.status_code, answer["Content-Type"]) == (404, PROBLEM), query
    assert api(staff()).get(URL, queries[2]).status_code == 404


def test_one_may_listen_to_one_account_or_one_run(account: Installation, job: SyncJob) -> None:
    other = SyncJobFactory.create(running=True)
    client = browser(staff())
    queries: tuple[dict[str, Any], ...] = ({"installation": account.pk}, {"job": job.pk})
    for query in queries:
        found = [data["job_id"] for _, _, data in heard(client.get(URL, query).content)]
        assert found == [str(job.pk)]
    assert len(heard(client.get(URL).content)) == 2
    assert other.pk != job.pk


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("?installation=x", "installation"), ("?installation=-1", "installation"),
        ("?installation=99999999999999999999", "installation"), ("?job=1", "job"),
        ("?instalation=1", "instalation"), ("?installation=1&installation=2", "installation"),
    ],
)  # fmt: skip
def test_a_wrong_question_is_named(query: str, name: str) -> None:
    answer = api(staff()).get(URL + query, HTTP_ACCEPT="text/event-stream")
    assert (answer.status_code, answer["Content-Type"]) == (400, PROBLEM)
    assert name in answer.json()["errors"]


def test_strangers_hear_nothing_and_others_may_only_listen(account: Installation) -> None:
    answer = api().get(URL, HTTP_ACCEPT="text/event-stream")
    assert (answer.status_code, answer["Content-Type"]) == (401, PROBLEM)
    assert api(staff()).post(URL).status_code == 405
    head = browser(staff()).head(URL)
    assert (head.status_code, head.content) == (200, b"")


# -- rights that end -------------------------------------------------------------------------------


def asked(*viewers: rights.Viewer) -> set[rights.Viewer]:
    """What the hub asks the database about viewers, through this test's connection."""
    with connection.cursor() as cursor:
        cursor.execute(rights.PEOPLE, [[viewer.user_id for viewer in viewers]])
        people = cursor.fetchall()
        cursor.execute(rights.SESSIONS, [[each.session for each in viewers if each.session]])
        return rights.ended(viewers, people, cursor.fetchall())


def viewer(user: Any, token: Any = None, session: Any = None) -> rights.Viewer:
    request: Any = SimpleNamespace(user=user, auth=token, session=session)
    return rights.of(request)


def test_rights_last_until_the_session_ends(account: Installation) -> None:
    user, admin = member_of(account), staff()
    client = browser(user)
    come, other = viewer(user, session=client.session), viewer(admin)
    assert come.session == client.session.session_key
    assert asked(come, other) == set()
    client.logout()
    assert asked(come, other) == {come}


@pytest.mark.parametrize(
    "change",
    [
        {"is_active": False},
        {"is_staff": True},
        {"password": "another"},
    ],
)
def test_rights_end_with_what_gave_them(account: Installation, change: dict[str, Any]) -> None:
    user = member_of(account)
    come = viewer(user)
    type(user).objects.filter(pk=user.pk).update(**change)
    assert asked(come) == {come}


def test_rights_end_with_the_membership_the_person_and_the_token(
    account: Installation,
) -> None:
    user = member_of(account)
    token = AccessToken.for_user(user)
    come = viewer(user, token=token)
    assert come.expires is not None
    assert asked(come) == set()
    token.set_exp(from_time=clock.now() - timedelta(days=1))
    late = viewer(user, token=token)
    assert asked(come, late) == {late}
    account.memberships.all().delete()
    assert asked(come) == {come}
    user.delete()
    assert asked(come) == {come}
