"""Faults on command: what can go wrong between a client and GitHub, declared as values.

Hides which request a fault hits. A fault acts on the answer that would have been given, or
in its place; `Faults` decides whose turn it is.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal, get_args

from syncsvc.simulator.graphql.errors import MOST_NODES, TIMEOUT, node_limit
from syncsvc.simulator.http import Outcome
from syncsvc.simulator.limits import secondary_refusal
from syncsvc.simulator.messages import Answer, Refusal, Request, encode

Kind = Literal[
    "status", "reset", "reset_midway", "slow", "hang", "truncated", "empty_page",
    "malformed", "bad_record", "drift", "secondary_limit", "node_limit", "query_timeout",
    "partial",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)

IN_PLACE: tuple[Kind, ...] = (
    "status", "reset", "hang", "secondary_limit", "node_limit", "query_timeout",
)  # fmt: skip
"""Faults that answer by themselves: the request never reaches its route."""

TEXTS = {
    401: "Bad credentials",
    403: "Resource not accessible by integration",
    404: "Not Found",
    410: "This resource is gone",
    451: "Repository access blocked",
    500: "Server Error",
    502: "Server Error",
    503: "Service unavailable",
}
UNICORN = b"""<!DOCTYPE html>
<html><head><title>Unicorn! &middot; GitHub</title></head>
<body><p><strong>We're having a really bad day.</strong></p></body></html>
"""


@dataclass(kw_only=True)
class Fault:
    """One thing that goes wrong.

    `times`: for how many matching requests (None: for ever), beginning `after` so many.
    """

    kind: Kind
    path_regex: str = ".*"
    """Searched in path and query: `/installation/repositories.*page=3`."""
    body_regex: str | None = None
    """Searched in the body too: a query names its repositories there."""
    method: str | None = None
    times: int | None = 1
    after: int = 0
    status: int = 500
    """For `status`, `secondary_limit` and `query_timeout` (which is 200, 502 or 504)."""
    html: bool = False
    """GitHub's own page of apology instead of JSON."""
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: int | None = None
    seconds: float = 0.0
    """How long `slow` waits and `hang` stays silent (0: until the simulator stops)."""
    record: int = 0
    """Which item of a page `bad_record` spoils; from which on `partial` gives null."""
    within: str = ""
    """Where `bad_record` finds the page in an answer to GraphQL: `data.nodes.0.issues.nodes`."""
    damage: Mapping[str, Any] | None = None
    """Fields to set in that item; None: it loses its id and gets values of wrong types."""
    change: str | Callable[[], object] | None = None
    """For `drift`: what happens once the page is out; the name of a change, or a callable."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    seen: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot work with ValueError."""
        if self.kind not in KINDS:
            raise ValueError(
                f"{self.kind!r} is no kind of fault; choose one of {', '.join(KINDS)}."
            )
        if self.kind == "drift" and self.change is None:
            raise ValueError("A drift needs a change.")
        try:
            self.pattern = re.compile(self.path_regex)
            self.body_pattern = re.compile((self.body_regex or "").encode())
        except re.error as error:
            raise ValueError(f"{self.path_regex!r} is no regular expression: {error}.") from None


class Faults:
    """The faults that wait for their request."""

    def __init__(self) -> None:
        """All is well."""
        self._lock = Lock()
        self._faults: list[Fault] = []

    def add(self, *faults: Fault) -> None:
        """Let these happen too; the first one that matches a request wins."""
        with self._lock:
            self._faults += faults

    def clear(self) -> None:
        """All is well again."""
        with self._lock:
            self._faults.clear()

    def pending(self) -> list[Fault]:
        """Those that have not spent themselves."""
        with self._lock:
            return [f for f in self._faults if f.times is None or f.hits < f.times]

    def take(self, request: Request) -> Fault | None:
        """The fault that hits this request, if any; it counts as used."""
        if not self._faults:
            return None
        url = f"{request.path}?{request.query_string}" if request.query_string else request.path
        with self._lock:
            for fault in self._faults:
                if fault.method not in {None, request.method} or not fault.pattern.search(url):
                    continue
                if not fault.body_pattern.search(request.body):
                    continue
                fault.seen += 1
                if fault.seen > fault.after and (fault.times is None or fault.hits < fault.times):
                    fault.hits += 1
                    return fault
        return None


