"""What the fields of commits, branches, trees and files are."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from syncsvc.simulator.commit_payloads import tree_sha
from syncsvc.simulator.content import Commit, Content
from syncsvc.simulator.content_files import File, entries, file_at, files_of
from syncsvc.simulator.graphql.environment import Environment
from syncsvc.simulator.graphql.fields_issues import repository_of
from syncsvc.simulator.graphql.objects import Blob, Folder, Person
from syncsvc.simulator.graphql.plan import Bound, Getter
from syncsvc.simulator.graphql.readers import listed, time_of
from syncsvc.simulator.graphql.windows import Window, bad_cursor, bounds
from syncsvc.simulator.records import Repository, epoch, rfc3339

Readers = Mapping[str, Getter | Bound]


def _history(env: Environment, arguments: dict[str, Any]) -> Getter:
    since, until = _moment(arguments, "since"), _moment(arguments, "until")

    def read(commit: Commit) -> Window:
        content = env.world.content(env.world.repositories[commit.repository_id])
        head, first = commit.sha, 0
        if arguments.get("after"):
            head, first = _place(arguments["after"])
        history = below(content, head)
        if not history:
            raise bad_cursor(arguments.get("after", ""))
        if since is not None:
            history = [c for c in history if c.committed_at >= since]
        if until is not None:
            history = [c for c in history if c.committed_at <= until]
        start, stop = bounds(arguments, min(first, len(history)), len(history))
        return Window(history, start, stop, lambda index: f"{head} {index}")

    return read


def below(content: Content, sha: str) -> list[Commit]:
    """A commit and all before it, newest first, be it on a branch or dropped from one."""
    for name, commits in content.branches.items():
        if commits[-1].sha == sha:
            return content.history(name)
    for line in (*content.branches.values(), *content.dropped.values()):
        shas = [c.sha for c in line]
        if sha in shas:
            return list(line[: shas.index(sha) + 1][::-1])
    return []


def _place(cursor: str) -> tuple[str, int]:
    """A cursor of a history names its head and counts from there: pushes do not shift it."""
    head, _, index = cursor.partition(" ")
    if not index.isdecimal():
        raise bad_cursor(cursor)
    return head, int(index) + 1


def _moment(arguments: dict[str, Any], name: str) -> int | None:
    return epoch(arguments[name]) if arguments.get(name) else None


def _parents(env: Environment, _: dict[str, Any]) -> Any:
    def read(commit: Commit) -> list[Commit]:
        content = env.world.content(env.world.repositories[commit.repository_id])
        return below(content, commit.parent)[:1] if commit.parent else []

    return read


def _entries(folder: Folder) -> list[Blob]:
    files = files_of(folder.repository)
    return [Blob(folder.repository, file) for file in entries(files, folder.path)]


def tree_object(repository: Repository, head: str, path: str) -> Folder | Blob | None:
    """What lies at a path: a folder or a file."""
    if not path:
        return Folder(repository, "", tree_sha(head))
    found = file_at(files_of(repository), path)
    return None if found is None else file_object(repository, found)


def file_object(repository: Repository, file: File) -> Folder | Blob:
    """A file or folder as an object of git."""
    if file.kind == "tree":
        return Folder(repository, file.path, file.sha)
    return Blob(repository, file)


def _commit_url(env: Environment, _: dict[str, Any]) -> Getter:
    def read(commit: Commit) -> str:
        place = env.html_url(env.world.repositories[commit.repository_id])
        return f"{place}/commit/{commit.sha}"

    return read


def _tree(env: Environment, _: dict[str, Any]) -> Getter:
    return lambda c: Folder(env.world.repositories[c.repository_id], "", tree_sha(c.sha))


def _git_url(env: Environment, _: dict[str, Any]) -> Getter:
    return lambda found: f"{env.html_url(found.repository)}/tree"


def _target(env: Environment, _: dict[str, Any]) -> Getter:
    return lambda ref: env.world.content(ref.repository).branches[ref.name][-1]


def _body(commit: Commit) -> str:
    return commit.message.partition("\n")[2].lstrip("\n")


COMMITS: Mapping[str, Readers] = {
    "Ref": {
        "id": lambda ref: f"REF_{ref.repository.id}_{ref.name}",
        "name": attrgetter("name"),
        "prefix": lambda _: "refs/heads/",
        "repository": attrgetter("repository"),
        "target": Bound(_target),
    },
    "GitActor": {
        "avatarUrl": lambda _: "https://avatars.githubusercontent.com/u/0?v=4",
        "date": lambda person: rfc3339(person.at),
        "email": lambda person: person.commit.author_email,
        "name": lambda person: person.commit.author_name,
        "user": Bound(lambda *_: lambda p: p.commit.author, key=lambda p: p.commit.author),
    },
    "Commit": {
        "abbreviatedOid": lambda c: c.sha[:7],
        "additions": lambda _: 2,
        "author": lambda c: Person(c, c.authored_at),
        "authoredDate": time_of("authored_at"),
        "commitUrl": Bound(_commit_url),
        "committedDate": time_of("committed_at"),
        "committer": lambda c: Person(c, c.committed_at),
        "deletions": lambda _: 1,
        "history": Bound(_history),
        "id": attrgetter("node_id"),
        "message": attrgetter("message"),
        "messageBody": _body,
        "messageHeadline": lambda c: c.message.partition("\n")[0],
        "oid": attrgetter("sha"),
        "parents": Bound(lambda env, arguments: listed(_parents(env, {})).bind(env, arguments)),
        "repository": Bound(repository_of),
        "tree": Bound(_tree),
        "url": Bound(_commit_url),
    },
    "Tree": {
        "abbreviatedOid": lambda t: t.oid[:7],
        "commitUrl": Bound(_git_url),
        "entries": _entries,
        "id": lambda t: f"T_{t.oid}",
        "oid": attrgetter("oid"),
        "repository": attrgetter("repository"),
    },
    "Blob": {
        "abbreviatedOid": lambda b: b.file.sha[:7],
        "byteSize": lambda _: 2,
        "commitUrl": Bound(_git_url),
        "id": lambda b: f"B_{b.file.sha}",
        "isBinary": lambda _: False,
        "oid": lambda b: b.file.sha,
        "repository": attrgetter("repository"),
        "text": lambda _: "#\n",
    },
    "TreeEntry": {
        "mode": lambda e: 0o040000 if e.file.kind == "tree" else 0o100644,
        "name": lambda e: e.file.name,
        "object": lambda e: file_object(e.repository, e.file),
        "oid": lambda e: e.file.sha,
        "path": lambda e: e.file.path,
        "repository": attrgetter("repository"),
        "size": lambda e: 0 if e.file.kind == "tree" else 2,
        "type": lambda e: e.file.kind,
    },
}
