"""The menu: who sees which entries, and which one is marked."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.template import Context

from syncsvc.templatetags.navigation import MENU, Entry, Group, _group, navigation

pytestmark = pytest.mark.spec("R18.3", "R18.6")


def menu(*, is_staff: bool, here: str = "home") -> list[dict[str, Any]]:
    return navigation(
        Context(
            {
                "user": SimpleNamespace(is_staff=is_staff),
                "request": SimpleNamespace(resolver_match=SimpleNamespace(view_name=here)),
            }
        )
    )


def labels(groups: list[dict[str, Any]]) -> list[str]:
    return [entry["label"] for group in groups for entry in group["entries"]]


def test_members_find_all_that_is_theirs_and_nothing_else() -> None:
    assert labels(menu(is_staff=False)) == [
        "Accounts", "Issues", "Pull requests", "Commits", "Discrepancies", "Deliveries", "Gaps",
        "Dead letters", "API",
    ]  # fmt: skip


def test_staff_find_the_server_too() -> None:
    shown = labels(menu(is_staff=True))
    assert set(labels(menu(is_staff=False))) < set(shown)
    assert {"System", "Admin"} < set(shown)


def test_a_group_of_one_entry_needs_no_word() -> None:
    assert menu(is_staff=False)[-1]["label"] == ""
    assert menu(is_staff=True)[-1]["label"] == "Server"


@pytest.mark.parametrize(
    ("here", "label", "current"),
    [("issues", "Issues", "page"), ("issue", "Issues", "true"), ("admin:index", "Admin", "page")],
)
def test_exactly_one_entry_is_marked(here: str, label: str, current: str) -> None:
    groups = menu(is_staff=True, here=here)
    marked = [
        (entry["label"], entry["current"])
        for group in groups
        for entry in group["entries"]
        if entry["current"]
    ]
    assert marked == [(label, current)]
    assert sum(group["current"] for group in groups) == 1


def test_no_address_belongs_to_two_entries() -> None:
    names = [
        name for group in MENU for entry in group.entries for name in (entry.name, *entry.also)
    ]
    assert len(names) == len(set(names))


def test_a_page_that_does_not_exist_is_not_offered() -> None:
    assert _group(Group("", (Entry("Nothing", "no_such_page"),)), True, "")["entries"] == []
