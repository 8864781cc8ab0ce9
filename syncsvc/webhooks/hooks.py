"""The hooks of GitHub's that lead to us, and the way to the log of each (R2.1, R6.5).

Hides which credentials may read which log. An App has one hook; an organization's or a repository's
hook is known from the organization's list, where the token may read it, or from what it delivered.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.db.models import F

from syncsvc import connect
from syncsvc.github.errors import ConfigurationError, GitHubError
from syncsvc.github.hook_log import HookLog, HookRow, organization_hooks
from syncsvc.models import Delivery, Hook, Installation, Repository, WebhookState
from syncsvc.setup import manifest

log = structlog.get_logger(__name__)

DOOR: Final = manifest.DOOR
KEPT: Final = timedelta(days=3)
"""GitHub forgets deliveries after that, and shows no older ones."""
_LOOK_BACK: Final = timedelta(minutes=10)
"""A delivery may be stored a little later than it was received."""

_OWNED: Final = (Hook.Target.ORGANIZATION, Hook.Target.REPOSITORY)


def due(now: datetime) -> list[Hook]:
    """The hooks whose log is to be read now, with their accounts."""
    hooks = Hook.objects.exclude(retry_at__gt=now).select_related("installation").order_by("pk")
    return [hook for hook in hooks if _is_readable(hook)]


def learn(now: datetime) -> None:
    """Writes down the App's hook, and the hooks that delivered something since this was last done.

    To be called before the rhythms are worked out: by their times it knows when that was.
    """
    if connect.has_app():
        Hook.objects.get_or_create(
            target_type=Hook.Target.INTEGRATION, target_id=_app_id(), github_id=0
        )
    told = (
        Delivery.objects.filter(
            received_at__gt=_learned_until(now),
            target_type__in=_OWNED,
            target_id__isnull=False,
            hook_id__gt=0,
        )
        .order_by()
        .values_list("target_type", "target_id", "hook_id")
        .distinct()
    )
    known = set(Hook.objects.values_list("target_type", "target_id", "github_id"))
    for target_type, target_id, hook_id in set(told) - known:
        installation = _owner(target_type, target_id or 0)
        if installation is not None:
            _note(installation, target_type, target_id or 0, hook_id, active=True)


def look_up(installation: Installation) -> None:
    """Asks GitHub which hooks of an organization lead here, where a token may know that.

    Who may not read the list is not told off: the hooks that deliver are known anyway.
    """
    if (
        installation.mode != Installation.Mode.TOKEN
        or installation.account_type != Installation.AccountType.ORGANIZATION
    ):
        return
    try:
        with connect.connection_for(installation, "gap") as connection:
            rows = organization_hooks(connection.client, installation.account_login)
    except GitHubError as error:
        log.info("hooks.unlisted", installation_id=installation.pk, kind=error.kind)
        return
    for row in rows:
        if leads_here(row):
            target = (Hook.Target.ORGANIZATION, installation.account_id)
            _note(installation, *target, row.github_id, active=row.active)


def leads_here(row: HookRow) -> bool:
    """Whether a hook's address is our own door; only a trailing slash may differ."""
    try:
        theirs = urlsplit(row.url)
    except ValueError:  # GitHub takes what no address is
        return False
    ours = urlsplit(settings.BASE_URL + DOOR)
    return (theirs.netloc.lower(), theirs.path.rstrip("/")) == (
        ours.netloc.lower(),
        ours.path.rstrip("/"),
    )


@contextmanager
def log_of(hook: Hook) -> Iterator[HookLog]:
    """The log of a hook, within the budget of urgent work; raises `GitHubError`."""
    if hook.target_type == Hook.Target.INTEGRATION:
        with connect.app_client() as app:
            yield HookLog.of_app(app)
        return
    if hook.installation is None:
        raise ConfigurationError("Nobody knows whose hook this is.")
    with connect.connection_for(hook.installation, "gap") as connection:
        if hook.target_type == Hook.Target.ORGANIZATION:
            login = hook.installation.account_login
            yield HookLog.of_organization(connection.client, login, hook.github_id)
        else:
            repository = Repository.objects.filter(github_id=hook.target_id).first()
            if repository is None:
                raise ConfigurationError("The repository of this hook is not mirrored.")
            name = repository.full_name
            yield HookLog.of_repository(connection.client, name, hook.github_id)


def _learned_until(now: datetime) -> datetime:
    """Since when deliveries may tell of hooks that are not known yet; three days at most.

    Every account's rhythm is worked out hourly, right after hooks were learned. So this is an hour
    ago while all is well, the last check after a standstill, and all there is for a new account.
    """
    states = WebhookState.objects.exclude(installation__status=Installation.Status.UNINSTALLED)
    oldest = F("rhythm_at").asc(nulls_first=True)
    learned = states.order_by(oldest).values_list("rhythm_at", flat=True).first()
    return max(now - KEPT, min(learned, now) - _LOOK_BACK) if learned else now - KEPT


def _is_readable(hook: Hook) -> bool:
    if hook.target_type == Hook.Target.INTEGRATION:
        return connect.has_app() and hook.target_id == _app_id()
    return hook.installation is not None and hook.installation.status == Installation.Status.ACTIVE


def _app_id() -> int:
    given = connect.app_id()
    return int(given) if given.isdecimal() else 0  # a client id may stand in for the number


def _owner(target_type: str, target_id: int) -> Installation | None:
    if target_type == Hook.Target.ORGANIZATION:
        return Installation.objects.filter(account_id=target_id).first()
    return Installation.objects.filter(repositories__github_id=target_id).first()


def _note(
    installation: Installation, target_type: str, target_id: int, github_id: int, *, active: bool
) -> None:
    values = {"installation": installation, "active": active}
    key = {"target_type": target_type, "target_id": target_id, "github_id": github_id}
    hook, created = Hook.objects.get_or_create(**key, defaults=values)
    if not created and (hook.installation_id, hook.active) != (installation.pk, active):
        Hook.objects.filter(pk=hook.pk).update(**values)
