"""How often somebody may try to log in, and for how long a token is good."""

from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.test import Client, RequestFactory

from syncsvc import attempts
from syncsvc.models import Membership
from tests.factories import PASSWORD, InstallationFactory, SyncJobFactory, UserFactory
from tests.people_support import PROBLEM, member_of

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = "/api/v1/auth/token/"
DOORS = ["/login/", "/admin/login/", TOKEN]


def attempt(door: str, name: str, password: str, address: str = "192.0.2.1") -> Any:
    body = {"username": name, "password": password}
    kind: dict[str, Any] = {"content_type": "application/json"} if door == TOKEN else {}
    return Client(REMOTE_ADDR=address).post(door, body, **kind)


def pair_of(name: str) -> dict[str, str]:
    pair: dict[str, str] = attempt(TOKEN, name, PASSWORD).json()
    return pair


def refresh(pair: dict[str, str]) -> Any:
    body = {"refresh": pair["refresh"]}
    return Client().post("/api/v1/auth/token/refresh/", body, content_type="application/json")


def visit(pair: dict[str, str], path: str = "/api/v1/installations/") -> Any:
    return Client().get(path, headers={"authorization": f"Bearer {pair['access']}"})


# -- attempts --------------------------------------------------------------------------------------


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ["mia", "nobody"])
def test_after_five_wrong_passwords_even_the_right_one_waits_whether_the_name_exists_or_not(
    door: str, name: str
) -> None:
    UserFactory.create(username="mia", is_staff=True)
    with time_machine.travel(NOON, tick=False):
        said = [attempt(door, name, "wrong").status_code for _ in range(5)]
        assert set(said) == {401 if door == TOKEN else 200}
        refused = attempt(door, name, PASSWORD)
    assert (refused.status_code, refused["Retry-After"]) == (429, "300")
    if door == TOKEN:
        assert refused["Content-Type"] == PROBLEM
        assert "Too many attempts" in refused.json()["detail"]
    else:
        assert "Wait 5 minutes" in refused.content.decode()


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize("door", DOORS)
def test_nobody_is_locked_out_for_longer_than_five_minutes_nor_from_elsewhere(door: str) -> None:
    UserFactory.create(username="mia", is_staff=True)
    right = 200 if door == TOKEN else 302
    with time_machine.travel(NOON, tick=False) as clock:
        for _ in range(7):
            attempt(door, "MIA" if door == "/login/" else "mia", "wrong")
        assert attempt(door, "mia", PASSWORD).status_code == 429
        assert attempt(door, "mia", PASSWORD, "192.0.2.2").status_code == right
        clock.shift(301)
        assert attempt(door, "mia", PASSWORD).status_code == right


@pytest.mark.spec("R19.1")
def test_a_log_in_that_succeeds_forgives_what_was_mistyped_before_and_counts_for_nothing() -> None:
    UserFactory.create(username="mia")
    for _ in range(3):
        codes = [attempt("/login/", "mia", "wrong").status_code for _ in range(4)]
        assert codes == [200] * 4
        assert attempt("/login/", "mia", PASSWORD).status_code == 302


@pytest.mark.spec("R19.1")
def test_who_is_logged_in_cannot_forgive_attempts_at_another_name() -> None:
    UserFactory.create(username="mia")
    mallory = Client(REMOTE_ADDR="192.0.2.1")
    mallory.force_login(UserFactory.create(username="mallory"))
    with time_machine.travel(NOON, tick=False):
        for _ in range(6):
            attempt("/login/", "mia", "wrong")
        mallory.post("/login/", {"username": "mia", "password": "wrong"})
        assert attempt("/login/", "mia", PASSWORD).status_code == 429


