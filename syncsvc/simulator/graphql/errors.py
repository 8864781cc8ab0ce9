"""How GitHub's GraphQL API says what is wrong, always with status 200."""

from collections.abc import Sequence
from typing import Any

Path = Sequence[str | int]

MOST_NODES = 500_000
TIMEOUT = (
    "Something went wrong while executing your query. This may be the result of a timeout, or it "
    "could be a GitHub bug. Please include `0000:0000` when reporting this issue."
)


class QueryError(Exception):
    """The query is refused as a whole; `errors` are as they are sent."""

    def __init__(self, *errors: dict[str, Any], data: bool = False) -> None:
        """`data`: the answer has `data`, which is null; otherwise it has none."""
        super().__init__(errors[0]["message"])
        self.errors = list(errors)
        self.data = data


class FieldError(Exception):
    """One field has no value; what surrounds it may have."""

    def __init__(self, kind: str, message: str) -> None:
        """`kind`: GitHub's word for it, as `NOT_FOUND`."""
        super().__init__(message)
        self.kind = kind

    def shown(self, path: Path, locations: list[dict[str, int]]) -> dict[str, Any]:
        """As it is sent."""
        return {
            "type": self.kind,
            "path": list(path),
            "locations": locations,
            "message": str(self),
        }


def invalid(
    message: str, path: Path, location: dict[str, int], code: str, **more: Any
) -> dict[str, Any]:
    """An error that is found without running the query."""
    return {
        "path": list(path),
        "extensions": {"code": code, **more},
        "locations": [location],
        "message": message,
    }


def node_limit(nodes: int) -> dict[str, Any]:
    """That a query asks for too much."""
    return {
        "type": "MAX_NODE_LIMIT_EXCEEDED",
        "message": f"This query requests up to {nodes:,} possible nodes which exceeds the "
        f"maximum limit of {MOST_NODES:,}.",
    }
