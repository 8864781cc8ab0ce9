"""Issues, pull requests and commits over REST: what GitHub's description allows, and the truth."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from syncsvc.simulator import AccountPlan, Simulator, World
from tests.contract import contract_dir, validate_request, validate_response

ORG = "octo-simulated"


@pytest.fixture(scope="module")
def shared() -> Iterator[Simulator]:
    """Read only: tests that change something have their own."""
    contract_dir()
    world = World.generate(repositories=40, issues_per_repository=20)
    with Simulator(world) as running:
        yield running


@pytest.fixture
def sim() -> Iterator[Simulator]:
    contract_dir()
    accounts = [AccountPlan(login=ORG, repositories=6)]
    with Simulator(World.generate(accounts=accounts)) as running:
        yield running


def ask(sim: Simulator, path: str, *, check: bool = True) -> requests.Response:
    path = path.removeprefix(sim.url)
    if check:
        validate_request("GET", path)
    header = {"authorization": f"Bearer {sim.installation_token(ORG)}"}
    answer = requests.get(sim.url + path, headers=header, timeout=10, allow_redirects=False)
    if check:
        validate_response("GET", path, answer.status_code, answer.content)
    return answer


def every(sim: Simulator, path: str) -> list[Any]:
    found, url = [], path
    while url:
        answer = ask(sim, url)
        assert answer.status_code == 200, answer.text
        found += answer.json()
        url = answer.links.get("next", {}).get("url", "")
    return found


def filled(sim: Simulator) -> tuple[str, dict[str, Any]]:
    """A repository with issues, pull requests and commits, and its truth."""
    for facts in sim.world.truth_of(ORG):
        content = sim.world.truth_content(facts["github_id"])
        if len(content["issues"]) > 3 and len(content["pull_requests"]) > 1:
            name: str = facts["full_name"]
            return name, content
    raise AssertionError("There is no such repository.")


def login(user: dict[str, Any] | None) -> str | None:
    return user["login"] if user else None


def as_truth(item: dict[str, Any]) -> dict[str, Any]:
    """A listed issue or pull request in the words of the truth."""
    return {
        "github_id": item["id"],
        "node_id": item["node_id"],
        "number": item["number"],
        "title": item["title"],
        "body": item["body"] or "",
        "state": item["state"],
        "author": login(item["user"]),
        "assignees": sorted(a["login"] for a in item["assignees"]),
        "labels": sorted(label["name"] for label in item["labels"]),
        "created_at": item["created_at"],
        "updated_at": item["updated_at"],
        "closed_at": item["closed_at"],
    }


@pytest.mark.spec("R4.7", "R5.2", "R5.3")
def test_listings_hold_the_truth_and_fit_the_description(shared: Simulator) -> None:
    for facts in shared.world.truth_of(ORG):
        path, truth = f"/repos/{facts['full_name']}", None
        truth = shared.world.truth_content(facts["github_id"])
        listed = every(shared, f"{path}/issues?state=all&per_page=30")
        issues = [
            as_truth(i) | {"state_reason": i["state_reason"]}
            for i in listed
            if "pull_request" not in i
        ]
        assert sorted(issues, key=lambda i: -i["number"]) == truth["issues"]
        assert len(listed) == len(truth["issues"]) + len(truth["pull_requests"])
        assert sum(i["state"] == "open" for i in listed) == facts["open_issues"]
        pulls = every(shared, f"{path}/pulls?state=all")
        seen = [
            as_truth(p)
            | {
                "draft": p["draft"],
                "merged": p["merged_at"] is not None,
                "merged_at": p["merged_at"],
                "base_ref": p["base"]["ref"],
                "head_ref": p["head"]["ref"],
                "head_sha": p["head"]["sha"],
                "merge_commit_sha": p["merge_commit_sha"] if p["merged_at"] else None,
            }
            for p in pulls
        ]
        assert sorted(seen, key=lambda p: -p["number"]) == truth["pull_requests"]
        assert ask(shared, f"{path}/languages").json() == truth["languages"]


@pytest.mark.spec("R5.3")
def test_commits_hold_the_truth_or_there_are_none(shared: Simulator) -> None:
    empty = 0
    for facts in shared.world.truth_of(ORG):
        path, truth = f"/repos/{facts['full_name']}", shared.world.truth_content(facts["github_id"])
        if not truth["commits"]:
            assert ask(shared, f"{path}/commits").status_code == 409
            assert ask(shared, f"{path}/contributors").status_code == 204
            assert ask(shared, f"{path}/branches/{facts['default_branch']}").status_code == 404
            empty += 1
            continue
        commits = [
            {
                "sha": c["sha"],
                "author_login": login(c["author"]),
                "author_name": c["commit"]["author"]["name"],
                "author_email": c["commit"]["author"]["email"],
                "authored_at": c["commit"]["author"]["date"],
                "committed_at": c["commit"]["committer"]["date"],
                "message": c["commit"]["message"],
            }
            for c in every(shared, f"{path}/commits?per_page=10")
        ]
        assert commits == truth["commits"]
        assert commits[0]["committed_at"] == facts["pushed_at"]
        branch = ask(shared, f"{path}/branches/{facts['default_branch']}").json()
        assert branch["commit"]["sha"] == truth["head_sha"]
        since = commits[len(commits) // 2]["committed_at"]
        late = every(shared, f"{path}/commits?since={since}")
        assert [c["sha"] for c in late] == [c["sha"] for c in commits if c["committed_at"] >= since]
        assert sum(c["contributions"] for c in every(shared, f"{path}/contributors?anon=1")) == len(
            commits
        )
    assert empty


def test_single_things_fit_the_description(shared: Simulator) -> None:
    name, truth = filled(shared)
    path, head = f"/repos/{name}", truth["head_sha"]
    for item in truth["issues"][:3] + truth["pull_requests"]:
        assert ask(shared, f"{path}/issues/{item['number']}").status_code == 200
    for item in truth["pull_requests"]:
        shown = ask(shared, f"{path}/pulls/{item['number']}").json()
        assert shown["merged"] == item["merged"]
    assert ask(shared, f"{path}/pulls/{truth['issues'][0]['number']}").status_code == 404
    assert ask(shared, f"{path}/commits/{head}").json()["sha"] == head
    assert ask(shared, f"{path}/commits/{'0' * 40}").status_code == 422
    base = truth["commits"][2]["sha"]
    compared = ask(shared, f"{path}/compare/{base}...{head}").json()
    assert (compared["status"], compared["ahead_by"]) == ("ahead", 2)
    assert ask(shared, f"{path}/compare/{head}...{base}").json()["behind_by"] == 2
    tree = ask(shared, f"{path}/git/trees/{head}?recursive=1").json()
    for entry in tree["tree"]:
        assert ask(shared, f"{path}/contents/{entry['path']}").status_code == 200
    assert ask(shared, f"{path}/contents/nothing").status_code == 404
    assert ask(shared, f"{path}/topics").status_code == 200


@pytest.mark.spec("R5.5")
def test_since_finds_what_was_updated_since_and_ties_with_it(shared: Simulator) -> None:
    name, truth = filled(shared)
    everything = truth["issues"] + truth["pull_requests"]
    moments = sorted(i["updated_at"] for i in everything)
    since = moments[len(moments) // 2]
    path = f"/repos/{name}/issues?state=all&sort=updated&direction=asc&since={since}"
    found = [i["updated_at"] for i in every(shared, path)]
    assert found == [m for m in moments if m >= since]
    assert ask(shared, f"/repos/{name}/issues?since=yesterday", check=False).status_code == 422
    assert ask(shared, f"/repos/{name}/issues?state=odd", check=False).status_code == 422


def test_labels_assignees_and_creators_narrow_a_listing(sim: Simulator) -> None:
    world = sim.world
    repository = next(r for r in world.truth_of(ORG) if not r["archived"])
    path = f"/repos/{repository['full_name']}/issues?state=all"
    person = world.contents.people[0].login
    issue = world.open_issue(
        repository["github_id"], "Mine", author=person, labels=["bug", "P1"], assignees=[person]
    )
    for query in ("labels=bug,P1", f"assignee={person}", f"creator={person}"):
        assert issue.number in [i["number"] for i in every(sim, f"{path}&{query}")]
    assert issue.number not in [i["number"] for i in every(sim, f"{path}&assignee=none")]


@pytest.mark.spec("R5.5")
def test_a_transferred_issue_redirects_and_a_deleted_one_is_gone(sim: Simulator) -> None:
    world = sim.world
    one, two = [r["full_name"] for r in world.truth_of(ORG) if not r["archived"]][:2]
    first = world.open_issue(one, "To be moved", labels=["bug"])
    second = world.open_issue(one, "To be deleted")
    moved = world.transfer_issue(one, first.number, two)
    world.delete_issue(one, second.number)
    answer = ask(sim, f"/repos/{one}/issues/{first.number}")
    assert answer.status_code == 301
    there = ask(sim, answer.headers["location"]).json()
    assert (there["id"], there["number"]) == (moved.id, moved.number)
    assert there["id"] != first.id
    assert ask(sim, f"/repos/{one}/issues/{second.number}").status_code == 410
    world.deleted_issue_status = 404
    assert ask(sim, f"/repos/{one}/issues/{second.number}").status_code == 404
    listed = every(sim, f"/repos/{one}/issues?state=all&since=2000-01-01T00:00:00Z")
    assert not {first.number, second.number} & {i["number"] for i in listed}


def test_repositories_that_moved_are_hidden_or_blocked_answer_so_below_too(sim: Simulator) -> None:
    world = sim.world
    name = world.truth_of(ORG)[0]["full_name"]
    repository = world.rename(name, "elsewhere")
    moved = ask(sim, f"/repos/{name}/issues?state=all")
    assert moved.headers["location"] == f"{sim.url}/repositories/{repository.id}/issues?state=all"
    assert ask(sim, moved.headers["location"]).status_code == 200
    world.block(repository.id)
    for tail in ("issues", "pulls", "commits", "languages"):
        assert ask(sim, f"/repositories/{repository.id}/{tail}", check=False).status_code == 451
    world.unblock(repository.id)
    world.privatize(repository.id) if repository.visibility == "public" else None
    assert requests.get(f"{moved.headers['location']}", timeout=5).status_code == 404
    world.change_permissions(ORG, {"metadata": "read"})
    assert ask(sim, moved.headers["location"]).status_code == 403


@pytest.mark.spec("R4.3")
def test_an_unchanged_page_of_issues_is_free(sim: Simulator) -> None:
    world = sim.world
    name = next(r["full_name"] for r in world.truth_of(ORG) if not r["archived"])
    issue = world.open_issue(name, "Look")
    header = {"authorization": f"Bearer {sim.token_for(ORG)}"}
    url = f"{sim.url}/repos/{name}/issues"
    tag = requests.get(url, headers=header, timeout=5).headers["etag"]
    again = requests.get(url, headers=header | {"if-none-match": tag}, timeout=5)
    assert again.status_code == 304
    world.comment(name, issue.number)
    assert requests.get(url, headers=header | {"if-none-match": tag}, timeout=5).status_code == 200
