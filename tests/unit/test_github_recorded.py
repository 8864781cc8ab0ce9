"""Exchanges recorded from the live API, and GitHub's own example webhooks, through our code."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from syncsvc.github.client import RepositorySource
from syncsvc.github.errors import ValidationFailed
from syncsvc.github.payloads import (
    parse_installation,
    parse_list,
    parse_repository,
)
from syncsvc.github.protocol import classify, parse_rate_limit
from tests.contract import contract_dir
from tests.github_support import START, Desk, FakeClock, Reply

RECORDED_AT = datetime(2017, 10, 10, 16, 0, tzinfo=UTC)


def recorded(name: str) -> list[dict[str, Any]]:
    exchanges: list[dict[str, Any]] = json.loads(
        (contract_dir() / "recorded" / f"{name}.json").read_text()
    )
    return exchanges


def replay(exchanges: list[dict[str, Any]]) -> Callable[[requests.PreparedRequest], Reply]:
    """Answers as was recorded, by method and path; the recording asks for no order."""
    answers = {(exchange["method"].upper(), exchange["path"]): exchange for exchange in exchanges}

    def handler(request: requests.PreparedRequest) -> Reply:
        exchange = answers[str(request.method), str(request.path_url)]
        return exchange["status"], headers_of(exchange), orjson.dumps(exchange["response"])

    return handler


def headers_of(exchange: Mapping[str, Any]) -> dict[str, str]:
    # The bodies were rewritten when the secrets were taken out: their length no longer holds.
    return {k: str(v) for k, v in exchange["headers"].items() if k != "content-length"}


def desk_for(name: str) -> Desk:
    return Desk(replay(recorded(name)), clock=FakeClock(RECORDED_AT))


def test_a_recorded_repository() -> None:
    row = desk_for("get-repository").client.get_repository("octokit-fixture-org", "hello-world")
    assert (row.github_id, row.full_name) == (1000, "octokit-fixture-org/hello-world")
    assert row.default_branch is not None
    assert row.absent <= {"visibility", "topics"}


def test_a_recorded_organization() -> None:
    desk = desk_for("get-organization")
    exchange = recorded("get-organization")[0] | {"path": "/users/octokit-fixture-org"}
    desk.github.handler = replay([exchange])
    account = desk.client.get_account("octokit-fixture-org")
    assert (account.github_id, account.type) == (1000, "Organization")


@pytest.mark.spec("R4.5", "R7.1")
def test_a_recorded_rename_leads_to_the_same_repository() -> None:
    desk = desk_for("rename-repository")
    row = desk.client.get_repository("octokit-fixture-org", "rename-repository")
    assert (row.github_id, row.name) == (1000, "rename-repository-newname")
    assert [request.path_url for request in desk.github.sent] == [
        "/repos/octokit-fixture-org/rename-repository",
        "/repositories/1000",
    ]


@pytest.mark.spec("R4.7")
def test_recorded_pages_are_followed_to_the_last() -> None:
    desk = desk_for("paginate-issues")
    path = "/repos/octokit-fixture-org/paginate-issues/issues?per_page=3"
    numbers = [item["number"] for page in desk.client.pages(path, parse_list) for item in page]
    assert len(desk.github.sent) == 5
    assert numbers == list(range(13, 0, -1))


@pytest.mark.spec("R4.1")
def test_the_recorded_error_is_a_validation_error() -> None:
    (exchange,) = recorded("errors")
    body = orjson.dumps(exchange["response"])
    error = classify(exchange["status"], headers_of(exchange), body, RECORDED_AT)
    assert type(error) is ValidationFailed
    assert error.detail == "Validation Failed"


@pytest.mark.spec("R4.2")
def test_recorded_budgets_have_resets_in_milliseconds() -> None:
    (exchange,) = recorded("errors")
    limit = parse_rate_limit(headers_of(exchange), RECORDED_AT)
    assert limit is not None
    assert (limit.limit, limit.remaining, limit.reset_at) == (5000, 4999, RECORDED_AT)


# -- webhooks --------------------------------------------------------------------------------------


def examples() -> list[tuple[str, dict[str, Any]]]:
    folder = contract_dir() / "webhooks"
    return [
        (str(path.relative_to(folder)), json.loads(path.read_text()))
        for path in sorted(Path(folder).rglob("*.json"))
    ]


@pytest.mark.spec("R6.3")
def test_the_repository_of_every_example_webhook_is_read() -> None:
    read = 0
    for name, payload in examples():
        if "repository" not in payload:
            continue
        item = payload["repository"]
        row = parse_repository(item)
        assert row.github_id == item["id"], name
        assert (row.owner, row.name) == (item["owner"]["login"], item["name"]), name
        assert row.github_created_at is not None, name
        assert row.pushed_at is not None or item["pushed_at"] is None, name
        # Examples older than these fields lack them; nothing else may be missing.
        assert row.absent <= {"topics", "disabled", "visibility"}, name
        read += 1
    assert read > 30


@pytest.mark.spec("R6.3")
def test_pushes_tell_times_as_numbers() -> None:
    pushes = [payload for name, payload in examples() if name.startswith("push/")]
    assert pushes
    for payload in pushes:
        assert type(payload["repository"]["created_at"]) is int
        row = parse_repository(payload["repository"])
        assert row.github_created_at is not None
        assert row.github_created_at < START


@pytest.mark.spec("R2.3")
def test_the_installation_of_every_example_webhook_is_read() -> None:
    read = 0
    for name, payload in examples():
        if not name.startswith("installation"):
            continue
        row = parse_installation(payload["installation"])
        assert row.account_login == payload["installation"]["account"]["login"], name
        assert (row.suspended_at is None) == (
            payload["installation"].get("suspended_at") is None
        ), name
        for repository in payload.get("repositories", ()):
            assert parse_repository(repository).owner, name
        read += 1
    assert read > 3


def test_a_listing_reads_recorded_repositories() -> None:
    exchange = recorded("get-repository")[0]
    body = orjson.dumps([exchange["response"]])
    desk = Desk(lambda request: (200, headers_of(exchange), body), clock=FakeClock(RECORDED_AT))
    listing = desk.client.list_repositories(RepositorySource.user("octokit-fixture-org"))
    (page,) = listing
    assert [row.github_id for row in page.rows] == [1000]
    assert listing.complete
