"""What repositories hold: generated at need, changed in GitHub's words, told to webhooks."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from syncsvc.simulator import World, WorldError
from syncsvc.simulator.content import LARGEST_BODY, NO_COMMIT
from tests.contract import contract_dir, validate_schema
from tests.unit.test_simulator_payloads import example_files, missing

ORG = "octo-simulated"


@pytest.fixture
def world() -> World:
    return World.generate(repositories=30)


def active(world: World) -> list[int]:
    """Repositories with issues, pull requests and commits that take changes."""
    found = []
    for facts in world.truth_of(ORG):
        truth = world.truth_content(facts["github_id"])
        if not facts["archived"] and min(len(truth["issues"]), truth["commit_count"]) > 2:
            found.append(facts["github_id"])
    return found


@pytest.fixture
def repo(world: World) -> int:
    return active(world)[0]


def everything(world: World) -> dict[int, Any]:
    return {f["github_id"]: world.truth_content(f["github_id"]) for f in world.truth_of(ORG)}


def issue(world: World, repo: int, number: int) -> dict[str, Any]:
    truth: dict[str, Any] = world.truth_content(repo)
    return next(i for i in truth["issues"] if i["number"] == number)


def told(world: World) -> list[tuple[str, str | None]]:
    return [(e.event, e.action) for e in world.events]


# Generation


def test_content_does_not_depend_on_when_it_is_looked_at() -> None:
    early, late = World.generate(seed=5), World.generate(seed=5)
    before = everything(early)
    for world in (early, late):
        world.random_history(1, 40)
    assert everything(early) == everything(late)
    assert before == everything(World.generate(seed=5))
    assert before != everything(World.generate(seed=6))


def test_totals_are_as_asked_for() -> None:
    world = World.generate(
        repositories=180,
        issues_per_repository=1000 / 180,
        pull_requests_per_repository=700 / 180,
        commits_per_repository=30,
    )
    found = everything(world).values()
    assert sum(len(c["issues"]) for c in found) == 1000
    assert sum(len(c["pull_requests"]) for c in found) == 700
    assert abs(sum(c["commit_count"] for c in found) - 180 * 30) <= 20
    assert any(c["commit_count"] == 0 for c in found)


def test_content_is_believable_and_awkward() -> None:
    world = World.generate(
        repositories=60, issues_per_repository=30, pull_requests_per_repository=20
    )
    items, ids, numbers = [], [], 0
    for facts in world.truth_of(ORG):
        truth = world.truth_content(facts["github_id"])
        both = truth["issues"] + truth["pull_requests"]
        assert sorted(i["number"] for i in both) == list(range(1, len(both) + 1))
        assert sum(i["state"] == "open" for i in both) == facts["open_issues"]
        assert not both or truth["commits"] or not truth["pull_requests"]
        items += both
        ids += [i["github_id"] for i in both]
        numbers += len(both)
    assert len(set(ids)) == len(ids) == numbers
    assert len({i["node_id"] for i in items}) == numbers
    assert any(i > 2**32 for i in ids)
    assert any(i < 2**31 for i in ids)
    assert {None} < {i["author"] for i in items}
    assert any(i["author"] == "dependabot[bot]" for i in items)
    assert max(len(i["body"]) for i in items) == LARGEST_BODY
    assert any(i["body"] == "" for i in items)
    assert {name for i in items for name in i["labels"]} >= {"bug", "critical", "severity: high"}
    for item in items:
        assert item["created_at"] <= item["updated_at"]
        assert (item["closed_at"] is None) == (item["state"] == "open")


# Changes


@pytest.mark.spec("R5.2")
def test_the_life_of_an_issue(world: World, repo: int) -> None:
    counted = world.repository(repo).open_issues
    repository_updated = world.repository(repo).updated_at
    number = world.open_issue(repo, "It hurts", body="Here", labels=["bug", "my own"]).number
    moments = [issue(world, repo, number)["updated_at"]]
    person = world.contents.people[0].login
    acts: list[Callable[[], object]] = [
        lambda: world.edit_issue(repo, number, title="It hurts a lot", body=None),
        lambda: world.label(repo, number, "critical"),
        lambda: world.unlabel(repo, number, "bug"),
        lambda: world.assign(repo, number, person),
        lambda: world.comment(repo, number),
        lambda: world.close_issue(repo, number, "not_planned"),
    ]
    for act in acts:
        act()
        moments.append(issue(world, repo, number)["updated_at"])
    assert moments == sorted(set(moments))
    facts = issue(world, repo, number)
    assert (facts["title"], facts["body"]) == ("It hurts a lot", "")
    assert (facts["labels"], facts["assignees"]) == (["critical", "my own"], [person])
    assert (facts["state"], facts["state_reason"]) == ("closed", "not_planned")
    assert facts["closed_at"] == facts["updated_at"]
    assert world.repository(repo).open_issues == counted
    world.reopen_issue(repo, number)
    world.unassign(repo, number, person)
    assert issue(world, repo, number)["state_reason"] == "reopened"
    assert world.repository(repo).open_issues == counted + 1
    assert world.repository(repo).updated_at == repository_updated
    assert [action for event, action in told(world) if event == "issues"] == [
        "opened", "edited", "labeled", "unlabeled", "assigned", "closed", "reopened", "unassigned",
    ]  # fmt: skip


def test_a_transferred_issue_is_another_one(world: World) -> None:
    one, two = active(world)[:2]
    opened = world.open_issue(one, "Wrong place", labels=["bug"], body="Text")
    moved = world.transfer_issue(one, opened.number, two)
    old = world.content(world.repository(one))
    assert opened.number not in old.items
    assert old.moved[opened.number] == (two, moved.number)
    assert moved.id != opened.id
    there = issue(world, two, moved.number)
    assert (there["title"], there["body"], there["labels"]) == ("Wrong place", "Text", ["bug"])
    transferred, arrived = list(world.events)[-2:]
    assert transferred.payload["changes"]["new_issue"]["id"] == moved.id
    assert transferred.payload["changes"]["new_repository"]["id"] == two
    assert (arrived.action, arrived.payload["issue"]["number"]) == ("opened", moved.number)


@pytest.mark.spec("R5.3")
def test_the_life_of_a_pull_request(world: World, repo: int) -> None:
    pushed, counted = world.repository(repo).pushed_at, world.repository(repo).open_issues
    pull = world.open_pull_request(repo, "A change", draft=True)
    sha = pull.head_sha
    with pytest.raises(WorldError, match="draft"):
        world.merge_pull_request(repo, pull.number)
    world.ready_pull_request(repo, pull.number)
    world.synchronize_pull_request(repo, pull.number)
    world.close_pull_request(repo, pull.number)
    world.reopen_pull_request(repo, pull.number)
    assert world.repository(repo).open_issues == counted + 1
    world.merge_pull_request(repo, pull.number)
    truth = world.truth_content(repo)
    facts = truth["pull_requests"][0]
    assert (facts["state"], facts["merged"], facts["draft"]) == ("closed", True, False)
    assert facts["merge_commit_sha"] == truth["commits"][0]["sha"] == truth["head_sha"]
    assert facts["head_sha"] != sha
    assert world.repository(repo).pushed_at > pushed
    assert world.repository(repo).open_issues == counted
    assert [action or event for event, action in told(world)] == [
        "opened", "ready_for_review", "synchronize", "closed", "reopened", "closed", "push",
    ]  # fmt: skip


@pytest.mark.spec("R5.3")
def test_pushes_make_history_and_forced_ones_change_it(world: World, repo: int) -> None:
    before = world.truth_content(repo)["commits"]
    world.push_commits(repo, 3)
    after = world.truth_content(repo)["commits"]
    assert after[3:] == before
    push = world.events[-1].payload
    assert [c["id"] for c in push["commits"]] == [c["sha"] for c in after[2::-1]]
    assert (push["before"], push["forced"]) == (before[0]["sha"], False)
    world.force_push(repo, drop=4, add=2, age=86_400 * 400)
    forced = world.truth_content(repo)["commits"]
    assert forced[2:] == before[1:]
    assert max(c["committed_at"] for c in forced[:2]) < after[0]["committed_at"]
    assert world.events[-1].payload["forced"] is True
    with pytest.raises(WorldError, match="not that many"):
        world.force_push(repo, drop=10_000)


def test_an_empty_repository_has_its_first_push(world: World) -> None:
    repo = world.create(ORG, "fresh").id
    assert world.truth_content(repo)["head_sha"] is None
    world.push(repo)
    assert world.truth_content(repo)["commit_count"] == 1
    payload = world.events[-1].payload
    assert (payload["before"], payload["created"]) == (NO_COMMIT, True)


def test_another_default_branch_may_have_another_history(world: World, repo: int) -> None:
    world.set_default_branch(repo, "trunk")
    before = world.truth_content(repo)["commits"]
    world.push_commits(repo, 2)
    assert world.truth_content(repo)["commit_count"] == len(before) + 2
    world.set_default_branch(
        repo, "main" if "main" in world.content(world.repository(repo)).branches else "master"
    )
    assert world.truth_content(repo)["commits"] == before


def test_impossible_changes_of_content_are_refused(world: World, repo: int) -> None:
    number = world.open_issue(repo, "One").number
    pull = world.open_pull_request(repo, "Two").number
    acts: list[Callable[[], object]] = [
        lambda: world.open_issue(repo, " "),
        lambda: world.open_issue(repo, "Long", body="x" * (LARGEST_BODY + 1)),
        lambda: world.open_issue(repo, "Who", author="nobody-at-all"),
        lambda: world.close_issue(repo, pull),
        lambda: world.close_issue(repo, 99_999),
        lambda: world.close_issue(repo, number, "reopened"),
        lambda: world.reopen_issue(repo, number),
        lambda: world.merge_pull_request(repo, number),
        lambda: world.unlabel(repo, number, "bug"),
        lambda: world.transfer_issue(repo, number, repo),
        lambda: world.open_pull_request(repo, "No base", base="nowhere"),
        lambda: world.push_commits(repo, 0),
    ]
    before = everything(world)
    for act in acts:
        with pytest.raises(WorldError, match=r"\.$"):
            act()
    world.archive(repo)
    with pytest.raises(WorldError, match="archived"):
        world.open_issue(repo, "Too late")
    assert everything(world) == before


def test_a_random_history_touches_everything_and_stays_true(world: World) -> None:
    told = world.random_history(7, 1500)
    assert len(told) == 1500
    assert {e.event for e in world.events} >= {"issues", "pull_request", "push", "repository"}
    for facts in world.truth_of(ORG):
        truth = world.truth_content(facts["github_id"])
        both = truth["issues"] + truth["pull_requests"]
        assert facts["open_issues"] == sum(i["state"] == "open" for i in both)
        assert len({i["number"] for i in both}) == len(both)
    again = World.generate(repositories=30)
    assert again.random_history(7, 1500) == told
    assert everything(again) == everything(world)
    assert World.generate(repositories=30).random_history(8, 50) != told[:50]


# Webhooks

CHANGES: dict[tuple[str, str | None], Callable[[World, int, int, int], Any]] = {
    ("issues", "opened"): lambda w, r, i, p: None,
    ("issues", "edited"): lambda w, r, i, p: w.edit_issue(r, i, title="Other words"),
    ("issues", "labeled"): lambda w, r, i, p: w.label(r, i, "question"),
    ("issues", "unlabeled"): lambda w, r, i, p: w.unlabel(r, i, "bug"),
    ("issues", "assigned"): lambda w, r, i, p: w.assign(r, i, w.contents.people[0].login),
    ("issues", "unassigned"): lambda w, r, i, p: (
        w.assign(r, i, w.contents.people[0].login),
        w.unassign(r, i, w.contents.people[0].login),
    ),
    ("issues", "reopened"): lambda w, r, i, p: (w.close_issue(r, i), w.reopen_issue(r, i)),
    ("issues", "transferred"): lambda w, r, i, p: w.transfer_issue(r, i, active(w)[1]),
    ("pull_request", "opened"): lambda w, r, i, p: None,
    ("pull_request", "closed"): lambda w, r, i, p: w.merge_pull_request(r, p),
    ("pull_request", "reopened"): lambda w, r, i, p: (
        w.close_pull_request(r, p),
        w.reopen_pull_request(r, p),
    ),
    ("pull_request", "synchronize"): lambda w, r, i, p: w.synchronize_pull_request(r, p),
    ("pull_request", "labeled"): lambda w, r, i, p: w.label(r, p, "question"),
    ("pull_request", "assigned"): lambda w, r, i, p: w.assign(r, p, w.contents.people[0].login),
    ("push", None): lambda w, r, i, p: w.push_commits(r, 2),
}


def may_lack(path: str) -> bool:
    """What depends on the case: nobody is assigned, there is no milestone, an author is unknown."""
    nothing = ("/assignee", "/milestone")
    return path.partition(": None")[0].endswith(("/stargazers", "/username", *nothing))


@pytest.mark.spec("R6.2")
@pytest.mark.parametrize(("event", "action"), CHANGES)
def test_a_payload_has_every_key_of_githubs_example(
    world: World, repo: int, event: str, action: str | None
) -> None:
    one = world.open_issue(repo, "Subject", labels=["bug"]).number
    two = world.open_pull_request(repo, "Topic", labels=["bug"]).number
    CHANGES[event, action](world, repo, one, two)
    sent = next(e for e in reversed(world.events) if (e.event, e.action) == (event, action))
    payload = json.loads(json.dumps(sent.payload))
    examples = example_files(event, action)
    assert examples
    for example in examples:
        lacks = missing(payload, json.loads(example.read_text()))
        assert [path for path in lacks if not may_lack(path)] == [], example.name


def test_what_webhooks_carry_fits_githubs_schemas(world: World, repo: int) -> None:
    contract_dir()
    number = world.open_issue(repo, "Subject").number
    validate_schema("issue", world.events[-1].payload["issue"])
    world.delete_issue(repo, number)
    assert world.events[-1].action == "deleted"
    world.open_pull_request(repo, "Topic")
    payload = world.events[-1].payload
    assert payload["number"] == payload["pull_request"]["number"]
    validate_schema("pull-request", payload["pull_request"])
