"""Deliveries that no worker can process, and such as kill every worker that takes them up (R10.4)."""

import itertools
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
import time_machine
from django.db import DataError, OperationalError, connection
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation import deliveries, mailboxes
from reconciliation.mailboxes import Suspicion
from syncsvc import clock
from syncsvc.models import DeadLetter, Delivery, Installation, Mailbox
from syncsvc.webhooks import inbox, replay, told
from syncsvc.webhooks.told import Subject, Told
from tests.factories import DeliveryFactory, InstallationFactory

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R10.4")]

READ = told.read
NOW = datetime(2027, 3, 1, 10, tzinfo=UTC)
TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
#: Halvings of a batch of 300 until one is left, and the deaths that this one is allowed.
MOST_DEATHS = 9 + deliveries.DEATHS


class Killed(BaseException):
    """Stands for the kernel's kill: nothing catches it, and the transaction is gone."""


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker, and deliveries of which nothing matters but whether they can be processed."""
    monkeypatch.setattr(inbox, "ring_bell", lambda: True)
    monkeypatch.setattr(told, "read", lambda *_: Told(subject=Subject.PUSH))
    monkeypatch.setattr(deliveries, "_hear", harmless)


def harmless(letters: Any, *_: Any) -> None:
    for letter in letters:
        if not letter.outcome:
            letter.outcome, letter.status = "unchanged", "processed"


@pytest.fixture
def time() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def account(time: time_machine.Traveller) -> Installation:
    return InstallationFactory.create()


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Has deliveries whose event is `bad` raise this, whoever processes them."""

    def install(error: BaseException) -> None:
        def hear(letters: Any, _now: datetime, _wishes: Any) -> None:
            for letter in letters:
                if letter.row.event == "pull_request":
                    raise error
                harmless([letter])

        monkeypatch.setattr(deliveries, "_hear", hear)

    return install


def waiting(account: Installation, number: int, **more: Any) -> list[Delivery]:
    common = {
        "account": account,
        "waiting": True,
        "due_at": clock.now(),
        "event": "push",
        "action": "",
    }
    return DeliveryFactory.create_batch(number, **{**common, **more})


def poison(account: Installation) -> Delivery:
    [row] = waiting(account, 1, event="pull_request", action="labeled")
    return row


def drain_until_quiet(time: time_machine.Traveller, rounds: int = 60) -> int:
    """What beat and workers do for five minutes; how many workers died."""
    deaths = 0
    for _ in range(rounds):
        try:
            deliveries.drain()
        except Killed:
            deaths += 1
        time.shift(5)
    return deaths


def statuses(*rows: Delivery) -> set[tuple[str, int]]:
    pks = [row.pk for row in rows]
    return set(Delivery.objects.filter(pk__in=pks).values_list("status", "attempts"))


# -- refused every time ----------------------------------------------------------------------------


def test_what_fails_every_time_is_tried_five_times_and_then_one_letter(
    account: Installation, time: time_machine.Traveller, bad: Callable[[BaseException], None]
) -> None:
    before, row, after = waiting(account, 9), poison(account), waiting(account, 9)
    bad(DataError(f"It says {TOKEN}\nDETAIL: Failing row contains (a private text)."))
    with structlog.testing.capture_logs() as logs:
        deliveries.drain()
        assert statuses(*before, *after) == {("processed", 1)}
        assert drain_until_quiet(time) == 0
    assert statuses(row) == {("failed", 5)}
    letter = DeadLetter.objects.get()
    assert (letter.status, letter.kind, letter.delivery_id) == ("open", "delivery", row.pk)
    assert (letter.attempts, letter.category) == (5, "database")
    assert letter.installation == account
    assert letter.context["guid"] == row.guid
    assert letter.context["event"] == "pull_request"
    assert "DataError: It says [redacted]" in letter.stack
    assert TOKEN not in repr(letter.__dict__)
    assert "private text" not in repr(letter.__dict__)
    # Once for each attempt, however often the batch was halved.
    failures = [entry for entry in logs if entry["event"] == "delivery.failed"]
    assert [entry["attempt"] for entry in failures] == [1, 2, 3, 4, 5]


