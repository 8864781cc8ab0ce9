"""How an App is made from a manifest: the page that takes one, and the exchange of its code.

GitHub asks a person to confirm in between; here whoever posts a manifest has confirmed it. The world
has one App: a new one takes its place, and finds it installed where the former was.
"""

import json
import re
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from syncsvc.simulator import app_payloads
from syncsvc.simulator.messages import Answer, Refusal, json_answer, not_found
from syncsvc.simulator.records import Account, App
from syncsvc.simulator.routes.access import account_named
from syncsvc.simulator.routing import Context, Routes

routes = Routes()

CODE_SECONDS: Final = 3600
HTML: Final = {"content-type": "text/html; charset=utf-8"}
LONGEST_NAME: Final = 34
IS_PAGE: Final = re.compile(
    r"(/organizations/[^/]+)?/settings/apps/new|/apps/[^/]+/installations/new"
)
"""Pages stand at the root, also where the API has a prefix."""


@routes.add("POST", "/settings/apps/new")
def of_user(context: Context) -> Answer:
    """`POST /settings/apps/new`: the App belongs to whoever is logged in."""
    return _taken(context, context.world.actor())


@routes.add("POST", "/organizations/{login}/settings/apps/new")
def of_organization(context: Context) -> Answer:
    """`POST /organizations/ORG/settings/apps/new`; 404 for what is no organization."""
    account = account_named(context, context.path["login"])
    if account.type != "Organization":
        raise not_found()
    return _taken(context, account)


@routes.add("POST", "/app-manifests/{code}/conversions")
def conversion(context: Context) -> Answer:
    """`POST /app-manifests/{code}/conversions`: once, within the hour; 404 after that."""
    found = context.keys.codes.pop(context.path["code"], None)
    if found is None or found.until <= context.now:
        raise not_found()
    wanted, world = found.manifest, context.world
    name = str(wanted["name"])
    if name == world.app.name:
        raise Refusal(422, "Validation Failed", errors=["Name is already taken"])
    world.app = App(
        id=world.app.id + 1,
        slug=re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "app",
        name=name,
        client_id=context.keys.letters("Iv23li", 14),
        owner_id=found.owner_id,
        created_at=int(context.now),
        html_root=_root(context),
        setup_url=str(wanted.get("setup_url") or ""),
        events=tuple(str(each) for each in wanted.get("default_events") or ()),
    )
    permissions = {str(k): str(v) for k, v in (wanted.get("default_permissions") or {}).items()}
    for installation in world.installations.values():
        installation.permissions, installation.events = dict(permissions), world.app.events
    hook, secret = wanted.get("hook_attributes"), None
    if isinstance(hook, dict) and hook.get("active", True):
        secret = context.keys.letters("", 40)
        world.set_app_hook(str(hook["url"]), secret)
    owner = world.accounts[found.owner_id]
    shown = app_payloads.app(world.app, owner, 0, permissions, context.api_url)
    secrets = {
        "client_id": world.app.client_id,
        "client_secret": context.keys.letters("", 40),
        "webhook_secret": secret,
        "pem": context.keys.private_key_pem,
    }
    return json_answer(shown | secrets, status=201, cacheable=False)


@routes.add("GET", "/apps/{slug}/installations/new")
def install(context: Context) -> Answer:
    """`GET /apps/SLUG/installations/new`: it is installed already; GitHub leads back to `setup_url`."""
    app = context.world.app
    if context.path["slug"] != app.slug:
        raise not_found()
    if not app.setup_url:
        return _page(200, f"{app.name} is installed.")
    first = next(iter(context.world.installations), 0)
    query = urlencode({"installation_id": first, "setup_action": "install"})
    return _led_to(f"{app.setup_url}?{query}")


def _taken(context: Context, owner: Account) -> Answer:
    """To `redirect_url` with a code, or a page that says what is wrong with the manifest."""
    form = dict(parse_qsl(context.request.body.decode("utf-8", "replace")))
    try:
        manifest: Any = json.loads(form.get("manifest", ""))
    except ValueError:
        manifest = None
    problem = _problem(manifest)
    if problem:
        return _page(422, problem)
    code = context.keys.letters("", 40)
    context.keys.keep_code(code, manifest, owner.id, context.now + CODE_SECONDS)
    query = {"code": code}
    if "state" in context.request.query:
        query["state"] = context.request.query["state"]
    return _led_to(f"{manifest['redirect_url']}?{urlencode(query)}")


def _problem(manifest: Any) -> str:
    """What GitHub would refuse, in a sentence; empty when it takes the manifest."""
    if not isinstance(manifest, dict):
        return "The manifest is no JSON object."
    if not str(manifest.get("name") or "").strip() or len(manifest["name"]) > LONGEST_NAME:
        return f"Name must be given, and is at most {LONGEST_NAME} characters long."
    for name in ("url", "redirect_url"):
        if urlsplit(str(manifest.get(name, ""))).scheme not in {"http", "https"}:
            return f"{name} must be an address."
    hook = manifest.get("hook_attributes")
    if hook is not None and (not isinstance(hook, dict) or not hook.get("url")):
        return "hook_attributes need a url."
    if manifest.get("default_events") and hook is None:
        return "Events need a webhook."
    return ""


def _root(context: Context) -> str:
    parts = urlsplit(context.api_url)
    return f"{parts.scheme}://{parts.netloc}"


def _led_to(url: str) -> Answer:
    return Answer(status=302, headers={"location": url} | HTML, cacheable=False)


def _page(status: int, sentence: str) -> Answer:
    body = f"<!DOCTYPE html><title>GitHub simulator</title><p>{sentence}</p>".encode()
    return Answer(status=status, body=body, headers=dict(HTML), cacheable=False)
