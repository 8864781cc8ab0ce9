"""What the GitHub App is to be, and where at GitHub it is made; pure.

GitHub: "Registering a GitHub App from a manifest". Hides which addresses belong to which API root, and
that GitHub takes no webhook address that it cannot reach.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

#: What is needed to read everything that is mirrored; all of it to read only.
PERMISSIONS: Final[Mapping[str, str]] = {
    "metadata": "read",
    "contents": "read",
    "issues": "read",
    "pull_requests": "read",
}
NEEDED_FOR: Final[Mapping[str, str]] = {
    "metadata": "repositories",
    "contents": "commits",
    "issues": "issues",
    "pull_requests": "pull requests",
}
#: Those of R6.2 that can be subscribed to; events of installations and pings come anyway.
EVENTS: Final = ("issues", "public", "pull_request", "push", "repository")

DOOR: Final = "/webhooks/github/"
"""Where our webhooks go."""
LONGEST_NAME: Final = 34
_LOGIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9_])?")
_LOCAL_ENDINGS: Final = (".local", ".internal", ".localhost", ".lan", ".home", ".test", ".invalid")


def web_root(api_url: str) -> str:
    """The pages that belong to an API root: github.com's, an Enterprise Server's, the simulator's."""
    parts = urlsplit(api_url.rstrip("/"))
    host = parts.netloc
    if host == "api.github.com" or re.fullmatch(r"api\.[a-z0-9-]+\.ghe\.com", host):
        host = host.removeprefix("api.")
    return f"{parts.scheme}://{host}"


def new_app_url(api_url: str, organization: str, state: str) -> str:
    """Where the manifest is posted to."""
    path = f"/organizations/{quote(organization, safe='')}" if organization else ""
    return f"{web_root(api_url)}{path}/settings/apps/new?{urlencode({'state': state})}"


def install_url(html_url: str) -> str:
    """Where the App is installed on an account; empty when its page is not known."""
    return f"{html_url.rstrip('/')}/installations/new" if html_url else ""


def is_login(text: str) -> bool:
    """Whether it could be the name of an account."""
    return _LOGIN.fullmatch(text) is not None


def is_private(url: str) -> bool:
    """Whether an address is one that only this machine or its network reaches, as far as it tells."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_ENDINGS)


def unreachable(url: str, api_url: str) -> str:
    """Why GitHub cannot send webhooks to that address; empty when it may."""
    if not is_private(url) or is_private(api_url):
        return ""  # a GitHub in the same network may reach it
    return (
        f"GitHub cannot reach {url}: it is an address of this machine or of your own network. Without "
        "webhooks the mirror is still kept up to date by the schedule, only minutes later."
    )


def build(*, name: str, origin: str, webhook_url: str, description: str = "") -> dict[str, Any]:
    """The manifest. Without `webhook_url` the App has no webhook, and so no events."""
    manifest: dict[str, Any] = {
        "name": name,
        "url": origin,
        "description": description or "Mirrors repositories, issues, pull requests and commits.",
        "redirect_url": f"{origin}/setup/github/",
        "setup_url": f"{origin}/setup/",
        "public": False,
        "default_permissions": dict(PERMISSIONS),
    }
    if webhook_url:
        manifest["hook_attributes"] = {"url": webhook_url, "active": True}
        manifest["default_events"] = list(EVENTS)
    return manifest
