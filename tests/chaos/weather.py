"""What goes wrong and when, drawn from a seed. Pure: the same seed gives the same weather."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

LONG_SECONDS: Final = 330.0
"""Of weather in the long form, to which the numbers below belong; a shorter one has fewer of each."""

WORKERS: Final = ("worker-1", "worker-2")
SERVICES: Final = ("web", *WORKERS, "clerk", "beat")

#: How a process dies: all of its group at once, its leader alone, one of its children alone (as the
#: kernel chooses one when memory runs out), or politely.
DEATHS: Final = ("kill group", "kill leader", "kill child", "term")

CHILDLESS: Final = (("beat", "kill child"), ("clerk", "kill child"))

LEAST: Final = {
    "kill": 8, "freeze": 1, "broker lost": 1, "broker flushed": 1, "database immediate": 1,
    "database fast": 1, "connections cut": 1, "budget": 2, "secondary limit": 1, "storm": 2,
    "network": 1,
}  # fmt: skip
MOST: Final = {
    "kill": 30, "freeze": 3, "broker lost": 4, "broker flushed": 3, "database immediate": 3,
    "database fast": 2, "connections cut": 2, "budget": 6, "secondary limit": 2, "storm": 6,
    "network": 4,
}  # fmt: skip
FIRST_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True, order=True)
class Act:
    """One thing that goes wrong, so many seconds after the weather began.

    `target`: a service, or what is exhausted; `how`: a way to die; `seconds`: how long it lasts;
    `number`: chooses among what there is then, an installation or a child.
    """

    at: float
    kind: str
    target: str = ""
    how: str = ""
    seconds: float = 0.0
    number: int = 0


def forecast(seed: int, seconds: float) -> list[Act]:
    """The acts of so many seconds, in their order. Raises ValueError for less than 20 seconds."""
    if seconds < 20:
        raise ValueError("Weather of less than 20 seconds has no room for what is to happen.")
    random = Random(f"chaos {seed}")
    share = seconds / LONG_SECONDS
    kinds = [
        kind for kind in MOST for _ in range(max(LEAST[kind], round(MOST[kind] * min(share, 1.0))))
    ]
    random.shuffle(kinds)
    kills = _kills(random, kinds.count("kill"))
    slot = (seconds - FIRST_SECONDS) / len(kinds)
    found = []
    for place, kind in enumerate(kinds):
        at = FIRST_SECONDS + slot * (place + random.random() * 0.9)
        found.append(_act(random, at, kind, kills))
    return sorted(found)


def _kills(random: Random, count: int) -> Iterator[tuple[str, str]]:
    """Whom and how: every service in turn dies in every way; workers, which hold leases, more often."""
    pairs: list[tuple[str, str]] = []
    while len(pairs) < count:
        deck = [(name, how) for name in (*WORKERS, *SERVICES) for how in DEATHS]
        deck = [pair for pair in deck if pair not in CHILDLESS]
        random.shuffle(deck)
        pairs += deck
    return iter(pairs[:count])


def _act(random: Random, at: float, kind: str, kills: Iterator[tuple[str, str]]) -> Act:
    number = random.randrange(1_000_000)
    match kind:
        case "kill":
            target, how = next(kills)
            return Act(at=at, kind=kind, target=target, how=how, number=number)
        case "freeze":
            seconds = random.uniform(1.3, 1.8)  # leases, so that another worker takes over
            return Act(at=at, kind=kind, target=random.choice(WORKERS), seconds=seconds)
        case "budget":
            return Act(at=at, kind=kind, target=random.choice(("core", "graphql")), number=number)
        case "secondary limit":
            return Act(at=at, kind=kind, seconds=random.uniform(4, 10), number=number)
        case "storm":
            return Act(
                at=at, kind=kind, seconds=random.uniform(4, 9), number=random.randint(25, 60)
            )
        case "network":
            how = random.choice(("reset", "502", "truncated"))
            return Act(at=at, kind=kind, how=how, number=random.randint(3, 12))
        case _:
            return Act(at=at, kind=kind, seconds=random.uniform(0.3, 2.5), number=number)