@pytest.mark.spec("R19.1")
def test_one_address_cannot_try_one_password_at_very_many_names() -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="2001:db8::1")
    neighbour = RequestFactory().get("/", REMOTE_ADDR="2001:db8::2")
    stranger = RequestFactory().get("/", REMOTE_ADDR="2001:db8:1::1")
    with time_machine.travel(NOON, tick=False):
        for number in range(attempts.MOST_OF_ADDRESS):
            assert attempts.begin(f"user{number}", request) == 0
        assert attempts.begin("another", request) == 300
        assert attempts.begin("another", neighbour) == 300  # who has one address has its network
        assert attempts.begin("another", stranger) == 0


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize("door", DOORS)
def test_no_other_spelling_of_a_name_is_worth_more_attempts(door: str) -> None:
    UserFactory.create(username="mia", is_staff=True)
    spellings = ["mia", " mia", "mia\t", "  mia  ", "\uff4dia"]
    with time_machine.travel(NOON, tick=False):
        for name in spellings:
            attempt(door, name, "wrong")
        assert attempt(door, "mia", PASSWORD).status_code == 429


@pytest.mark.spec("R19.1")
def test_a_server_of_both_kinds_of_addresses_tells_people_of_the_older_kind_apart() -> None:
    attacker = RequestFactory().get("/", REMOTE_ADDR="::ffff:192.0.2.1")
    victim = RequestFactory().get("/", REMOTE_ADDR="::ffff:198.51.100.7")
    with time_machine.travel(NOON, tick=False):
        for _ in range(6):
            refused = attempts.begin("mia", attacker)
        assert refused == 300
        assert attempts.begin("mia", victim) == 0


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize("name", ["\0", "\ud800", "x" * 100_000, "مرحبا", "🙂"])
def test_any_name_can_be_tried(name: str) -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="nonsense \ud800")
    assert attempts.begin(name, request) == 0


@pytest.mark.spec("R19.1")
def test_names_that_no_database_holds_are_refused_as_any_other() -> None:
    assert attempt(TOKEN, "\0", "x").status_code == 400
    assert attempt("/login/", "\0", "x").status_code == 200
    body = '{"username": "\\ud800", "password": "x"}'
    assert Client().post(TOKEN, body, content_type="application/json").status_code in {400, 401}
    assert Client().post(TOKEN, "[1]", content_type="application/json").status_code == 400


# -- tokens ----------------------------------------------------------------------------------------


@pytest.mark.spec("R19.2")
def test_a_new_password_ends_every_token_of_before() -> None:
    user = UserFactory.create(username="mia")
    pair = pair_of("mia")
    assert (visit(pair).status_code, refresh(pair).status_code) == (200, 200)
    user.set_password("another one")
    user.save()
    assert (visit(pair).status_code, refresh(pair).status_code) == (401, 401)


@pytest.mark.spec("R19.2")
def test_who_was_switched_off_or_removed_is_out_with_every_token() -> None:
    user = UserFactory.create(username="mia")
    pair = pair_of("mia")
    user.is_active = False
    user.save()
    assert (visit(pair).status_code, refresh(pair).status_code) == (401, 401)
    user.delete()
    refused = refresh(pair)
    assert (visit(pair).status_code, refused.status_code) == (401, 401)
    assert refused["Content-Type"] == PROBLEM


@pytest.mark.spec("R19.2")
@pytest.mark.parametrize("name", ["access", "refresh"])
def test_neither_token_does_the_work_of_the_other(name: str) -> None:
    UserFactory.create(username="mia")
    pair = pair_of("mia")
    other = {"access": pair["refresh"], "refresh": pair["access"]}
    answer = visit(other) if name == "access" else refresh(other)
    assert (answer.status_code, answer["Content-Type"]) == (401, PROBLEM)


@pytest.mark.spec("R19.2")
def test_a_role_that_was_changed_or_taken_is_in_force_with_the_next_request() -> None:
    installation = InstallationFactory.create()
    user = member_of(installation, Membership.Role.OPERATOR)
    user.set_password(PASSWORD)
    user.save()
    job = SyncJobFactory.create(installation=installation, waiting=True)
    pair = pair_of(user.username)
    client = Client(headers={"authorization": f"Bearer {pair['access']}"})
    assert visit(pair, f"/api/v1/jobs/{job.pk}/").status_code == 200
    Membership.objects.update(role=Membership.Role.MEMBER)
    assert client.post(f"/api/v1/jobs/{job.pk}/cancel/").status_code == 403
    Membership.objects.all().delete()
    assert client.post(f"/api/v1/jobs/{job.pk}/cancel/").status_code == 404
    job.refresh_from_db()
    assert job.status == "queued"
