"""Requests and answers as values, and the words GitHub uses when it refuses.

Hides JSON encoding and GitHub's error bodies. An `Answer` is finished by the dispatcher,
which adds what every answer of GitHub carries.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import orjson

DOCS = "https://docs.github.com/rest"


@dataclass(frozen=True)
class Request:
    """An HTTP request; header names are in lower case."""

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def query(self) -> dict[str, str]:
        """Query parameters; of a repeated one the last."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    def json(self) -> dict[str, Any]:
        """The body as an object; raises Refusal 400 as GitHub does."""
        if not self.body:
            return {}
        try:
            value = orjson.loads(self.body)
        except ValueError:
            raise Refusal(400, "Problems parsing JSON") from None
        if not isinstance(value, dict):
            raise Refusal(400, "Body should be a JSON object")
        return value


@dataclass
class Answer:
    """An HTTP answer before the headers that all answers share."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    version: bytes | None = None
    """What the ETag is made of, beside URL and token; None: the body itself."""
    modified_at: int | None = None
    """Epoch seconds for Last-Modified, where GitHub has it."""
    cacheable: bool = True
    """Whether it carries an ETag at all."""
    cost: int = 1
    """What it takes of the primary limit: requests, or points of GraphQL."""
    free: bool = False
    """Not charged to the primary limit."""
    after: Callable[[], object] | None = None
    """Run when the answer has been sent."""


class Refusal(Exception):
    """An answer that is an error, in GitHub's form."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        docs: str = DOCS,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        """`more` goes into the body beside `message`, `documentation_url` and `status`."""
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.content = {
            "message": message,
            **more,
            "documentation_url": docs,
            "status": str(status),
        }

    def answer(self) -> Answer:
        """The refusal as an answer."""
        return json_answer(self.content, status=self.status, headers=self.headers, cacheable=False)


def not_found(docs: str = DOCS) -> Refusal:
    """GitHub's 404: gone, or none of your business."""
    return Refusal(404, "Not Found", docs=docs)


def encode(value: Any) -> bytes:
    """Compact JSON, as GitHub sends it."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


def json_answer(value: Any, **more: Any) -> Answer:
    """An answer with a JSON body; `more` are fields of Answer."""
    return Answer(body=encode(value), **more)
