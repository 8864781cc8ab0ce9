"""The App's hook, the hooks of organizations, and their delivery logs.

What all kinds of hooks have in common stands here too: `page`, `delivery_of`, `again`, `wanted_hook`.
"""

from typing import Any

from syncsvc.simulator import app_payloads, delivery_log
from syncsvc.simulator.messages import Answer, Refusal, json_answer, not_found
from syncsvc.simulator.paging import cursor_link, link_header, page_of
from syncsvc.simulator.records import Account, Hook
from syncsvc.simulator.routes.access import account_named, require_app, require_user
from syncsvc.simulator.routes.listing import choice
from syncsvc.simulator.routing import Context, Routes

routes = Routes()

OUTCOMES = {"success": range(200, 400), "failure": range(400, 600)}
"""What `status` means: code ranges, so that a time-out (code 0) is in neither."""


@routes.add("GET", "/app/hook/config")
def app_hook_config(context: Context) -> Answer:
    """`GET /app/hook/config`."""
    require_app(context)
    return json_answer(app_payloads.hook_config(context.world.app_hook()))


@routes.add("GET", "/app/hook/deliveries")
def app_deliveries(context: Context) -> Answer:
    """`GET /app/hook/deliveries`, newest first."""
    require_app(context)
    return page(context, context.world.app_hook(), "/app/hook/deliveries")


@routes.add("GET", "/app/hook/deliveries/{delivery:int}")
def app_delivery(context: Context) -> Answer:
    """`GET /app/hook/deliveries/{delivery_id}`."""
    require_app(context)
    return json_answer(delivery_log.full(delivery_of(context, context.world.app_hook())))


@routes.add("POST", "/app/hook/deliveries/{delivery:int}/attempts")
def app_redelivery(context: Context) -> Answer:
    """`POST /app/hook/deliveries/{delivery_id}/attempts`: 202, then it is sent again."""
    require_app(context)
    return again(context, context.world.app_hook())


@routes.add("GET", "/orgs/{login}/hooks")
def organization_hooks(context: Context) -> Answer:
    """`GET /orgs/{org}/hooks`: for owners only."""
    owner = _owned_organization(context)
    found = [h for h in context.world.hooks.values() if h.organization_id == owner.id]
    part = page_of(context.request.query)
    url = f"{context.api_url}/organizations/{owner.id}/hooks"
    shown = [
        app_payloads.organization_hook(h, owner.login, context.api_url) for h in found[part.part]
    ]
    return json_answer(shown, headers=link_header(context.request, url, part, len(found)))


@routes.add("POST", "/orgs/{login}/hooks")
def create_organization_hook(context: Context) -> Answer:
    """`POST /orgs/{org}/hooks`: a new hook, greeted with a ping."""
    owner, (values, active) = _owned_organization(context), wanted_hook(context)
    hook = context.world.add_organization_hook(owner.id, **values)
    hook.active = active
    context.deliveries.ping(hook)
    shown = app_payloads.organization_hook(hook, owner.login, context.api_url)
    return json_answer(shown, status=201, headers={"location": shown["url"]})


@routes.add("GET", "/orgs/{login}/hooks/{hook:int}/deliveries")
def organization_deliveries(context: Context) -> Answer:
    """`GET /orgs/{org}/hooks/{hook_id}/deliveries`, newest first."""
    return page(context, _organization_hook(context), context.request.path)


@routes.add("GET", "/orgs/{login}/hooks/{hook:int}/deliveries/{delivery:int}")
def organization_delivery(context: Context) -> Answer:
    """`GET /orgs/{org}/hooks/{hook_id}/deliveries/{delivery_id}`."""
    return json_answer(delivery_log.full(delivery_of(context, _organization_hook(context))))


@routes.add("POST", "/orgs/{login}/hooks/{hook:int}/deliveries/{delivery:int}/attempts")
def organization_redelivery(context: Context) -> Answer:
    """`POST /orgs/{org}/hooks/{hook_id}/deliveries/{delivery_id}/attempts`."""
    return again(context, _organization_hook(context))


def page(context: Context, hook: Hook | None, path: str) -> Answer:
    """A page of a hook's deliveries, newest first, found by cursor and outcome."""
    query = context.request.query
    found = [] if hook is None else context.deliveries.of(hook.id)
    if "status" in query:
        codes = OUTCOMES[choice(context, "status", tuple(OUTCOMES), "success")]
        found = [d for d in found if d.status_code in codes]
    cursor = query.get("cursor")
    if cursor is not None:
        kind, _, number = cursor.partition("_")
        if kind != "v1" or not number.isdecimal():
            raise Refusal(
                422,
                "Validation Failed",
                errors=[{"resource": "Delivery", "field": "cursor", "code": "invalid"}],
            )
        found = [d for d in found if d.id <= int(number)]
    size = page_of(query).size
    link = {}
    if len(found) > size:
        link = cursor_link(context.request, context.api_url + path, f"v1_{found[size].id}")
    return json_answer([delivery_log.item(d) for d in found[:size]], headers=link)


def delivery_of(context: Context, hook: Hook | None) -> delivery_log.Delivery:
    """The delivery of the path; Refusal 404 when this hook has none such."""
    number = int(context.path["delivery"])
    for found in [] if hook is None else context.deliveries.of(hook.id):
        if found.id == number:
            return found
    raise not_found()


def again(context: Context, hook: Hook | None) -> Answer:
    """202, and the delivery of the path is sent once more."""
    context.deliveries.redeliver(delivery_of(context, hook))
    return json_answer({}, status=202, cacheable=False)


def wanted_hook(context: Context) -> tuple[dict[str, Any], bool]:
    """What a new hook is to be, and whether it is active; Refusal 422 when no URL is given."""
    wanted = context.request.json()
    config = wanted.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("url"), str):
        raise Refusal(
            422,
            "Validation Failed",
            errors=[{"resource": "Hook", "field": "url", "code": "missing_field"}],
        )
    values = {
        "url": config["url"],
        "secret": str(config.get("secret", "")),
        "events": tuple(str(e) for e in wanted.get("events") or ("push",)),
    }
    return values, wanted.get("active") is not False


def _owned_organization(context: Context) -> Account:
    """The organization of the path, when the token's owner belongs to it."""
    user, account = require_user(context), account_named(context, context.path["login"])
    if account.type != "Organization" or user.id not in account.member_ids:
        raise not_found()
    return account


def _organization_hook(context: Context) -> Hook:
    owner = _owned_organization(context)
    hook = context.world.hooks.get(int(context.path["hook"]))
    if hook is None or hook.organization_id != owner.id:
        raise not_found()
    return hook