def in_place(fault: Fault) -> Outcome:
    """What a fault of IN_PLACE answers."""
    if fault.kind == "reset":
        return Outcome(Answer(cacheable=False), wire="reset")
    if fault.kind == "hang":
        return Outcome(Answer(cacheable=False), wait=fault.seconds, wire="silence")
    if fault.kind in {"node_limit", "query_timeout"}:
        return Outcome(_failed_query(fault))
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["retry-after"] = str(fault.retry_after)
    if fault.kind == "secondary_limit":
        status = fault.status if fault.status in {403, 429} else 403
        return Outcome(secondary_refusal(status, fault.retry_after).answer())
    if fault.html:
        headers["content-type"] = "text/html; charset=utf-8"
        return Outcome(Answer(fault.status, UNICORN, headers, cacheable=False))
    text = fault.message or TEXTS.get(fault.status, "Server Error")
    return Outcome(Refusal(fault.status, text, headers=headers).answer())


def applied(
    fault: Fault, answer: Answer, change: Callable[[str, Mapping[str, Any]], object]
) -> Outcome:
    """The answer as the fault leaves it; `change` runs a change of the world by name."""
    outcome = Outcome(answer, wait=fault.seconds if fault.kind == "slow" else 0.0)
    if fault.kind == "reset_midway":
        outcome.wire = "reset_midway"
    elif fault.kind == "malformed":
        answer.body = answer.body[: len(answer.body) // 2]
    elif fault.kind == "truncated":
        answer.headers.pop("link", None)
    elif fault.kind == "empty_page":
        answer.body = _with_items(answer.body, lambda _: [])
    elif fault.kind == "bad_record":
        answer.body = _with_items(answer.body, lambda items: _spoiled(items, fault), fault.within)
    elif fault.kind == "partial":
        answer.body = _partial(answer.body, fault.record)
    elif fault.kind == "drift":
        what = fault.change
        # After the page is rendered and before its last byte is out: the next page, whoever
        # asks for it and however soon, is of the changed world.
        if callable(what):
            what()
        elif what is not None:
            change(what, fault.arguments)
    return outcome


def _failed_query(fault: Fault) -> Answer:
    """A query that asks for too much, or that took too long."""
    if fault.kind == "node_limit":
        content = {"data": None, "errors": [node_limit(MOST_NODES + 1)]}
        return Answer(200, encode(content), cacheable=False)
    status = fault.status if fault.status in {200, 504} else 502
    if fault.html:
        headers = {"content-type": "text/html; charset=utf-8"}
        return Answer(status, UNICORN, headers, cacheable=False)
    return Answer(status, encode({"data": None, "errors": [{"message": TIMEOUT}]}), cacheable=False)


def _partial(body: bytes, first: int) -> bytes:
    """What came before the time was over, and errors for the rest."""
    content = json.loads(body)
    places: list[tuple[Any, list[Any]]] = []
    for key, value in (content.get("data") or {}).items():
        if isinstance(value, list):
            places += [(value, [key, index]) for index in range(len(value))]
        elif key != "rateLimit":
            places.append((content["data"], [key]))
    for holder, path in places[first:]:
        holder[path[-1]] = None
    lost = [{"message": TIMEOUT, "path": path} for _, path in places[first:]]
    content["errors"] = content.get("errors", []) + lost
    return encode(content)


def _with_items(body: bytes, edit: Callable[[list[Any]], list[Any]], within: str = "") -> bytes:
    """A page with other items, be it a list or an object that holds one."""
    page = json.loads(body)
    if within:
        *way, last = within.split(".")
        holder = page
        for part in way:
            holder = holder[int(part) if isinstance(holder, list) else part]
        holder[last] = edit(holder[last])
        return encode(page)
    if isinstance(page, list):
        return encode(edit(page))
    return encode({k: edit(v) if isinstance(v, list) else v for k, v in page.items()})


def _spoiled(items: list[Any], fault: Fault) -> list[Any]:
    if fault.record >= len(items):
        return items
    item = items[fault.record]
    if fault.damage is None:
        wrong = {"name": None, "archived": "perhaps", "stargazers_count": "many", "owner": 7}
        spoiled = {k: wrong.get(k, v) for k, v in item.items() if k != "id"}
    else:
        spoiled = item | dict(fault.damage)
    return [*items[: fault.record], spoiled, *items[fault.record + 1 :]]
