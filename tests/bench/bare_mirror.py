"""The bare loop that the full mirror is measured against: eight threads, REST, bulk upserts.

What a usual extractor does, and fast: each thread keeps its connection, a repository at a time, four
lists of it a hundred items a page; the rows go into twins of the product's tables, thousands in one
statement. It knows neither Django nor the product: no budget, no retry, no comparison, no evidence,
no severity, no score.
"""

import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import orjson
import psycopg
import requests

from tests.bench.bare import (
    REPOSITORIES,
    WRITTEN,
    Target,
    fetch,
    installation_token,
    upsert,
)
from tests.bench.probe import Probe

THREADS = 8
PER_PAGE = 100
BATCH = 5000
EMPTY = 409
"""GitHub's answer to the commits of a repository that has none."""

_ITEM = (
    "repository_id", "github_id", "node_id", "number", "title", "body", "author", "assignees",
    "labels", "github_created_at", "github_updated_at", "closed_at", "state",
)  # fmt: skip
TARGETS = {
    "issues": Target(
        "bench_issue",
        ("github_id",),
        (*_ITEM, "github_state", "state_reason", "due_at"),
        {
            "severity": "'low'",
            "is_blocker": "false",
            "priority_base": "0",
            "removal": "''",
            **WRITTEN,
        },
    ),
    "pulls": Target(
        "bench_pullrequest",
        ("github_id",),
        (
            *_ITEM, "draft", "merged", "merged_at", "base_ref", "head_ref", "head_sha",
            "merge_commit_sha",
        ),
        {"removal": "''", **WRITTEN},
    ),
    "commits": Target(
        "bench_commit",
        ("repository_id", "sha"),
        (
            "repository_id", "sha", "author_login", "author_name", "author_email", "contributor",
            "authored_at", "committed_at", "message",
        ),
        WRITTEN,
    ),
    "languages": Target(
        "bench_repositorymetric",
        ("repository_id", "date"),
        ("repository_id", "languages", "commits", "stars"),
        {
            "date": "current_date",
            "contributors": "0",
            "lines_of_code": "0",
            "tech_stack": "'{}'",
            "health_score": "0",
            "open_issues": "0",
            "last_written_at": "now()",
        },
    ),
}  # fmt: skip

Item = dict[str, Any]
Rows = dict[str, list[Item]]


class Reader:
    """Reads whole repositories, in as many threads as ask; each has a connection of its own."""

    def __init__(self, url: str, token: str) -> None:
        self._host = urlsplit(url).netloc
        self._headers = {"User-Agent": "bare-loop", "Authorization": f"Bearer {token}"}
        self._own = threading.local()

    def read(self, repository: Item) -> Rows:
        """The rows of one repository, by list."""
        key = repository["github_id"]
        base = f"/repos/{repository['owner']}/{repository['name']}"
        every = f"state=all&per_page={PER_PAGE}"
        issues = [
            issue_row(item, key)
            for item in self._list(f"{base}/issues?{every}")
            if "pull_request" not in item
        ]
        pulls = [pull_request_row(item, key) for item in self._list(f"{base}/pulls?{every}")]
        commits = [
            commit_row(item, key) for item in self._list(f"{base}/commits?per_page={PER_PAGE}")
        ]
        metric = {
            "repository_id": key,
            "languages": orjson.loads(self._get(f"{base}/languages")[1]),
            "commits": len(commits),
            "stars": repository["stars"],
        }
        return {"issues": issues, "pulls": pulls, "commits": commits, "languages": [metric]}

    def _list(self, path: str) -> Iterator[Item]:
        page: str | None = path
        while page:
            status, body, links = self._get(page)
            if status == EMPTY:
                return
            yield from orjson.loads(body)
            page = following(links)

    def _get(self, path: str) -> tuple[int, bytes, str]:
        """Status, body and links; on the thread's own connection, which stays open."""
        link: HTTPConnection | None = getattr(self._own, "link", None)
        if link is None:
            link = self._own.link = HTTPConnection(self._host, timeout=60)
        link.request("GET", path, headers=self._headers)
        answer = link.getresponse()
        body = answer.read()
        if answer.status not in {200, EMPTY}:
            raise SystemExit(f"{path} answered {answer.status}.")
        return answer.status, body, answer.getheader("link") or ""


