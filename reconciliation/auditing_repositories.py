"""Repositories of a sample, read again through GraphQL (R8.3).

Hides how a place in GitHub's list becomes a repository, and that all of them share a query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from reconciliation.auditing_asking import ONE, Asking, Sight, Spent, total_of
from reconciliation.auditing_drawing import Drawn, Home
from reconciliation.diff import Evidence
from syncsvc import clock
from syncsvc.github.errors import GitHubError
from syncsvc.github.graphql_repositories import Known
from syncsvc.github.listing import PER_PAGE
from syncsvc.github.payloads import RepositoryRow, parse_repositories
from syncsvc.github.reading import Entity
from syncsvc.models import Installation

STAGE: Final = "reading a sample again"
_PERMISSIONS: Final = {
    Entity.ISSUES: "issues",
    Entity.PULL_REQUESTS: "pull_requests",
    Entity.COMMITS: "contents",
}


def repositories(asking: Asking, drawn: Sequence[Drawn]) -> Iterator[Sight]:
    """All in one query, each by its own id; what GitHub's list showed is asked for in the same."""
    homes: list[tuple[Drawn, Home]] = []
    for each in drawn:
        asking.run.lease.progress(STAGE, 0, len(drawn), "repositories")
        try:
            found = asking.guarded(each, partial(_listed, asking))
        except Spent:
            break
        if isinstance(found, Sight):
            yield found
        elif found is not None:
            homes.append((each, found))
    if not homes or not (asking.ended or asking.affords()):
        return
    began = clock.now()
    known = {h.github_id: Known(node_id=h.node_id, github_id=h.github_id) for _, h in homes}
    answers = asking.through_graphql(list(known.values()), _readable(asking.run.job.installation))
    for each, home in homes:
        sight = Sight.of(each, home=home, key=home.github_id, path="graphql", asked_at=began)
        yield _answered(asking, sight, home.github_id, answers.get(home.github_id))


def _listed(asking: Asking, each: Drawn) -> Home | None:
    """The repository itself, or what is at its place of GitHub's list."""
    if each.home is not None:
        return each.home
    path = asking.run.source().path.replace(f"per_page={PER_PAGE}", ONE)

    def read(offset: int) -> tuple[RepositoryRow | None, int | None]:
        answer = asking.ask(f"{path}&page={offset + 1}", parse_repositories)
        page = answer.value
        if page is None or not page.rows:
            return None, None
        return page.rows[0], page.total_count or total_of(answer.links, offset)

    row = asking.chosen(each, read)
    if row is None:
        return None
    return Home(pk=0, github_id=row.github_id, node_id=row.node_id, full_name=row.full_name)


def _readable(installation: Installation) -> list[Entity]:
    """The lists that the App may read: asking for another would cost the whole repository."""
    granted = installation.permissions
    if installation.mode != Installation.Mode.APP or not granted:
        return list(Entity)
    return [each for each in Entity if _PERMISSIONS[each] in granted]


def _answered(
    asking: Asking, sight: Sight, github_id: int, answer: RepositoryRow | GitHubError | None
) -> Sight:
    if isinstance(answer, RepositoryRow):
        return replace(sight, row=answer)
    if answer is None:
        return replace(sight, unknown=asking.ended or "unavailable")
    if not answer.is_evidence_of_absence:
        return replace(sight, unknown=answer.kind)
    found = asking.opinion(github_id)
    if found in (Evidence.NOT_FOUND, Evidence.FORBIDDEN):
        return replace(sight, gone=str(found))
    return replace(sight, unknown="contradiction" if found is not None else "unavailable")
