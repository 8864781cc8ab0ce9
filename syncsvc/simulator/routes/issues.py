"""Issues, among them pull requests: listings by state and time, single ones, the moved and the gone."""

from syncsvc.simulator import content_payloads
from syncsvc.simulator.content import Content, Item
from syncsvc.simulator.messages import Answer, Refusal, json_answer, not_found
from syncsvc.simulator.records import Repository
from syncsvc.simulator.routes.listing import choice
from syncsvc.simulator.routes.repositories import REDIRECT_DOCS
from syncsvc.simulator.routes.within import below, moment_of, page_within, place_of
from syncsvc.simulator.routing import Context, Routes

routes = Routes()

SORTS = {"created": "created_at", "updated": "updated_at", "comments": "comments"}


@below(routes, "/issues", "issues")
def issues(context: Context, repository: Repository) -> Answer:
    """`GET /repos/{owner}/{repo}/issues`: pull requests are among them."""
    content = context.world.content(repository)
    state = choice(context, "state", ("open", "closed", "all"), "open")
    sort = choice(context, "sort", tuple(SORTS), "created")
    direction = choice(context, "direction", ("asc", "desc"), "desc")
    listed = content.kept(
        ("rest issues", state, sort, direction),
        lambda: _ordered(content, state, SORTS[sort], direction == "desc"),
    )
    since = moment_of(context, "since")
    if since is not None:
        listed = [item for item in listed if item.updated_at >= since]
    return page_within(
        context, repository, _filtered(context, listed), content_payloads.issue, "/issues"
    )


@below(routes, "/issues/{number:int}", "issues")
def issue(context: Context, repository: Repository) -> Answer:
    """`GET /repos/{owner}/{repo}/issues/{issue_number}`: 301 when transferred, 410 when deleted."""
    content, number = context.world.content(repository), int(context.path["number"])
    if number in content.moved:
        return _moved(context, *content.moved[number])
    item = content.items.get(number)
    if item is None:
        if number in content.deleted and context.world.deleted_issue_status == 410:
            raise Refusal(410, "This issue was deleted")
        raise not_found()
    shown = content_payloads.full_issue(item, place_of(context, repository))
    return json_answer(shown, modified_at=item.updated_at)


def _ordered(content: Content, state: str, field: str, descending: bool) -> list[Item]:
    chosen = [i for i in content.items.values() if state in {"all", i.state}]
    return sorted(chosen, key=lambda i: (getattr(i, field), i.number), reverse=descending)


def _filtered(context: Context, items: list[Item]) -> list[Item]:
    """By labels (all of them), assignee and creator."""
    query = context.request.query
    labels = {name for name in query.get("labels", "").split(",") if name}
    assignee, creator = query.get("assignee", ""), query.get("creator", "")
    if labels:
        items = [i for i in items if labels <= {label.name for label in i.labels}]
    if assignee == "none":
        items = [i for i in items if not i.assignees]
    elif assignee:
        items = [i for i in items if any(assignee in {"*", a.login} for a in i.assignees)]
    if creator:
        items = [i for i in items if i.author is not None and i.author.login == creator]
    return items


def _moved(context: Context, repository_id: int, number: int) -> Answer:
    """Where a transferred issue is now."""
    if repository_id not in context.world.repositories:
        raise not_found()
    location = f"{context.api_url}/repositories/{repository_id}/issues/{number}"
    content = {
        "message": "Moved Permanently",
        "url": location,
        "documentation_url": REDIRECT_DOCS,
    }
    return json_answer(content, status=301, headers={"location": location}, cacheable=False)
