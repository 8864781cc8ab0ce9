"""The simulated world: what changes do to it, and what it tells of them."""

from collections.abc import Callable
from typing import Any

import pytest

from syncsvc.simulator import AccountPlan, World, WorldError
from syncsvc.simulator.records import node_id

ORG = "octo-simulated"


@pytest.fixture
def world() -> World:
    return World.generate(repositories=30)


def names(world: World) -> list[str]:
    return [facts["full_name"] for facts in world.truth_of(ORG)]


def told(world: World) -> list[tuple[str, str | None]]:
    return [(e.event, e.action) for e in world.events]


def facts(world: World, ref: int | str) -> dict[str, Any]:
    return world.facts(world.repository(ref))


# Generation


def test_the_same_seed_gives_the_same_world() -> None:
    assert World.generate(seed=7).truth() == World.generate(seed=7).truth()
    assert World.generate(seed=7).truth() != World.generate(seed=8).truth()


def test_the_same_changes_give_the_same_events() -> None:
    def story() -> list[Any]:
        world = World.generate(seed=3)
        first = names(world)[0]
        world.rename(first, "renamed")
        world.create(ORG, "fresh")
        world.reinstall(ORG)
        return [(e.guid, e.payload) for e in world.events]

    assert story() == story()


def test_the_demo_world_has_an_organization_and_a_user_with_the_app(world: World) -> None:
    assert [a.type for a in world.accounts.values()] == ["Organization", "User"]
    assert [len(found) for found in world.truth().values()] == [30, 7]


def test_some_ids_exceed_32_bits_and_no_date_lies_in_the_future(world: World) -> None:
    truth = world.truth_of(ORG)
    assert sum(f["github_id"] > 2**32 for f in truth) == 3
    assert all(f["github_created_at"] <= f["github_updated_at"] <= "2025-06-01T12" for f in truth)
    assert all(f["pushed_at"] <= f["github_updated_at"] for f in truth)


def test_accounts_can_be_planned() -> None:
    plans = [AccountPlan(login="one", repositories=3), AccountPlan(login="two", installed=False)]
    world = World.generate(accounts=plans)
    assert {world.accounts[i.account_id].login for i in world.installations.values()} == {"one"}
    assert len(world.truth_of("one")) == 3


def test_node_ids_have_the_forms_that_github_uses() -> None:
    assert node_id("R", 1296269) == "R_kgDOABPHjQ"
    assert node_id("R", 2**33).startswith("R_kgDP")


# Repositories


def test_each_change_moves_updated_at(world: World) -> None:
    first = world.repository(names(world)[0]).id
    moments = [facts(world, first)["github_updated_at"]]
    acts: list[Callable[[], object]] = [
        lambda: world.rename(first, "another"),
        lambda: world.edit(first, stars=77),
        lambda: world.push(first),
        lambda: world.transfer(first, list(world.accounts)[1]),
    ]
    for act in acts:
        act()
        moments.append(facts(world, first)["github_updated_at"])
    assert moments == sorted(set(moments))


def test_changes_in_one_second_are_told_apart_unless_ties_are_wanted(world: World) -> None:
    world.follow(lambda: 2_000_000_000.9)
    first = names(world)[0]
    one = world.edit(first, description="one").updated_at
    two = world.edit(first, description="two").updated_at
    assert (one, two) == (2_000_000_000, 2_000_000_001)
    world.ties = True
    assert world.edit(first, description="three").updated_at == two


def test_an_edit_that_changes_nothing_leaves_no_trace(world: World) -> None:
    first = names(world)[0]
    before = facts(world, first)
    world.edit(first, stars=before["stars"])
    assert facts(world, first) == before
    assert not world.events


def test_a_renamed_repository_redirects_until_its_old_name_is_taken(world: World) -> None:
    old = names(world)[0].split("/")[1]
    renamed = world.rename(f"{ORG}/{old}", "new-name")
    assert world.redirect(ORG, old) is renamed
    taker = world.create(ORG, old)
    assert world.redirect(ORG, old) is None
    assert world.find_repository(ORG, old) is taker


def test_names_are_swapped_without_a_moment_of_doubt(world: World) -> None:
    one, two = (world.repository(n) for n in names(world)[:2])
    first, second = one.name, two.name
    world.swap_names(one.id, two.id)
    assert (one.name, two.name) == (second, first)
    assert world.find_repository(ORG, first) is two
    assert [e.action for e in world.events] == ["renamed"] * 3


def test_a_deleted_repository_takes_its_redirects_along(world: World) -> None:
    old = names(world)[0]
    gone = world.rename(old, "short-lived")
    world.delete(gone.id)
    assert world.redirect(*old.split("/")) is None
    assert f"{ORG}/short-lived" not in names(world)
    assert told(world)[1:] == [("repository", "deleted"), ("installation_repositories", "removed")]


@pytest.mark.parametrize("event", ["repository", "installation_repositories"])
def test_which_event_tells_of_a_deletion_can_be_chosen(world: World, event: str) -> None:
    world.deletion_events = (event,)
    world.delete(names(world)[0])
    assert [e.event for e in world.events] == [event]


def test_a_transfer_is_told_to_the_new_owner_and_a_loss_to_the_old(world: World) -> None:
    user = world.actor()
    moved = world.transfer(names(world)[0], user.id, "moved")
    assert told(world) == [
        ("repository", "transferred"),
        ("repository", "renamed"),
        ("installation_repositories", "removed"),
    ]
    new, old = world.installation(user.login).id, world.installation(ORG).id
    assert [e.installation_id for e in world.events] == [new, new, old]
    assert world.events[0].payload["repository"]["name"] == "moved"
    assert facts(world, moved.id)["owner"] == user.login


