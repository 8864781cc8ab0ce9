"""What `make run` shows to the outside equals GitHub, field by field: demo, App mode and token mode."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from syncsvc.github.values import parse_time
from tests.acceptance.served import ROOT, Served, until

LOGIN = {"ADMIN_USERNAME": "operator", "ADMIN_PASSWORD": "correct horse battery staple"}
COMPARED = (
    "full_name",
    "owner",
    "name",
    "description",
    "visibility",
    "archived",
    "disabled",
    "fork",
    "default_branch",
    "language",
    "stars",
    "forks",
    "open_issues",
    "size",
    "homepage",
    "license",
)
TIMES = ("github_created_at", "github_updated_at", "pushed_at")


def ask(url: str, *, token: str = "", body: Any = None) -> Any:
    """A JSON answer, from the product or from the simulator's back door."""
    request = urllib.request.Request(url)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@contextmanager
def github(tmp_path: Path, repositories: int) -> Iterator[dict[str, Any]]:
    """The simulator as a process of its own; what it says of itself."""
    command = [sys.executable, "manage.py", "simulate_github", "--port", "0"]
    command += ["--repos", str(repositories)]
    command += ["--private-key-file", str(tmp_path / "key.pem"), "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


@cache
def token_of(port: int) -> str:
    """A token for the API that is served there: one log-in is enough for a test."""
    login = {"username": LOGIN["ADMIN_USERNAME"], "password": LOGIN["ADMIN_PASSWORD"]}
    access: str = ask(f"http://127.0.0.1:{port}/api/v1/auth/token/", body=login)["access"]
    return access


def shown(served: Served, resource: str) -> list[dict[str, Any]]:
    """All rows of a resource that the API shows, through all its pages."""
    root, token = f"http://127.0.0.1:{served.port}/api/v1", token_of(served.port)
    found: list[dict[str, Any]] = []
    url: str | None = f"{root}/{resource}/?page_size=500"
    while url:
        page = ask(url, token=token)
        found += page["results"]
        url = page["next"]
    return found


def mirrored(served: Served) -> dict[int, dict[str, Any]]:
    """All repositories that the API shows."""
    return {row["github_id"]: comparable(row) for row in shown(served, "repositories")}


def contents(served: Served) -> dict[str, Any]:
    """What the API shows of issues, pull requests and commits, in the simulator's words."""
    commits = {
        (row["repository_full_name"], row["sha"]): (row["author_login"], row["message"])
        for row in shown(served, "commits")
    }
    return {
        "issues": {row["github_id"]: item(row) for row in shown(served, "issues")},
        "pull_requests": {row["github_id"]: item(row) for row in shown(served, "pull-requests")},
        "commits": commits,
    }


def item(row: dict[str, Any]) -> dict[str, Any]:
    """What issues and pull requests have in common, in one form."""
    names = ("number", "title", "author", "assignees", "labels")
    times = ("created_at", "updated_at")
    return {name: row[name] for name in names} | {
        "body": row["body"] or "",
        "state": row.get("github_state", row["state"]),
        "closed_at": parse_time(row["closed_at"]),
        **{name: parse_time(row.get(f"github_{name}", row.get(name))) for name in times},
    }


def true_contents(url: str, repositories: list[dict[str, Any]]) -> dict[str, Any]:
    """The same of the simulated GitHub."""
    found: dict[str, Any] = {"issues": {}, "pull_requests": {}, "commits": {}}
    for repository in repositories:
        truth = ask(f"{url}/_simulator/truth/content?repository={repository['github_id']}")
        for entity in ("issues", "pull_requests"):
            found[entity] |= {row["github_id"]: item(row) for row in truth[entity]}
        found["commits"] |= {
            (repository["full_name"], row["sha"]): (row["author_login"], row["message"])
            for row in truth["commits"]
        }
    return found


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """The fields that both sides have, in one form."""
    return (
        {name: row[name] for name in COMPARED}
        | {name: parse_time(row[name]) for name in TIMES}
        | {"topics": sorted(row["topics"])}
    )


def assert_equal(served: Served, truth: Callable[[], list[dict[str, Any]]]) -> None:
    """Waits until the first syncs are over; then everything must agree."""
    expected = {row["github_id"]: comparable(row) for row in truth()}
    until(lambda: len(mirrored(served)) >= len(expected), 30, served.said)
    assert mirrored(served) == expected


@pytest.mark.spec("R2.1", "R5.1", "R5.2", "R5.3", "R19.1")
def test_app_mode(serve: Callable[..., Served], tmp_path: Path) -> None:
    with github(tmp_path, 120) as simulator:  # more than a page of a list
        served = serve(
            GITHUB_API_URL=simulator["url"],
            GITHUB_APP_ID=str(simulator["app_id"]),
            GITHUB_APP_PRIVATE_KEY=str(tmp_path / "key.pem"),
            **LOGIN,
        )
        served.await_ready()
        assert "the App installations" in served.said()
        truth = ask(f"{simulator['url']}/_simulator/truth")
        repositories = [row for rows in truth.values() for row in rows]
        assert_equal(served, lambda: repositories)
        expected = true_contents(simulator["url"], repositories)
        until(
            lambda: len(shown(served, "repository-metrics")) >= len(repositories), 60, served.said
        )
        assert contents(served) == expected
        served.ctrl_c()


@pytest.mark.spec("R2.1", "R5.1")
def test_token_mode(serve: Callable[..., Served], tmp_path: Path) -> None:
    with github(tmp_path, 40) as simulator:
        owner = simulator["token_owner"]
        served = serve(
            GITHUB_API_URL=simulator["url"],
            GITHUB_TOKEN=simulator["token"],
            GITHUB_OWNER=owner,
            **LOGIN,
        )
        served.await_ready()
        assert owner in served.said()
        truth = ask(f"{simulator['url']}/_simulator/truth")
        assert_equal(
            served, lambda: [r for rows in truth.values() for r in rows if r["owner"] == owner]
        )
        served.ctrl_c()