@pytest.mark.spec("R10.4")
def test_what_cannot_be_read_is_a_letter_at_once(
    account: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "read", READ)
    [row] = waiting(account, 1, event="issues", action="opened", body={"issue": 3})
    deliveries.drain()
    assert statuses(row) == {("failed", 1)}
    letter = DeadLetter.objects.get()
    assert letter.category == "validation"
    assert "cannot be read" in letter.error
    assert letter.context["payload_bytes"] == row.payload_bytes


def test_a_payload_over_which_the_reader_stumbles_keeps_nobody_waiting(
    account: Installation, time: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake of ours in reading is one delivery's trouble, like one in writing."""
    rows, row = waiting(account, 3), poison(account)
    plain = told.read

    def read(event: str, action: str, payload: Any) -> Any:
        if event == "pull_request":
            raise AttributeError("nobody thought of this")
        return plain(event, action, payload)

    monkeypatch.setattr(told, "read", read)
    drain_until_quiet(time)
    assert statuses(*rows) == {("processed", 1)}
    assert statuses(row) == {("failed", 5)}
    assert "AttributeError: nobody thought of this" in DeadLetter.objects.get().stack


def test_a_replayed_delivery_that_fails_again_gets_a_new_letter(
    account: Installation, time: time_machine.Traveller, bad: Callable[[BaseException], None]
) -> None:
    row = poison(account)
    bad(ValueError("never"))
    drain_until_quiet(time)
    assert replay.replay([row.pk], user_id=None) == {row.pk}
    assert list(DeadLetter.objects.values_list("status", flat=True)) == ["requeued"]
    drain_until_quiet(time)
    assert sorted(DeadLetter.objects.values_list("status", flat=True)) == ["open", "requeued"]


# -- deadly ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 137, 299])
def test_a_delivery_that_kills_every_worker_is_singled_out_and_given_up(
    account: Installation,
    time: time_machine.Traveller,
    bad: Callable[[BaseException], None],
    position: int,
) -> None:
    before = waiting(account, position)
    row = poison(account)
    after = waiting(account, 330 - position)
    other = waiting(InstallationFactory.create(), 2)
    bad(Killed())
    deaths = drain_until_quiet(time)
    assert deaths <= MOST_DEATHS
    assert statuses(row) == {("failed", deliveries.DEATHS)}
    assert statuses(*before, *after, *other) == {("processed", 1)}
    letter = DeadLetter.objects.get()
    assert (letter.delivery_id, letter.attempts, letter.stack) == (row.pk, deliveries.DEATHS, "")
    assert letter.error == "The worker died each time while it processed this delivery."
    assert not Mailbox.objects.exclude(begun_at=None, part=None).exists()


def test_other_mailboxes_are_emptied_after_the_first_death(
    account: Installation, time: time_machine.Traveller, bad: Callable[[BaseException], None]
) -> None:
    poison(account)
    others = waiting(InstallationFactory.create(), 2)
    bad(Killed())
    with pytest.raises(Killed):
        deliveries.drain()
    deliveries.drain()  # another worker, at once
    assert statuses(*others) == {("processed", 1)}


def test_one_kill_costs_nobody_an_attempt(
    account: Installation,
    time: time_machine.Traveller,
    bad: Callable[[BaseException], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = waiting(account, 40)
    poison(account)
    with monkeypatch.context():
        bad(Killed())
        with pytest.raises(Killed):
            deliveries.drain()
    Delivery.objects.filter(event="pull_request").update(event="push", action="")
    time.shift(5)
    deliveries.drain()
    assert statuses(*rows) == {("processed", 1)}
    assert not Delivery.objects.filter(status="received").exists()
    assert not DeadLetter.objects.exists()


def test_a_lone_delivery_survives_two_kills(
    account: Installation, time: time_machine.Traveller, bad: Callable[[BaseException], None]
) -> None:
    """Kills that it has nothing to do with: a node that is drained, memory that another one took."""
    row = poison(account)
    bad(Killed())
    for _ in range(deliveries.DEATHS - 1):
        with pytest.raises(Killed):
            deliveries.drain()
        time.shift(60)
        deliveries.drain(now=clock.now())
        time.shift(60)
        row.refresh_from_db()
        assert (row.status, row.outcome) == ("received", "interrupted")
    Delivery.objects.filter(pk=row.pk).update(event="push", action="")
    deliveries.drain()
    row.refresh_from_db()
    assert (row.status, row.outcome) == ("processed", "unchanged")


def test_attempts_that_failed_otherwise_are_no_deaths(
    account: Installation, time: time_machine.Traveller, bad: Callable[[BaseException], None]
) -> None:
    """A stranger's delivery waits for somebody to know it: each look is an attempt."""
    row = poison(account)
    Delivery.objects.filter(pk=row.pk).update(
        attempts=deliveries.DEATHS, outcome="unknown_installation"
    )
    bad(Killed())
    with pytest.raises(Killed):
        deliveries.drain()
    time.shift(60)
    deliveries.drain()
    row.refresh_from_db()
    assert (row.status, row.outcome) == ("received", "interrupted")
    assert not DeadLetter.objects.exists()


def test_nobody_takes_up_what_may_just_have_been_begun(
    account: Installation, time: time_machine.Traveller
) -> None:
    rows = waiting(account, 3)
    mailboxes.claim(account.account_id, mailboxes.read(account.account_id), [1], Suspicion(), NOW)
    assert deliveries.drain() == 0
    time.move_to(NOW.replace(hour=8))  # a clock that was set back keeps nobody waiting
    assert deliveries.drain(now=NOW.replace(hour=23)) == 3
    assert statuses(*rows) == {("processed", 1)}


def test_a_worker_that_was_overtaken_writes_nothing(
    account: Installation, bad: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It slept between its note and its transaction, for so long that another one took the mailbox."""
    rows = waiting(account, 3)
    plain = mailboxes.hold

    def late(account_id: int | None) -> None:
        plain(account_id)
        Mailbox.objects.update(token="00000000-0000-0000-0000-000000000001")

    bad(ValueError())
    with monkeypatch.context() as patch:
        patch.setattr(mailboxes, "hold", late)
        assert deliveries.drain() == 0
    assert statuses(*rows) == {("received", 0)}


def test_a_database_that_goes_away_counts_as_nobody_s_death(
    account: Installation,
    time: time_machine.Traveller,
    bad: Callable[[BaseException], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "close", lambda: None)  # the test's own transaction lives there
    row = poison(account)
    bad(OperationalError("server closed the connection unexpectedly"))
    assert drain_until_quiet(time) == 0
    assert statuses(row) == {("received", 0)}
    assert not Mailbox.objects.exclude(begun_at=None, part=None, deaths=0).exists()


def test_what_is_too_much_for_the_database_is_given_up(
    account: Installation,
    time: time_machine.Traveller,
    bad: Callable[[BaseException], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "close", lambda: None)

    class OutOfMemory(Exception):
        sqlstate = "53200"

    rows, row = waiting(account, 20), poison(account)
    error = OperationalError("out of memory")
    error.__cause__ = OutOfMemory()
    bad(error)
    assert drain_until_quiet(time) == 0
    assert statuses(*rows) == {("processed", 1)}
    assert statuses(row) == {("failed", deliveries.DEATHS)}


# -- suspicion -------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.data())
def test_one_killer_among_many_is_found_within_the_logarithm(number: int, data: Any) -> None:
    """The rule by itself: parts of what is suspected until one is left; nothing is passed over."""
    killer = data.draw(st.integers(1, number))
    left, suspicion, deaths = list(range(1, number + 1)), Suspicion(), 0
    for _ in itertools.repeat(None, 100):
        suspects = [pk for pk in left if suspicion.until is not None and pk <= suspicion.until]
        batch = suspects[: suspicion.part] if suspects else left[:300]
        if not suspects:
            suspicion = Suspicion()
        if batch == [killer]:
            break
        if killer in batch:
            deaths += 1
            suspicion = suspicion.after_death(len(batch), batch[-1])
        else:
            left = [pk for pk in left if pk not in batch]
            suspicion = suspicion.after_success(batch[-1])
    else:
        raise AssertionError("It is never alone.")
    assert deaths <= 9


# -- for real --------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_leaves_its_note_and_nothing_else(
    account: Installation, time: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of its own that the kernel kills between the writing and the commit."""
    rows = waiting(account, 4)
    connection.close()
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(mailboxes, "release", lambda *_: os.kill(os.getpid(), 9))
        try:
            deliveries.drain()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert statuses(*rows) == {("received", 0)}
    note = Mailbox.objects.get()
    assert (note.taken, note.last_id, note.begun_at) == (4, rows[-1].pk, NOW)
    time.shift(5)
    assert deliveries.drain() == 4
    assert statuses(*rows) == {("processed", 1)}
