"""What the fields of repositories are, with the connections into what they hold."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from syncsvc.simulator.content import Content, Item
from syncsvc.simulator.graphql.environment import Environment
from syncsvc.simulator.graphql.errors import FieldError
from syncsvc.simulator.graphql.fields_commits import tree_object
from syncsvc.simulator.graphql.objects import Language, License, Ref, Topic
from syncsvc.simulator.graphql.plan import Bound, Getter
from syncsvc.simulator.graphql.readers import listed, small, time_of
from syncsvc.simulator.graphql.windows import Ordered, Window, by_place
from syncsvc.simulator.records import Account, Repository, epoch, node_id
from syncsvc.simulator.vocabulary import LICENSES

Readers = Mapping[str, Getter | Bound]

ITEM_ORDERS = {"CREATED_AT": "created_at", "UPDATED_AT": "updated_at", "COMMENTS": "comments"}


def _items(kind: str) -> Bound:
    """The issues or pull requests of a repository."""
    states_of = _pull_state if kind == "pull_requests" else _issue_state

    def bind(env: Environment, arguments: dict[str, Any]) -> Getter:
        wanted = arguments | (arguments.get("filterBy") or {})
        states, labels = wanted.get("states"), wanted.get("labels")
        order = arguments.get("orderBy") or {}
        field = ITEM_ORDERS[order.get("field", "CREATED_AT")]
        descending = order.get("direction") == "DESC"
        since = epoch(wanted["since"]) if wanted.get("since") else None
        chosen = (tuple(states or ()), tuple(labels or ()), since, *_rest(wanted))
        key = (kind, *chosen, field, descending)

        def suits(item: Any) -> bool:
            return (
                (not states or states_of(item) in states)
                and (not labels or any(label.name in labels for label in item.labels))
                and (since is None or item.updated_at >= since)
                and _rest_suits(item, wanted)
            )

        def ordered(content: Content) -> Ordered:
            found = [i for i in getattr(content, kind) if suits(i)]
            return Ordered(found, lambda i: (getattr(i, field), i.id), descending=descending)

        def read(repository: Repository) -> Window:
            env.allowed(repository, kind)
            content = env.world.content(repository)
            kept: Ordered = content.kept(key, lambda: ordered(content))
            return kept.window(arguments)

        return read

    return Bound(bind)


def _rest(wanted: dict[str, Any]) -> tuple[Any, ...]:
    names = ("assignee", "createdBy", "baseRefName", "headRefName")
    return tuple(wanted.get(name) for name in names)


def _rest_suits(item: Any, wanted: dict[str, Any]) -> bool:
    """The filters that are rarely used."""
    assignee, author, base, head = _rest(wanted)
    return (
        (assignee is None or any(assignee in {"*", a.login} for a in item.assignees))
        and (author is None or (item.author is not None and item.author.login == author))
        and (base is None or item.base_ref == base)
        and (head is None or item.head_ref == head)
    )


def _issue_state(item: Item) -> str:
    return item.state.upper()


def _pull_state(item: Any) -> str:
    return "MERGED" if item.merged_at is not None else str(item.state.upper())


def _single(wanted: str, *kinds: str) -> Bound:
    """An issue or pull request by number."""

    def bind(env: Environment, arguments: dict[str, Any]) -> Getter:
        def read(repository: Repository) -> Any:
            env.allowed(repository, kinds[0])
            content, number = env.world.content(repository), arguments["number"]
            found = content.items.get(number)
            kind = "pull_requests" if hasattr(found, "pull_id") else "issues"
            if found is None or kind not in kinds:
                text = f"Could not resolve to {wanted} with the number of {number}."
                raise FieldError("NOT_FOUND", text)
            return found

        return read

    return Bound(bind)


def _default_branch(env: Environment, _: dict[str, Any]) -> Getter:
    def read(repository: Repository) -> Ref | None:
        env.allowed(repository, "contents")
        return _ref(env, repository, repository.default_branch)

    return read


def _named_branch(env: Environment, arguments: dict[str, Any]) -> Getter:
    name = arguments["qualifiedName"].removeprefix("refs/").removeprefix("heads/")
    return lambda repository: _ref(env, repository, name)


def _ref(env: Environment, repository: Repository, name: str) -> Ref | None:
    return Ref(repository, name) if name in env.world.content(repository).branches else None


def _object(env: Environment, arguments: dict[str, Any]) -> Getter:
    """`expression`: `HEAD`, a branch or a sha, with a path behind a colon for a file."""
    expression = arguments.get("expression") or arguments.get("oid") or "HEAD"

    def read(repository: Repository) -> Any:
        env.allowed(repository, "contents")
        ref, colon, path = expression.partition(":")
        name = repository.default_branch if ref == "HEAD" else ref.removeprefix("refs/heads/")
        commit = env.world.content(repository).commit(name)
        if commit is None or not colon:
            return commit
        return tree_object(repository, commit.sha, path.strip("/"))

    return read


def _languages(env: Environment, arguments: dict[str, Any]) -> Getter:
    rising = (arguments.get("orderBy") or {}).get("direction") == "ASC"

    def read(repository: Repository) -> Window:
        sizes = env.world.content(repository).languages
        found = sorted(sizes.items(), key=lambda pair: pair[1], reverse=not rising)
        languages = [Language(name) for name, _ in found]
        return by_place(languages, arguments, [size for _, size in found])

    return read


def _labels(env: Environment, arguments: dict[str, Any]) -> Getter:
    query = (arguments.get("query") or "").lower()

    def read(repository: Repository) -> Window:
        labels = env.world.content(repository).labels.values()
        return by_place([one for one in labels if query in one.name.lower()], arguments)

    return read


REPOSITORY_ORDERS: Mapping[str, Callable[[Repository], Any]] = {
    "CREATED_AT": attrgetter("created_at"),
    "UPDATED_AT": attrgetter("updated_at"),
    "PUSHED_AT": attrgetter("pushed_at"),
    "STARGAZERS": attrgetter("stars"),
    "NAME": lambda repository: repository.name.lower(),
}


def _owned(env: Environment, arguments: dict[str, Any]) -> Getter:
    order = arguments.get("orderBy") or {}
    value = REPOSITORY_ORDERS[order.get("field", "CREATED_AT")]
    descending = order.get("direction") == "DESC"

    def read(account: Account) -> Window:
        found = [r for r in env.owned(account) if _wanted(r, arguments)]
        return Ordered(found, lambda r: (value(r), r.id), descending=descending).window(arguments)

    return read


def _wanted(repository: Repository, arguments: dict[str, Any]) -> bool:
    facts = {
        "visibility": repository.visibility.upper(),
        "privacy": "PUBLIC" if repository.visibility == "public" else "PRIVATE",
        "isArchived": repository.archived,
        "isFork": repository.fork,
    }
    return all(arguments.get(name) in {None, value} for name, value in facts.items())


def _license(repository: Repository) -> License | None:
    return None if repository.license is None else License(repository.license)


def _language(repository: Repository) -> Language | None:
    return None if repository.language is None else Language(repository.language)


def _named(name: str) -> int:
    return sum(name.encode())


REPOSITORIES: Mapping[str, Readers] = {
    "owner.repositories": {"repositories": Bound(_owned)},
    "Repository": {
        "createdAt": time_of("created_at"),
        "databaseId": small("id"),
        "defaultBranchRef": Bound(_default_branch),
        "description": attrgetter("description"),
        "diskUsage": attrgetter("size"),
        "forkCount": attrgetter("forks"),
        "hasIssuesEnabled": lambda _: True,
        "homepageUrl": attrgetter("homepage"),
        "id": attrgetter("node_id"),
        "isArchived": attrgetter("archived"),
        "isDisabled": attrgetter("disabled"),
        "isEmpty": Bound(lambda env, _: lambda r: not env.world.content(r).branches),
        "isFork": attrgetter("fork"),
        "isInOrganization": Bound(
            lambda env, _: lambda r: env.world.accounts[r.owner_id].type == "Organization"
        ),
        "isLocked": lambda _: False,
        "isMirror": lambda _: False,
        "isPrivate": lambda r: r.visibility != "public",
        "isTemplate": lambda _: False,
        "issue": _single("an Issue", "issues"),
        "issueOrPullRequest": _single("an issue or pull request", "issues", "pull_requests"),
        "issues": _items("issues"),
        "labels": Bound(_labels),
        "languages": Bound(_languages),
        "licenseInfo": _license,
        "name": attrgetter("name"),
        "nameWithOwner": Bound(lambda env, _: env.world.full_name),
        "object": Bound(_object),
        "owner": Bound(lambda env, _: lambda r: env.world.accounts[r.owner_id]),
        "primaryLanguage": _language,
        "pullRequest": _single("a PullRequest", "pull_requests"),
        "pullRequests": _items("pull_requests"),
        "pushedAt": time_of("pushed_at"),
        "ref": Bound(_named_branch),
        "repositoryTopics": listed(lambda r: [Topic(r.id, name) for name in r.topics]),
        "resourcePath": Bound(lambda env, _: lambda r: f"/{env.world.full_name(r)}"),
        "stargazerCount": attrgetter("stars"),
        "updatedAt": time_of("updated_at"),
        "url": Bound(lambda env, _: env.html_url),
        "visibility": lambda r: r.visibility.upper(),
    },
    "License": {
        "id": lambda found: node_id("L", _named(LICENSES[found.spdx_id][0])),
        "key": lambda found: LICENSES[found.spdx_id][0],
        "name": lambda found: LICENSES[found.spdx_id][1],
        "spdxId": attrgetter("spdx_id"),
        "url": lambda found: f"http://choosealicense.com/licenses/{LICENSES[found.spdx_id][0]}/",
    },
    "Language": {
        "color": lambda found: f"#{_named(found.name) * 7919 % 0x1000000:06x}",
        "id": lambda found: f"LA_{_named(found.name)}",
        "name": attrgetter("name"),
    },
    "Topic": {"id": lambda t: f"T_{_named(t.name)}", "name": attrgetter("name")},
    "RepositoryTopic": {
        "id": lambda t: f"RT_{t.repository_id}_{t.name}",
        "resourcePath": lambda t: f"/topics/{t.name}",
        "topic": lambda t: t,
        "url": lambda t: f"https://github.com/topics/{t.name}",
    },
}
