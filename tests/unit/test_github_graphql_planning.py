"""The planner: every item asked for once, no request over its limits, and an end to it."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncsvc.github.planning import (
    ASSIGNEES,
    LABELS,
    MOST_ATTEMPTS,
    Limits,
    Pace,
    PagePlan,
    Planner,
    points_of,
)
from syncsvc.github.reading import Entity, Reading


def reading(number: int, entity: Entity, expected: int | None, limit: int | None = None) -> Reading:
    return Reading(
        github_id=number,
        node_id=f"R_{number}",
        full_name=f"octo/{number}",
        entity=entity,
        expected=expected,
        limit=limit,
    )


class Drill:
    """Plays GitHub to a planner; `truth` is how many items there really are."""

    def __init__(
        self, planner: Planner, truth: dict[Reading, int], seed: int = 0, trouble: float = 0
    ):
        self.planner = planner
        self.truth = truth
        self.random = Random(seed)
        self.trouble = trouble
        self.requests: list[tuple[PagePlan, ...]] = []
        self.items: Counter[Reading] = Counter()
        self.ended: Counter[Reading] = Counter()
        self.given_up: set[Reading] = set()

    def run(self, parallel: int = 1) -> "Drill":
        under_way: list[tuple[PagePlan, ...]] = []
        while not self.planner.is_done:
            while len(under_way) < parallel and (pages := self.planner.next_request()):
                under_way.append(pages)
                self.requests.append(pages)
            self.answer(under_way.pop(0))
            assert len(self.requests) < 20_000
        assert not self.planner.next_request()
        return self

    def answer(self, pages: tuple[PagePlan, ...]) -> None:
        if self.random.random() < self.trouble:
            self.planner.pace.troubled()
            for page in pages:
                if not self.planner.failed(page):
                    self.given_up.add(page.reading)
            return
        self.planner.pace.succeeded(1.0, 1000)
        for page in pages:
            assert page.seen == self.items[page.reading]
            left = min(self.truth[page.reading], page.reading.limit or 10**9) - page.seen
            came = min(left, page.size)
            self.items[page.reading] += came
            if came < left:
                self.planner.went_on(page, received=came, cursor=str(page.seen + came))
            else:
                self.planner.finished(page)
                self.ended[page.reading] += 1

    @property
    def points(self) -> int:
        return sum(map(points_of, self.requests))


works = st.lists(
    st.tuples(
        st.sampled_from(list(Entity)),
        st.none() | st.integers(0, 350),
        st.none() | st.integers(1, 250),
        st.integers(0, 350),
    ),
    max_size=40,
)


@pytest.mark.spec("R4.4")
@settings(max_examples=150)
@given(
    work=works,
    seed=st.integers(0, 99),
    trouble=st.sampled_from([0.0, 0.2, 0.9, 1.0]),
    parallel=st.integers(1, 3),
    weight=st.integers(60, 5000),
    nodes=st.integers(3200, 500_000),
    points=st.integers(3, 100),
)
def test_everything_is_asked_for_once_and_no_request_is_over_its_limits(
    work: list[tuple[Entity, int | None, int | None, int]],
    seed: int,
    trouble: float,
    parallel: int,
    weight: int,
    nodes: int,
    points: int,
) -> None:
    limits = Limits(
        nodes=nodes,
        points=points,
        pages=7,
        first_weight=weight,
        least_weight=50,
        most_weight=weight,
    )
    truth = {
        reading(number, entity, expected, limit): really
        for number, (entity, expected, limit, really) in enumerate(work)
    }
    drill = Drill(Planner(truth, limits), truth, seed, trouble).run(parallel)
    for pages in drill.requests:
        assert 1 <= len(pages) <= 7
        assert sum(page.nodes for page in pages) <= nodes
        assert points_of(pages) <= points
        assert sum(page.weight for page in pages) <= weight
        assert all(1 <= page.size <= 100 for page in pages)
        assert len({(page.reading.node_id, page.reading.entity) for page in pages}) == len(pages)
    for each, really in truth.items():
        if each.wanted == 0 or each in drill.given_up:
            assert not drill.ended[each]
        else:
            assert drill.ended[each] == 1
            assert drill.items[each] == min(really, each.limit or really)
    if not trouble:
        assert not drill.given_up


def test_known_counts_are_asked_for_exactly() -> None:
    work = [reading(1, Entity.ISSUES, 7), reading(2, Entity.COMMITS, 130, limit=120)]
    truth = {work[0]: 7, work[1]: 130}
    drill = Drill(Planner(work), truth).run()
    sizes = [(page.reading.github_id, page.size) for pages in drill.requests for page in pages]
    assert sizes == [(2, 100), (1, 7), (2, 20)]


def test_what_is_known_to_be_empty_is_not_asked_for() -> None:
    assert Planner([reading(1, Entity.ISSUES, 0), reading(1, Entity.COMMITS, 9, limit=0)]).is_done


def test_an_unknown_length_is_felt_out_in_growing_pages() -> None:
    work = reading(1, Entity.ISSUES, None)
    drill = Drill(Planner([work]), {work: 240}).run()
    assert [page.size for pages in drill.requests for page in pages] == [20, 40, 80, 100]


@pytest.mark.spec("R4.4")
def test_a_page_that_never_comes_gets_smaller_then_is_given_up_and_spoils_no_other() -> None:
    poison = reading(0, Entity.ISSUES, 100)
    others = [reading(number, Entity.ISSUES, 100) for number in range(1, 9)]
    planner = Planner([*others[:4], poison, *others[4:]])
    sizes, arrived, given_up = [], set(), []
    while not planner.is_done:
        pages = planner.next_request()
        if any(page.reading == poison for page in pages):
            planner.pace.troubled()
            sizes += [page.size for page in pages if page.reading == poison]
            given_up += [page.reading for page in pages if not planner.failed(page)]
            continue
        planner.pace.succeeded(1.0, 0)
        for page in pages:
            arrived.add(page.reading)
            planner.finished(page)
    assert given_up == [poison]
    assert arrived == set(others)
    assert len(sizes) == MOST_ATTEMPTS
    assert sizes[-1] == 1
    assert sizes == sorted(sizes, reverse=True)


def test_one_list_is_asked_for_once_a_request_however_many_readings_want_it() -> None:
    planner = Planner([reading(1, Entity.COMMITS, 10), reading(1, Entity.COMMITS, 10, limit=5)])
    (first,) = planner.next_request()
    assert planner.next_request() == ()
    planner.finished(first)
    assert len(planner.next_request()) == 1


def test_points_are_a_hundredth_of_the_connections() -> None:
    issues = PagePlan(reading=reading(1, Entity.ISSUES, None), size=100)
    commits = PagePlan(reading=reading(1, Entity.COMMITS, None), size=100)
    assert (issues.connections, commits.connections) == (201, 1)
    assert issues.nodes == 100 * (1 + LABELS + ASSIGNEES)
    assert points_of([commits]) == 1
    assert points_of([issues]) == 2
    assert points_of([issues] * 50) == 100


def test_the_pace_is_halved_by_trouble_and_raised_slowly_by_success() -> None:
    pace = Pace(Limits(first_weight=1000, least_weight=100, most_weight=2000))
    pace.troubled()
    assert pace.weight == 500
    pace.succeeded(1.0, 0)
    assert pace.weight == 625
    pace.succeeded(Pace.SLOW + 1, 0)
    assert pace.weight == 468
    pace.succeeded(1.0, Pace.LARGE + 1)
    assert pace.weight == 351
    pace.succeeded(Pace.QUICK + 1, 0)
    assert pace.weight == 351
    for _ in range(9):
        pace.troubled()
    assert pace.weight == 100
    for _ in range(99):
        pace.succeeded(0.1, 0)
    assert pace.weight == 2000


def account(repositories: int, *, even: bool) -> dict[Reading, int]:
    """~1,000 issues and ~700 pull requests per 180 repositories, 30 commits each."""
    random = Random(1)
    shares = [
        1 + random.random() if even else random.paretovariate(1.2) for _ in range(repositories)
    ]
    share = repositories / 180 / sum(shares)
    truth = {}
    for number, each in enumerate(shares):
        for entity, count in (
            (Entity.ISSUES, round(1000 * share * each)),
            (Entity.PULL_REQUESTS, round(700 * share * each)),
            (Entity.COMMITS, 30),
        ):
            truth[reading(number, entity, count)] = count
    return truth


@pytest.mark.spec("R4.4")
@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize(
    ("repositories", "most_requests", "most_points"), [(180, 30, 120), (2000, 320, 1300)]
)
def test_a_first_sync_takes_few_requests_and_points(
    repositories: int, most_requests: int, most_points: int, even: bool
) -> None:
    truth = account(repositories, even=even)
    drill = Drill(Planner(truth), truth).run(parallel=2)
    overviews = -(-repositories // 100)
    assert len(drill.requests) + overviews <= most_requests // 2
    assert drill.points + 4 * overviews <= most_points // 2
