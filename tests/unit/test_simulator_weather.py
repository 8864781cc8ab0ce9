"""The simulator's weather and days, which must be the same for the same seed, and told by webhooks."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.simulator import AccountPlan, Weather, World
from syncsvc.simulator.days import DAY, STRICT, Load, days, happen
from syncsvc.simulator.deliveries import Deliveries
from syncsvc.simulator.records import epoch
from syncsvc.simulator.weather import Sky

ORG, PERSON = "octo-simulated", "octocat"
MONDAY = datetime(2027, 6, 7, tzinfo=UTC).timestamp()
SHARES = ("loss", "silent_loss", "swallowed", "failed", "throttled")

shares = st.lists(st.floats(0, 0.2), min_size=5, max_size=5).map(
    lambda found: dict(zip(SHARES, found, strict=True))
)


class Clock:
    def __init__(self, now: float = MONDAY) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@given(st.integers(0, 2**32), shares, st.floats(0, 1), st.floats(0, 600), st.lists(st.booleans()))
def test_fates_are_the_same_for_the_same_seed_and_within_what_was_announced(
    seed: int, found: dict[str, Any], duplicate: float, reorder: float, again: list[bool]
) -> None:
    weather = Weather(duplicate=duplicate, reorder=reorder, throttle=90, **found)
    one, two = Sky(seed), Sky(seed)
    for redelivery in again:
        fate = one.fate(weather, redelivery=redelivery)
        assert fate == two.fate(weather, redelivery=redelivery)
        assert len(fate.delays) in ((1, 2) if duplicate else (1,))
        assert all(0 <= delay <= reorder for delay in fate.delays)
        assert fate.held is None or 0 <= fate.held <= 90
        assert fate.code in (500, 502, 504)


@given(st.integers(0, 2**32), st.lists(st.booleans(), max_size=30))
def test_redeliveries_do_not_change_the_weather_of_first_attempts(
    seed: int, asked: list[bool]
) -> None:
    weather = Weather(failed=0.3, swallowed=0.3, duplicate=0.5, reorder=60)
    alone, disturbed = Sky(seed), Sky(seed)
    for redelivered in asked:
        if redelivered:
            disturbed.fate(weather, redelivery=True)
        assert disturbed.fate(weather, redelivery=False) == alone.fate(weather, redelivery=False)


def test_so_much_goes_wrong_as_was_announced() -> None:
    sky = Sky(1)
    weather = Weather(loss=0.1, silent_loss=0.1, swallowed=0.2, failed=0.2, throttled=0.3)
    found = Counter(sky.fate(weather, redelivery=False).kind for _ in range(5_000))
    wanted = {"lost": 0.1, "silent": 0.1, "swallowed": 0.2, "failed": 0.2, "throttled": 0.3}
    for kind, share in (wanted | {"sent": 0.1}).items():
        assert found[kind] / 5_000 == pytest.approx(share, abs=0.03)  # type: ignore[index]


@pytest.mark.parametrize(
    "values", [{"loss": 1.5}, {"duplicate": -0.1}, {"loss": 0.6, "failed": 0.6}, {"reorder": -1.0}]
)
def test_weather_that_makes_no_sense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        Weather(**values)


def test_the_receiver_is_out_from_the_beginning_to_before_the_end() -> None:
    sky = Sky(1)
    sky.outage(100, 50)
    assert [sky.is_down(at) for at in (99.9, 100, 149.9, 150)] == [False, True, True, False]
    with pytest.raises(ValueError, match="some seconds"):
        sky.outage(100, 0)


# Days


def world_of(organization: int = 8, person: int = 4) -> World:
    accounts = [
        AccountPlan(login=ORG, repositories=organization),
        AccountPlan(login=PERSON, type="User", repositories=person),
    ]
    return World.generate(accounts=accounts, base_time=int(MONDAY) - 3600)


def test_a_week_has_its_hours_and_its_weekend() -> None:
    loads = {ORG: Load(per_day=400), PERSON: Load(per_day=40, hours=STRICT, weekend=0)}
    week = days(3, loads, MONDAY, MONDAY + 7 * DAY)
    assert week == days(3, loads, MONDAY, MONDAY + 7 * DAY) == sorted(week)
    assert week != days(4, loads, MONDAY, MONDAY + 7 * DAY)
    times = {
        login: [datetime.fromtimestamp(each.at, UTC) for each in week if each.login == login]
        for login in loads
    }
    assert len(times[ORG]) == pytest.approx(400 * 5.2, rel=0.1)
    assert len(times[PERSON]) == pytest.approx(200, rel=0.25)
    assert all(8 <= at.hour < 17 and at.weekday() < 5 for at in times[PERSON])
    at_ten, at_three = (sum(at.hour == hour for at in times[ORG]) for hour in (10, 3))
    assert at_ten > 10 * max(at_three, 1)


def test_another_account_does_not_change_the_days_of_the_first() -> None:
    alone = days(3, {ORG: Load(per_day=50)}, MONDAY, MONDAY + DAY)
    both = days(3, {ORG: Load(per_day=50), PERSON: Load(per_day=50)}, MONDAY, MONDAY + DAY)
    assert [each for each in both if each.login == ORG] == alone


def as_told(payload: dict[str, Any]) -> dict[str, Any]:
    """What a webhook's repository says, in the words of the truth; a push has times as numbers."""
    told = payload["repository"]
    times = {
        ours: told[name] if isinstance(told[name], int) else epoch(told[name])
        for ours, name in (
            ("github_created_at", "created_at"),
            ("github_updated_at", "updated_at"),
            ("pushed_at", "pushed_at"),
        )
    }
    same = (
        "name", "full_name", "description", "visibility", "archived", "default_branch", "topics",
        "size", "homepage", "language", "fork", "disabled",
    )  # fmt: skip
    counts = {
        "stars": "stargazers_count",
        "forks": "forks_count",
        "open_issues": "open_issues_count",
    }
    return (
        times
        | {name: told[name] for name in same}
        | {ours: told[name] for ours, name in counts.items()}
    )


