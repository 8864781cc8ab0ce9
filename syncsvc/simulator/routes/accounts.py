"""Users, organizations and the listings of their repositories."""

from syncsvc.simulator import payloads
from syncsvc.simulator.messages import Answer, Refusal, json_answer, not_found
from syncsvc.simulator.records import Account, Repository, rfc3339
from syncsvc.simulator.routes.access import account_named, granted, require_user, viewer
from syncsvc.simulator.routes.listing import choice, in_order, repository_page
from syncsvc.simulator.routing import Context, Routes

routes = Routes()

AFFILIATIONS = ("owner", "collaborator", "organization_member")


@routes.add("GET", "/user")
def me(context: Context) -> Answer:
    """`GET /user`: the token's owner."""
    account = require_user(context)
    owned = context.world.owned(account)
    public = sum(r.visibility == "public" for r in owned)
    body = payloads.private_user(account, context.api_url, public, len(owned) - public)
    return json_answer(body, modified_at=account.updated_at)


@routes.add("GET", "/users/{login}")
def user(context: Context) -> Answer:
    """`GET /users/{username}`: organizations answer here too."""
    account = account_named(context, context.path["login"])
    body = payloads.user(account, context.api_url, _public(context, account))
    return json_answer(body, modified_at=account.updated_at)


@routes.add("GET", "/orgs/{login}")
def organization(context: Context) -> Answer:
    """`GET /orgs/{org}`."""
    account = _organization(context)
    body = payloads.organization(account, context.api_url, _public(context, account))
    return json_answer(body, modified_at=account.updated_at)


@routes.add("GET", "/orgs/{login}/repos")
@routes.add("GET", "/organizations/{id:int}/repos")
def organization_repositories(context: Context) -> Answer:
    """`GET /orgs/{org}/repos`; its links go by the organization's id, as GitHub's do."""
    account = _organization(context)
    kinds = ("all", "public", "private", "forks", "sources", "member")
    kind = choice(context, "type", kinds, "all")
    return _owned_page(context, account, kind, "created", f"/organizations/{account.id}/repos")


@routes.add("GET", "/users/{login}/repos")
@routes.add("GET", "/user/{id:int}/repos")
def user_repositories(context: Context) -> Answer:
    """`GET /users/{username}/repos`: public ones only, whoever asks."""
    account = _account(context)
    choice(context, "type", ("all", "owner", "member"), "owner")
    return _owned_page(context, account, "public", "full_name", f"/user/{account.id}/repos")


@routes.add("GET", "/user/repos")
def my_repositories(context: Context) -> Answer:
    """`GET /user/repos`: own repositories and those of one's organizations."""
    me_, query, world = require_user(context), context.request.query, context.world
    if "type" in query and ("visibility" in query or "affiliation" in query):
        raise Refusal(
            422, "If you specify visibility or affiliation, you cannot specify type.", errors=[]
        )
    kind = choice(context, "type", ("all", "owner", "public", "private", "member"), "all")
    visibility = choice(context, "visibility", ("all", "public", "private"), "all")
    affiliation = set((query.get("affiliation") or ",".join(AFFILIATIONS)).split(","))
    accounts: list[Account] = []
    if "owner" in affiliation and kind != "member":
        accounts.append(me_)
    if "organization_member" in affiliation and kind != "owner":
        accounts += world.memberships(me_)
    wanted = visibility if kind not in {"public", "private"} else kind
    key = ("mine", me_.id, tuple(a.id for a in accounts), wanted)
    listed = world.listing(key, lambda: _of_kind(world.visible(me_, accounts), wanted))
    ordered = in_order(context, listed, default="full_name", key=key)
    within = [r for r in ordered if _in_time(context, r)] if _timed(context) else ordered
    return repository_page(context, within, f"{context.api_url}/user/repos")


def _owned_page(context: Context, account: Account, kind: str, default: str, link: str) -> Answer:
    world, user_ = context.world, viewer(context)
    principal = context.principal
    key: tuple[object, ...] = (
        "owned by",
        account.id,
        principal.name,
        principal.repository_ids,
        kind,
    )

    def select() -> list[Repository]:
        if principal.kind == "installation":
            owned = world.owned(account)
            seen = [r for r in owned if r.visibility == "public" or granted(context, principal, r)]
        else:
            seen = world.visible(user_, [account])
        return _of_kind(seen, kind)

    ordered = in_order(context, world.listing(key, select), default=default, key=key)
    return repository_page(context, ordered, context.api_url + link)


def _of_kind(repositories: list[Repository], kind: str) -> list[Repository]:
    """GitHub's `type` filter: internal repositories count as private."""
    match kind:
        case "public":
            return [r for r in repositories if r.visibility == "public"]
        case "private":
            return [r for r in repositories if r.visibility != "public"]
        case "forks":
            return [r for r in repositories if r.fork]
        case "sources":
            return [r for r in repositories if not r.fork]
        case _:
            return repositories


def _timed(context: Context) -> bool:
    return bool({"since", "before"} & context.request.query.keys())


def _in_time(context: Context, repository: Repository) -> bool:
    updated = rfc3339(repository.updated_at)
    query = context.request.query
    return query.get("since", "") <= updated <= query.get("before", "9")


def _account(context: Context) -> Account:
    """The account of the path, by login or by id."""
    if "login" in context.path:
        return account_named(context, context.path["login"])
    found = context.world.accounts.get(int(context.path["id"]))
    if found is None:
        raise not_found()
    return found


def _organization(context: Context) -> Account:
    account = _account(context)
    if account.type != "Organization":
        raise not_found()
    return account


def _public(context: Context, account: Account) -> int:
    return sum(r.visibility == "public" for r in context.world.owned(account))
