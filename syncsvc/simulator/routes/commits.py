"""Commits, branches, comparisons, contributors and languages."""

from collections import Counter
from typing import Any

from syncsvc.simulator import commit_payloads
from syncsvc.simulator.content import Commit, Content
from syncsvc.simulator.messages import Answer, Refusal, json_answer, not_found
from syncsvc.simulator.paging import page_of
from syncsvc.simulator.payloads import simple_user
from syncsvc.simulator.records import Repository
from syncsvc.simulator.routes.within import below, moment_of, page_within, place_of
from syncsvc.simulator.routing import Context, Routes

routes = Routes()


@below(routes, "/commits", "contents")
def commits(context: Context, repository: Repository) -> Answer:
    """`GET /repos/{owner}/{repo}/commits`: 409 when empty; times are those of the committer."""
    content = _filled(context, repository)
    query = context.request.query
    listed = _history(content, query.get("sha") or repository.default_branch)
    since, until = moment_of(context, "since"), moment_of(context, "until")
    if since is not None:
        listed = [c for c in listed if c.committed_at >= since]
    if until is not None:
        listed = [c for c in listed if c.committed_at <= until]
    if query.get("author"):
        listed = [c for c in listed if c.author and c.author.login == query["author"]]
    return page_within(context, repository, listed, commit_payloads.commit, "/commits")


@below(routes, "/commits/{ref:rest}", "contents")
def commit(context: Context, repository: Repository) -> Answer:
    """`GET /repos/{owner}/{repo}/commits/{ref}`: by sha or by a branch's name.

    Those that a forced push dropped are shown by their sha as before, as GitHub does for long.
    """
    content, ref = _filled(context, repository), context.path["ref"]
    found = content.commit(ref.removeprefix("heads/")) or _dropped(content, ref)
    if found is None:
        raise Refusal(422, f"No commit found for SHA: {ref}", errors=[])
    shown = commit_payloads.commit(found, place_of(context, repository))
    shown |= {"stats": {"total": 3, "additions": 2, "deletions": 1}, "files": []}
    return json_answer(shown, modified_at=found.committed_at)


@below(routes, "/branches/{branch:rest}", "contents")
def branch(context: Context, repository: Repository) -> Answer:
    """`GET /repos/{owner}/{repo}/branches/{branch}`."""
    content, name = context.world.content(repository), context.path["branch"]
    if name not in content.branches:
        raise Refusal(404, "Branch not found")
    head = content.branches[name][-1]
    return json_answer(commit_payloads.branch(name, head, place_of(context, repository)))


@below(routes, "/compare/{basehead:rest}", "contents")
def compare(context: Context, repository: Repository) -> Answer:
    """`GET /repos/{owner}/{repo}/compare/{basehead}`: what lies between two commits."""
    content = context.world.content(repository)
    base_ref, dots, head_ref = context.path["basehead"].partition("...")
    base, head = content.commit(base_ref), content.commit(head_ref)
    if not dots or base is None or head is None:
        raise not_found()
    ours, theirs = _history(content, base.sha)[::-1], _history(content, head.sha)[::-1]
    common = _common(ours, theirs)
    if not common:
        raise Refusal(404, f"No common ancestor between {base_ref} and {head_ref}.")
    page, ahead = page_of(context.request.query), theirs[common:]
    shown = commit_payloads.comparison(
        context.path["basehead"],
        place_of(context, repository),
        base=base,
        common=ours[common - 1],
        ahead=ahead,
        behind=ours[common:],
    )
    if "page" in context.request.query:
        shown["commits"] = shown["commits"][page.part]
    return json_answer(shown)


@below(routes, "/contributors", "metadata")
def contributors(context: Context, repository: Repository) -> Answer:
    """`GET /repos/{owner}/{repo}/contributors`: 204 when empty; strangers only with `anon`."""
    history = context.world.content(repository).history(repository.default_branch)
    if not history:
        return Answer(status=204, cacheable=False)
    counts = Counter(c.author for c in history if c.author is not None)
    shown: list[dict[str, Any]] = [
        simple_user(author, context.api_url) | {"contributions": count}
        for author, count in counts.most_common()
    ]
    if context.request.query.get("anon") in {"1", "true"}:
        strangers = Counter((c.author_name, c.author_email) for c in history if c.author is None)
        shown += [
            {"type": "Anonymous", "name": name, "email": email, "contributions": count}
            for (name, email), count in strangers.most_common()
        ]
    return page_within(context, repository, shown, lambda item, _: item, "/contributors")


@below(routes, "/languages", "metadata")
def languages(context: Context, repository: Repository) -> Answer:
    """`GET /repos/{owner}/{repo}/languages`: bytes by language, most first."""
    return json_answer(context.world.content(repository).languages)


@below(routes, "/topics", "metadata")
def topics(_: Context, repository: Repository) -> Answer:
    """`GET /repos/{owner}/{repo}/topics`."""
    return json_answer({"names": list(repository.topics)})


def _filled(context: Context, repository: Repository) -> Content:
    """The content of a repository that has a commit; Refusal 409 otherwise."""
    content = context.world.content(repository)
    if not content.branches:
        raise Refusal(409, "Git Repository is empty.")
    return content


def _history(content: Content, ref: str) -> list[Commit]:
    """From a branch's head or a commit backwards; Refusal 404 for neither.

    A head that a forced push replaced is in no branch any more, but GitHub still has it.
    """
    if ref in content.branches:
        return content.history(ref)
    if ref in content.dropped:
        return list(reversed(content.dropped[ref]))
    head = content.commit(ref)
    if head is None:
        raise not_found()
    for name in content.branches:
        history = content.history(name)
        if head in history:
            return history[history.index(head) :]
    raise not_found()


def _dropped(content: Content, sha: str) -> Commit | None:
    """A commit that is in no branch any more."""
    found = (c for history in content.dropped.values() for c in history if c.sha == sha)
    return next(found, None)


def _common(ours: list[Commit], theirs: list[Commit]) -> int:
    """With how many commits both histories begin."""
    count = 0
    for one, other in zip(ours, theirs, strict=False):
        if one is not other:
            break
        count += 1
    return count
