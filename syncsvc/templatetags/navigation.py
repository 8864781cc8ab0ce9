"""The menu at the top of every page: which entries there are, for whom, and which one is open.

Entries stand in few groups, so that the menu stays one quiet line; a group is a `<details>`, which
needs no script.
"""

from dataclasses import dataclass
from typing import Any, Final

from django import template
from django.urls import NoReverseMatch, reverse

register = template.Library()


@dataclass(frozen=True)
class Entry:
    """One page of the menu; `also` names the addresses that belong to it."""

    label: str
    name: str
    also: tuple[str, ...] = ()
    staff: bool = False


@dataclass(frozen=True)
class Group:
    """Entries under one word; a group without a word is shown as its entries."""

    label: str
    entries: tuple[Entry, ...]


MENU: Final = (
    Group(
        "",
        (
            Entry("Accounts", "home", ("installation", "job", "repository")),
            Entry("Sync health", "sync_health", staff=True),
        ),
    ),
    Group(
        "Contents",
        (
            Entry("Issues", "issues", ("issue",)),
            Entry("Pull requests", "pull_requests", ("pull_request",)),
            Entry("Commits", "commits"),
        ),
    ),
    Group(
        "Evidence",
        (
            Entry("Discrepancies", "discrepancies", ("discrepancy", "review")),
            Entry("Deliveries", "deliveries", ("delivery",)),
            Entry("Gaps", "gaps", ("gap",)),
            Entry("Dead letters", "dead_letters", ("dead_letter",)),
        ),
    ),
    Group(
        "Server",
        (
            Entry("System", "system", staff=True),
            Entry("Doctor", "doctor", staff=True),
            Entry("Set-up", "setup", staff=True),
            Entry("Admin", "admin:index", staff=True),
            Entry("API", "api:docs"),
        ),
    ),
)


@register.simple_tag(takes_context=True)
def navigation(context: template.Context) -> list[dict[str, Any]]:
    """The groups that this visitor may use; one of a single entry is that entry."""
    request, user = context.get("request"), context.get("user")
    is_staff = bool(getattr(user, "is_staff", False))
    match = getattr(request, "resolver_match", None)
    shown = [_group(group, is_staff, getattr(match, "view_name", "")) for group in MENU]
    return [group for group in shown if group["entries"]]


def _group(group: Group, is_staff: bool, here: str) -> dict[str, Any]:
    entries = [
        {
            "label": entry.label,
            "url": url,
            # A page that belongs to an entry is not the entry's own page.
            "current": "page" if here == entry.name else "true" if here in entry.also else "",
        }
        for entry in group.entries
        if (is_staff or not entry.staff) and (url := _address(entry.name))
    ]
    return {
        "label": group.label if len(entries) > 1 else "",
        "entries": entries,
        "current": any(entry["current"] for entry in entries),
    }


def _address(name: str) -> str:
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""  # a page that this release does not have
