"""The sync-health dashboard and the lists of a large fleet: how long the server takes to answer.

Everything through Django's test client, as staff and as a member of some accounts; the time of the network
is not in it. `--quick`: a fleet of a hundredth.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from statistics import median
from typing import Any, Final

from tests.bench import fleet_seed
from tests.bench.figures import Figures, Goal, Options, Table, percentile

TITLE: Final = "The dashboard and the lists of a large fleet"
OK: Final = 200
REQUESTS: Final = 100
EACH_LIST: Final = 5
PAGE: Final = "/admin/sync-health/"
FILTERS: Final = (
    "", "?window=7d", "?window=30d", "?q=account-00", "?status=active&window=7d",
    "?status=attention", "?type=wrong_name&window=7d", "?order=accuracy", "?order=backlog&page=2",
    "?window=30d&order=discrepancies",
)  # fmt: skip
LISTS: Final = (
    "/", "/installations/1/", "/issues/", "/pull-requests/", "/commits/", "/deliveries/", "/gaps/",
    "/discrepancies/", "/dead-letters/", "/api/v1/installations/", "/api/v1/repositories/",
    "/api/v1/jobs/", "/api/v1/deliveries/", "/api/v1/gaps/", "/api/v1/discrepancies/",
)  # fmt: skip
CSV: Final = "/admin/sync-health.csv"
#: Tables of which no query may read all rows.
LARGE: Final = (
    "syncsvc_repository", "syncsvc_syncjob", "syncsvc_delivery", "reconciliation_runfigure",
    "reconciliation_discrepancy", "reconciliation_rolledhours",
)  # fmt: skip


def measure(options: Options) -> Figures:
    """Fills the database, and asks."""
    size = fleet_seed.Fleet()
    if options.quick:
        small = {each.name: getattr(size, each.name) // 100 for each in fields(size)}
        size = replace(size, **small | {"days": size.days, "run_days": size.run_days})
    took = fleet_seed.fill(size)
    staff, member = _client(is_staff=True), _client(is_staff=False)
    pages = [_ask(staff, PAGE + FILTERS[n % len(FILTERS)]) for n in range(REQUESTS)]
    return {
        "size": {each.name: getattr(size, each.name) for each in fields(size)},
        "seconds_to_fill": sum(took.values()),
        "pages": pages,
        "scanned": sorted({name for path in FILTERS for name in _scanned(staff, PAGE + path)}),
        "lists": {
            who: {path: [_ask(client, path) for _ in range(EACH_LIST)] for path in paths}
            for who, client, paths in (
                ("staff", staff, (*LISTS, CSV)),
                ("member", member, LISTS),
            )
        },
    }


def _client(*, is_staff: bool) -> Any:
    from django.contrib.auth.models import User  # noqa: PLC0415  (after `environment`)
    from django.test import Client  # noqa: PLC0415

    from syncsvc.models import Membership  # noqa: PLC0415

    user = User.objects.create(
        username=f"fleet-{is_staff}", is_staff=is_staff, is_superuser=is_staff
    )
    if not is_staff:
        Membership.objects.bulk_create(
            Membership(user=user, installation_id=pk, role="member") for pk in range(1, 6)
        )
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    return client


def _ask(client: Any, path: str) -> Figures:
    """Milliseconds until the first byte, and how many queries until then."""
    from django.db import connection  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    with CaptureQueriesContext(connection) as queries:
        began = time.perf_counter()
        answer = client.get(path)
        if answer.streaming:
            next(iter(answer.streaming_content), None)
        took = (time.perf_counter() - began) * 1_000
    if answer.status_code != OK:
        raise RuntimeError(f"{path} answers {answer.status_code}: a refusal is no figure")
    return {"path": path, "status": answer.status_code, "ms": took, "queries": len(queries)}


def _scanned(client: Any, path: str) -> Iterator[str]:
    """The large tables that a query of this page reads from end to end."""
    from django.db import connection  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    with CaptureQueriesContext(connection) as queries:
        client.get(path)
    for query in queries.captured_queries:
        if not query["sql"].lstrip().startswith("SELECT"):
            continue
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN " + query["sql"].replace("%", "%%"), [])
            plan = [row[0] for row in cursor.fetchall()]
        yield from (name for name in LARGE for line in plan if f"Seq Scan on {name} " in line)


def about(figures: Figures) -> str:
    """How much was measured."""
    size = figures["size"]
    return (
        f"{size['installations']:,} installations, {size['repositories']:,} repositories, "
        f"{size['discrepancies']:,} discrepancies, {size['deliveries']:,} deliveries, runs every 15 "
        f"minutes for {size['run_days']} days; filled in {figures['seconds_to_fill']:.0f} s. "
        f"{REQUESTS} requests for the dashboard with {len(FILTERS)} filters in turn."
    )


def tables(figures: Figures) -> list[Table]:
    """The dashboard by filter, and the lists by who asks."""
    by_path: dict[str, list[Figures]] = {}
    for each in figures["pages"]:
        by_path.setdefault(each["path"], []).append(each)
    headings = ("", "status", "ms p50", "ms p95", "queries")
    found = [Table("Dashboard", headings, [_row(path, runs) for path, runs in by_path.items()])]
    for who, lists in figures["lists"].items():
        rows = [_row(path, runs) for path, runs in lists.items()]
        found.append(Table(f"Lists, first byte, as {who}", headings, rows))
    scanned = ", ".join(figures["scanned"]) or "none"
    return [*found, Table("Large tables read from end to end by the dashboard", (scanned,), [])]


def _row(path: str, runs: Sequence[Figures]) -> tuple[str, ...]:
    times = [each["ms"] for each in runs]
    return (
        path,
        str(runs[0]["status"]),
        f"{median(times):.0f}",
        f"{percentile(times, 0.95):.0f}",
        str(max(each["queries"] for each in runs)),
    )


def goals(figures: Figures) -> list[Goal]:
    """Of time, queries and scans."""
    pages = figures["pages"]
    lists = [runs for each in figures["lists"].values() for runs in each.values()]
    worst = max(median(run["ms"] for run in runs) for runs in lists)
    return [
        Goal("fleet", "dashboard, p95 ms", "< 300", percentile([p["ms"] for p in pages], 0.95)),
        Goal("fleet", "dashboard, queries", "<= 15", max(p["queries"] for p in pages)),
        Goal("fleet", "large tables scanned", "<= 0", len(figures["scanned"])),
        Goal("fleet", "slowest list or CSV, first byte, ms (median)", "< 500", worst),
    ]
