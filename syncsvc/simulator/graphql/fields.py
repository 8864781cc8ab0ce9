"""What each field of each type is, except for what repositories hold.

Hides nothing but the world: readers are functions of an object, or bound to arguments first.
"""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from syncsvc.simulator.graphql.environment import Environment
from syncsvc.simulator.graphql.errors import FieldError
from syncsvc.simulator.graphql.fields_commits import COMMITS
from syncsvc.simulator.graphql.fields_issues import ISSUES
from syncsvc.simulator.graphql.fields_repositories import REPOSITORIES
from syncsvc.simulator.graphql.objects import node
from syncsvc.simulator.graphql.plan import Bound, Getter
from syncsvc.simulator.graphql.readers import small, time_of
from syncsvc.simulator.payloads import HTML_URL
from syncsvc.simulator.records import Account, Repository, rfc3339

Readers = Mapping[str, Getter | Bound]


def _repository(env: Environment, arguments: dict[str, Any]) -> Getter:
    owner, name = arguments["owner"], arguments["name"]

    def read(_: Any) -> Repository:
        found = env.world.find_repository(owner, name)
        if found is None and arguments.get("followRenames"):
            found = env.world.redirect(owner, name)
        if found is None or not env.readable(found):
            text = f"Could not resolve to a Repository with the name '{owner}/{name}'."
            raise FieldError("NOT_FOUND", text)
        return env.opened(found)

    return read


def _node(env: Environment, arguments: dict[str, Any]) -> Getter:
    return lambda _: _found(env, str(arguments["id"]))


def _nodes(env: Environment, arguments: dict[str, Any]) -> Getter:
    wanted = [str(text) for text in arguments["ids"]]
    return lambda _: [lambda text=text: _found(env, text) for text in wanted]


def _found(env: Environment, text: str) -> Any:
    found = node(env.world, text)
    if found is None or (found[1] is not None and not env.readable(found[1])):
        raise FieldError(
            "NOT_FOUND", f"Could not resolve to a node with the global id of '{text}'."
        )
    if found[1] is not None:
        env.opened(found[1])
    return found[0]


def _account(kind: str) -> Bound:
    told = {"RepositoryOwner": "User or Organization"}.get(kind, kind)

    def bind(env: Environment, arguments: dict[str, Any]) -> Getter:
        def read(_: Any) -> Account:
            login = arguments["login"]
            found = env.world.find_account(login)
            if found is None or kind not in {found.type, "RepositoryOwner"}:
                text = f"Could not resolve to a {told} with the login of '{login}'."
                if kind == "Organization":
                    text = text.replace(" a ", " an ", 1)
                raise FieldError("NOT_FOUND", text)
            return found

        return read

    return Bound(bind)


def _login(account: Account) -> str:
    """A bot has no `[bot]` behind its login here, as it has in REST."""
    return account.login.removesuffix("[bot]") if account.type == "Bot" else account.login


def _url(account: Account) -> str:
    if account.type == "Bot":
        return f"{HTML_URL}/apps/{_login(account)}"
    return f"{HTML_URL}/{account.login}"


ACCOUNT: Readers = {
    "avatarUrl": lambda a: f"https://avatars.githubusercontent.com/u/{a.id}?v=4",
    "createdAt": time_of("created_at"),
    "databaseId": small("id"),
    "description": attrgetter("description"),
    "email": lambda _: "",
    "id": attrgetter("node_id"),
    "location": attrgetter("location"),
    "login": _login,
    "name": attrgetter("name"),
    "resourcePath": lambda a: _url(a).removeprefix(HTML_URL),
    "updatedAt": time_of("updated_at"),
    "url": _url,
    "repositories": REPOSITORIES["owner.repositories"]["repositories"],
    "repository": Bound(
        lambda env, arguments: lambda a: _repository(env, {"owner": a.login, **arguments})(None)
    ),
}

WINDOW: Readers = {
    "edges": attrgetter("edges"),
    "nodes": attrgetter("nodes"),
    "pageInfo": lambda window: window,
    "totalCount": lambda window: len(window.items),
    "totalSize": lambda window: sum(window.sizes),
    "totalDiskUsage": lambda window: sum(r.size for r in window.items),
}
EDGE: Readers = {
    "cursor": lambda edge: edge.window.cursor_at(edge.index),
    "node": lambda edge: edge.window.items[edge.index],
    "size": lambda edge: edge.window.sizes[edge.index],
}
CONNECTIONS = (
    "Repository", "Issue", "PullRequest", "Label", "User", "Language", "RepositoryTopic",
    "CommitHistory", "Commit",
)  # fmt: skip

READERS: Mapping[str, Readers] = {
    "Query": {
        "node": Bound(_node),
        "nodes": Bound(_nodes),
        "organization": _account("Organization"),
        "rateLimit": Bound(lambda env, _: lambda _: env),
        "repository": Bound(_repository),
        "repositoryOwner": _account("RepositoryOwner"),
        "user": _account("User"),
        "viewer": Bound(lambda env, _: lambda _: env.viewer()),
    },
    "RateLimit": {
        "cost": attrgetter("cost"),
        "limit": lambda env: env.budget.limit,
        "nodeCount": attrgetter("node_count"),
        "remaining": lambda env: env.budget.remaining,
        "resetAt": lambda env: rfc3339(env.budget.reset),
        "used": lambda env: env.budget.used,
    },
    "PageInfo": {
        "endCursor": attrgetter("end_cursor"),
        "hasNextPage": lambda window: window.stop < len(window.items),
        "hasPreviousPage": lambda window: window.start > 0,
        "startCursor": attrgetter("start_cursor"),
    },
    "User": ACCOUNT,
    "Organization": ACCOUNT,
    "Bot": ACCOUNT,
    **{f"{name}Connection": WINDOW for name in CONNECTIONS},
    **{f"{name}Edge": EDGE for name in CONNECTIONS},
    **{name: found for name, found in REPOSITORIES.items() if "." not in name},
    **ISSUES,
    **COMMITS,
}
