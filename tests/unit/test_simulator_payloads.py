"""The webhooks that the simulator sends have what GitHub's own examples have."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncsvc.simulator import AccountPlan, World
from tests.contract import contract_dir, validate_schema

ORG = "octo-simulated"

Change = Callable[[World, int], Any]

CHANGES: dict[tuple[str, str | None], Change] = {
    ("repository", "created"): lambda w, r: w.create(ORG, "new"),
    ("repository", "edited"): lambda w, r: w.edit(r, default_branch="trunk"),
    ("repository", "renamed"): lambda w, r: w.rename(r, "renamed"),
    ("repository", "transferred"): lambda w, r: w.transfer(r, "octocat"),
    ("repository", "privatized"): lambda w, r: w.privatize(r),
    ("repository", "publicized"): lambda w, r: (w.privatize(r), w.publicize(r)),
    ("public", None): lambda w, r: (w.privatize(r), w.publicize(r)),
    ("push", None): lambda w, r: w.push(r),
    ("organization", "renamed"): lambda w, r: w.rename_account(ORG, "octo-renamed"),
    ("installation", "created"): lambda w, r: w.reinstall(ORG),
    ("installation", "deleted"): lambda w, r: w.uninstall(ORG),
    ("installation", "suspend"): lambda w, r: w.suspend(ORG),
    ("installation", "unsuspend"): lambda w, r: (w.suspend(ORG), w.unsuspend(ORG)),
    ("installation", "new_permissions_accepted"): lambda w, r: w.change_permissions(
        ORG, {"metadata": "read"}
    ),
    ("installation_repositories", "added"): lambda w, r: w.select_repositories(ORG, [r]),
}

DEPENDS_ON_THE_CASE = {"changes", "permissions", "requester", "organization", "installation"}
"""Keys that are there or not, or hold this or that, depending on what happened to whom."""


def example_files(event: str, action: str | None) -> list[Path]:
    folder = contract_dir() / "webhooks" / event
    return sorted(folder.glob(f"{action or 'event'}.*.json"))


def missing(sent: Any, example: Any, path: str = "") -> list[str]:
    """Where the payload lacks a key of the example, or has a value of another type."""
    if isinstance(example, dict):
        if not isinstance(sent, dict):
            return [f"{path}: {type(sent).__name__} instead of an object"]
        found = []
        for key, value in example.items():
            here = f"{path}/{key}"
            if key not in sent:
                found += [here] if key not in DEPENDS_ON_THE_CASE else []
            elif key != "permissions" and not (key == "changes" and "owner" in value):
                found += missing(sent[key], value, here)
        return found
    if isinstance(example, list):
        both = isinstance(sent, list) and sent and example
        return missing(sent[0], example[0], f"{path}[]") if both else []
    if sent is None or example is None or isinstance(sent, type(example)):
        return []
    return [f"{path}: {type(sent).__name__} instead of {type(example).__name__}"]


@pytest.fixture
def world() -> World:
    accounts = [
        AccountPlan(login=ORG, repositories=20),
        AccountPlan(login="octocat", type="User", repositories=2),
    ]
    return World.generate(accounts=accounts)


@pytest.mark.spec("R6.2")
@pytest.mark.parametrize(("event", "action"), CHANGES)
def test_a_payload_has_every_key_of_githubs_example(
    world: World, event: str, action: str | None
) -> None:
    first = world.create(ORG, "subject").id
    CHANGES[event, action](world, first)
    sent = [e for e in world.events if (e.event, e.action) == (event, action)][-1]
    payload = json.loads(json.dumps(sent.payload))
    examples = example_files(event, action)
    assert examples
    for example in examples:
        lacks = missing(payload, json.loads(example.read_text()))
        # An example of a personal account's repository names other optional keys.
        assert [path for path in lacks if path != "/repository/stargazers"] == [], example.name


def test_repositories_in_webhooks_fit_githubs_schema(world: World) -> None:
    contract_dir()
    for facts in world.truth_of(ORG):
        world.edit(facts["github_id"], description="told", homepage=None)
        validate_schema("repository", world.events[-1].payload["repository"])


def test_an_app_hears_its_installation_in_every_event(world: World) -> None:
    world.edit(world.truth_of(ORG)[0]["github_id"], description="told")
    installation = world.installation(ORG)
    payload = world.events[-1].payload
    assert payload["installation"] == {"id": installation.id, "node_id": installation.node_id}
    assert payload["organization"]["login"] == ORG


def test_a_renamed_target_says_from_which_login(world: World) -> None:
    world.rename_account("octocat", "octodog")
    event = world.events[-1]
    assert (event.event, event.action) == ("installation_target", "renamed")
    assert event.payload["changes"] == {"login": {"from": "octocat"}}
    assert event.payload["account"]["login"] == "octodog"
    assert event.payload["target_type"] == "User"
