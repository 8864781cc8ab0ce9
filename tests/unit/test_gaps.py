"""The way of a gap from its evidence to its end, step by step and without a database."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.github.hook_log import LogEntry
from syncsvc.webhooks import attempts as log
from syncsvc.webhooks import gaps
from syncsvc.webhooks.gaps import (
    Again,
    CatchUp,
    Catchup,
    Close,
    Covering,
    Facts,
    Hold,
    Job,
    Missed,
    Redeliver,
)

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TRIES = 3


def missed(number: int = 1, **more: Any) -> Missed:
    given: dict[str, Any] = {
        "first_at": NOW - 5 * MINUTE,
        "detected_at": NOW - MINUTE,
        "repository_id": 100 + number,
    }
    return Missed(id=number, **given | more)


def facts(*events: Missed, **more: Any) -> Facts:
    given: dict[str, Any] = {
        "reason": gaps.FAILED,
        "step": gaps.OPEN,
        "opened_at": NOW - MINUTE,
        "missed": events,
    }
    return Facts(**given | more)


def step(given: Facts, now: datetime = NOW, attempts: int = TRIES) -> gaps.Step:
    return gaps.next_step(given, now, attempts=attempts)


def asked(number: int = 1, *, times: int, ago: timedelta, **more: Any) -> Missed:
    return missed(number, requests=times, requested_at=NOW - ago, **more)


def reading(*events: Missed, **more: Any) -> Facts:
    """A gap whose catch-up was asked for four minutes ago."""
    wanted = Catchup(asked_at=NOW - 4 * MINUTE, mode=gaps.INCREMENTAL)
    return facts(*events, **{"step": gaps.CATCHING_UP, "catchup": wanted} | more)


# -- redelivery ------------------------------------------------------------------------------------


@pytest.mark.spec("R6.6")
def test_github_is_asked_for_the_newest_first() -> None:
    old, new = missed(1, first_at=NOW - 60 * MINUTE), missed(2, first_at=NOW - MINUTE)
    assert step(facts(old, new)) == Redeliver(ids=(2, 1))


def test_what_was_asked_for_is_waited_for_a_minute_then_three_then_nine() -> None:
    since = {"step": gaps.REDELIVERING, "redelivering_since": NOW - MINUTE}
    for times, minutes in ((1, 1), (2, 3)):
        event = asked(times=times, ago=timedelta(seconds=59))
        assert step(facts(event, **since)) == Hold(
            until=NOW - timedelta(seconds=59) + minutes * MINUTE
        )
        event = asked(times=times, ago=minutes * MINUTE)
        assert step(facts(event, **since)) == Redeliver(ids=(1,))


@pytest.mark.spec("R6.5")
def test_a_redelivery_in_vain_is_exhausted_and_read_instead() -> None:
    event = asked(times=TRIES, ago=9 * MINUTE)
    assert step(facts(event, step=gaps.REDELIVERING)) == CatchUp(
        repositories=frozenset({101}), exhausted=True
    )


def test_redelivery_is_waited_for_a_quarter_of_an_hour_in_all() -> None:
    event = asked(times=TRIES, ago=timedelta(seconds=30))
    waiting = facts(event, step=gaps.REDELIVERING, redelivering_since=NOW - 14 * MINUTE)
    assert step(waiting) == Hold(until=NOW + MINUTE)
    assert isinstance(step(replace(waiting, redelivering_since=NOW - 15 * MINUTE)), CatchUp)


@pytest.mark.parametrize(
    "event",
    [
        missed(first_at=NOW - timedelta(days=3)),
        missed(askable=False),
        missed(arrived=True),
    ],
    ids=["older than GitHub remembers", "of a log that may not be read", "here already"],
)
def test_what_cannot_be_asked_for_is_read_at_once(event: Missed) -> None:
    assert step(facts(event)) == CatchUp(repositories=frozenset({101}))


def test_without_redelivery_it_is_read_at_once() -> None:
    assert step(facts(missed()), attempts=0) == CatchUp(repositories=frozenset({101}))


@pytest.mark.spec("R6.5")
def test_a_silence_has_nothing_to_redeliver() -> None:
    assert step(facts(reason=gaps.SILENCE)) == CatchUp()


# -- what is read ----------------------------------------------------------------------------------


@pytest.mark.spec("R6.6")
@pytest.mark.parametrize(
    ("events", "repositories"),
    [
        ([missed(1), missed(1), missed(2)], {101, 102}),
        ([missed(number) for number in range(50)], {100 + number for number in range(50)}),
        ([missed(number) for number in range(51)], set()),
        ([missed(1), missed(2, event="installation_repositories", repository_id=None)], set()),
        ([missed(1), missed(2, event="repository", repository_id=None)], set()),
        ([missed(1), missed(2, event="organization", repository_id=None)], {101}),
    ],
    ids=["two", "fifty", "too many", "the selection changed", "which one?", "none of ours"],
)
def test_the_repositories_concerned_are_read_or_the_whole_account(
    events: list[Missed], repositories: set[int]
) -> None:
    assert gaps.repositories_of(events) == repositories
    assert CatchUp(repositories=frozenset(repositories)).mode == (
        "recheck" if repositories else "incremental"
    )


# -- the catch-up ----------------------------------------------------------------------------------


def test_a_gap_closes_when_a_run_that_began_after_the_loss_has_read_it() -> None:
    run = Covering(started_at=NOW - 3 * MINUTE)
    assert step(reading(missed(), covering=run)) == Close(healed_by="sync")
    named = Catchup(asked_at=NOW, mode=gaps.RECHECK, repositories=frozenset({101}))
    assert step(reading(missed(), covering=run, catchup=named)) == Close(healed_by="reread")
    came = missed(arrived=True, requests=1)
    assert step(reading(came, covering=run)) == Close(healed_by="redelivery")
    assert step(reading(missed(arrived=True), covering=run)) == Close(healed_by="arrived")


def test_a_run_that_began_before_the_loss_proves_nothing() -> None:
    run = Covering(started_at=NOW - 3 * MINUTE)
    late = missed(2, first_at=NOW - 2 * MINUTE)
    assert step(reading(missed(1), late, covering=run)) == Again(read=(1,))


def test_a_targeted_run_does_not_cover_what_was_found_after_it_was_asked_for() -> None:
    named = Catchup(asked_at=NOW - 4 * MINUTE, mode=gaps.RECHECK, repositories=frozenset({101}))
    run = Covering(started_at=NOW - 3 * MINUTE)
    found_later = missed(2, detected_at=NOW - 2 * MINUTE)
    same_repository = missed(3, detected_at=NOW - 2 * MINUTE, repository_id=101)
    given = reading(missed(1, detected_at=NOW - 4 * MINUTE), found_later, same_repository)
    assert step(replace(given, catchup=named, covering=run)) == Again(read=(1, 3))


@pytest.mark.spec("R6.5")
def test_a_silence_in_which_nothing_changed_was_quiet() -> None:
    run = Covering(started_at=NOW - 3 * MINUTE)
    quiet = reading(reason=gaps.SILENCE, covering=run)
    assert step(quiet) == Close(healed_by="quiet")
    found = replace(quiet, covering=replace(run, changed=1))
    assert step(found) == Close(healed_by="sync")


def test_a_failed_run_is_asked_for_again_as_a_whole_after_a_growing_pause() -> None:
    for attempts, minutes in ((0, 1), (1, 2), (3, 8), (10, 60), (1000, 60)):
        ended = NOW - minutes * MINUTE
        run = Job(started_at=ended, ended_at=ended)
        given = reading(missed(), job=run, attempts=attempts)
        assert step(given) == CatchUp(failed=True), attempts
        soon = replace(run, ended_at=ended + timedelta(seconds=1))
        assert step(replace(given, job=soon)) == Hold(until=NOW + timedelta(seconds=1))


def test_a_run_that_was_under_way_already_is_followed_by_another() -> None:
    early = Job(started_at=NOW - 9 * MINUTE, ended_at=NOW - MINUTE, succeeded=True)
    assert step(reading(missed(), job=early)) == CatchUp(repositories=frozenset({101}))
    assert step(reading(missed(), job=early, attempts=1)) == CatchUp()


def test_a_request_that_was_turned_down_is_made_again() -> None:
    assert step(reading(missed(), job=None)) == CatchUp(repositories=frozenset({101}))


def test_a_running_catch_up_is_waited_for() -> None:
    run = Job(started_at=NOW, ended_at=None)
    assert isinstance(step(reading(missed(), job=run)), Hold)


# -- life of the account ---------------------------------------------------------------------------


@pytest.mark.parametrize("at", [gaps.OPEN, gaps.REDELIVERING, gaps.CATCHING_UP])
def test_gaps_of_accounts_that_are_gone_close_and_of_suspended_ones_wait(at: str) -> None:
    given = facts(missed(), step=at)
    assert step(replace(given, status="uninstalled")) == Close(healed_by="uninstalled")
    assert isinstance(step(replace(given, status="suspended")), Hold)


def test_naive_times_are_refused() -> None:
    naive = datetime(2026, 3, 4)
    with pytest.raises(ValueError, match="naive"):
        gaps.next_step(facts(missed()), naive, attempts=TRIES)
    with pytest.raises(ValueError, match="naive"):
        facts(missed(first_at=naive))


# -- any history -----------------------------------------------------------------------------------


class Shell:
    """Plays the shell for one gap: GitHub redelivers and runs succeed, or not, at random."""

    def __init__(self, random: Random, events: list[Missed], luck: float) -> None:
        self.random, self.luck = random, luck
        self.now = NOW
        self.facts = facts(*events)
        self.requests: dict[int, list[datetime]] = {each.id: [] for each in events}
        self.runs: list[frozenset[int]] = []

    def live(self, checks: int = 500) -> Close | None:
        for _ in range(checks):
            decision = gaps.next_step(self.facts, self.now, attempts=TRIES)
            if isinstance(decision, Close):
                return decision
            self.take(decision)
            self.now += timedelta(seconds=60)
        return None

    def take(self, decision: gaps.Step) -> None:
        if isinstance(decision, Hold):
            assert decision.until > self.now
        elif isinstance(decision, Redeliver):
            assert decision.ids
            since = self.facts.redelivering_since or self.now
            self.facts = replace(self.facts, step=gaps.REDELIVERING, redelivering_since=since)
            events = [self.redelivered(e, decision.ids) for e in self.facts.missed]
            self.facts = replace(self.facts, missed=tuple(events))
        elif isinstance(decision, CatchUp):
            self.runs.append(decision.repositories)
            self.run(decision)

    def redelivered(self, event: Missed, ids: tuple[int, ...]) -> Missed:
        if event.id not in ids:
            return event
        assert not event.arrived
        self.requests[event.id].append(self.now)
        return replace(
            event,
            requests=event.requests + 1,
            requested_at=self.now,
            arrived=self.random.random() < self.luck,
        )

    def run(self, decision: CatchUp) -> None:
        good = self.random.random() < 0.5
        self.facts = replace(
            self.facts,
            step=gaps.CATCHING_UP,
            attempts=self.facts.attempts + decision.failed,
            catchup=Catchup(
                asked_at=self.now, mode=decision.mode, repositories=decision.repositories
            ),
            job=Job(started_at=self.now, ended_at=self.now),
            covering=Covering(started_at=self.now) if good else None,
        )


@pytest.mark.spec("P3", "R6.6")
@given(
    st.integers(), st.lists(st.integers(1, 4 * 24 * 60), min_size=1, max_size=8), st.floats(0, 1)
)
def test_every_gap_is_read_again_and_closes_in_the_end(
    seed: int, ages: list[int], luck: float
) -> None:
    events = [missed(n, first_at=NOW - age * MINUTE) for n, age in enumerate(ages)]
    shell = Shell(Random(seed), events, luck)
    end = shell.live()
    assert end is not None
    assert end.healed_by in {"redelivery", "reread", "sync"}
    assert shell.runs, "a resync was attempted"
    assert not shell.runs[0] or shell.runs[0] == {each.repository_id for each in events}
    for event in events:
        times = shell.requests[event.id]
        assert len(times) <= TRIES
        assert all(at - event.first_at < gaps.KEPT for at in times)
        pauses = [after - before for before, after in pairwise(times)]
        assert all(pause >= 3**n * MINUTE for n, pause in enumerate(pauses))


# -- attempts in the log ---------------------------------------------------------------------------


def entry(number: int = 1, code: int = 200, guid: str = "a", **more: Any) -> LogEntry:
    given: dict[str, Any] = {"delivered_at": NOW + number * MINUTE, "event": "push"}
    return LogEntry(id=number, guid=guid, status_code=code, **given | more)


@pytest.mark.spec("R6.5")
@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        ([entry(1, 200)], "lost"),
        ([entry(1, 202)], "lost"),
        ([entry(1, 500)], "failed"),
        ([entry(1, 404)], "failed"),
        ([entry(1, 301)], "failed"),
        ([entry(1, 0)], "timed_out"),
        ([entry(1, 0, throttled_at=NOW)], "throttled"),
        ([entry(1, 500), entry(2, 0)], "timed_out"),
        ([entry(2, 500), entry(1, 0)], "failed"),
        ([entry(1, 500), entry(2, 204)], "lost"),
        ([entry(2, 500), entry(1, 200)], "lost"),
    ],
)
def test_what_became_of_an_event(entries: list[LogEntry], kind: str) -> None:
    sent = log.by_event(entries)
    assert sent["a"].kind == kind
    assert [each.guid for each in log.missing(sent, {"b"})] == ["a"]
    assert log.missing(sent, {"a"}) == []


def test_nobody_misses_a_ping() -> None:
    assert log.missing(log.by_event([entry(1, 500, event="ping")]), set()) == []


@given(
    st.lists(st.tuples(st.integers(1, 30), st.booleans(), st.sampled_from("abcdef")), max_size=40)
)
def test_attempts_are_grouped_by_event_whatever_their_order(
    given: list[tuple[int, bool, str]],
) -> None:
    entries = [entry(n, 200 if good else 500, guid) for n, good, guid in given]
    shuffled = entries[:]
    Random(1).shuffle(shuffled)
    unique = {each.id: each for each in entries}.values()
    sent = log.by_event(unique)
    assert sent == log.by_event([*unique, *unique])
    assert sum(each.attempts for each in sent.values()) == len(unique)
    for guid, each in sent.items():
        theirs = [e for e in unique if e.guid == guid]
        assert each.succeeded == any(e.succeeded for e in theirs)
        assert each.newest.id == max(e.id for e in theirs)


@pytest.mark.spec("R6.4")
def test_failures_in_a_row_are_counted_over_readings() -> None:
    count: Callable[..., int] = log.failures_in_a_row
    bad = [entry(n, 500, str(n)) for n in (3, 4)]
    good = entry(2, 200, "2")
    assert count(log.by_event([*bad, good]).values(), None, 7) == 2
    assert count(log.by_event(bad).values(), 2, 7) == 9
    assert count(log.by_event([*bad, good]).values(), 3, 7) == 8
    again = entry(5, 200, "4")
    assert count(log.by_event([*bad, again]).values(), None, 7) == 0
    assert count([], None, 7) == 7