@pytest.mark.spec("R6.3")
def test_a_day_changes_nothing_of_which_webhooks_do_not_tell() -> None:
    world, clock = world_of(), Clock()
    world.follow(clock)
    told: dict[int, dict[str, Any]] = {}

    def hear(event: Any) -> None:
        assert event.installation_id is not None
        if (event.event, event.action) == ("repository", "deleted"):
            told.pop(event.repository_id, None)
        elif event.repository_id is not None:
            told[event.repository_id] = as_told(event.payload)

    world.on_event = hear
    before = {row["github_id"]: row for rows in world.truth().values() for row in rows}
    loads = {ORG: Load(per_day=600), PERSON: Load(per_day=200)}
    said = set()
    for moment in days(5, loads, MONDAY, MONDAY + DAY):
        clock.now = moment.at
        said.add(happen(world, moment, loads))
    assert len(said) > 400
    assert not any(sentence.startswith("Nothing") for sentence in said)
    after = {row["github_id"]: row for rows in world.truth().values() for row in rows}
    times = ("github_created_at", "github_updated_at", "pushed_at")
    for number, row in after.items():
        if number in told:
            facts = row | {name: epoch(row[name]) for name in times}
            assert {name: facts[name] for name in told[number]} == told[number]
        else:
            assert row == before[number]


# By hand, in the simulator's own time


def by_hand(world: World, clock: Clock) -> Deliveries:
    """Nobody listens at that address: what is sent is logged as failed, and that is enough here."""
    world.follow(clock)
    world.set_app_hook("http://127.0.0.1:9/", "secret")
    return Deliveries(world, clock, by_hand=True)


def test_what_waits_is_sent_when_its_moment_has_come_and_in_that_order() -> None:
    world, clock = world_of(), Clock()
    sky = by_hand(world, clock)
    sky.weather = Weather(reorder=60, swallowed=1.0)
    repository = world.truth_of(ORG)[0]["github_id"]
    for number in range(20):
        world.edit(repository, description=str(number))
    assert sky.all() == []
    first = sky.next_due()
    assert first is not None
    assert MONDAY < first < MONDAY + 60
    assert sky.pump() == 0
    clock.now = first
    assert sky.pump() == 1
    clock.now = MONDAY + 60
    assert sky.pump() == 19
    assert sky.next_due() is None
    log = sky.all()
    assert [each.delivered_at for each in log] == sorted(each.delivered_at for each in log)
    assert [each.id for each in log] == sorted(each.id for each in log)
    said = [each.event.payload["repository"]["description"] for each in log]
    assert sorted(said, key=int) == [str(number) for number in range(20)] != said
    assert {(each.status, each.status_code, each.arrived) for each in log} == {("OK", 200, False)}


def test_a_throttled_delivery_comes_late_or_never_and_says_when_it_was_held_back() -> None:
    world, clock = world_of(), Clock()
    sky = by_hand(world, clock)
    sky.weather = Weather(throttled=1.0, throttle=300)
    repository = world.truth_of(ORG)[0]["github_id"]
    for number in range(40):
        world.edit(repository, description=str(number))
    sky.pump()
    never = sky.all()
    assert {(each.status, each.status_code) for each in never} == {("throttled", 0)}
    assert 5 < len(never) < 35
    sky.outage(300, MONDAY + 0.001)  # no test of a unit opens a connection
    clock.now = MONDAY + 300
    sky.pump()
    late = [each for each in sky.all() if each not in never]
    assert len(never) + len(late) == 40
    assert {each.throttled_at for each in sky.all()} == {MONDAY}
    assert all(each.delivered_at > MONDAY for each in late)


def test_during_an_outage_nothing_connects_and_only_the_truth_knows_of_silent_losses() -> None:
    world, clock = world_of(), Clock()
    sky = by_hand(world, clock)
    sky.outage(60, MONDAY)
    repository = world.truth_of(ORG)[0]["github_id"]
    world.edit(repository, description="shut out")
    sky.weather = Weather(silent_loss=1.0)
    world.edit(repository, description="never told")
    assert sky.drain()
    (shut_out,) = sky.all()
    assert (shut_out.status, shut_out.status_code) == ("failed to connect to host", 502)
    assert [(each.fate, each.logged, each.arrived) for each in sky.truth()] == [
        ("sent", True, False),
        ("silent", False, False),
    ]
    sky.weather = Weather(failed=1.0)
    sky.redeliver(shut_out)
    sky.pump()
    again = sky.all()[-1]
    assert again.event.guid == shut_out.event.guid
    assert (again.redelivery, again.arrived) == (True, False)
    assert again.id > shut_out.id
    assert again.status_code in (500, 502, 504)
    assert again.status == f"Invalid HTTP Response: {again.status_code}"
