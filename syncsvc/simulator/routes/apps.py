"""The App, its installations and their tokens."""

from typing import Any

from syncsvc.simulator import app_payloads, payloads
from syncsvc.simulator.auth import suspended
from syncsvc.simulator.messages import Answer, Refusal, json_answer, not_found
from syncsvc.simulator.paging import link_header, page_of
from syncsvc.simulator.records import DEFAULT_PERMISSIONS, Account, Installation, rfc3339
from syncsvc.simulator.routes.access import (
    account_named,
    granted,
    require_app,
    require_installation,
)
from syncsvc.simulator.routes.listing import repository_page
from syncsvc.simulator.routing import Context, Routes

routes = Routes()

DOCS = "https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app"
RANKS = {"read": 1, "write": 2, "admin": 3}


@routes.add("GET", "/app")
def app(context: Context) -> Answer:
    """`GET /app`: the App that signs."""
    require_app(context)
    world = context.world
    installations = list(world.installations.values())
    permissions = installations[0].permissions if installations else DEFAULT_PERMISSIONS
    owner = world.accounts[world.app.owner_id]
    body = app_payloads.app(world.app, owner, len(installations), permissions, context.api_url)
    return json_answer(body)


@routes.add("GET", "/app/installations")
def installations(context: Context) -> Answer:
    """`GET /app/installations`: suspended ones too."""
    require_app(context)
    since = context.request.query.get("since", "")
    found = [i for i in context.world.installations.values() if rfc3339(i.updated_at) >= since]
    page = page_of(context.request.query)
    link = link_header(context.request, f"{context.api_url}/app/installations", page, len(found))
    return json_answer([_shown(context, i) for i in found[page.part]], headers=link)


@routes.add("GET", "/app/installations/{id:int}")
def installation(context: Context) -> Answer:
    """`GET /app/installations/{installation_id}`."""
    require_app(context)
    return json_answer(_shown(context, _installation(context)))


@routes.add("GET", "/orgs/{login}/installation")
@routes.add("GET", "/users/{login}/installation")
def installation_of_account(context: Context) -> Answer:
    """`GET /orgs/{org}/installation` and `GET /users/{username}/installation`."""
    require_app(context)
    account = account_named(context, context.path["login"])
    if context.request.path.startswith("/orgs/") and account.type != "Organization":
        raise not_found()
    found = context.world.installation_of(account)
    if found is None:
        raise not_found()
    return json_answer(_shown(context, found))


@routes.add("POST", "/app/installations/{id:int}/access_tokens")
def access_token(context: Context) -> Answer:
    """`POST /app/installations/{installation_id}/access_tokens`: 403 for a suspended one."""
    require_app(context)
    found = _installation(context)
    if found.suspended_at is not None:
        raise suspended()
    wanted = context.request.json()
    permissions = _permissions(found, wanted.get("permissions"))
    account = context.world.accounts[found.account_id]
    chosen = _chosen(context, found, account, wanted)
    issued = context.keys.issue(found, context.now, permissions=permissions, repository_ids=chosen)
    body: dict[str, Any] = {
        "token": issued.token,
        "expires_at": rfc3339(int(issued.expires_at)),
        "permissions": permissions,
        "repository_selection": found.selection if chosen is None else "selected",
    }
    if chosen is not None:
        kept = [context.world.repositories[i] for i in sorted(chosen)]
        body["repositories"] = [payloads.repository(r, account, context.api_url) for r in kept]
    return json_answer(body, status=201, cacheable=False)


@routes.add("GET", "/installation/repositories")
def installation_repositories(context: Context) -> Answer:
    """`GET /installation/repositories`: in the order of ids, no sort, no since."""
    found = require_installation(context)
    repositories = context.world.installed(found)
    if context.principal.repository_ids is not None:
        repositories = [r for r in repositories if granted(context, context.principal, r)]
    selection = found.selection

    def head(total: int) -> bytes:
        start = f'{{"total_count":{total},"repository_selection":"{selection}","repositories":['
        return start.encode()

    url = f"{context.api_url}/installation/repositories"
    return repository_page(context, repositories, url, head=head)


@routes.add("DELETE", "/installation/token")
def revoke(context: Context) -> Answer:
    """`DELETE /installation/token`: the token that asks stops to work."""
    require_installation(context)
    context.keys.revoke(context.principal.token)
    return Answer(status=204, cacheable=False)


def _shown(context: Context, installation: Installation) -> dict[str, Any]:
    world = context.world
    account = world.accounts[installation.account_id]
    return app_payloads.installation(
        installation, account, world.app, world.actor(), context.api_url
    )


def _installation(context: Context) -> Installation:
    found = context.world.installations.get(int(context.path["id"]))
    if found is None:
        raise not_found(DOCS)
    return found


def _permissions(installation: Installation, wanted: object) -> dict[str, str]:
    """The permissions of a new token: all of the installation's, or some that were asked for."""
    if wanted is None:
        return dict(installation.permissions)
    if not isinstance(wanted, dict):
        raise Refusal(422, "Invalid request. `permissions` must be an object.", errors=[])
    for name, level in wanted.items():
        if RANKS.get(level, 9) > RANKS.get(installation.permissions.get(name, ""), 0):
            raise Refusal(
                422, "The permissions requested are not granted to this installation.", errors=[]
            )
    return dict(wanted)


def _chosen(
    context: Context, installation: Installation, account: Account, wanted: dict[str, Any]
) -> frozenset[int] | None:
    """The repositories that a new token is limited to; None: all of the installation's."""
    names, ids = wanted.get("repositories"), wanted.get("repository_ids")
    if names is None and ids is None:
        return None
    world = context.world
    found = [world.find_repository(account.login, str(name)) for name in names or ()]
    found += [world.repositories.get(i) if isinstance(i, int) else None for i in ids or ()]
    if any(r is None or not world.covers(installation, r) for r in found):
        raise Refusal(
            422,
            "There is at least one repository that does not exist or is not accessible "
            "to the parent installation.",
            errors=[],
        )
    return frozenset(r.id for r in found if r is not None)
