"""Days of activity: what happens when in each account, the same for the same seed.

Hides the rhythm of working hours. A schedule is made before anything happens; each of its
moments finds something to do when it comes. Only what webhooks tell of happens: a star changes
a repository without a word.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from syncsvc.simulator.activity import LIKELY, MOST_TRIES, UNTOLD
from syncsvc.simulator.happenings import CONTENT, comment
from syncsvc.simulator.records import Repository, WorldError
from syncsvc.simulator.world import World

HOUR, DAY = 3600, 86_400
OFFICE = (
    (0.02,) * 6 + (0.1, 0.4, 1.0, 1.4, 1.5, 1.2, 0.6, 1.1, 1.5, 1.4, 1.1, 0.6, 0.3) + (0.1,) * 5
)
"""How lively each hour of a working day is, in UTC: little at night, a dip at noon."""
STRICT = (0.0,) * 8 + (1.0,) * 9 + (0.0,) * 7
"""Nine to five and not a minute more."""

Happening = Callable[[World, Random, Repository], str]
TOLD: dict[Happening, int] = {
    happening: 8 * weight for happening, weight in CONTENT.items() if happening is not comment
} | {happening: weight for happening, weight in LIKELY.items() if happening not in UNTOLD}
"""What happens in a day and is told by webhooks, and how often in proportion."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much happens in an account."""

    per_day: float
    """On a working day, on average."""
    hours: tuple[float, ...] = OFFICE
    weekend: float = 0.1
    """So much of it on Saturdays and Sundays."""
    likely: Mapping[Happening, int] = field(default_factory=lambda: TOLD)


@dataclass(frozen=True, order=True)
class Moment:
    """Something is due in an account at a time (epoch seconds)."""

    at: float
    login: str
    chance: int
    """Decides what it will be."""


def days(seed: int, loads: Mapping[str, Load], begin: float, end: float) -> list[Moment]:
    """When something happens between two moments (epoch seconds), by login; in order.

    Independent happenings (a Poisson process) at the rate of each hour.
    """
    found = [
        moment
        for login, load in loads.items()
        for moment in _of_account(Random(f"days {seed} {login}"), login, load, begin, end)
    ]
    return sorted(found)


def happen(world: World, moment: Moment, loads: Mapping[str, Load]) -> str:
    """Let it happen, now; returns a sentence that says what did.

    What GitHub refuses (an archived repository takes no issue) gives way to something else.
    """
    random, likely = Random(moment.chance), loads[moment.login].likely
    with world.lock:
        for _ in range(MOST_TRIES):
            repositories = world.owned(world.account(moment.login))
            happening = random.choices(list(likely), list(likely.values()))[0]
            try:
                return happening(world, random, random.choice(repositories))
            except WorldError:
                continue
    return f"Nothing happened in {moment.login}."


def _of_account(
    random: Random, login: str, load: Load, begin: float, end: float
) -> Iterable[Moment]:
    busiest = max(load.hours)
    if busiest <= 0 or load.per_day <= 0:
        return
    most = busiest * load.per_day / sum(load.hours) / HOUR
    at = begin + random.expovariate(most)
    while at < end:
        # Thinning: moments at the highest rate, of which as many stay as this hour's allows.
        if random.random() * busiest < _liveliness(load, at):
            yield Moment(at, login, random.getrandbits(48))
        at += random.expovariate(most)


def _liveliness(load: Load, at: float) -> float:
    moment = datetime.fromtimestamp(at, UTC)
    return load.hours[moment.hour] * (load.weekend if moment.weekday() >= 5 else 1.0)
