"""`manage.py member`: people, accounts, roles, and what is said when something does not fit."""

import io
import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from syncsvc.models import Membership
from tests.factories import InstallationFactory, MembershipFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R19.2")]

PASSWORD = "a long enough one"


def member(*words: str) -> tuple[int, str, str]:
    """Exit code, output, errors."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("member", *words, stdout=out, stderr=err)
    return int(str(ended.value.code)), out.getvalue().strip(), err.getvalue().strip()


@pytest.fixture(autouse=True)
def acme(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("MEMBER_PASSWORD", raising=False)
    return InstallationFactory.create(account_login="Acme")


def test_a_user_who_is_missing_is_created_with_the_password_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MEMBER_PASSWORD", PASSWORD)
    code, said, _ = member("add", "mia", "acme", "--role", "operator")
    assert (code, said) == (0, "mia is now operator of Acme. The user was created.")
    user = get_user_model().objects.get(username="mia")
    assert user.check_password(PASSWORD)
    assert not user.is_staff
    assert Membership.objects.get(user=user).role == "operator"


def test_adding_again_changes_the_role_and_not_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user = UserFactory.create(username="mia")
    assert member("add", "mia", "acme", "--role", "member")[0] == 0
    monkeypatch.setenv("MEMBER_PASSWORD", PASSWORD)
    assert member("add", "mia", "acme", "--role", "admin")[1] == "mia is admin of Acme."
    assert Membership.objects.get().role == "admin"
    user.refresh_from_db()
    assert not user.check_password(PASSWORD)


def test_json_says_the_same_to_programs() -> None:
    UserFactory.create(username="mia")
    _, said, _ = member("add", "mia", "acme", "--role", "member", "--json")
    assert json.loads(said) == {
        "username": "mia",
        "account_login": "Acme",
        "role": "member",
        "user_created": False,
    }
    assert json.loads(member("--json", "list")[1])["username"] == "mia"
    assert json.loads(member("remove", "mia", "acme", "--json")[1])["removed"] is True


def test_removing_ends_the_membership_and_keeps_the_user() -> None:
    UserFactory.create(username="mia")
    member("add", "mia", "acme", "--role", "member")
    assert member("remove", "mia", "ACME")[1] == "mia is no longer a member of Acme."
    assert member("remove", "mia", "ACME")[:2] == (0, "mia was not a member of Acme.")
    assert not Membership.objects.exists()
    assert get_user_model().objects.filter(username="mia").exists()


def test_the_list_names_everybody() -> None:
    assert "Nobody is a member yet" in member("list")[1]
    MembershipFactory.create(
        user__username="zoe", installation__account_login="zeta", role="support"
    )
    MembershipFactory.create(user__username="bob", installation__account_login="beta")
    assert member("list")[1].splitlines() == ["beta: bob, member", "zeta: zoe, support"]


@pytest.mark.parametrize(
    ("words", "code", "advice"),
    [
        (["add", "mia", "nobody", "--role", "member"], 2, "manage.py discover"),
        (["add", "mia", "acme", "--role", "member"], 2, "set MEMBER_PASSWORD"),
        (["remove", "mia", "acme"], 2, "There is no user 'mia'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(words: list[str], code: int, advice: str) -> None:
    found, _, said = member(*words)
    assert found == code
    assert advice in said
    assert len(said.splitlines()) == 1
    assert not get_user_model().objects.filter(username="mia").exists()


@pytest.mark.parametrize(("name", "password"), [("mia", "123"), ("no spaces!", PASSWORD)])
def test_a_user_that_cannot_be_is_not_created(
    monkeypatch: pytest.MonkeyPatch, name: str, password: str
) -> None:
    monkeypatch.setenv("MEMBER_PASSWORD", password)
    code, _, said = member("add", name, "acme", "--role", "member")
    assert code == 1
    assert said.startswith("The user cannot be created:")
    assert not get_user_model().objects.exists()


@pytest.mark.parametrize("words", [[], ["add", "mia"], ["add", "mia", "acme", "--role", "boss"]])
def test_wrong_usage_is_refused_by_the_parser(words: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("member", *words)


def test_two_passwords_that_differ_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["one of them", "the other one"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(answers))
    code, _, said = member("add", "mia", "acme", "--role", "member")
    assert (code, said) == (2, "The two passwords differ: nothing was changed.")
    assert not get_user_model().objects.exists()
