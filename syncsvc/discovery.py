"""Which accounts are ours to mirror, and what became of those that were (R2.1, R2.3).

The account's id is the identity. An installation that GitHub's list lacks is asked for by itself
before it counts as uninstalled; what was mirrored of it is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import IntegrityError, transaction

from syncsvc import circuit, clock, connect, events
from syncsvc.breaker import State
from syncsvc.github.errors import ConfigurationError, GitHubError, NotFound
from syncsvc.github.payloads import InstallationRow
from syncsvc.models import EtagEntry, Installation, InstallationToken

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One account and what this discovery changed about it (`created`, `unchanged`, ...)."""

    installation: Installation
    change: str


def discover() -> list[Found]:
    """Asks GitHub which installations there are and records them, by App and by token, whichever is
    configured. Raises `GitHubError` with a sentence; nothing is half recorded then."""
    if not connect.has_app() and not connect.has_token():
        raise ConfigurationError(
            "No GitHub credentials are set. Set them up on the page Set-up, or set GITHUB_APP_ID and "
            "GITHUB_APP_PRIVATE_KEY, or GITHUB_TOKEN and GITHUB_OWNER."
        )
    found: list[Found] = []
    if connect.has_app():
        found += _discover_app()
    if connect.has_token():
        found += _discover_token({each.installation.account_id for each in found})
    return found


def recheck(installation: Installation) -> None:
    """Asks GitHub about one installation whose token was refused, and records what it says."""
    if installation.mode != Installation.Mode.APP or not connect.has_app():
        return
    try:
        with connect.app_client() as client:
            record(client.installation(installation.github_id))
    except NotFound:
        mark_uninstalled(installation)
    except GitHubError as error:
        log.info("installation.recheck_failed", reason=error.kind)


def _discover_app() -> list[Found]:
    with connect.app_client() as client:
        rows = list(client.installations())  # the whole list, or an error and no change at all
        found = [record(row) for row in rows]
        listed = {row.github_id for row in rows}
        known = Installation.objects.filter(mode=Installation.Mode.APP).exclude(
            status=Installation.Status.UNINSTALLED
        )
        for installation in known.exclude(github_id__in=listed):
            try:
                found.append(record(client.installation(installation.github_id)))
            except NotFound:
                found.append(mark_uninstalled(installation))
            except GitHubError as error:
                # One account's trouble keeps nobody else from being found.
                log.warning(
                    "installation.recheck_failed",
                    installation_id=installation.pk,
                    reason=error.kind,
                )
    return found


def _discover_token(taken: set[int]) -> list[Found]:
    with connect.token_client() as client:
        login = connect.token_owner() or client.get_authenticated_user().login
        try:
            account = client.get_account(login)
        except NotFound as error:
            raise ConfigurationError(
                f"GitHub knows no account {login!r}. Correct GITHUB_OWNER."
            ) from error
    if account.github_id in taken:
        return []  # the App reaches it already, and sees more
    return [
        _record(
            account.github_id,
            {
                "github_id": account.github_id,
                "mode": Installation.Mode.TOKEN,
                "account_login": account.login,
                "account_type": _account_type(account.type),
                "status": Installation.Status.ACTIVE,
                "repository_selection": "all",
                "suspended_at": None,
                "uninstalled_at": None,
            },
        )
    ]


def record(row: InstallationRow) -> Found:
    """Writes down what GitHub says of an installation; the same twice writes nothing."""
    suspended = row.suspended_at is not None
    return _record(
        row.account_id,
        {
            "github_id": row.github_id,
            "mode": Installation.Mode.APP,
            "account_login": row.account_login,
            "account_type": _account_type(row.account_type),
            "status": Installation.Status.SUSPENDED if suspended else Installation.Status.ACTIVE,
            "repository_selection": row.repository_selection,
            "permissions": dict(row.permissions),
            "events": list(row.events),
            "suspended_at": row.suspended_at,
            "uninstalled_at": None,
            "github_created_at": row.created_at,
            "github_updated_at": row.updated_at,
        },
    )


def rename(installation: Installation, login: str) -> Found:
    """The account has another login; its repositories' names follow with the next list (R2.3)."""
    return _record(installation.account_id, {"account_login": login})


def mark_uninstalled(installation: Installation) -> Found:
    """GitHub knows the installation no more: its syncs end, its data stays (R2.3)."""
    return _record(
        installation.account_id,
        {"status": Installation.Status.UNINSTALLED, "uninstalled_at": clock.now()},
    )


def _record(account_id: int, values: Mapping[str, Any]) -> Found:
    try:
        with transaction.atomic():
            known = (
                Installation.objects.select_for_update(no_key=True)
                .filter(account_id=account_id)
                .first()
            )
            found = _update(known, values) if known else _create(account_id, values)
    except IntegrityError:
        # Another discovery created it between our look and our insert.
        with transaction.atomic():
            found = _update(
                Installation.objects.select_for_update(no_key=True).get(account_id=account_id),
                values,
            )
    if found.change != "unchanged":
        events.emit(
            f"installation.{found.change}",
            installation_id=found.installation.pk,
            account_login=found.installation.account_login,
            status=found.installation.status,
        )
    return found


def _create(account_id: int, values: Mapping[str, Any]) -> Found:
    installation = Installation.objects.create(
        account_id=account_id, next_scheduled_at=clock.now(), **values
    )
    return Found(installation=installation, change="created")


def _update(known: Installation, values: Mapping[str, Any]) -> Found:
    changed = {name: value for name, value in values.items() if getattr(known, name) != value}
    if not changed:
        return Found(installation=known, change="unchanged")
    change = _name(known, changed)
    if change in ("reinstalled", "unsuspended"):
        if circuit.of(known).state is not State.CLOSED:
            circuit.now_closed(known.pk)
        changed |= {"next_scheduled_at": clock.now(), "action_needed": "", **circuit.CLOSED}
    if change == "uninstalled":
        changed["action_needed"] = ""
    if "github_id" in changed or "mode" in changed:
        # Tokens belong to the installation that is gone, and ETags to its tokens.
        InstallationToken.objects.filter(installation=known).delete()
        EtagEntry.objects.filter(installation=known).delete()
    for name, value in changed.items():
        setattr(known, name, value)
    known.save(update_fields=[*changed, "updated_at"])
    return Found(installation=known, change=change)


def _name(known: Installation, changed: Mapping[str, Any]) -> str:
    status = changed.get("status")
    if status == Installation.Status.UNINSTALLED:
        return "uninstalled"
    if "github_id" in changed or known.status == Installation.Status.UNINSTALLED:
        return "reinstalled"
    if status == Installation.Status.SUSPENDED:
        return "suspended"
    if status == Installation.Status.ACTIVE:
        return "unsuspended"
    if "account_login" in changed:
        return "renamed"
    return "permissions_changed" if "permissions" in changed else "updated"


def _account_type(given: str) -> str:
    return "Organization" if given.lower() == "organization" else "User"