def following(links: str) -> str | None:
    """Path and query of the next page, out of a Link header."""
    found = re.search(r'<https?://[^/]+([^>]+)>; rel="next"', links)
    return found[1] if found else None


def _item_row(item: Mapping[str, Any], repository_id: int) -> Item:
    return {
        "repository_id": repository_id,
        "github_id": item["id"],
        "node_id": item["node_id"],
        "number": item["number"],
        "title": item["title"],
        "body": item["body"],
        "author": item["user"]["login"] if item["user"] else None,
        "assignees": [account["login"] for account in item["assignees"]],
        "labels": [label["name"] for label in item["labels"]],
        "github_created_at": item["created_at"],
        "github_updated_at": item["updated_at"],
        "closed_at": item["closed_at"],
        "state": item["state"],
    }


def issue_row(item: Mapping[str, Any], repository_id: int) -> Item:
    """The mirrored fields of an issue; times stay text, PostgreSQL reads them."""
    return _item_row(item, repository_id) | {
        "state": "closed" if item["state"] == "closed" else "pending",
        "github_state": item["state"],
        "state_reason": item["state_reason"],
        "due_at": item["created_at"],
    }


def pull_request_row(item: Mapping[str, Any], repository_id: int) -> Item:
    """The mirrored fields of a pull request."""
    merged = item["merged_at"] is not None
    return _item_row(item, repository_id) | {
        "draft": item["draft"],
        "merged": merged,
        "merged_at": item["merged_at"],
        "base_ref": item["base"]["ref"],
        "head_ref": item["head"]["ref"],
        "head_sha": item["head"]["sha"],
        "merge_commit_sha": item["merge_commit_sha"] if merged else None,
    }


def commit_row(item: Mapping[str, Any], repository_id: int) -> Item:
    """The mirrored fields of a commit."""
    commit, author = item["commit"], item["author"]
    return {
        "repository_id": repository_id,
        "sha": item["sha"],
        "author_login": author["login"] if author else None,
        "author_name": commit["author"]["name"],
        "author_email": commit["author"]["email"],
        "contributor": commit["author"]["email"],
        "authored_at": commit["author"]["date"],
        "committed_at": commit["committer"]["date"],
        "message": commit["message"],
    }


def mirror(url: str, token: str, connection: psycopg.Connection[Any]) -> int:
    """Reads everything and writes it; returns how many rows that were."""
    with requests.Session() as session:
        session.headers.update({"User-Agent": "bare-loop", "Authorization": f"Bearer {token}"})
        repositories = fetch(session, url)
    upsert(connection, REPOSITORIES, repositories)
    written = len(repositories)
    waiting: Rows = {name: [] for name in TARGETS}
    with ThreadPoolExecutor(THREADS) as threads:
        for found in threads.map(Reader(url, token).read, repositories):
            for name, rows in found.items():
                waiting[name] += rows
                if len(waiting[name]) >= BATCH:
                    written += _write(connection, name, waiting)
    return written + sum(_write(connection, name, waiting) for name in TARGETS)


def _write(connection: psycopg.Connection[Any], name: str, waiting: Rows) -> int:
    rows, waiting[name] = waiting[name], []
    upsert(connection, TARGETS[name], rows)
    return len(rows)


def main(token: str | None) -> None:
    """Measures one pass. With `token`, the one that an earlier pass got is used again."""
    url = os.environ["GITHUB_API_URL"]
    with psycopg.connect(os.environ["BENCH_DSN"]) as connection, Probe(url) as probe:
        if token is None:
            with requests.Session() as session:
                session.headers["User-Agent"] = "bare-loop"
                token = installation_token(session, url)
        written = mirror(url, token, connection)
    probe.report(token=token, rows=written)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
