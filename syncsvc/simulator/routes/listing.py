"""A page of repositories as an answer.

Hides sorting, joining of kept pieces and what the page's ETag is made of.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from syncsvc.simulator.messages import Answer, Refusal
from syncsvc.simulator.paging import link_header, page_of
from syncsvc.simulator.records import Repository
from syncsvc.simulator.routes.access import reader_of
from syncsvc.simulator.routing import Context

Key = Callable[[Repository], object]


def repository_page(
    context: Context,
    repositories: list[Repository],
    url: str,
    *,
    head: Callable[[int], bytes] | None = None,
) -> Answer:
    """The page that the request asks for, as a list, or inside an object that `head` begins.

    `url` is what the Link header's links begin with.
    """
    world, page = context.world, page_of(context.request.query)
    total = len(repositories)
    readers: dict[int, str] = {}
    pieces = []
    for repository in repositories[page.part]:
        reader = readers.get(repository.owner_id)
        if reader is None:
            reader = reader_of(context, world.accounts[repository.owner_id])
            readers[repository.owner_id] = reader
        pieces.append(context.fragments.get(repository, reader))
    version = hashlib.blake2b(b"".join(p.digest for p in pieces), digest_size=16, salt=b"page")
    version.update(str(total).encode())
    opening, closing = (b"[", b"]") if head is None else (head(total), b"]}")
    return Answer(
        body=opening + b",".join([p.body for p in pieces]) + closing,
        headers=link_header(context.request, url, page, total),
        version=version.digest(),
    )


def in_order(
    context: Context, repositories: list[Repository], *, default: str, key: tuple[object, ...]
) -> list[Repository]:
    """The listing in the order of `sort` and `direction`; `key` names the listing.

    Without a direction: ascending by full name, otherwise descending (GitHub's docs, "List
    organization repositories").
    """
    query = context.request.query
    sort = query.get("sort") or default
    if sort not in SORTS:
        sort = default
    descending = query.get("direction", "asc" if sort == "full_name" else "desc") == "desc"
    world = context.world

    def place(repository: Repository) -> tuple[Any, ...]:
        if sort == "full_name":
            return (world.full_name(repository).lower(),)
        return getattr(repository, SORTS[sort]), repository.id

    def order() -> list[Repository]:
        return sorted(repositories, key=place, reverse=descending)

    return world.listing((*key, sort, descending), order)


SORTS = {
    "created": "created_at",
    "updated": "updated_at",
    "pushed": "pushed_at",
    "full_name": "",
}


def choice(context: Context, name: str, allowed: tuple[str, ...], default: str) -> str:
    """A query parameter with fixed values; Refusal 422 for any other."""
    value = context.request.query.get(name) or default
    if value not in allowed:
        raise Refusal(
            422,
            "Validation Failed",
            errors=[{"resource": "Repository", "field": name, "code": "invalid"}],
        )
    return value
