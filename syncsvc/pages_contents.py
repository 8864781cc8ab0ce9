"""The lists of issues, pull requests and commits across everything that a member may see.

One page serves all three: what differs is data. The filters are the API's, so that both give the same rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.core.paginator import Paginator
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from syncsvc import normalizer, selectors
from syncsvc.api.content_filters import CommitFilters, IssueFilters, PullRequestFilters
from syncsvc.models import Issue, PullRequest
from syncsvc.pages import ROWS_PER_PAGE, Row, members_only, narrow

#: More accounts than this are not offered to choose from; each one's own page leads here.
ACCOUNTS_OFFERED: Final = 200
#: Beyond these an account, a repository or words narrow the list: to count a million takes longer than all else.
MOST_LISTED: Final = 10_000
PLACE: Final = frozenset({"installation", "repository"})

Choices = tuple[tuple[str, str], ...]
Orders = Mapping[str, tuple[str, tuple[Any, ...]]]

YES_OR_NO: Final = (("true", "Yes"), ("false", "No"))
LATEST_UPDATED: Final = ("-github_updated_at", "-pk")


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field of the form. `choices` makes it a list to choose from, `search` the first one."""

    name: str
    label: str
    hint: str = "Any"
    choices: Choices = ()
    search: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """One kind of things: where its rows come from, how they are narrowed and ordered.

    `gone` is the parameter that asks for what GitHub has no more, where there is such. `repository_by`
    is the field of a repository that the parameter of that name means. `most` bounds what is counted
    and paged: a list without end costs the same as a long one.
    """

    app: str = "syncsvc"
    view: str
    title: str
    one: str
    rows: Callable[[Any], QuerySet[Any]]
    filters: Any
    orders: Orders
    fields: tuple[Field, ...]
    more: tuple[Field, ...] = ()
    gone: str = ""
    repository_by: str = "pk"
    most: int | None = None

    @property
    def many(self) -> str:
        """What more than one of them are called."""
        return f"{self.one[:-1]}ies" if self.one.endswith("y") else f"{self.one}s"

    @property
    def template(self) -> str:
        """The page."""
        return f"{self.app}/{self.view}.html"


def search(hint: str, *, name: str = "q", label: str = "Search") -> Field:
    """The field to search by."""
    return Field(name=name, label=label, hint=hint, search=True)


def _gone(name: str, label: str) -> Field:
    return Field(name=name, label=label, hint="Still there", choices=(("true", "Gone"),))


AUTHOR: Final = Field(name="author", label="Author", hint="Login")
WHO_AND_WHAT: Final = (
    AUTHOR,
    Field(name="assignee", label="Assignee", hint="Login"),
    Field(name="label", label="Label", hint="As it is written"),
)

ISSUES: Final = Listing(
    view="issues",
    title="Issues",
    one="issue",
    rows=lambda user: selectors.issues(user).defer("body"),
    filters=IssueFilters,
    gone="removed",
    most=MOST_LISTED,
    orders={
        "updated": ("Last updated", LATEST_UPDATED),
        "priority": ("Highest priority", ("-priority_score", *LATEST_UPDATED)),
        "due": ("Due first", ("due_at", "-pk")),
        "newest": ("Newest", ("-github_created_at", "-pk")),
        "oldest": ("Oldest", ("github_created_at", "pk")),
    },
    fields=(
        search("Part of the title, or GH-12"),
        Field(name="state", label="State", choices=tuple(Issue.State.choices)),
        Field(name="severity", label="Severity", choices=tuple(Issue.Severity.choices)),
    ),
    more=(
        Field(name="breached", label="Late", choices=YES_OR_NO),
        Field(name="is_blocker", label="Blocker", choices=YES_OR_NO),
        *WHO_AND_WHAT,
        _gone("removed", "On GitHub"),
    ),
)

PULL_REQUESTS: Final = Listing(
    view="pull_requests",
    title="Pull requests",
    one="pull request",
    rows=lambda user: selectors.pull_requests(user).defer("body"),
    filters=PullRequestFilters,
    gone="removed",
    most=MOST_LISTED,
    orders={
        "updated": ("Last updated", LATEST_UPDATED),
        "merged": ("Last merged", (F("merged_at").desc(nulls_last=True), "-pk")),
        "newest": ("Newest", ("-github_created_at", "-pk")),
        "oldest": ("Oldest", ("github_created_at", "pk")),
    },
    fields=(
        search("Part of the title, or #12"),
        Field(name="state", label="State", choices=tuple(PullRequest.State.choices)),
        Field(name="merged", label="Merged", choices=YES_OR_NO),
    ),
    more=(
        Field(name="draft", label="Draft", choices=YES_OR_NO),
        *WHO_AND_WHAT,
        Field(name="base_ref", label="Into branch", hint="Any"),
        _gone("removed", "On GitHub"),
    ),
)

