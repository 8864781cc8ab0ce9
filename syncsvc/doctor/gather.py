"""Gathers the facts: a dozen small queries, and, when asked for, at most five requests to GitHub.

Nothing here raises: what cannot be learned is told as not known. Requests are sent once, with short
time-outs.
"""

import os
from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from syncsvc import clock, connect, credentials, health, watchman
from syncsvc.doctor import checks, checks_github
from syncsvc.doctor.facts import Account, Asked, Delivered, Finding, Local, Way
from syncsvc.github import apps
from syncsvc.github.errors import GitHubError
from syncsvc.github.hook_log import HookLog, parse_entry
from syncsvc.github.payloads import parse_each, parse_list
from syncsvc.models import Delivery, Installation, RateBudget
from syncsvc.setup import trial
from syncsvc.version import VERSION

ACCOUNTS: Final = 20
LOG_ENTRIES: Final = 30
_BROKER_KEPT: Final = 20


def findings(asked: Asked | None = None) -> list[Finding]:
    """Every finding, with those of GitHub when it was asked."""
    facts = local()
    return checks.judge(facts) + (checks_github.judge(facts, asked) if asked else [])


def local() -> Local:
    """What this server knows of itself."""
    now = clock.now()
    known = credentials.current()
    accounts, more = _accounts()
    version, size, connections, most = _database()
    ways = [
        Way(kind=kind, trouble=way.trouble)
        for kind, way in (("app", known.app), ("token", known.token))
        if way is not None
    ]
    return Local(
        now=now,
        version=VERSION,
        ways=tuple(ways),
        from_environment=credentials.in_environment() if known.from_environment else (),
        demo=settings.SYNC_DEMO,
        secrets=len(known.secrets),
        secret_trouble=known.secret_trouble,
        accounts=accounts,
        more_accounts=more,
        last_delivery_at=Delivery.objects.order_by("-received_at")
        .values_list("received_at", flat=True)
        .first(),
        silent=watchman.silent(now),
        broker=_broker(),
        database_version=version,
        database_bytes=size,
        connections=connections,
        connections_most=most,
        disk_free_percent=_disk(),
        unapplied=_unapplied(),
        derived_key=settings.FIELD_ENCRYPTION_KEYS == [settings.SECRET_KEY],
        base_url=settings.BASE_URL,
        api_url=settings.GITHUB_API_URL,
        hosts=tuple(settings.ALLOWED_HOSTS),
        debug=settings.DEBUG,
    )


def ask_github() -> Asked:
    """Asks as the App (three requests) and with the token (one), whichever there is."""
    told: dict[str, Any] = {}
    errors: dict[str, str] = {}
    known = credentials.current()
    if known.app is not None:
        _ask_app(told, errors, known.app.app_id)
    if known.token is not None:
        _ask_token(told, errors, known.token.owner)
    return Asked(at=clock.now(), errors=errors, **told)


def send_again() -> str:
    """Asks GitHub to send the App's ping, or else what it sent last, once more; says what came of it."""
    try:
        with connect.trial_app() as client:
            path = f"/app/hook/deliveries?per_page={LOG_ENTRIES}"
            entries = parse_each(apps.ask(client, path, parse_list).value, parse_entry)[0]
            if not entries:
                return (
                    "GitHub sent nothing in the last three days, so there is nothing to send again."
                )
            chosen = next((each for each in entries if each.event == "ping"), entries[0])
            HookLog.of_app(client).redeliver(chosen.id)
    except GitHubError as error:
        return error.sentence
    return (
        f"GitHub was asked to send its event “{chosen.event}” again. Ask GitHub in some seconds: “What "
        "GitHub sent lately” then says whether it arrived."
    )


def _ask_app(told: dict[str, Any], errors: dict[str, str], app_id: str) -> None:
    try:
        with connect.trial_app() as client:
            row = apps.app_row(client)
            told.update(
                app_name=row.value.name,
                permissions=dict(row.value.permissions),
                events=row.value.events,
                their_time=row.at,
            )
            hook = _tried("hook", errors, lambda: apps.hook_config(client).value)
            if hook is not None:
                told.update(hook_url=hook.url, hook_has_secret=hook.has_secret)
            path = f"/app/hook/deliveries?per_page={LOG_ENTRIES}"
            entries = _tried("log", errors, lambda: apps.ask(client, path, parse_list).value)
            if entries is not None:
                rows = parse_each(entries, parse_entry)[0]
                told["log"] = tuple(
                    Delivered(at=each.delivered_at, code=each.status_code, event=each.event)
                    for each in rows
                )
    except GitHubError as error:
        errors["app"] = trial.explain_app(error, app_id)


def _ask_token(told: dict[str, Any], errors: dict[str, str], owner: str) -> None:
    try:
        with connect.trial_token() as client:
            user = apps.ask(client, "/user", apps.one_account)
            told["token_owner"] = f"the token of {user.value.login}"
            told.setdefault("their_time", user.at)
    except GitHubError as error:
        errors["token"] = trial.explain_token(error, owner)


def _tried(name: str, errors: dict[str, str], act: Callable[[], Any]) -> Any:
    try:
        return act()
    except GitHubError as error:
        errors[name] = error.sentence
        return None


def _accounts() -> tuple[tuple[Account, ...], int]:
    rows = Installation.objects.filter(status=Installation.Status.ACTIVE).order_by("account_login")
    number, shown = rows.count(), list(rows[:ACCOUNTS])
    budgets = {
        row.installation_id: row
        for row in RateBudget.objects.filter(installation__in=shown, resource="core")
    }
    found = []
    for row in shown:
        budget = budgets.get(row.pk)
        found.append(
            Account(
                login=row.account_login,
                mode=row.mode,
                permissions=row.permissions,
                events=tuple(row.events),
                remaining=budget.remaining if budget else None,
                limit=budget.limit if budget else None,
                reset_at=budget.reset_at if budget else None,
            )
        )
    return tuple(found), max(0, number - len(shown))


def _database() -> tuple[int, int, int, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version_num')::int,"
            " pg_database_size(current_database()),"
            " (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()),"
            " current_setting('max_connections')::int"
        )
        version, size, connections, most = cursor.fetchone()
    return int(version), int(size), int(connections), int(most)


def _broker() -> bool:
    """Whether it answers; a good answer is believed for some seconds, so that a page is quick."""
    known = cache.get("doctor-broker")
    if known is None:
        try:
            known = health.broker_answers()
        except Exception:  # noqa: BLE001  (whatever it is, it does not answer)
            known = False
        if known:
            cache.set("doctor-broker", known, _BROKER_KEPT)
    return bool(known)


def _disk() -> int | None:
    """Per cent free where this server keeps its data; not known where the database is elsewhere."""
    if not settings.EMBEDDED:
        return None
    try:
        disk = os.statvfs(settings.VAR_DIR)
    except OSError:
        return None
    return round(100 * disk.f_bavail / disk.f_blocks) if disk.f_blocks else None


def _unapplied() -> int:
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