def test_visibility_archive_and_block_change_what_they_say(world: World) -> None:
    first = world.create(ORG, "plain").id
    world.privatize(first)
    assert facts(world, first)["visibility"] == "private"
    world.set_internal(first)
    assert facts(world, first)["visibility"] == "internal"
    world.publicize(first)
    world.archive(first)
    assert facts(world, first)["archived"] is True
    world.unarchive(first)
    world.block(first)
    assert f"{ORG}/plain" in names(world)
    assert [e.action or e.event for e in world.events][2:] == [
        "privatized",
        "publicized",
        "public",
        "archived",
        "unarchived",
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stars", True),
        ("stars", "many"),
        ("license", "WTFPL"),
        ("name", "x"),
        ("topics", "python"),
        ("archived", True),
    ],
)
def test_a_wrong_edit_is_refused_with_a_sentence(world: World, field: str, value: Any) -> None:
    with pytest.raises(WorldError, match=r"\.$"):
        world.edit(names(world)[0], **{field: value})


def test_impossible_changes_are_refused(world: World) -> None:
    one, two = names(world)[:2]
    with pytest.raises(WorldError, match="taken"):
        world.rename(one, two.split("/")[1].upper())
    with pytest.raises(WorldError, match="no name"):
        world.create(ORG, "a b")
    with pytest.raises(WorldError, match="no repository"):
        world.delete("octo-simulated/nothing")
    with pytest.raises(WorldError, match="belongs to"):
        world.transfer(one, ORG)
    with pytest.raises(WorldError, match="organization"):
        world.set_internal(world.truth_of(world.actor().login)[0]["github_id"])


# Accounts and installations


def test_a_renamed_account_takes_its_repositories_along(world: World) -> None:
    first = names(world)[0]
    world.rename_account(ORG, "octo-renamed")
    assert world.redirect(*first.split("/")) is world.find_repository(
        "octo-renamed", first.split("/")[1]
    )
    assert told(world) == [("organization", "renamed"), ("installation_target", "renamed")]
    assert {f["owner"] for f in world.truth_of("octo-renamed")} == {"octo-renamed"}


def test_a_reinstalled_app_has_a_new_installation_id(world: World) -> None:
    old = world.installation(ORG).id
    new = world.reinstall(ORG).id
    assert new != old
    assert told(world) == [("installation", "deleted"), ("installation", "created")]
    assert old not in world.truth()


def test_a_suspended_installation_hears_of_nothing_but_itself(world: World) -> None:
    world.suspend(ORG)
    world.edit(names(world)[0], description="unheard")
    world.unsuspend(ORG)
    assert [e.event for e in world.events if e.installation_id] == ["installation"] * 2
    assert [e.action for e in world.events if e.installation_id] == ["suspend", "unsuspend"]


def test_from_all_to_a_selection_nothing_is_said_to_be_removed(world: World) -> None:
    one, two, three = names(world)[:3]
    installation = world.select_repositories(ORG, [one, two])
    payload = world.events[-1].payload
    assert payload["action"] == "added"
    assert payload["repositories_removed"] == []
    assert [f["full_name"] for f in world.truth(ORG)[installation.id]] == [one, two]
    world.select_repositories(ORG, [two, three])
    added, removed = list(world.events)[-2:]
    assert [r["full_name"] for r in added.payload["repositories_added"]] == [three]
    assert [r["full_name"] for r in removed.payload["repositories_removed"]] == [one]
    world.select_all(ORG)
    assert len(world.truth(ORG)[installation.id]) == 30
    assert len(world.events[-1].payload["repositories_added"]) == 28


def test_a_repository_outside_a_selection_is_not_told_to_the_app(world: World) -> None:
    one, two = names(world)[:2]
    world.select_repositories(ORG, [one])
    world.edit(two, description="unseen")
    assert world.events[-1].installation_id is None
    assert world.create(ORG, "unselected").id not in world.installation(ORG).repository_ids
    chosen = world.create(ORG, "selected", selected=True)
    assert world.covers(world.installation(ORG), chosen)


def test_changed_permissions_are_kept_and_told(world: World) -> None:
    world.change_permissions(ORG, {"metadata": "read", "contents": "write"})
    assert world.events[-1].payload["installation"]["permissions"]["contents"] == "write"
    with pytest.raises(WorldError, match="no permission"):
        world.change_permissions(ORG, {"metadata": "all"})


def test_what_others_may_see_depends_on_visibility_and_membership(world: World) -> None:
    stranger = world.create_account("stranger", "User")
    everything = {f["github_id"] for f in world.truth_of(ORG)}
    public = {f["github_id"] for f in world.truth_of(ORG) if f["visibility"] == "public"}
    assert {f["github_id"] for f in world.truth_of(ORG, stranger.login)} == public
    assert {f["github_id"] for f in world.truth_of(ORG, world.actor().login)} == everything
    assert public < everything


def test_events_carry_the_state_of_their_moment(world: World) -> None:
    first = world.repository(names(world)[0])
    world.edit(first.id, description="one")
    world.edit(first.id, description="two")
    assert [e.payload["repository"]["description"] for e in world.events] == ["one", "two"]
    assert world.events[1].payload["changes"] == {"description": {"from": "one"}}
