"""The hooks of repositories and their delivery logs."""

from syncsvc.simulator import app_payloads, delivery_log
from syncsvc.simulator.messages import Answer, json_answer, not_found
from syncsvc.simulator.paging import link_header, page_of
from syncsvc.simulator.records import Hook, Repository
from syncsvc.simulator.routes.access import require_user
from syncsvc.simulator.routes.hooks import again, delivery_of, page, wanted_hook
from syncsvc.simulator.routes.repositories import moved
from syncsvc.simulator.routing import Context, Routes

routes = Routes()

HOOKS = "/repos/{owner}/{repo}/hooks"
DELIVERIES = HOOKS + "/{hook:int}/deliveries"


@routes.add("GET", HOOKS)
def repository_hooks(context: Context) -> Answer:
    """`GET /repos/{owner}/{repo}/hooks`: for those who may administrate the repository."""
    found = _administrated(context)
    if found is None:
        return moved(context)
    hooks = [h for h in context.world.hooks.values() if h.repository_id == found.id]
    part = page_of(context.request.query)
    url = f"{context.api_url}/repositories/{found.id}/hooks"
    name = context.world.full_name(found)
    shown = [app_payloads.repository_hook(h, name, context.api_url) for h in hooks[part.part]]
    return json_answer(shown, headers=link_header(context.request, url, part, len(hooks)))


@routes.add("POST", HOOKS)
def create_repository_hook(context: Context) -> Answer:
    """`POST /repos/{owner}/{repo}/hooks`: a new hook, greeted with a ping."""
    found = _administrated(context)
    if found is None:
        return moved(context)
    values, active = wanted_hook(context)
    hook = context.world.add_repository_hook(found.id, **values)
    hook.active = active
    context.deliveries.ping(hook)
    shown = app_payloads.repository_hook(hook, context.world.full_name(found), context.api_url)
    return json_answer(shown, status=201, headers={"location": shown["url"]})


@routes.add("GET", DELIVERIES)
def repository_deliveries(context: Context) -> Answer:
    """`GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries`, newest first."""
    hook = _hook(context)
    return moved(context) if hook is None else page(context, hook, context.request.path)


@routes.add("GET", DELIVERIES + "/{delivery:int}")
def repository_delivery(context: Context) -> Answer:
    """`GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}`."""
    hook = _hook(context)
    if hook is None:
        return moved(context)
    return json_answer(delivery_log.full(delivery_of(context, hook)))


@routes.add("POST", DELIVERIES + "/{delivery:int}/attempts")
def repository_redelivery(context: Context) -> Answer:
    """`POST /repos/{owner}/{repo}/hooks/{hook_id}/deliveries/{delivery_id}/attempts`."""
    hook = _hook(context)
    return moved(context) if hook is None else again(context, hook)


def _administrated(context: Context) -> Repository | None:
    """The repository of the path, which must be the reader's or their organization's; None: moved."""
    user, world = require_user(context), context.world
    found = world.find_repository(context.path["owner"], context.path["repo"])
    if found is None:
        return None
    if user.id != found.owner_id and user.id not in world.accounts[found.owner_id].member_ids:
        raise not_found()
    return found


def _hook(context: Context) -> Hook | None:
    """The hook of the path; None when its repository has another name now."""
    found = _administrated(context)
    if found is None:
        return None
    hook = context.world.hooks.get(int(context.path["hook"]))
    if hook is None or hook.repository_id != found.id:
        raise not_found()
    return hook