COMMITS: Final = Listing(
    view="commits",
    title="Commits",
    one="commit",
    rows=selectors.commits,
    filters=CommitFilters,
    gone="dropped",
    most=MOST_LISTED,
    orders={
        "newest": ("Newest", ("-committed_at", "-pk")),
        "oldest": ("Oldest", ("committed_at", "pk")),
    },
    fields=(
        search("Message or sha"),
        AUTHOR,
        _gone("dropped", "On the branch"),
    ),
)


@members_only
@require_safe
def issues(request: HttpRequest) -> HttpResponse:
    """Issues, searched, filtered, ordered, paged."""
    return listing(request, ISSUES)


@members_only
@require_safe
def pull_requests(request: HttpRequest) -> HttpResponse:
    """Pull requests."""
    return listing(request, PULL_REQUESTS)


@members_only
@require_safe
def commits(request: HttpRequest) -> HttpResponse:
    """Commits of the default branches."""
    return listing(request, COMMITS)


def listing(request: HttpRequest, kind: Listing) -> HttpResponse:
    """The page of one kind of things: searched, filtered, ordered, paged."""
    asked = request.GET.copy()
    page_number = asked.pop("page", [None])[-1]
    order = asked.get("order", "")
    rows = kind.rows(request.user)
    if kind.gone and not asked.get(kind.gone):
        rows = selectors.present(rows)
    found, errors = narrow(kind.filters, asked, rows)
    first = next(iter(kind.orders))
    columns = kind.orders[order if order in kind.orders else first][1]
    page = _pages(found.order_by(*columns), kind.most).get_page(page_number)
    accounts = _accounts(request.user)
    set_names = {name for name in kind.filters.base_filters if asked.get(name)}
    shown = {each.name for each in (*kind.fields, *kind.more)}
    if accounts:
        shown.add("installation")
    return render(
        request,
        kind.template,
        {
            "kind": kind,
            "page": page,
            "asked": asked,
            "query": asked.urlencode(),
            "errors": errors,
            "fields": [_shown(each, asked, errors) for each in kind.fields],
            "more": [_shown(each, asked, errors) for each in kind.more],
            "more_open": any(each.name in set_names for each in kind.more),
            "accounts": _shown(
                Field(name="installation", label="Account", choices=accounts), asked, errors
            ),
            "orders": [(name, label) for name, (label, _) in kind.orders.items()],
            "chips": [_chip(request, asked, name, kind) for name in sorted(set_names - shown)],
            "narrowed": bool(set_names),
            "only_place": bool(set_names) and set_names <= PLACE,
        },
    )


def _pages(rows: QuerySet[Row], most: int | None) -> "Paginator[Row]":
    """Pages of at most so many rows, of which no more are counted either."""
    pages = Paginator(rows[:most], ROWS_PER_PAGE)
    pages.count = rows.order_by().values("pk")[:most].count()
    return pages


def _accounts(user: Any) -> Choices:
    rows = selectors.installations(user).order_by("account_login", "pk")
    logins = rows.values_list("pk", "account_login")[: ACCOUNTS_OFFERED + 1]
    offered = tuple((str(pk), login) for pk, login in logins)
    return offered if 1 < len(offered) <= ACCOUNTS_OFFERED else ()


def _shown(each: Field, asked: Mapping[str, Any], errors: Mapping[str, Any]) -> dict[str, Any]:
    """A field with what was put into it."""
    value = asked.get(each.name) or ""
    return {"field": each, "value": value, "errors": errors.get(each.name, ())}


def _chip(request: HttpRequest, asked: Any, name: str, kind: Listing) -> dict[str, str]:
    """A filter that came with the address and has no field: said, kept, and easy to take off."""
    value = shown = asked[name]
    if name in PLACE and value.isdecimal():
        rows, column = {
            "repository": (selectors.repositories, kind.repository_by),
            "installation": (selectors.installations, "pk"),
        }[name]
        shown = rows(request.user).filter(**{column: int(value)}).first() or value
    rest = asked.copy()
    rest.pop(name)
    return {"name": name, "value": value, "shown": str(shown), "rest": rest.urlencode()}


@members_only
@require_safe
def issue(request: HttpRequest, pk: int) -> HttpResponse:
    """One issue, its text as written."""
    row = get_object_or_404(selectors.issues(request.user), pk=pk)
    hours = normalizer.SLA_HOURS[normalizer.Severity(row.severity)]
    return render(request, "syncsvc/issue.html", {"row": row, "hours": hours})


@members_only
@require_safe
def pull_request(request: HttpRequest, pk: int) -> HttpResponse:
    """One pull request, its text as written."""
    row = get_object_or_404(selectors.pull_requests(request.user), pk=pk)
    return render(request, "syncsvc/pull_request.html", {"row": row})
