"""The bare loop that the repository list is measured against: fetch the pages, parse, one upsert.

It knows neither Django nor the product: no budget, no retry, no comparison, no evidence. It runs as
a process of its own, so that its peak of memory is its own.
"""

import os
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jwt
import orjson
import psycopg
import requests

from tests.bench.probe import Probe

PER_PAGE = 100


class Target(NamedTuple):
    """Where rows go: a twin of one of the product's tables. `constants` are SQL."""

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    constants: Mapping[str, str]


#: The product's own bookkeeping is filled with constants: the tables are the same.
WRITTEN = {"last_written_at": "now()", "changed_by": "'bench'"}
REPOSITORIES = Target(
    "bench_repository",
    ("github_id",),
    (
        "github_id", "node_id", "owner", "owner_id", "name", "description", "visibility", "archived",
        "disabled", "fork", "default_branch", "language", "topics", "stars", "forks", "open_issues",
        "size", "homepage", "license", "github_created_at", "github_updated_at", "pushed_at",
        "status", "installation_id",
    ),
    {
        "name_is_current": "true",
        "automations_allowed": "true",
        "version": "1",
        "created_at": "now()",
        **WRITTEN,
    },
)  # fmt: skip


def fetch(session: requests.Session, url: str) -> list[dict[str, Any]]:
    """All repositories of the installation, one page after the other."""
    rows: list[dict[str, Any]] = []
    page: str | None = f"{url}/installation/repositories?per_page={PER_PAGE}"
    while page:
        answer = session.get(page, timeout=30)
        answer.raise_for_status()
        rows += map(pick, orjson.loads(answer.content)["repositories"])
        page = answer.links.get("next", {}).get("url")
    return rows


def pick(item: dict[str, Any]) -> dict[str, Any]:
    """The mirrored fields; times stay text, PostgreSQL reads them."""
    return {
        "github_id": item["id"],
        "node_id": item["node_id"],
        "owner": item["owner"]["login"],
        "owner_id": item["owner"]["id"],
        "name": item["name"],
        "description": item["description"],
        "visibility": item["visibility"],
        "archived": item["archived"],
        "disabled": item["disabled"],
        "fork": item["fork"],
        "default_branch": item["default_branch"],
        "language": item["language"],
        "topics": item["topics"],
        "stars": item["stargazers_count"],
        "forks": item["forks_count"],
        "open_issues": item["open_issues_count"],
        "size": item["size"],
        "homepage": item["homepage"],
        "license": item["license"]["spdx_id"] if item["license"] else None,
        "github_created_at": item["created_at"],
        "github_updated_at": item["updated_at"],
        "pushed_at": item["pushed_at"],
        "status": "archived" if item["archived"] else "active",
        "installation_id": 1,
    }


def upsert(connection: psycopg.Connection[Any], target: Target, rows: list[dict[str, Any]]) -> None:
    """Every row in one statement and one transaction; what is there is overwritten."""
    if not rows:
        return
    table, columns, constants = target.table, target.columns, target.constants
    names = ", ".join((*columns, *constants))
    values = ", ".join((*(f"w.{name}" for name in columns), *constants.values()))
    updates = ", ".join(
        f"{name} = excluded.{name}" for name in (*columns, *constants) if name not in target.key
    )
    connection.execute(
        f"INSERT INTO {table} ({names}) SELECT {values} "
        f"FROM jsonb_populate_recordset(NULL::{table}, %s::jsonb) AS w "
        f"ON CONFLICT ({', '.join(target.key)}) DO UPDATE SET {updates}".encode(),
        [orjson.dumps(rows).decode()],
    )
    connection.commit()


def installation_token(session: requests.Session, url: str) -> str:
    """A token, the way an App gets one: a signed JWT, one request."""
    now = int(time.time())
    claims = {"iat": now - 60, "exp": now + 540, "iss": os.environ["GITHUB_APP_ID"]}
    signed = jwt.encode(claims, os.environ["GITHUB_APP_PRIVATE_KEY"], algorithm="RS256")
    answer = session.post(
        f"{url}/app/installations/{os.environ['BENCH_INSTALLATION']}/access_tokens",
        headers={"Authorization": f"Bearer {signed}"},
        timeout=30,
    )
    answer.raise_for_status()
    return str(orjson.loads(answer.content)["token"])


def main(token: str | None) -> None:
    """Measures one pass. With `token`, the one that an earlier pass got is used again."""
    url = os.environ["GITHUB_API_URL"]
    with requests.Session() as session, psycopg.connect(os.environ["BENCH_DSN"]) as connection:
        session.headers["User-Agent"] = "bare-loop"
        with Probe(url) as probe:
            token = token or installation_token(session, url)
            session.headers["Authorization"] = f"Bearer {token}"
            upsert(connection, REPOSITORIES, fetch(session, url))
    probe.report(token=token)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
