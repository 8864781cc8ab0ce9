"""Rows of the mirror that break a rule which GitHub's own data keep: found, told, and ended (R8.1).

Hides how the rules are asked of the database: of a few rows by their keys after each batch that a run
writes, of all rows once a day, window by window. The rules stand in `integrity_rules`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import structlog
from django.db import connection

from reconciliation import integrity_asking as asking
from reconciliation.integrity_asking import MOST, Broken
from reconciliation.integrity_rules import TABLES
from reconciliation.models import IntegrityIssue
from syncsvc import events
from syncsvc.content_plan import Key
from syncsvc.models import Commit

log = structlog.get_logger(__name__)

SHOWN: Final = 100
_LOCK: Final = 0x696E7467
"""Of the whole check, among PostgreSQL's advisory locks."""


@dataclass(kw_only=True, slots=True)
class Report:
    """What a check came to; `found` holds some thousand at most."""

    checked: int = 0
    #: Of those that were looked for by their keys, how many are there.
    present: int = 0
    found: list[Broken] = field(default_factory=list)
    opened: int = 0
    resolved: int = 0

    def add(self, other: "Report") -> None:
        """Adds another check's figures."""
        self.checked += other.checked
        self.found += other.found[: max(0, MOST - len(self.found))]
        self.opened += other.opened
        self.resolved += other.resolved

    def state(self) -> dict[str, Any]:
        """The figures, for an attempt of the same job that goes on from here."""
        return {
            "checked": self.checked,
            "opened": self.opened,
            "resolved": self.resolved,
            "found": [[each.entity, each.key, each.rule] for each in self.found],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Adds what `state` said."""
        self.checked += state["checked"]
        self.opened += state["opened"]
        self.resolved += state["resolved"]
        self.found += [
            Broken(entity=entity, key=key, rule=rule, installation_id=None, repository_id=None)
            for entity, key, rule in state["found"]
        ]

    def as_json(self) -> dict[str, Any]:
        """The figures as a job keeps them."""
        return {
            "checked": self.checked,
            "found": len(self.found),
            "opened": self.opened,
            "resolved": self.resolved,
            "rules": dict(Counter(each.rule for each in self.found)),
            "items": [
                {"entity": each.entity, "item": each.key, "rule": each.rule}
                for each in self.found[:SHOWN]
            ],
        }


def check_written(
    entity: str,
    keys: Collection[Key],
    known: Collection[IntegrityIssue],
    *,
    job_id: UUID,
    now: datetime,
) -> Report:
    """Checks the rows with these keys, which a run has just written (P32-P36).

    Of the `known` issues those are ended whose row is among them and keeps the rule by now.
    """
    if not keys:
        return Report()
    given = asking.key_columns(entity, keys) | asking.moments(now)
    [(present, broken)] = asking.rows(asking.counting(entity), given)
    found = asking.asked(asking.by_keys(entity), given) if broken else []
    checked = Report(checked=len(keys), present=present, found=found)
    checked.opened = _open(found, job_id, now)
    mine = [each for each in known if each.entity == entity]
    if mine:
        said = {str(key) if isinstance(key, int) else key[1] for key in keys}
        checked.resolved = _resolve([each for each in mine if each.item_key in said], found, now)
    return checked


def check_repositories(installation_id: int, *, job_id: UUID, now: datetime) -> Report:
    """Checks all repositories of an account: they are few, and each run looks at all of them."""
    source = (
        f"(SELECT * FROM {TABLES['repositories'].name}"  # noqa: S608  (the table's name is ours)
        " WHERE installation_id = %(account)s) AS t"
    )
    parameters = {"account": installation_id} | asking.moments(now)
    found = asking.asked(asking.sql("repositories", source), parameters)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {source}", parameters)  # noqa: S608  (names are ours)
        checked = Report(checked=cursor.fetchone()[0], found=found)
    checked.opened = _open(found, job_id, now)
    checked.resolved = _resolve(open_issues(installation_id, "repositories"), found, now)
    return checked


def check_all(now: datetime, installation_id: int | None = None) -> Report | None:
    """Checks every row of the mirror, or of one account, in windows of the primary key. None when
    another such check is under way."""
    with _alone() as alone:
        return _check_all(now, installation_id) if alone else None


def _check_all(now: datetime, installation_id: int | None) -> Report:
    job_id, report = uuid4(), Report()
    for entity in TABLES:
        for low, high, rows in asking.windows(entity):
            found = asking.asked(
                asking.by_window(entity, one_account=installation_id is not None),
                {"low": low, "high": high, "account": installation_id} | asking.moments(now),
            )
            opened = _open(found, job_id, now)
            checked = rows if installation_id is None else 0
            report.add(Report(checked=checked, found=found, opened=opened))
        if installation_id is not None:
            report.checked += asking.size(entity, installation_id)
        report.resolved += _end_what_is_right(entity, installation_id, now)
    log.info("integrity.checked", correlation_id=str(job_id), **report.as_json())
    return report


@contextmanager
def _alone() -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        alone: bool = cursor.fetchone()[0]
    try:
        yield alone
    finally:
        if alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _open(found: Sequence[Broken], job_id: UUID, now: datetime) -> int:
    """Notes what nobody knew yet and says so (P35); returns how many those are."""
    new = list(_unknown(found))
    if not new:
        return 0
    IntegrityIssue.objects.bulk_create(
        [
            IntegrityIssue(
                installation_id=each.installation_id,
                repository_id=each.repository_id,
                entity=each.entity,
                item_key=each.key,
                rule=each.rule,
                detail=each.sentence,
                detected_at=now,
                correlation_id=job_id,
            )
            for each in new
            if each.installation_id is not None
        ],
        ignore_conflicts=True,  # another check got there first
    )
    for account in {each.installation_id for each in new}:
        mine = [each for each in new if each.installation_id == account]
        events.emit(
            "integrity.found",
            installation_id=account,
            job_id=str(job_id),
            count=len(mine),
            rules=dict(Counter(each.rule for each in mine)),
            items=[
                {
                    "entity": each.entity,
                    "item": each.key,
                    "repository_id": each.repository_id,
                    "rule": each.rule,
                    "detail": each.sentence,
                }
                for each in mine[:SHOWN]
            ],
        )
    return len(new)


def _unknown(found: Sequence[Broken]) -> Iterator[Broken]:
    if not found:
        return
    rows = IntegrityIssue.objects.filter(
        resolved_at__isnull=True, item_key__in={each.key for each in found}
    )
    known = set(rows.values_list("entity", "item_key", "rule"))
    for each in found:
        if (each.entity, each.key, each.rule) not in known:
            known.add((each.entity, each.key, each.rule))
            yield each


def open_issues(installation_id: int | None, entity: str | None = None) -> list[IntegrityIssue]:
    """The open issues of an account, or of all, the newest some thousand."""
    rows = IntegrityIssue.objects.filter(resolved_at__isnull=True)
    if installation_id is not None:
        rows = rows.filter(installation=installation_id)
    if entity is not None:
        rows = rows.filter(entity=entity)
    return list(rows.order_by("-pk")[: 5 * MOST])


def _resolve(issues: Iterable[IntegrityIssue], found: Iterable[Broken], now: datetime) -> int:
    """Ends the issues of rows that were checked and keep the rule."""
    still = {(each.key, each.rule) for each in found}
    over = [each.pk for each in issues if (each.item_key, each.rule) not in still]
    if not over:
        return 0
    rows = IntegrityIssue.objects.filter(pk__in=over, resolved_at__isnull=True)
    return rows.update(resolved_at=now)


def _end_what_is_right(entity: str, installation_id: int | None, now: datetime) -> int:
    """Looks again at the rows of open issues; of one that is not there any more it is over, too."""
    issues = open_issues(installation_id, entity)
    if not issues:
        return 0
    commits = entity == "commits"
    keys = _commits(issues) if commits else [int(each.item_key) for each in issues]
    found = asking.asked(
        asking.by_keys(entity), asking.key_columns(entity, keys) | asking.moments(now)
    )
    return _resolve(issues, found, now)


def _commits(issues: Iterable[IntegrityIssue]) -> list[Key]:
    """The keys of commits; an orphan's is found by its sha alone, which reads the whole table."""
    keys: list[Key] = []
    orphans = []
    for each in issues:
        if each.repository_id is None:
            orphans.append(each.item_key)
        else:
            keys.append((each.repository_id, each.item_key))
    if orphans:
        keys += Commit.objects.filter(sha__in=orphans).values_list("repository_id", "sha")
    return keys
