"""The pure parts of the chaos suite: what it would call a violation, it does call one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos import judging, report, weather
from tests.chaos.judging import Death, Request, Step


def step(number: int, at: float, by: str, **values: object) -> Step:
    known = {
        "job": "job", "installation": 7, "old_status": "running", "status": "running",
        "old_lease": "", "lease": "", "old_expires": 0.0, "expires": 0.0,
    }  # fmt: skip
    return Step(id=number, at=at, by=by, **(known | values))  # type: ignore[arg-type]


def claimed(number: int, at: float, by: str, lease: str, **values: object) -> Step:
    return step(number, at, by, lease=lease, expires=at + 6, old_status="queued", **values)


def asked(began: float, service: str = "worker-1", pid: int = 1, **values: object) -> Request:
    known = {"answered": began + 0.1, "installation": 7, "path": "/x"}
    return Request(began=began, service=service, pid=pid, **(known | values))  # type: ignore[arg-type]


# -- the weather -----------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.floats(20, 600))
def test_a_seed_is_one_weather_within_its_time_and_with_all_that_can_happen(
    seed: int, seconds: float
) -> None:
    acts = weather.forecast(seed, seconds)
    assert acts == weather.forecast(seed, seconds)
    assert [act.at for act in acts] == sorted(act.at for act in acts)
    assert all(0 < act.at < seconds for act in acts)
    assert {act.kind for act in acts} == set(weather.MOST)
    kills = [act for act in acts if act.kind == "kill"]
    assert len(kills) >= 8
    assert all(act.target in weather.SERVICES and act.how in weather.DEATHS for act in kills)


def test_the_long_form_kills_thirty_times_everything_in_every_way() -> None:
    kills = [act for act in weather.forecast(3, weather.LONG_SECONDS) if act.kind == "kill"]
    assert len(kills) == 30
    assert {act.target for act in kills} == set(weather.SERVICES)
    assert {act.how for act in kills} == set(weather.DEATHS)


def test_too_short_a_weather_is_refused() -> None:
    with pytest.raises(ValueError, match="20 seconds"):
        weather.forecast(1, 5)


# -- leases ----------------------------------------------------------------------------------------


def test_a_lease_that_ran_out_is_taken_over_and_the_time_from_the_death_is_measured() -> None:
    steps = [
        claimed(1, 100, "worker-1", "a"),
        step(2, 102, "worker-1", old_lease="a", lease="a", old_expires=106, expires=108),
        step(3, 109, "worker-2", old_lease="a", status="queued", old_expires=108),
        claimed(4, 110, "worker-2", "b"),
    ]
    found, verdict = judging.leases(steps)
    assert verdict.violations == []
    assert [(each.holder, each.is_lost) for each in found] == [
        ("worker-1", True),
        ("worker-2", False),
    ]
    deaths = [Death(name="worker-1", how="kill group", at=103)]
    [taken] = judging.take_overs(found, deaths)
    assert (taken.to_notice, taken.to_claim, taken.is_clean) == (6, 7, True)
    assert judging.in_time([taken], heartbeat=4).violations == []
    assert judging.in_time([taken], heartbeat=2).violations != []
    assert judging.take_overs(found, [Death(name="worker-2", how="kill group", at=103)]) == []
    [disturbed] = judging.take_overs(found, deaths, [(107, 108)])
    assert not disturbed.is_clean
    assert judging.in_time([disturbed], heartbeat=2).violations == []


def test_a_job_that_its_holder_ended_was_not_lost() -> None:
    steps = [
        claimed(1, 100, "worker-1", "a"),
        step(2, 103, "worker-1", old_lease="a", status="succeeded", old_expires=106),
    ]
    [lease], verdict = judging.leases(steps)
    assert (lease.is_lost, lease.ended_at, verdict.violations) == (False, 103, [])


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        (
            [
                claimed(1, 100, "worker-1", "a"),
                step(2, 103, "worker-2", old_lease="a", lease="b", old_expires=106, expires=109),
            ],
            "whose lease was good for another 3.0 s",
        ),
        (
            [
                claimed(1, 100, "worker-1", "a"),
                step(2, 103, "worker-2", old_lease="a", status="queued", old_expires=106),
            ],
            "whose lease was good for another 3.0 s",
        ),
        (
            [
                claimed(1, 100, "worker-1", "a"),
                step(2, 103, "worker-2", old_lease="a", lease="a", old_expires=106, expires=109),
            ],
            "was renewed by worker-2",
        ),
        (
            [
                claimed(1, 100, "worker-1", "a"),
                claimed(2, 103, "worker-2", "b", job="another"),
            ],
            "worker-2 claimed job another while worker-1 held job job",
        ),
    ],
)
def test_a_lease_in_two_hands_is_found(steps: list[Step], sentence: str) -> None:
    [violation] = judging.leases(steps)[1].violations
    assert sentence in violation


# -- readers ---------------------------------------------------------------------------------------

HAND_OVER = [
    claimed(1, 100, "worker-1", "a"),
    step(2, 107, "worker-2", old_lease="a", lease="b", old_expires=106, expires=113),
    step(3, 120, "worker-2", old_lease="b", status="succeeded", old_expires=121),
]


def read(*requests: Request) -> judging.Verdict:
    return judging.readers(judging.leases(HAND_OVER)[0], requests, allowance=6)


def test_a_reader_holds_the_lease_and_one_that_lost_it_may_be_a_little_late() -> None:
    verdict = read(asked(101), asked(109, "worker-1"), asked(110, "worker-2", 2))
    assert verdict.violations == []
    assert verdict.figures == {"late_requests": 1, "latest_seconds": 2, "without_a_sender": 0}


def test_a_reader_that_goes_on_without_its_lease_is_found() -> None:
    [violation] = read(asked(114, "worker-1")).violations
    assert "7.0 s after its lease had ended" in violation


def test_a_reader_that_never_had_a_lease_is_found() -> None:
    [violation] = read(asked(101, "web")).violations
    assert "without a lease" in violation


def test_three_processes_under_one_lease_are_found() -> None:
    [violation] = read(*(asked(101 + pid, pid=pid) for pid in range(3))).violations
    assert "3 processes read under lease a" in violation


# -- budgets ---------------------------------------------------------------------------------------

HEARD = asked(100, until=130, refused=True)


def against(*requests: Request, deaths: list[Death] | None = None, down: float = 0) -> int:
    outages = [(down, down + 1)] if down else []
    verdict = judging.exhausted([HEARD, *requests], deaths or [], outages)
    assert len(verdict.violations) == verdict.figures["against_us"]
    return int(verdict.figures["against_us"])


def test_a_request_after_the_news_counts_against_us() -> None:
    late = asked(105, "worker-2", 2, refused=True, until=130)
    assert against(late) == 1
    killed = Death(name="worker-1", how="kill group", at=100.6)
    assert against(late, deaths=[killed]) == 0
    assert against(late, down=100.5) == 0


def test_the_process_that_heard_it_has_no_excuse() -> None:
    killed = Death(name="worker-1", how="kill child", at=100.6)
    assert against(asked(105, refused=True, until=130), deaths=[killed], down=100.5) == 1


def test_what_was_under_way_or_of_another_budget_or_after_the_reset_does_not_count() -> None:
    assert against(asked(100.9, "worker-2", 2, refused=True)) == 0
    assert against(asked(105, "worker-2", 2, refused=True, resource="graphql")) == 0
    assert against(asked(131, "worker-2", 2, refused=True)) == 0
    assert against(asked(105, "worker-2", 2)) == 0
    assert against(asked(105, "worker-2", 2, refused=True, installation=8)) == 0


# -- the report ------------------------------------------------------------------------------------


def test_the_report_names_what_was_violated_and_how_to_see_it_again() -> None:
    results = {
        "seed": 5,
        "broker_kind": "Redis",
        "again": "--seed 5",
        "figures": {"kills": {"all": 30, "by_kind": {"term": 3}}, "gaps": 0},
        "violations": ["The mirror lies."],
    }
    text = report.as_text(results)
    assert "The mirror lies." in text
    assert 'make chaos ARGS="--seed 5"' in text
    page = report.rewritten(f"a\n{report.BEGIN}\nold\n{report.END}\nb", "new")
    assert page == f"a\n{report.BEGIN}\nnew\n{report.END}\nb"
    with pytest.raises(ValueError, match="chaos:begin"):
        report.rewritten("a", "new")
    assert "Every invariant held." in report.as_text(results | {"violations": []})
