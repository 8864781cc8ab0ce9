"""What deliveries about the account itself do: installed, suspended, renamed, another selection.

GitHub's words for the installation are written down as discovery would (R2.3); what needs GitHub's own
answer is left as a wish, to be carried out once the batch is committed.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog
from django.core.cache import cache

from syncsvc import connect, discovery, rechecks, scheduling
from syncsvc.github.errors import GitHubError
from syncsvc.github.payloads import AccountRow, InstallationRow
from syncsvc.models import Installation, SyncJob
from syncsvc.rechecks import REPOSITORY, Asked
from syncsvc.webhooks.told import Subject, Told

log = structlog.get_logger(__name__)

_LISTED_AGAIN: Final = frozenset({"new_permissions_accepted", "unsuspend", "added", "removed"})


@dataclass(slots=True)
class Wishes:
    """What is to be asked of GitHub after the batch. Losing them costs time, never truth: discovery
    and the sweeper of rechecks run periodically."""

    discover: bool = False
    #: Installations of which GitHub has to say what they are now, and those with rechecks waiting.
    doubted: set[int] = field(default_factory=set)
    rechecks: set[int] = field(default_factory=set)

    def carry_out(self) -> None:
        """Asks GitHub; its errors are logged, the periodic tasks try again."""
        try:
            if self.discover and (connect.has_app() or connect.has_token()) and _may_discover():
                discovery.discover()
        except GitHubError as error:
            log.warning("discovery.failed", kind=error.kind, sentence=error.sentence)
        for installation in Installation.objects.filter(pk__in=self.doubted):
            discovery.recheck(installation)
        if self.rechecks:
            scheduling.request_rechecks(self.rechecks)


def _may_discover() -> bool:
    """Once a minute at most: strangers' deliveries come in crowds."""
    try:
        return bool(cache.add("webhooks-discover", 1, timeout=60))
    except Exception as error:  # noqa: BLE001  (each backend has its own; the cache only saves requests)
        log.warning("connect.cache_unavailable", error=type(error).__name__)
        return True


def hear(told: Told, action: str, now: datetime, wishes: Wishes) -> str:
    """Writes down what a delivery says of an account, in a transaction of the caller's; returns what
    became of it, in a word."""
    if told.subject is Subject.ACCOUNT and told.account is not None:
        return _renamed(told.account, told.former_login, now, wishes)
    row = told.installation
    if row is None:
        return "malformed"
    if not connect.has_app():
        return "unknown_installation"  # only an App has installations
    known = Installation.objects.filter(account_id=row.account_id).first()
    if told.gone:
        return _uninstalled(row, known)
    outcome = _recorded(row, known, wishes)
    found = Installation.objects.filter(account_id=row.account_id).first()
    if action in _LISTED_AGAIN and found is not None:
        # A selection that goes from all to selected names nothing that it takes away: list again.
        rechecks.ask(
            found.pk,
            [Asked(github_id=rechecks.WHOLE_LIST, itself=True, reason=action, told=REPOSITORY)],
            trigger=SyncJob.Trigger.WEBHOOK,
            now=now,
        )
        wishes.rechecks.add(found.pk)
        return "installation" if outcome == "stale" else outcome
    return outcome


def _recorded(row: InstallationRow, known: Installation | None, wishes: Wishes) -> str:
    """Records the installation unless what we know is newer; of one time, GitHub is asked."""
    gone = known is not None and known.status == Installation.Status.UNINSTALLED
    if known is not None and known.mode == Installation.Mode.APP:
        # Of an installation that was replaced or ended since: ids only grow.
        ended = known.github_id if gone else known.github_id - 1
        if row.github_id <= ended:
            return "stale"
    if known is not None and not gone:
        ours, theirs = known.github_updated_at, row.updated_at
        if ours is not None and theirs is not None and theirs < ours:
            return "stale"
        if ours == theirs and ours is not None and _differs(row, known):
            wishes.doubted.add(known.pk)
            return "recheck"
    return "unchanged" if discovery.record(row).change == "unchanged" else "installation"


def _differs(row: InstallationRow, known: Installation) -> bool:
    return (
        row.github_id != known.github_id
        or (row.suspended_at is not None) != (known.status == Installation.Status.SUSPENDED)
        or row.repository_selection != known.repository_selection
        or dict(row.permissions) != known.permissions
    )


def _uninstalled(row: InstallationRow, known: Installation | None) -> str:
    """An account that was installed again meanwhile has another installation: that one stays."""
    if known is None or known.github_id != row.github_id:
        return "stale"
    return (
        "unchanged" if discovery.mark_uninstalled(known).change == "unchanged" else "installation"
    )


def _renamed(account: AccountRow, former: str, now: datetime, wishes: Wishes) -> str:
    known = Installation.objects.filter(account_id=account.github_id).first()
    if known is None:
        return "unknown_installation"
    if known.account_login == account.login:
        return "unchanged"
    rechecks.ask(
        known.pk,
        [Asked(github_id=rechecks.WHOLE_LIST, itself=True, reason="renamed", told=REPOSITORY)],
        trigger=SyncJob.Trigger.WEBHOOK,
        now=now,
    )
    wishes.rechecks.add(known.pk)
    wishes.doubted.add(known.pk)  # it carries no time: a late one looks like any other
    if known.account_login != former:
        return "recheck"
    discovery.rename(known, account.login)
    return "installation"
