"""How GitHub shows what concerns the App: itself, installations, hooks.

Pure, like `payloads`, whose shapes these build on.
"""

from collections.abc import Mapping
from typing import Any

from syncsvc.simulator.payloads import HTML_URL, simple_user
from syncsvc.simulator.records import (
    Account,
    App,
    Hook,
    Installation,
    Repository,
    node_id,
    rfc3339,
)


def short_repository(repository: Repository, full_name: str) -> dict[str, Any]:
    """A repository as the lists of installation webhooks carry it."""
    return {
        "id": repository.id,
        "node_id": repository.node_id,
        "name": repository.name,
        "full_name": full_name,
        "private": repository.visibility != "public",
    }


def installation(
    installation: Installation, account: Account, app: App, actor: Account, api: str
) -> dict[str, Any]:
    """An installation, in listings and in webhooks."""
    suspended = installation.suspended_at
    settings = (
        f"{HTML_URL}/organizations/{account.login}/settings"
        if account.type == "Organization"
        else f"{HTML_URL}/settings"
    )
    return {
        "id": installation.id,
        "client_id": app.client_id,
        "account": simple_user(account, api),
        "repository_selection": installation.selection,
        "access_tokens_url": f"{api}/app/installations/{installation.id}/access_tokens",
        "repositories_url": f"{api}/installation/repositories",
        "html_url": f"{settings}/installations/{installation.id}",
        "app_id": app.id,
        "app_slug": app.slug,
        "target_id": account.id,
        "target_type": account.type,
        "permissions": dict(installation.permissions),
        "events": list(installation.events),
        "created_at": rfc3339(installation.created_at),
        "updated_at": rfc3339(installation.updated_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": None if suspended is None else simple_user(actor, api),
        "suspended_at": None if suspended is None else rfc3339(suspended),
    }


def app(
    app: App, owner: Account, installations: int, permissions: Mapping[str, str], api: str
) -> dict[str, Any]:
    """`GET /app` (`integration`)."""
    return {
        "id": app.id,
        "slug": app.slug,
        "client_id": app.client_id,
        "node_id": node_id("A", app.id),
        "owner": simple_user(owner, api),
        "name": app.name,
        "description": "Mirrors repositories",
        "external_url": "https://mirror.example",
        "html_url": f"{app.html_root or HTML_URL}/apps/{app.slug}",
        "created_at": rfc3339(app.created_at),
        "updated_at": rfc3339(app.created_at),
        "permissions": dict(permissions),
        "events": list(app.events),
        "installations_count": installations,
    }


def organization_hook(hook: Hook, login: str, api: str) -> dict[str, Any]:
    """A hook of an organization (`org-hook`); the secret is never shown."""
    return _hook(hook, "Organization", f"{api}/orgs/{login}/hooks/{hook.id}")


def repository_hook(hook: Hook, full_name: str, api: str) -> dict[str, Any]:
    """A hook of a repository (`hook`); the secret is never shown."""
    url = f"{api}/repos/{full_name}/hooks/{hook.id}"
    return _hook(hook, "Repository", url) | {
        "test_url": f"{url}/test",
        "last_response": {"code": None, "status": "unused", "message": None},
    }


def _hook(hook: Hook, kind: str, url: str) -> dict[str, Any]:
    return {
        "type": kind,
        "id": hook.id,
        "name": "web",
        "active": hook.active,
        "events": list(hook.events),
        "config": hook_config(hook),
        "updated_at": rfc3339(hook.updated_at),
        "created_at": rfc3339(hook.created_at),
        "url": url,
        "ping_url": f"{url}/pings",
        "deliveries_url": f"{url}/deliveries",
    }


def hook_config(hook: Hook | None) -> dict[str, Any]:
    """Where a hook sends to (`webhook-config`); empty when the App has none."""
    if hook is None:
        return {"content_type": "json", "insecure_ssl": "0"}
    config = {"content_type": "json", "insecure_ssl": "0", "url": hook.url}
    return config | {"secret": "********"} if hook.secret else config
