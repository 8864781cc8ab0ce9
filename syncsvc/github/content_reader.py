"""What repositories hold, by whichever way GitHub allows: GraphQL first, REST where it cannot (R4.4).

Hides which way was taken. What says something about us (a limit, refused credentials, no network) is
raised as it is; what only says that GraphQL cannot give it is asked for once more through REST.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import structlog

from syncsvc.github.errors import AnswerTooLarge, GitHubError, NetworkError, ServerError
from syncsvc.github.graphql import ALL
from syncsvc.github.graphql_client import GraphQLReader
from syncsvc.github.graphql_content import RepositoryOverview
from syncsvc.github.reading import ContentPage, Entity, Failure, Reading
from syncsvc.github.rest_content import RestReader

log = structlog.get_logger(__name__)

_OURS = frozenset(
    {"rate_limited", "authentication", "suspended", "configuration", "version_retired"}
)


class ContentReader:
    """Reads overviews and lists of repositories; once GraphQL has failed as a whole, through REST."""

    def __init__(self, graphql: GraphQLReader, rest: RestReader) -> None:
        self._graphql = graphql
        self._rest = rest
        self.rest_only = False

    def overview(
        self,
        repositories: Sequence[tuple[str, str]],
        *,
        details: bool = True,
        entities: Collection[Entity] = ALL,
    ) -> Iterator[RepositoryOverview | Failure]:
        """One look at each repository, given as node id and full name; see the two readers.

        Raises `GitHubError` when GitHub as a whole cannot be asked.
        """
        left = dict(repositories)
        if not self.rest_only:
            try:
                found = self._graphql.overview(list(left), details=details, entities=entities)
                for each in found:
                    if isinstance(each, Failure) and _rest_may_help(each.error):
                        continue
                    left.pop(each.node_id, None)
                    yield each
            except GitHubError as error:
                self._fall_back(error)
        if left:
            yield from self._rest.overview(list(left.items()), details=details, entities=entities)

    def contents(self, work: Iterable[Reading]) -> Iterator[ContentPage | Failure]:
        """The pages of all readings; each ends with a page without `more`, or with a `Failure`.

        A list of which a part was read the one way and then all of it the other `restarts`. Raises
        `GitHubError` when GitHub as a whole cannot be asked.
        """
        left = dict.fromkeys(work)
        begun: set[Reading] = set()
        if not self.rest_only:
            try:
                for each in self._graphql.contents(list(left)):
                    if isinstance(each, Failure):
                        if _rest_may_help(each.error):
                            continue
                        ended = each.reading
                    else:
                        ended = None if each.more else each.reading
                        begun.add(each.reading)
                    if ended is not None:
                        left.pop(ended, None)
                    yield each
            except GitHubError as error:
                self._fall_back(error)
        for page in self._rest.contents(list(left)) if left else ():
            if isinstance(page, ContentPage) and page.reading in begun:
                begun.discard(page.reading)
                page = replace(page, restarts=True)  # noqa: PLW2901  (the same page, marked)
            yield page

    def _fall_back(self, error: GitHubError) -> None:
        """Goes on through REST, unless the error would meet REST as well."""
        unreachable = isinstance(error, NetworkError) and error.status is None
        if error.kind in _OURS or unreachable:
            raise error
        log.warning("graphql.unusable", kind=error.kind, status=error.status, detail=error.detail)
        self.rest_only = True


def _rest_may_help(error: GitHubError) -> bool:
    """Whether GraphQL stumbled over it, which says nothing about the list itself."""
    garbled = isinstance(error, NetworkError) and error.status is not None
    return garbled or isinstance(error, (ServerError, AnswerTooLarge))
