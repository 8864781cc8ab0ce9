"""Who watches the watchman: what is dead, what waits for it, and what to do, in one reading of the database.

`/readyz`, the banner of the home page, the page *System* and the outbound ping say the same, because they
ask here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection
from django.db.models import Count, Min, Q

from syncsvc import heartbeats
from syncsvc.heartbeats import Sign
from syncsvc.models import DeadLetter, Delivery, Heartbeat, Installation, SyncJob

#: What must give signs of life, and what to do where it does not.
SILENT: Final[Mapping[str, str]] = {
    heartbeats.WORKER: "No worker gave a sign of life lately: start a Celery worker.",
    heartbeats.BEAT: "The scheduler gave no sign of life lately: start Celery beat.",
    heartbeats.SWEEPER: (
        "The sweeper, which finds what was forgotten, came to no end lately: it needs Celery beat, and a "
        "worker that takes from the queue of short tasks (one without -Q takes from all) and has a "
        "slot left."
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """How much waits, and since when the oldest does."""

    number: int
    since: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """Everything that the page *System* shows."""

    silent: Mapping[str, str]
    processes: tuple[Sign, ...]
    duties: tuple[Sign, ...]
    jobs_due: Waiting
    jobs_running: int
    jobs_later: int
    deliveries_waiting: Waiting
    breakers_open: int
    action_needed: int
    dead_letters: int
    database_bytes: int
    connections: int
    connections_most: int


def silent(now: datetime) -> dict[str, str]:
    """What gives no sign of life, and for each a sentence that says what to do; empty when all is well."""
    freshest = Q()
    for component in SILENT:
        # One from the future was written by a clock that was wrong, and says nothing of now.
        age = heartbeats.max_age(component)
        freshest |= Q(component=component, beaten_at__range=(now - age, now + age))
    living = set(Heartbeat.objects.filter(freshest).values_list("component", flat=True))
    return {name: sentence for name, sentence in SILENT.items() if name not in living}


def read(now: datetime) -> System:
    """All of it, in eight queries."""
    signs = heartbeats.read(now)
    waits = Q(status__in=[SyncJob.Status.QUEUED, SyncJob.Status.BLOCKED])
    due = waits & Q(run_after__lte=now)
    found = SyncJob.objects.filter(status__in=SyncJob.ACTIVE).aggregate(
        due=Count("pk", filter=due),
        since=Min("run_after", filter=due),
        running=Count("pk", filter=Q(status=SyncJob.Status.RUNNING)),
        later=Count("pk", filter=waits & Q(run_after__gt=now)),
    )
    told = Delivery.objects.filter(status=Delivery.Status.RECEIVED).aggregate(
        number=Count("pk"), since=Min("received_at")
    )
    accounts = Installation.objects.filter(status=Installation.Status.ACTIVE).aggregate(
        broken=Count("pk", filter=~Q(breaker_state=Installation.Breaker.CLOSED)),
        action=Count("pk", filter=~Q(action_needed="")),
    )
    size, connections, most = _database()
    return System(
        silent=silent(now),
        processes=tuple(sign for sign in signs if sign.component not in heartbeats.DUTIES),
        duties=tuple(sign for sign in signs if sign.component in heartbeats.DUTIES),
        jobs_due=Waiting(number=found["due"], since=found["since"]),
        jobs_running=found["running"],
        jobs_later=found["later"],
        deliveries_waiting=Waiting(number=told["number"], since=told["since"]),
        breakers_open=accounts["broken"],
        action_needed=accounts["action"],
        dead_letters=DeadLetter.objects.filter(status=DeadLetter.Status.OPEN).count(),
        database_bytes=size,
        connections=connections,
        connections_most=most,
    )


def _database() -> tuple[int, int, int]:
    """Its size in bytes, the connections to it, and how many the whole server allows."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_database_size(current_database()),"
            " (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),"
            " current_setting('max_connections')::int"
        )
        size, connections, most = cursor.fetchone()
    return int(size), int(connections), int(most)
