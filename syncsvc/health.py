"""What machines ask about the product: does it live, can it work, how much is there.

`/metrics` names no account and no repository (installations appear by our own number), so it may
stand open behind a private network; `METRICS_TOKEN` closes it to all but its bearer and staff.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any, Final

import structlog
from celery import current_app
from django.conf import settings
from django.db import DatabaseError, ProgrammingError, connection
from django.db.models import Count, Min, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from kombu import Connection
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from syncsvc import clock, heartbeats, watchman
from syncsvc.models import (
    Delivery,
    Gap,
    Installation,
    MissedDelivery,
    RateBudget,
    Repository,
    SyncJob,
)

log = structlog.get_logger(__name__)

BROKER_SECONDS = 2
NOT_PREPARED: Final = (
    "The database lacks what this release needs: run `python manage.py prepare`, then restart."
)
OK = "ok"

Gauges = Callable[[], Iterable[GaugeMetricFamily]]
_registered: Final[dict[str, Gauges]] = {}


def register(name: str, gauges: Gauges) -> None:
    """Has `/metrics` show these too, after ours: for the floors above, when they are ready. They are
    read at each scrape; the same name again replaces them."""
    _registered[name] = gauges


@never_cache
@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """The process answers. Touches nothing: a slow database is no reason to be restarted."""
    return HttpResponse(OK, content_type="text/plain")


@never_cache
@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """Whether everything that a sync needs is there: 200, or 503 with a sentence for what is not."""
    database = _check(
        _database,
        "The database does not answer: see that PostgreSQL runs and DATABASE_URL leads to it.",
    )
    broker = _check(
        _broker,
        "The broker does not answer: see that it runs and REDIS_URL or CELERY_BROKER_URL leads to it "
        "(without either: that the folder of the file broker is writable and its disk has room).",
    )
    checks = {"database": database, "broker": broker}
    for component, sentence in watchman.SILENT.items():
        checks[component] = "Not known while the database does not answer."
        if database == OK:  # else each would only wait for the same connection again
            checks[component] = _check(partial(_alive, component), sentence)
    ready = all(answer == OK for answer in checks.values())
    return JsonResponse(
        {"status": OK if ready else "unavailable", "checks": checks}, status=200 if ready else 503
    )


def probes(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware, the outermost: answers the probes before anybody looks at the host's name, for
    load balancers and kubelets ask a machine by its address."""
    views: dict[str, Callable[[HttpRequest], HttpResponse]] = {
        "/healthz": healthz,
        "/readyz": readyz,
    }

    def answer(request: HttpRequest) -> HttpResponse:
        return views.get(request.path_info, get_response)(request)

    return answer


def _check(look: Callable[[], bool], sentence: str) -> str:
    try:
        return OK if look() else sentence
    except ProgrammingError as error:  # a table or a column that is not there
        log.warning("readyz.check_failed", check=NOT_PREPARED, error=str(error))
        return NOT_PREPARED
    except Exception as error:  # noqa: BLE001  a probe answers, whatever is broken
        log.warning("readyz.check_failed", check=sentence, error=str(error))
        return sentence


def _database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return bool(cursor.fetchone())


def _alive(component: str) -> bool:
    return heartbeats.alive(component, clock.now())


def broker_answers() -> bool:
    """Whether the broker does, within seconds; whatever its client raises."""
    return _broker()


def _broker() -> bool:
    options: dict[str, Any] = dict(settings.CELERY_BROKER_TRANSPORT_OPTIONS)
    if settings.CELERY_BROKER_URL.startswith("filesystem://"):
        folder = options["data_folder_out"]
        disk = os.statvfs(folder)
        has_room = disk.f_bavail > 0 or not disk.f_blocks  # some file systems count nothing
        return has_room and os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    limits = {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS}
    broker = Connection(
        current_app.conf.broker_url,
        connect_timeout=BROKER_SECONDS,
        transport_options=options | limits,
    )
    with broker as link:
        link.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_SECONDS)
        return True


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The figures for Prometheus, read from the database: the same from whichever process answers."""
    if not _may_scrape(request):
        answer = HttpResponse("Send the METRICS_TOKEN as a bearer token.\n", status=401)
        answer["WWW-Authenticate"] = "Bearer"
        answer["Content-Type"] = "text/plain"
        return answer
    registry = CollectorRegistry()
    registry.register(MirrorCollector())
    try:
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)
    except DatabaseError:
        return HttpResponse(
            "The database does not answer.\n", status=503, content_type="text/plain"
        )


def _may_scrape(request: HttpRequest) -> bool:
    token = settings.METRICS_TOKEN
    if not token:
        return True
    if constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {token}"):
        return True
    return request.user.is_active and request.user.is_staff


class MirrorCollector(Collector):
    """Counts what is in the database at the moment of the scrape."""

    def describe(self) -> list[Any]:
        """Nothing in advance: registering must not read the database."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One gauge per question; each is one aggregate query."""
        now = clock.now()
        recent = Q(created_at__gte=now - timedelta(days=1)) | Q(status__in=SyncJob.ACTIVE)
        yield _by_status(
            "mirror_installations", "Installations by status.", Installation.objects.all()
        )
        yield _breakers()
        yield _by_status(
            "mirror_repositories", "Repositories in the mirror by status.", Repository.objects.all()
        )
        yield _by_status(
            "mirror_jobs",
            "Sync jobs of the last 24 hours, and all active ones, by status.",
            SyncJob.objects.filter(recent),
        )
        oldest = Installation.objects.filter(status=Installation.Status.ACTIVE).aggregate(
            at=Min("last_synced_at")
        )["at"]
        age = GaugeMetricFamily(
            "mirror_oldest_sync_age_seconds",
            "Age of the last complete sync of the active installation that waits longest.",
        )
        if oldest is not None:
            age.add_metric([], (now - oldest).total_seconds())
        yield age
        yield from _budgets()
        yield from _webhooks(now)
        yield from _signs(now)
        for gauges in _registered.values():
            yield from gauges()


