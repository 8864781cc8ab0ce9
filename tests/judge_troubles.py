"""What goes wrong in the middle of a run: workers that die, GitHub that is ill, people who press cancel."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from django.db import OperationalError

from reconciliation.judge import Judge
from syncsvc import clock
from syncsvc.leases import Lease
from syncsvc.models import SyncJob
from syncsvc.simulator.faults import Fault, Kind

if TYPE_CHECKING:
    from tests.judge_support import History


class Killed(BaseException):
    """The process is gone, as after `kill -9`: nobody gets to clean up."""


@contextmanager
def _crash(_: "History", chance: Random) -> Iterator[None]:
    """The worker ends at one of its writes: before it, in the middle of it, or just after it."""
    kind = chance.choice((Killed, Killed, SystemExit, RuntimeError, OperationalError))
    at, place = (
        chance.choice((1, 1, 2, 2, 3, 4, 6, 9)),
        chance.choice(("before", "inside", "after")),
    )
    plain, calls = Lease.writing, 0

    @contextmanager
    def writing(lease: Lease) -> Iterator[None]:
        nonlocal calls
        calls += 1
        if calls == at and place == "before":
            raise kind
        with plain(lease):
            yield
            if calls == at and place == "inside":
                raise kind
        if calls == at and place == "after":
            raise kind

    with mock.patch.object(Lease, "writing", writing):
        yield


@contextmanager
def _crash_at_the_end(_: "History", chance: Random) -> Iterator[None]:
    """The worker dies while it writes the figures."""
    kind = chance.choice((Killed, SystemExit))
    with mock.patch.object(Judge, "close", side_effect=kind):
        yield


@contextmanager
def _cancelled(_: "History", chance: Random) -> Iterator[None]:
    """Somebody presses cancel while it runs."""
    plain, at, calls = Lease._renew, chance.randrange(1, 12), 0

    def renew(lease: Lease) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            SyncJob.objects.filter(pk=lease.job.pk).update(cancel_requested_at=clock.now())
        plain(lease)

    with mock.patch.object(Lease, "_renew", renew):
        yield


@contextmanager
def _fault(history: "History", chance: Random) -> Iterator[None]:
    """GitHub is ill for some requests."""
    path = chance.choice((".*", "/installation/repositories", "/graphql", "/repos"))
    kind: Kind = chance.choice(
        ("status", "status", "secondary_limit", "malformed", "truncated", "query_timeout")
    )
    if kind == "query_timeout":
        path = "/graphql"
    if kind == "truncated":
        path = "/installation/repositories"
    history.simulator.faults.add(
        Fault(
            kind=kind,
            path_regex=path,
            status=chance.choice((500, 502, 503)),
            after=chance.randrange(4),
            times=chance.choice((1, 3, 6, 12)),
            retry_after=chance.choice((None, 30)) if kind == "secondary_limit" else None,
        )
    )
    yield
    history.simulator.faults.clear()


@contextmanager
def _drift(history: "History", chance: Random) -> Iterator[None]:
    """GitHub goes on changing while it is read."""
    seeds = iter([chance.randrange(10**6) for _ in range(3)])

    def happens() -> None:
        history.world.random_history(next(seeds, 0), 1)

    history.simulator.faults.add(
        Fault(
            kind="drift", change=happens, after=chance.randrange(1, 5), times=chance.randrange(1, 3)
        )
    )
    yield
    history.simulator.faults.clear()


TROUBLES: Final[dict[str, Callable[["History", Random], Any]]] = {
    "crash": _crash,
    "end": _crash_at_the_end,
    "cancel": _cancelled,
    "fault": _fault,
    "drift": _drift,
}
