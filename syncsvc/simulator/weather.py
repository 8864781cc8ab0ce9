"""What goes wrong with webhooks on purpose, and when the receiver is out.

Hides chance: the fate of each delivery is drawn when its event happens, so that it does not
depend on when a thread gets to run, and all of it is the same for the same seed.
"""

from dataclasses import dataclass, fields
from random import Random
from typing import Literal

Kind = Literal["sent", "silent", "lost", "swallowed", "failed", "throttled"]

FAILURES = (500, 502, 504)
"""Status codes of failures that never reached the receiver."""


@dataclass(kw_only=True)
class Weather:
    """What goes wrong with webhooks; shares are between 0 and 1, times in seconds.

    Of one delivery at most one thing goes wrong, so that the shares of what goes wrong add up.
    """

    loss: float = 0.0
    """Share that GitHub fails to deliver: logged as timed out, status code 0."""
    silent_loss: float = 0.0
    """Share that never happens at all, not even in the log."""
    swallowed: float = 0.0
    """Share that the log calls delivered (200 OK) although it never reached the receiver."""
    failed: float = 0.0
    """Share that something on the way answers with 500, 502 or 504: logged so, never arrived."""
    throttled: float = 0.0
    """Share that GitHub holds back: half of it is sent late, half of it never."""
    throttle: float = 300.0
    """For how long at most the former is held back."""
    duplicate: float = 0.0
    """Share that is sent twice with the same GUID."""
    reorder: float = 0.0
    """Each delivery comes late by a random time up to this, in the simulator's time."""
    shuffle: bool = False
    """Send what is waiting in random order."""
    delay: float = 0.0
    """Before each round of sending."""
    timeout: float = 10.0
    """For the receiver to answer."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense (ValueError)."""
        shares = [self.loss, self.silent_loss, self.swallowed, self.failed, self.throttled]
        if not all(0 <= share <= 1 for share in (*shares, self.duplicate)) or sum(shares) > 1.001:
            raise ValueError("Shares are between 0 and 1, those that are exclusive 1 in all.")
        if min(self.throttle, self.reorder, self.delay, self.timeout) < 0:
            raise ValueError("Times of the weather are not negative.")

    @classmethod
    def names(cls) -> set[str]:
        """What can be set."""
        return {f.name for f in fields(cls)}


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What becomes of one delivery."""

    kind: Kind = "sent"
    code: int = 0
    """The answer that is logged, where nothing was sent."""
    held: float | None = None
    """Seconds until a throttled one is sent after all; None: never."""
    delays: tuple[float, ...] = (0.0,)
    """One for each time that it is sent, in seconds."""


@dataclass(frozen=True)
class Outage:
    """The receiver takes no connection from `begin` on until before `end` (epoch seconds)."""

    begin: float
    end: float


class Sky:
    """Draws fates, and knows when the receiver is out."""

    def __init__(self, seed: int) -> None:
        """Clear, and with chances of its own: first attempts do not depend on redeliveries."""
        self.outages: list[Outage] = []
        self._first = Random(f"weather {seed}")
        self._again = Random(f"weather of redeliveries {seed}")

    def fate(self, weather: Weather, *, redelivery: bool) -> Fate:
        """The fate of the next delivery; as many draws each time, whatever the weather."""
        random = self._again if redelivery else self._first
        what, code, held, twice, *late = (random.random() for _ in range(6))
        delays = tuple(weather.reorder * each for each in late)
        return Fate(
            kind=_kind(weather, what),
            code=FAILURES[int(code * len(FAILURES))],
            held=2 * held * weather.throttle if held < 0.5 else None,
            delays=delays if twice < weather.duplicate else delays[:1],
        )

    def outage(self, begin: float, seconds: float) -> Outage:
        """Let every attempt within this time fail; ValueError when it lasts no time."""
        if not seconds > 0:
            raise ValueError("An outage lasts some seconds.")
        self.outages.append(Outage(begin, begin + seconds))
        return self.outages[-1]

    def is_down(self, moment: float) -> bool:
        """Whether the receiver is out at this moment."""
        return any(each.begin <= moment < each.end for each in self.outages)


def _kind(weather: Weather, chance: float) -> Kind:
    shares: tuple[tuple[Kind, float], ...] = (
        ("silent", weather.silent_loss),
        ("lost", weather.loss),
        ("swallowed", weather.swallowed),
        ("failed", weather.failed),
        ("throttled", weather.throttled),
    )
    for kind, share in shares:
        if chance < share:
            return kind
        chance -= share
    return "sent"