def _signs(now: datetime) -> Iterator[GaugeMetricFamily]:
    """Of each component the youngest sign, and how many processes gave theirs in time."""
    ages = GaugeMetricFamily(
        "mirror_heartbeat_age_seconds", "Since the last sign of life.", labels=["component"]
    )
    processes = GaugeMetricFamily(
        "mirror_processes", "Processes that gave a sign of life lately.", labels=["component"]
    )
    for component, signs in groupby(heartbeats.read(now), key=lambda sign: sign.component):
        found = list(signs)
        ages.add_metric([component], min(sign.age for sign in found))
        if component not in heartbeats.DUTIES:
            processes.add_metric([component], sum(sign.alive for sign in found))
    yield ages
    yield processes


def _by_status(name: str, text: str, rows: Any) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, text, labels=["status"])
    found = dict(rows.order_by().values_list("status").annotate(Count("pk")))
    for status in rows.model.Status.values:  # zeros too, so that an alert on a status can clear
        gauge.add_metric([status], found.get(status, 0))
    return gauge


def _breakers() -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(
        "mirror_breakers",
        "Active installations by the state of their circuit breaker.",
        labels=["state"],
    )
    active = Installation.objects.filter(status=Installation.Status.ACTIVE).order_by()
    found = dict(active.values_list("breaker_state").annotate(Count("pk")))
    for state in Installation.Breaker.values:
        gauge.add_metric([state], found.get(state, 0))
    return gauge


def _webhooks(now: datetime) -> Iterator[GaugeMetricFamily]:
    """Each is one query that an index answers, however many deliveries were ever kept."""
    received = Delivery.Status.RECEIVED
    counted = Delivery.objects.filter(
        Q(received_at__gte=now - timedelta(days=1)) | Q(status=received)
    )
    by_status = counted.order_by().values_list("status").annotate(Count("pk"), Min("received_at"))
    found = {status: (number, first) for status, number, first in by_status}
    deliveries = GaugeMetricFamily(
        "mirror_deliveries",
        "Webhook deliveries of the last 24 hours, and all that wait, by status.",
        labels=["status"],
    )
    for status in Delivery.Status.values:
        deliveries.add_metric([status], found.get(status, (0, now))[0])
    yield deliveries
    waiting = GaugeMetricFamily(
        "mirror_oldest_waiting_delivery_age_seconds",
        "Age of the delivery that waits longest to be processed; 0 when none waits.",
    )
    waiting.add_metric([], (now - found.get(received, (0, now))[1]).total_seconds())
    yield waiting
    gaps = GaugeMetricFamily(
        "mirror_gaps_open", "Gaps that are not healed yet, by reason.", labels=["reason"]
    )
    is_open = Gap.objects.filter(closed_at=None).order_by()
    by_reason = dict(is_open.values_list("reason").annotate(Count("pk")))
    for reason in Gap.Reason.values:
        gaps.add_metric([reason], by_reason.get(reason, 0))
    yield gaps
    missed = GaugeMetricFamily(
        "mirror_missed_deliveries_unhealed", "Missed deliveries that are not made up for yet."
    )
    missed.add_metric([], MissedDelivery.objects.filter(healed_at=None).count())
    yield missed


def _budgets() -> Iterator[GaugeMetricFamily]:
    labels = ["installation", "resource"]
    remaining = GaugeMetricFamily(
        "mirror_rate_budget_remaining", "Requests left at GitHub's last word.", labels=labels
    )
    limit = GaugeMetricFamily("mirror_rate_budget_limit", "Requests per window.", labels=labels)
    for row in RateBudget.objects.values_list("installation_id", "resource", "remaining", "limit"):
        remaining.add_metric([str(row[0]), row[1]], row[2])
        limit.add_metric([str(row[0]), row[1]], row[3])
    yield remaining
    yield limit
