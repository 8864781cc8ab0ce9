"""Samples: how they are shared out, what they say of the whole, and how far that can be believed."""

import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.sampling import (
    Place,
    Standing,
    Stratum,
    Weights,
    allocate,
    allowance,
    beyond,
    disagrees,
    places,
    weigh,
    wilson,
)

COUNTS = st.integers(min_value=0, max_value=10_000)


# -- Wilson's interval -----------------------------------------------------------------------------


@pytest.mark.spec("R8.3")
@pytest.mark.parametrize(
    ("matched", "total", "low", "high"),
    [
        # Newcombe 1998, "Two-sided confidence intervals for the single proportion", method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # Agresti and Coull 1998 take the share that all of a sample have as their example.
        (10, 10, 0.7225, 1.0),
        (38, 40, 0.8350, 0.9862),
        (40, 40, 0.9124, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilsons_interval_is_that_of_the_literature(
    matched: int, total: int, low: float, high: float
) -> None:
    assert list(wilson(matched, total)) == pytest.approx([low, high], abs=6e-5)


@pytest.mark.spec("R8.3")
@given(st.data())
def test_wilsons_interval_holds_the_share_and_narrows_with_the_sample(data: st.DataObject) -> None:
    total = data.draw(st.floats(min_value=0.01, max_value=1e6))
    matched = data.draw(st.floats(min_value=0, max_value=total))
    low, high = wilson(matched, total)
    assert 0 <= low <= matched / total <= high <= 1
    other_low, other_high = wilson(total - matched, total)
    assert [1 - other_high, 1 - other_low] == pytest.approx([low, high])
    more_low, more_high = wilson(matched * 4, total * 4)
    assert more_high - more_low < high - low or high == low


@pytest.mark.parametrize(("matched", "total"), [(2, 1), (-1, 5), (math.nan, 5), (1, math.inf)])
def test_what_is_no_share_has_no_interval(matched: float, total: float) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson(matched, total)


# -- sharing out -----------------------------------------------------------------------------------


@pytest.mark.spec("R8.3")
@given(st.lists(COUNTS, max_size=8), st.integers(0, 200), st.integers(0, 3), st.integers())
def test_a_sample_is_shared_out_in_proportion_with_the_least_for_each(
    populations: list[int], size: int, least: int, seed: int
) -> None:
    strata = dict(enumerate(populations))
    drawn = allocate(strata, size, Random(seed), least)
    assert drawn == allocate(strata, size, Random(seed), least)
    assert sum(drawn.values()) == min(size, sum(populations))
    assert all(0 <= drawn[key] <= strata[key] for key in strata)
    wanted = sum(min(least, each) for each in populations)
    if size >= wanted:
        assert all(drawn[key] >= min(least, strata[key]) for key in strata)
        free, total = min(size, sum(populations)) - wanted, sum(populations) - wanted
        for key, population in strata.items():
            own = min(least, population)
            share = free * (population - own) / total if total else 0
            assert abs(drawn[key] - own - share) <= 1
    else:
        assert max(drawn.values()) <= least


@pytest.mark.spec("R8.3")
@given(st.lists(st.integers(0, 30), max_size=8), st.integers(0, 60), st.integers())
def test_places_are_different_real_and_the_same_for_the_same_seed(
    lengths: list[int], size: int, seed: int
) -> None:
    found = places(lengths, size, Random(seed))
    assert found == places(lengths, size, Random(seed))
    assert len(set(found)) == len(found) == min(size, sum(lengths))
    assert all(0 <= each.offset < lengths[each.list] for each in found)


@pytest.mark.spec("R8.3")
def test_each_item_of_all_lists_is_as_likely_as_any_other() -> None:
    random = Random(1)
    found = Counter(each for _ in range(6000) for each in places([1, 0, 3, 2], 1, random))
    assert set(found) == {Place(0, 0), *(Place(2, n) for n in range(3)), Place(3, 0), Place(3, 1)}
    assert all(abs(count - 1000) < 130 for count in found.values())


@pytest.mark.spec("R8.3")
def test_in_a_list_that_has_grown_each_item_is_as_likely_as_any_other() -> None:
    random, known, now = Random(1), 4, 10
    found: Counter[int] = Counter()
    for _ in range(10_000):
        offset = random.randrange(known)
        other = beyond(known, now, random)
        found[offset if other is None else other] += 1
    assert set(found) == set(range(now))
    assert all(abs(count - 1000) < 130 for count in found.values())
    assert beyond(10, 10, random) is beyond(10, 3, random) is None


@pytest.mark.spec("R8.3", "R4.2")
@given(COUNTS, st.none() | COUNTS, COUNTS, st.integers(0, 100), COUNTS)
def test_an_audit_never_pays_more_than_its_share_nor_touches_the_reserve(
    limit: int, remaining: int | None, reserve: int, percent: int, spent: int
) -> None:
    allowed = allowance(limit, remaining, reserve, percent, spent)
    left = limit if remaining is None else remaining
    assert allowed >= 0
    assert allowed == 0 or allowed + spent <= limit * percent / 100
    assert allowed == 0 or left - allowed >= reserve


# -- what a sample says ----------------------------------------------------------------------------


@pytest.mark.spec("R8.3")
def test_the_worked_example_of_the_documentation() -> None:
    populations = dict(zip("abcdef", (10, 10, 600, 606, 380, 380), strict=True))
    assert [*allocate(populations, 40, Random(1)).values()] == [2, 2, 11, 11, 7, 7]
    strata = [
        Stratum(population=10, matched=2),
        Stratum(population=10, matched=2),
        Stratum(population=600, matched=10, wrong=1),
        Stratum(population=606, matched=10, wrong=1, alone=1),
        Stratum(population=380, matched=6, in_flight=1),
        Stratum(population=380, matched=7),
    ]
    found = weigh(strata)
    assert [found.total, found.matched] == pytest.approx([1020.55, 938.18], abs=5e-3)
    assert found.share == pytest.approx(0.9193, abs=5e-5)
    assert found.effective == pytest.approx(22.97, abs=5e-3)
    assert list(found.interval) == pytest.approx([0.7399, 0.9785], abs=5e-5)


@pytest.mark.spec("R8.3")
@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_whoever_samples_everything_knows_the_share_of_all_items(
    matched: int, stale: int, surplus: int, lacking: int
) -> None:
    mirror, github = matched + stale + surplus, matched + stale + lacking
    found = weigh(
        [
            Stratum(population=mirror, matched=matched, wrong=stale + surplus, alone=surplus),
            Stratum(population=github, matched=matched, wrong=stale + lacking, alone=lacking),
        ]
    )
    everything = matched + stale + surplus + lacking
    assert found.total == pytest.approx(everything)
    assert found.share == (pytest.approx(matched / everything) if everything else None)
    low, high = found.interval
    assert 0 <= low <= (found.share or 0) <= high <= 1


@pytest.mark.spec("R8.3")
@given(st.lists(st.builds(
    Stratum, population=st.integers(1, 500), matched=st.integers(0, 9), unknown=st.integers(0, 9),
    in_flight=st.integers(0, 9),
)))  # fmt: skip
def test_what_is_unknown_or_in_flight_says_nothing(strata: list[Stratum]) -> None:
    told = [Stratum(population=each.population, matched=each.matched) for each in strata]
    assert weigh(strata) == weigh(told)
    assert weigh(strata).share in (None, pytest.approx(1.0))
    assert sum((weigh([each]) for each in strata), Weights()).total == pytest.approx(
        weigh(strata).total
    )


def audited(random: Random, size: int, *, stale: int, surplus: int, lacking: int) -> Weights:
    """What an audit says of three entities with 100 items each at GitHub, of which so many are wrong."""
    populations = {(each, side): 100 for each in range(3) for side in ("mirror", "github")}
    for entity in range(3):
        populations[entity, "mirror"] += surplus - lacking
    strata = []
    for (entity, side), number in allocate(populations, size, random).items():
        alone = surplus if side == "mirror" else lacking
        population = populations[entity, side]
        chosen = random.sample(range(population), number)
        lonely = sum(each < alone for each in chosen)
        wrong = sum(each < alone + stale for each in chosen)
        strata.append(
            Stratum(population=population, matched=number - wrong, wrong=wrong, alone=lonely)
        )
    return weigh(strata)


@pytest.mark.spec("R8.3")
@pytest.mark.parametrize(
    ("wrong", "audits"),
    [
        ({"stale": 10, "surplus": 0, "lacking": 0}, 1),
        ({"stale": 10, "surplus": 0, "lacking": 0}, 10),
        ({"stale": 0, "surplus": 10, "lacking": 0}, 10),
        ({"stale": 0, "surplus": 0, "lacking": 10}, 10),
        ({"stale": 4, "surplus": 3, "lacking": 3}, 1),
    ],
)
def test_the_interval_holds_the_truth_in_at_least_90_of_100_samples(
    wrong: dict[str, int], audits: int
) -> None:
    truth = 1 - 30 / (300 + 3 * wrong["surplus"])
    held = 0
    for seed in range(100):
        random = Random(seed)
        found = [audited(random, 40, **wrong) for _ in range(audits)]
        low, high = sum(found, Weights()).interval
        held += low <= truth <= high
    assert held >= 90


@pytest.mark.spec("R8.3")
def test_what_only_one_side_has_makes_the_interval_wider() -> None:
    def effective(**wrong: int) -> float:
        return weigh([Stratum(population=400, matched=36, wrong=4, **wrong)]).effective

    assert effective() == pytest.approx(40)
    assert effective(alone=4) < effective(alone=2) < 40
    assert weigh([Stratum(population=400, wrong=40)]).effective == pytest.approx(40)
    assert weigh([Stratum(population=400, matched=40)]).effective == pytest.approx(40)


# -- beside what runs measure ----------------------------------------------------------------------


def standing(matched: int, wrong: int) -> Standing:
    low, high = wilson(matched, matched + wrong)
    return Standing(
        audits=1, sampled=matched + wrong, matched=matched, wrong=wrong, in_flight=0, unknown=0,
        estimate=matched / (matched + wrong), low=low, high=high,
    )  # fmt: skip


@pytest.mark.spec("R8.3", "R14.1")
def test_audits_contradict_only_what_they_find_hard_to_believe() -> None:
    found = standing(190, 10)  # 0.91 to 0.97
    assert disagrees(0.999, found)
    assert not disagrees(0.96, found)
    assert not disagrees(0.5, found)  # the audit would be the kinder one
    assert not disagrees(None, found)
    assert not disagrees(0.999, found, least=201)
    assert not disagrees(0.999, standing(9, 90))
