"""Two ways to the same rows: when the other one is taken, and that nothing is asked for twice."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.github import errors
from syncsvc.github.content import parse_issue
from syncsvc.github.content_reader import ContentReader
from syncsvc.github.errors import (
    AnswerTooLarge,
    AuthenticationFailed,
    ConfigurationError,
    Forbidden,
    GitHubError,
    Gone,
    LegallyBlocked,
    NetworkError,
    NotFound,
    RateLimited,
    ServerError,
    Suspended,
    ValidationFailed,
    VersionRetired,
)
from syncsvc.github.graphql import ALL
from syncsvc.github.graphql_client import GraphQLReader
from syncsvc.github.graphql_content import RepositoryOverview
from syncsvc.github.reading import ContentPage, Entity, Failure, Reading
from syncsvc.github.rest_content import RestReader
from tests.content_support import rest_issue

UNTIL = datetime(2026, 3, 1, 12, tzinfo=UTC)

#: What says something about us or the network: REST would meet it as well.
OURS = [
    RateLimited(until=UNTIL),
    RateLimited(until=UNTIL, secondary=True, status=200),
    AuthenticationFailed(status=401),
    Suspended(status=403),
    ConfigurationError(),
    VersionRetired(status=410),
    NetworkError(),
]
#: What says that GraphQL cannot be used, and nothing about REST.
THEIRS = [
    ServerError(status=502),
    ServerError(status=200),
    AnswerTooLarge(status=200),
    NetworkError(status=200),
    ValidationFailed(status=400),
    NotFound(status=404),
    Forbidden(status=403),
    Gone(status=410),
    LegallyBlocked(status=451),
    GitHubError(status=302),
]
HELPED = [ServerError(status=502), ServerError(), AnswerTooLarge(), AnswerTooLarge(status=200)]
NOT_HELPED = [
    NotFound(status=200),
    Forbidden(status=200),
    ValidationFailed(status=200),
    Gone(),
    LegallyBlocked(),
]


def called(error: GitHubError) -> str:
    return f"{type(error).__name__}-{error.status}"


ours = pytest.mark.parametrize("error", OURS, ids=called)
theirs = pytest.mark.parametrize("error", THEIRS, ids=called)

Step = RepositoryOverview | ContentPage | Failure | GitHubError


@dataclass
class FakeReader:
    """Gives what it is told to give, raises what is an exception, and keeps what it was asked."""

    steps: Sequence[Step] = ()
    asked: list[Any] = field(default_factory=list)
    options: list[Mapping[str, Any]] = field(default_factory=list)

    def overview(self, what: Iterable[Any], **options: Any) -> Iterator[Any]:
        return self._give(what, options)

    def contents(self, work: Iterable[Reading]) -> Iterator[Any]:
        return self._give(work, {})

    def _give(self, what: Iterable[Any], options: Mapping[str, Any]) -> Iterator[Any]:
        self.asked.append(list(what))
        self.options.append(options)
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            yield step


def reader(graphql: FakeReader, rest: FakeReader) -> ContentReader:
    return ContentReader(cast("GraphQLReader", graphql), cast("RestReader", rest))


def seen(name: str, commits: int = 0) -> RepositoryOverview:
    return RepositoryOverview(
        node_id=name,
        github_id=None,
        full_name=f"octo/{name}",
        is_empty=False,
        issues=0,
        pull_requests=0,
        latest_issue_at=None,
        latest_pull_request_at=None,
        default_branch=None,
        head_oid=None,
        commits=commits,
        languages=None,
        has_ci=None,
        has_tests=None,
    )


def reading(name: str, entity: Entity = Entity.ISSUES) -> Reading:
    return Reading(github_id=1, node_id=name, full_name=f"octo/{name}", entity=entity)


def page(name: str, number: int = 1, *, more: bool = False) -> ContentPage:
    rows = (parse_issue(rest_issue(number)),)
    return ContentPage(reading=reading(name), rows=rows, more=more)


def pair(name: str) -> tuple[str, str]:
    return name, f"octo/{name}"


def failure(name: str, error: GitHubError, *, of_list: bool = True) -> Failure:
    return Failure(node_id=name, error=error, reading=reading(name) if of_list else None)


# -- GraphQL serves --------------------------------------------------------------------------------


@pytest.mark.spec("R4.4")
def test_what_graphql_gives_is_not_asked_for_by_rest() -> None:
    graphql, rest = FakeReader([seen("b"), seen("a")]), FakeReader()
    both = reader(graphql, rest)
    assert list(both.overview([pair("a"), pair("b")])) == [seen("b"), seen("a")]
    assert graphql.asked == [["a", "b"]]
    graphql.steps = [page("a", 1, more=True), page("b"), page("a", 2)]
    assert list(both.contents([reading("a"), reading("b")])) == list(graphql.steps)
    assert graphql.asked[1:] == [[reading("a"), reading("b")]]
    assert rest.asked == []
    assert not both.rest_only


@pytest.mark.spec("R4.4")
def test_what_is_asked_for_twice_is_asked_once() -> None:
    graphql, rest = FakeReader(), FakeReader()
    both = reader(graphql, rest)
    list(both.overview([pair("a"), pair("a")]))
    list(both.contents([reading("a"), reading("a")]))
    assert graphql.asked == [["a"], [reading("a")]]
    assert rest.asked == [[pair("a")], [reading("a")]]


@pytest.mark.spec("R4.4")
@pytest.mark.parametrize("details", [True, False])
def test_details_are_asked_for_either_way(*, details: bool) -> None:
    graphql, rest = FakeReader([ServerError(status=502)]), FakeReader([seen("a")])
    both = reader(graphql, rest)
    list(both.overview([pair("a")], details=details, entities=[Entity.ISSUES]))
    expected = {"details": details, "entities": [Entity.ISSUES]}
    assert graphql.options == rest.options == [expected]
    list(both.overview([pair("a")]))
    assert rest.options[1:] == [{"details": True, "entities": ALL}]


@pytest.mark.spec("R4.4")
def test_what_is_left_out_without_a_word_is_asked_for_by_rest() -> None:
    graphql, rest = FakeReader([seen("a")]), FakeReader([seen("b")])
    assert list(reader(graphql, rest).overview([pair("a"), pair("b")])) == [seen("a"), seen("b")]
    assert rest.asked == [[pair("b")]]
    graphql, rest = FakeReader([page("a", more=True)]), FakeReader([page("a")])
    assert len(list(reader(graphql, rest).contents([reading("a")]))) == 2
    assert rest.asked == [[reading("a")]]


# -- GraphQL as a whole fails ----------------------------------------------------------------------


@pytest.mark.spec("R4.2", "R4.4")
@ours
def test_what_rest_would_meet_as_well_is_raised(error: GitHubError) -> None:
    graphql, rest = FakeReader([seen("a"), error]), FakeReader([seen("b")])
    both = reader(graphql, rest)
    got: list[object] = []
    with pytest.raises(type(error)) as raised:
        got.extend(both.overview([pair("a"), pair("b")]))
    assert raised.value is error
    graphql.steps = [page("a"), error]
    pages = both.contents([reading("a"), reading("b")])
    assert next(pages) == page("a")  # what came before it is kept
    with pytest.raises(type(error)) as raised:
        next(pages)
    assert raised.value is error
    assert not both.rest_only
    assert rest.asked == []


@pytest.mark.spec("R4.4")
@theirs
def test_what_only_graphql_cannot_give_is_asked_for_by_rest_from_then_on(
    error: GitHubError,
) -> None:
    graphql, rest = FakeReader([seen("a"), error]), FakeReader([seen("b")])
    both = reader(graphql, rest)
    assert list(both.overview([pair("a"), pair("b")])) == [seen("a"), seen("b")]
    assert both.rest_only
    rest.steps = [page("a")]
    assert list(both.contents([reading("a")])) == [page("a")]
    rest.steps = [seen("a")]
    assert list(both.overview([pair("a")])) == [seen("a")]
    assert len(graphql.asked) == 1
    assert rest.asked == [[pair("b")], [reading("a")], [pair("a")]]


@pytest.mark.spec("R4.4")
@theirs
def test_lists_that_had_ended_are_not_read_again_when_graphql_fails(error: GitHubError) -> None:
    given_up = failure("c", NotFound())
    graphql = FakeReader([page("a"), page("b", more=True), given_up, error])
    rest = FakeReader([page("b", 1, more=True), page("b", 2), page("d")])
    both = reader(graphql, rest)
    found = list(both.contents([reading(name) for name in "abcd"]))
    anew = replace(page("b", 1, more=True), restarts=True)
    assert found == [*graphql.steps[:3], anew, *rest.steps[1:]]
    assert rest.asked == [[reading("b"), reading("d")]]
    assert both.rest_only


@pytest.mark.spec("R4.4")
def test_nothing_is_asked_for_by_rest_when_all_had_ended_before_graphql_failed() -> None:
    graphql, rest = FakeReader([page("a"), ServerError()]), FakeReader([ServerError()])
    both = reader(graphql, rest)
    assert list(both.contents([reading("a")])) == [page("a")]
    assert rest.asked == []
    assert both.rest_only


@pytest.mark.spec("R4.2", "R4.4")
@pytest.mark.parametrize("error", [*OURS, *THEIRS], ids=called)
def test_what_rest_raises_is_raised(error: GitHubError) -> None:
    both = reader(FakeReader([ServerError()]), FakeReader([error]))
    with pytest.raises(type(error)) as raised:
        list(both.overview([pair("a")]))
    assert raised.value is error
    with pytest.raises(type(error)):
        list(both.contents([reading("a")]))


def test_every_kind_of_error_is_decided_on() -> None:
    """A new kind of error has to be put on one of the two sides."""
    kinds = {
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, GitHubError)
    }
    assert {type(error) for error in chain(OURS, THEIRS)} == kinds


# -- one list fails --------------------------------------------------------------------------------


@pytest.mark.spec("R4.4", "R5.6")
@pytest.mark.parametrize("error", HELPED, ids=called)
def test_a_repository_on_which_graphql_stumbled_is_asked_for_by_rest(error: GitHubError) -> None:
    graphql = FakeReader([failure("a", error, of_list=False), seen("b")])
    rest = FakeReader([seen("a")])
    both = reader(graphql, rest)
    assert list(both.overview([pair("a"), pair("b")])) == [seen("b"), seen("a")]
    assert rest.asked == [[pair("a")]]
    assert not both.rest_only  # it says nothing about the others


@pytest.mark.spec("R4.4", "R5.6")
@pytest.mark.parametrize("error", HELPED, ids=called)
def test_a_list_that_was_read_half_is_read_again_by_rest(error: GitHubError) -> None:
    graphql = FakeReader([page("a", 1, more=True), failure("a", error), page("b")])
    rest = FakeReader([page("a", 1, more=True), page("a", 2)])
    both = reader(graphql, rest)
    found = list(both.contents([reading("a"), reading("b")]))
    anew = replace(page("a", 1, more=True), restarts=True)
    assert found == [graphql.steps[0], graphql.steps[2], anew, rest.steps[1]]
    assert rest.asked == [[reading("a")]]
    assert not both.rest_only
    list(both.contents([reading("c")]))
    assert len(graphql.asked) == 2


@pytest.mark.spec("R4.4", "R5.6")
@pytest.mark.parametrize("error", NOT_HELPED, ids=called)
def test_what_is_said_of_the_list_itself_is_told_and_not_asked_for_again(
    error: GitHubError,
) -> None:
    graphql, rest = FakeReader([failure("a", error, of_list=False)]), FakeReader([seen("a")])
    both = reader(graphql, rest)
    assert list(both.overview([pair("a")])) == list(graphql.steps)
    graphql.steps = [page("a", more=True), failure("a", error)]
    assert list(both.contents([reading("a")])) == list(graphql.steps)
    assert rest.asked == []


@pytest.mark.spec("R4.4", "R5.6")
def test_a_list_that_fails_either_way_is_told_once() -> None:
    graphql = FakeReader([failure("a", ServerError(status=502))])
    rest = FakeReader([failure("a", ServerError(status=500))])
    assert list(reader(graphql, rest).contents([reading("a")])) == list(rest.steps)


@pytest.mark.spec("R4.4")
def test_lists_of_one_repository_are_told_apart() -> None:
    issues, commits = reading("a"), reading("a", Entity.COMMITS)
    graphql = FakeReader(
        [
            page("a"),
            Failure(node_id="a", error=ServerError(), reading=commits),
        ]
    )
    rest = FakeReader([ContentPage(reading=commits, rows=())])
    found = list(reader(graphql, rest).contents([issues, commits]))
    assert found == [page("a"), *rest.steps]
    assert rest.asked == [[commits]]


@pytest.mark.spec("R4.4")
@pytest.mark.parametrize("rest_only", [False, True])
def test_where_nothing_is_asked_nothing_is_sent_by_rest(*, rest_only: bool) -> None:
    graphql, rest = FakeReader(), FakeReader()
    both = reader(graphql, rest)
    both.rest_only = rest_only
    assert list(both.overview([])) == list(both.contents([])) == []
    assert rest.asked == []


# -- whatever comes --------------------------------------------------------------------------------

NAMES = "abc"
outcomes = st.fixed_dictionaries(
    {
        name: st.sampled_from(["ends", "half", "stumbles", "half, stumbles", "fails"])
        for name in NAMES
    }
)


@pytest.mark.spec("R4.4", "R5.6")
@given(
    outcome=outcomes,
    order=st.permutations(NAMES),
    breaks=st.none() | st.integers(0, 6),
)
def test_every_list_ends_once_whatever_graphql_does(
    outcome: dict[str, str], order: list[str], breaks: int | None
) -> None:
    steps: list[Step] = []
    for name in order:
        if "half" in outcome[name]:
            steps.append(page(name, 1, more=True))
        if "stumbles" in outcome[name]:
            steps.append(failure(name, ServerError()))
        elif outcome[name] == "fails":
            steps.append(failure(name, NotFound()))
        elif outcome[name] == "ends":
            steps.append(page(name, 2))
    if breaks is not None:
        steps.insert(breaks, ServerError())

    class Whole(FakeReader):
        def contents(self, work: Iterable[Reading]) -> Iterator[Any]:
            work = list(work)
            self.asked.append(work)
            for each in work:
                yield page(each.node_id, 1, more=True)
                yield page(each.node_id, 2)

    rest = Whole()
    found = list(reader(FakeReader(steps), rest).contents([reading(name) for name in NAMES]))
    ends = [
        each.node_id if isinstance(each, Failure) else each.reading.node_id
        for each in found
        if isinstance(each, Failure) or not each.more
    ]
    assert sorted(ends) == list(NAMES)
    last: dict[str, int] = {}
    for index, each in enumerate(found):
        name = each.node_id if isinstance(each, Failure) else each.reading.node_id
        last[name] = index
    assert all(
        isinstance(found[index], Failure) or not cast("ContentPage", found[index]).more
        for index in last.values()
    )
    assert len(rest.asked) <= 1
