"""The delivery ledger: what GitHub says it sent, joined with what arrived (R6.4, R6.5).

Hides cursors, pages and how a reading that stopped in the middle goes on. Our rows are looked at after
the log was read: what was acknowledged is committed before GitHub can have logged the answer, so
"delivered, and no row" needs no grace.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import transaction
from django.db.models import Case, Exists, OuterRef, Subquery, Value, When

from syncsvc import retrying
from syncsvc.github.errors import Forbidden, GitHubError, NotFound, RateLimited, ValidationFailed
from syncsvc.github.hook_log import HookLog, LogEntry, LogPage
from syncsvc.models import (
    Delivery,
    Hook,
    Installation,
    MissedDelivery,
    Repository,
    WebhookState,
)
from syncsvc.webhooks import hooks
from syncsvc.webhooks.attempts import Sent, by_event, failures_in_a_row, missing

log = structlog.get_logger(__name__)

KEPT: Final = hooks.KEPT
OVERLAP: Final = timedelta(minutes=5)
"""Entries may be written so late: what was sent so long before the last reading is read again."""
PAGES: Final = 50
"""Of one hook in one check."""
REFUSED_PAUSE: Final = timedelta(days=1)
TRIES_AT_A_PLACE: Final = 3
"""One broken page must not keep what came since from being read."""


@dataclass(kw_only=True, slots=True)
class Reading:
    """What one check found in one log; `error` is why it stopped early."""

    hook: Hook
    entries: list[LogEntry] = field(default_factory=list)
    pages: int = 0
    missed: list[MissedDelivery] = field(default_factory=list)
    error: GitHubError | None = None


def read(hook: Hook, now: datetime, pages: int = PAGES) -> Reading:
    """Reads the news of a hook's log and writes down what was missed, all or nothing.

    What a long reading did not come to is read next time, from where it stopped. GitHub's refusals
    are noted on the hook and never raised.
    """
    reading = Reading(hook=hook)
    try:
        with hooks.log_of(hook) as source:
            while _read_part(reading, source, now, pages):
                pass  # the middle first, then what came since
    except GitHubError as error:
        reading.error = error
        _note_failure(hook, error, now)
    return reading


def heal_arrived() -> int:
    """Marks what arrived after all, by our asking or by itself; returns how many."""
    rows = Delivery.objects.filter(guid=OuterRef("guid"))
    arrived = MissedDelivery.objects.filter(Exists(rows), healed_at__isnull=True)
    return arrived.update(
        healed_at=Subquery(rows.order_by("received_at").values("received_at")[:1]),
        healed_by=Case(When(requests__gt=0, then=Value("redelivery")), default=Value("arrived")),
    )


def _read_part(reading: Reading, source: HookLog, now: datetime, pages: int) -> bool:
    """Reads from where the last reading stopped, or from the newest entry; whether to go on."""
    hook, resumed = reading.hook, reading.hook.resume_cursor
    bound = _bound(hook, now)
    part: list[LogEntry] = []
    cursor: str | None = resumed or None
    whole = False
    failure: GitHubError | None = None
    log_pages = source.pages(cursor)
    while not whole and reading.pages < pages:
        try:
            page = next(log_pages, None)
        except GitHubError as error:
            if not part:
                raise
            failure = error  # what was read so far counts; the rest follows
            break
        if page is None:
            whole = True
            break
        reading.pages += 1
        for bad in page.bad:
            log.warning("github.bad_record", github_id=bad.github_id, field=bad.field)
        # A time to come would hide all that follows it, and outlast every repair.
        part.extend(replace(e, delivered_at=min(e.delivered_at, now)) for e in page.entries)
        cursor = page.next_cursor
        whole = cursor is None or _is_last(page, hook, bound, now)
    with transaction.atomic():
        fresh = [each for each in part if each.delivered_at >= now - KEPT]
        reading.missed += _store(hook, fresh, now)
        _advance(hook, part, None if whole else cursor, now)
    reading.entries += part
    if failure is not None:
        raise failure
    return bool(resumed) and whole and reading.pages < pages


def _is_last(page: LogPage, hook: Hook, bound: datetime, now: datetime) -> bool:
    """Whether nothing behind this page is wanted: not by one entry, the order is nowhere promised."""
    if not page.entries:
        return False
    newest = max(each.delivered_at for each in page.entries)
    news = hook.newest_id is not None and any(each.id > hook.newest_id for each in page.entries)
    return newest < now - KEPT or (newest < bound and not news)


def _bound(hook: Hook, now: datetime) -> datetime:
    """Entries from before this moment are known, forgotten by GitHub, or not ours.

    Counted from the last reading, not from its newest entry: while nothing happens, the first page
    is soon older than that, and suffices.
    """
    oldest = now - KEPT
    read_at = hook.read_at or hook.newest_at
    if hook.newest_id is not None and read_at is not None:
        return max(oldest, min(read_at, now) - OVERLAP)
    accounts = Installation.objects.order_by("created_at")
    if hook.installation_id is not None:
        accounts = accounts.filter(pk=hook.installation_id)
    since = accounts.values_list("created_at", flat=True).first()
    return max(oldest, since.replace(microsecond=0)) if since else oldest


def _advance(hook: Hook, part: Sequence[LogEntry], cursor: str | None, now: datetime) -> None:
    """Notes how far the log was read; the newest entry only counts once nothing is left behind it."""
    hook.seen += len({each.id for each in part if each.id > (hook.newest_id or 0)})
    resumed = bool(hook.resume_cursor)
    if not resumed and part:
        newest = max(part, key=lambda each: each.id)
        hook.resume_newest_id = max(newest.id, hook.newest_id or 0)
        hook.resume_newest_at = max(each.delivered_at for each in part)
    hook.resume_cursor = cursor or ""
    if cursor is None:
        hook.newest_id = hook.resume_newest_id or hook.newest_id
        hook.newest_at = hook.resume_newest_at or hook.newest_at
        # A reading in parts knows the log as it was when its first part was read.
        hook.read_at = (hook.resume_newest_at or hook.read_at) if resumed else now
        hook.resume_newest_id = hook.resume_newest_at = None
    hook.failures, hook.error, hook.retry_at = 0, "", None
    hook.save(
        update_fields=[
            "seen", "newest_id", "newest_at", "resume_cursor", "resume_newest_id",
            "resume_newest_at", "read_at", "failures", "error", "retry_at",
        ]
    )  # fmt: skip


def _store(hook: Hook, part: Sequence[LogEntry], now: datetime) -> list[MissedDelivery]:
    """Writes down what did not arrive; returns what was not known as missed before."""
    if not part:
        return []
    sent = by_event(part)
    arrived = set(Delivery.objects.filter(guid__in=list(sent)).values_list("guid", flat=True))
    accounts = _accounts(hook, sent.values())
    _note_states(sent.values(), accounts)
    ours = [each for each in missing(sent, arrived) if _is_ours(each, accounts.of(each))]
    ours.sort(key=lambda each: each.newest.id)
    known = {
        row.guid: row
        for row in MissedDelivery.objects.filter(hook=hook, guid__in=[each.guid for each in ours])
    }
    for each in ours:
        if each.guid in known:
            _update(known[each.guid], each)
    return MissedDelivery.objects.bulk_create(
        _row(each, hook, accounts.of(each), now) for each in ours if each.guid not in known
    )


def _row(
    sent: Sent, hook: Hook, installation: Installation | None, now: datetime
) -> MissedDelivery:
    newest = sent.newest
    return MissedDelivery(
        hook=hook,
        guid=sent.guid,
        event=newest.event,
        action=newest.action,
        installation=installation,
        repository_github_id=newest.repository_id,
        kind=sent.kind,
        status_code=newest.status_code,
        status_text=newest.status,
        first_at=sent.first_at,
        latest_id=newest.id,
        latest_at=newest.delivered_at,
        attempts=sent.attempts,
        detected_at=now,
    )


def _update(row: MissedDelivery, sent: Sent) -> None:
    """Adds newer attempts to what is known; what was healed stays as it is."""
    if row.healed_at is not None:
        return
    values: dict[str, object] = {}
    if sent.first_at < row.first_at:
        values["first_at"] = sent.first_at
    if sent.newest.id > row.latest_id:
        values |= {
            "kind": sent.kind,
            "status_code": sent.newest.status_code,
            "status_text": sent.newest.status,
            "latest_id": sent.newest.id,
            "latest_at": sent.newest.delivered_at,
        }
    if values:
        values["attempts"] = max(row.attempts + 1, sent.attempts)
        MissedDelivery.objects.filter(pk=row.pk).update(**values)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Accounts:
    """Whose an entry is: the hook's account, or for the App's hook whom the entry names."""

    owner: Installation | None = None
    by_id: dict[int, Installation] = field(default_factory=dict)
    by_repository: dict[int, Installation] = field(default_factory=dict)

    def of(self, sent: Sent) -> Installation | None:
        newest = sent.newest
        if newest.installation_id is None:
            return self.owner or self.by_repository.get(newest.repository_id or 0)
        return self.owner or self.by_id.get(newest.installation_id)


def _accounts(hook: Hook, sent: Collection[Sent]) -> _Accounts:
    """The accounts that the entries name, by installation, else by a repository of theirs."""
    if hook.installation is not None:
        return _Accounts(owner=hook.installation)
    ids = {each.newest.installation_id or 0 for each in sent}
    rows = Installation.objects.filter(mode=Installation.Mode.APP, github_id__in=ids)
    nameless = {
        each.newest.repository_id or 0 for each in sent if each.newest.installation_id is None
    }
    repositories = Repository.objects.filter(github_id__in=nameless).select_related("installation")
    return _Accounts(
        by_id={row.github_id: row for row in rows},
        by_repository={row.github_id: row.installation for row in repositories},
    )


def _is_ours(sent: Sent, installation: Installation | None) -> bool:
    """What was sent before we knew an account is in what its first run read."""
    if installation is None:
        return sent.newest.installation_id is not None
    return sent.first_at >= installation.created_at.replace(microsecond=0)


def _note_states(sent: Collection[Sent], accounts: _Accounts) -> None:
    """Per account: the newest attempt in the log, and how many failed in a row (R6.4)."""
    of_account: dict[int, list[Sent]] = {}
    for each in sent:
        installation = accounts.of(each)
        if installation is not None:
            of_account.setdefault(installation.pk, []).append(each)
    states = {
        state.installation_id: state
        for state in WebhookState.objects.filter(installation__in=list(of_account))
    }
    changed = []
    for pk, theirs in of_account.items():
        state = states.get(pk) or WebhookState(installation_id=pk)
        newest = max(each.newest.id for each in theirs)
        if newest > (state.last_seen_delivery_id or 0):
            state.consecutive_failures = failures_in_a_row(
                theirs, state.last_seen_delivery_id, state.consecutive_failures
            )
            state.last_seen_delivery_id = newest
            changed.append(state)
    WebhookState.objects.bulk_create(
        changed,
        update_conflicts=True,
        unique_fields=["installation"],
        update_fields=["last_seen_delivery_id", "consecutive_failures"],
    )


def _note_failure(hook: Hook, error: GitHubError, now: datetime) -> None:
    """Shows on the hook why its log could not be read, and when it is tried again."""
    owned = hook.target_type != Hook.Target.INTEGRATION
    sentence = error.sentence
    skipped = False
    if isinstance(error, RateLimited):
        pause = max(error.until - now, timedelta(0))
    elif hook.resume_cursor and (
        isinstance(error, ValidationFailed | NotFound) or hook.failures + 1 >= TRIES_AT_A_PLACE
    ):
        # GitHub forgot the place, or cannot show it: from the newest, down again as far as it goes.
        hook.resume_cursor, pause, skipped = "", timedelta(0), True
        hook.resume_newest_id = hook.resume_newest_at = None
    elif owned and isinstance(error, Forbidden | NotFound):
        pause = REFUSED_PAUSE
        sentence = (
            "These credentials may not read this hook's log of deliveries, so only silence tells of "
            "losses. Give them the right to read webhooks."
        )
    else:
        pause = retrying.delay(retrying.HOOK_LOGS, hook.failures + 1)
    log.warning("ledger.unreadable", hook=str(hook), kind=error.kind, sentence=sentence)
    if skipped:
        log.warning("ledger.skipped_part", hook=str(hook), kind=error.kind)
    hook.failures += 1
    hook.error, hook.retry_at = sentence, now + pause
    hook.save(
        update_fields=[
            "failures", "error", "retry_at", "resume_cursor", "resume_newest_id",
            "resume_newest_at",
        ]
    )  # fmt: skip
