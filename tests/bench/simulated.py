"""The simulated GitHub of a benchmark: a process of its own, looked into and changed from outside."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tests.bench.stage import ROOT

ACCOUNT = "octo-simulated"
READERS = 4
PLENTY = 1_000_000


class Size(NamedTuple):
    """How much there is: repositories of the organization, and what all of them hold together."""

    repositories: int
    issues: int
    pull_requests: int
    commits: int

    @property
    def arguments(self) -> list[str]:
        """For `manage.py simulate_github`, which takes averages."""
        parts = {
            "--issues": self.issues,
            "--pull-requests": self.pull_requests,
            "--commits": self.commits,
        }
        averages = [(name, f"{total / self.repositories:.6f}") for name, total in parts.items()]
        return ["--repos", str(self.repositories), *(word for pair in averages for word in pair)]


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """The running simulator."""

    url: str
    installation: int

    def truth(self) -> list[dict[str, Any]]:
        """The repositories of a perfect mirror of the account."""
        found = _ask(f"{self.url}/_simulator/truth?installation={ACCOUNT}")
        rows: list[dict[str, Any]] = found[str(self.installation)]
        return rows

    def contents(self, github_ids: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """What a perfect mirror holds of each of these repositories, one after the other."""
        with closing(HTTPConnection(urlsplit(self.url).netloc)) as link:
            for github_id in github_ids:
                link.request("GET", f"/_simulator/truth/content?repository={github_id}")
                yield github_id, json.load(link.getresponse())

    def prepare(self) -> dict[str, int]:
        """Has all contents made, which otherwise the first reader would wait for; how much it is."""
        counted = {"issues": 0, "pull_requests": 0, "commits": 0}
        for _, held in self.contents([row["github_id"] for row in self.truth()]):
            for name in counted:
                counted[name] += len(held[name])
        return counted

    def star(self, share: float) -> None:
        """Changes that share of the repositories, evenly spread over the list."""
        for row in self.truth()[:: round(1 / share)]:
            self._mutate("edit", repo=row["github_id"], stars=row["stars"] + 1)

    def work(self, share: float) -> int:
        """Lets people work on that share of the repositories; returns on how many.

        In each the oldest issue is edited, one is opened, a pull request is opened, and three
        commits are pushed: every list of it changes.
        """
        rows = [row for row in self.truth() if not row["archived"]]
        wanted = round(len(rows) * share) or 1
        lively = [
            (github_id, held["issues"][-1]["number"])
            for github_id, held in self.contents([row["github_id"] for row in rows])
            if held["issues"] and held["commits"]
        ]
        for repo, oldest in lively[:: max(len(lively) // wanted, 1)][:wanted]:
            title = f"Told at {time.time_ns()}"
            self._mutate("edit_issue", repo=repo, number=oldest, title=title)
            self._mutate("open_issue", repo=repo, title=title, body="It fails.", labels=["bug"])
            self._mutate("open_pull_request", repo=repo, title=title)
            self._mutate("push_commits", repo=repo, count=3)
        return wanted

    def pages_per_second(self, token: str, pages: int) -> float:
        """How fast it can serve when nobody does anything with what it serves."""
        shares = [range(start, pages, READERS) for start in range(READERS)]
        readers = [threading.Thread(target=self._read, args=(token, share)) for share in shares]
        before = time.perf_counter()
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        return pages / (time.perf_counter() - before)

    def _read(self, token: str, numbers: range) -> None:
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "bench"}
        with closing(HTTPConnection(urlsplit(self.url).netloc)) as link:
            for number in numbers:
                path = f"/installation/repositories?per_page=100&page={number % 100 + 1}"
                link.request("GET", path, headers=headers)
                link.getresponse().read()

    def _mutate(self, name: str, **arguments: Any) -> None:
        _ask(f"{self.url}/_simulator/mutate", {"name": name, "args": arguments})


@contextmanager
def simulator(arguments: list[str], latency_ms: int) -> Iterator[Simulated]:
    """Serves a world of these `arguments`; the children find it through the environment."""
    command = [sys.executable, "manage.py", "simulate_github", "--json", "--port", "0"]
    command += ["--latency-ms", str(latency_ms), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise SystemExit("The simulator did not start.")
        state = json.loads(line)
        installation = next(x["id"] for x in state["installations"] if x["account"] == ACCOUNT)
        os.environ |= {
            "GITHUB_API_URL": state["url"],
            "GITHUB_APP_ID": str(state["app_id"]),
            "GITHUB_APP_PRIVATE_KEY": state["private_key_pem"],
            "BENCH_INSTALLATION": str(installation),
        }
        simulated = Simulated(url=state["url"], installation=installation)
        # Any number of repetitions fits into the hour; every other rule of GitHub's stays.
        for resource in ("core", "graphql"):
            limit = {"owner": installation, "resource": resource, "limit": PLENTY}
            _ask(f"{simulated.url}/_simulator/limits", limit)
        yield simulated
    finally:
        process.terminate()
        process.wait(10)


def _ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"})) as answer:
        return json.load(answer)
