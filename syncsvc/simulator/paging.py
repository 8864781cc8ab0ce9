"""Which part of a listing is asked for, and the Link header that leads through the rest.

Hides clamping and the form of GitHub's links, taken from recorded exchanges: the first page
names next and last, the last one prev and first, those between all four.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from syncsvc.simulator.messages import Request

DEFAULT_SIZE = 30
LARGEST_SIZE = 100


@dataclass(frozen=True)
class Page:
    """A page number from 1 and its size up to 100."""

    number: int
    size: int

    @property
    def start(self) -> int:
        """Where the page begins in the listing."""
        return (self.number - 1) * self.size

    @property
    def part(self) -> slice:
        """The page as a slice of the listing."""
        return slice(self.start, self.start + self.size)


def page_of(query: Mapping[str, str]) -> Page:
    """The page that a query asks for; as at GitHub, nonsense means the default."""
    size = min(_positive(query.get("per_page"), DEFAULT_SIZE), LARGEST_SIZE)
    return Page(_positive(query.get("page"), 1), size)


def link_header(request: Request, url: str, page: Page, total: int) -> dict[str, str]:
    """The Link header of a page of `total` items at `url`; empty when one page holds all."""
    last = max(-(-total // page.size), 1)
    if last == 1 and page.number == 1:
        return {}
    targets: list[tuple[str, int]] = []
    if page.number > 1:
        targets.append(("prev", min(page.number - 1, last)))
    if page.number < last:
        targets += [("next", page.number + 1), ("last", last)]
    if page.number > 1:
        targets.append(("first", 1))
    links = (f'<{url}?{_with(request.query_string, page=n)}>; rel="{rel}"' for rel, n in targets)
    return {"link": ", ".join(links)}


def cursor_link(request: Request, url: str, cursor: str) -> dict[str, str]:
    """The Link header of a listing by cursor, which knows only what comes next."""
    return {"link": f'<{url}?{_with(request.query_string, cursor=cursor)}>; rel="next"'}


def _with(query_string: str, **values: object) -> str:
    query = dict(parse_qsl(query_string, keep_blank_values=True))
    return urlencode(query | {key: str(value) for key, value in values.items()})


def _positive(text: str | None, default: int) -> int:
    if text is None or not text.isdecimal() or int(text[:9]) < 1:
        return default
    return int(text[:9])
