"""Pull requests: listings by state, which know no `since`, and single ones."""

from syncsvc.simulator import content_payloads
from syncsvc.simulator.content import Content, PullRequest
from syncsvc.simulator.messages import Answer, json_answer, not_found
from syncsvc.simulator.records import Repository
from syncsvc.simulator.routes.listing import choice
from syncsvc.simulator.routes.within import below, page_within, place_of
from syncsvc.simulator.routing import Context, Routes

routes = Routes()

SORTS = {
    "created": "created_at",
    "updated": "updated_at",
    "popularity": "comments",
    "long-running": "created_at",
}


@below(routes, "/pulls", "pull_requests")
def pulls(context: Context, repository: Repository) -> Answer:
    """`GET /repos/{owner}/{repo}/pulls`: descending only for `created`, unless said otherwise."""
    content = context.world.content(repository)
    state = choice(context, "state", ("open", "closed", "all"), "open")
    sort = choice(context, "sort", tuple(SORTS), "created")
    default = "desc" if "sort" not in context.request.query or sort == "created" else "asc"
    direction = choice(context, "direction", ("asc", "desc"), default)
    listed = content.kept(
        ("rest pulls", state, sort, direction),
        lambda: _ordered(content, state, SORTS[sort], direction == "desc"),
    )
    base, head = context.request.query.get("base"), context.request.query.get("head")
    if base:
        listed = [p for p in listed if p.base_ref == base]
    if head:
        listed = [p for p in listed if p.head_ref == head.rpartition(":")[2]]
    return page_within(context, repository, listed, content_payloads.pull_request, "/pulls")


@below(routes, "/pulls/{number:int}", "pull_requests")
def pull(context: Context, repository: Repository) -> Answer:
    """`GET /repos/{owner}/{repo}/pulls/{pull_number}`."""
    found = context.world.content(repository).items.get(int(context.path["number"]))
    if not isinstance(found, PullRequest):
        raise not_found()
    shown = content_payloads.full_pull_request(found, place_of(context, repository))
    return json_answer(shown, modified_at=found.updated_at)


def _ordered(content: Content, state: str, field: str, descending: bool) -> list[PullRequest]:
    chosen = [p for p in content.pull_requests if state in {"all", p.state}]
    return sorted(chosen, key=lambda p: (getattr(p, field), p.number), reverse=descending)
