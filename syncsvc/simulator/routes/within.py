"""What is asked of one repository: found by name or by id, redirected, hidden or blocked.

Hides that every route below a repository begins with the same questions.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import orjson

from syncsvc.simulator.content_payloads import Place
from syncsvc.simulator.messages import Answer, Refusal, not_found
from syncsvc.simulator.paging import link_header, page_of
from syncsvc.simulator.records import Repository, epoch
from syncsvc.simulator.routes.access import may_read, reader_of
from syncsvc.simulator.routes.repositories import moved, refuse_blocked
from syncsvc.simulator.routing import Context, Handler, Routes

Within = Callable[[Context, Repository], Answer]


def below(routes: Routes, tail: str, permission: str = "metadata") -> Callable[[Within], Handler]:
    """Declare a GET below a repository, by name and by id; `permission` is what an App needs."""

    def declare(handler: Within) -> Handler:
        @wraps(handler)
        def answered(context: Context) -> Answer:
            found = _found(context)
            if found is None:
                return moved(context)
            if not may_read(context, found):
                raise not_found()
            refuse_blocked(found)
            _require(context, found, permission)
            return handler(context, found)

        routes.add("GET", "/repos/{owner}/{repo}" + tail)(answered)
        routes.add("GET", "/repositories/{id:int}" + tail)(answered)
        return answered

    return declare


def place_of(context: Context, repository: Repository) -> Place:
    """The repository as the reader finds it, to be put into what it holds."""
    world = context.world
    owner = world.accounts[repository.owner_id]
    shown = context.fragments.get(repository, reader_of(context, owner)).body
    return Place(world.full_name(repository), context.api_url, orjson.Fragment(shown), owner)


def page_within(
    context: Context,
    repository: Repository,
    items: list[Any],
    show: Callable[[Any, Place], dict[str, Any]],
    tail: str,
) -> Answer:
    """A page of what a repository holds; its links go by the repository's id, as GitHub's do."""
    page, place = page_of(context.request.query), place_of(context, repository)
    url = f"{context.api_url}/repositories/{repository.id}{tail}"
    return Answer(
        body=orjson.dumps([show(item, place) for item in items[page.part]]),
        headers=link_header(context.request, url, page, len(items)),
    )


def moment_of(context: Context, name: str) -> int | None:
    """A time in the query in epoch seconds; Refusal 422 for nonsense."""
    text = context.request.query.get(name)
    if not text:
        return None
    moment = epoch(text)
    if moment is None:
        raise Refusal(
            422,
            "Validation Failed",
            errors=[{"resource": "Search", "field": name, "code": "invalid"}],
        )
    return moment


def _found(context: Context) -> Repository | None:
    if "id" in context.path:
        found = context.world.repositories.get(int(context.path["id"]))
        if found is None:
            raise not_found()
        return found
    return context.world.find_repository(context.path["owner"], context.path["repo"])


def _require(context: Context, repository: Repository, permission: str) -> None:
    """An App reads private things only where it was given the permission."""
    if context.principal.kind != "installation" or repository.visibility == "public":
        return
    installation = context.world.installations[context.principal.id]
    if permission not in installation.permissions:
        raise Refusal(403, "Resource not accessible by integration")
