"""How GitHub's GraphQL API says what is wrong, always with status 200."""

from collections.abc import Sequence
from typing import Any

Path = Sequence[str | int]


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
