"""What became of a repository: the one question that is asked of the repository itself (R7.2)."""

from reconciliation.diff import Evidence
from syncsvc.github.client import GitHubClient
from syncsvc.github.errors import Forbidden, GitHubError, LegallyBlocked
from syncsvc.github.payloads import RepositoryRow
from syncsvc.plan import MirrorRepository


def ask(client: GitHubClient, mine: MirrorRepository) -> RepositoryRow | Evidence:
    """GitHub's answer, asked by name and, where the name leads elsewhere or nowhere, by id.

    Raises what says something about us and nothing about the repository: refused credentials,
    suspension, limits.
    """
    try:
        row = _by_name(client, mine) if mine.name_is_current else None
        if row is None or row.github_id != mine.github_id:
            row = client.get_repository_by_id(mine.github_id)
    except LegallyBlocked:
        return Evidence.BLOCKED
    except Forbidden:
        return Evidence.FORBIDDEN
    except GitHubError as error:
        if error.is_evidence_of_absence:
            return Evidence.NOT_FOUND
        if error.category in ("authentication", "rate_limit"):
            raise
        return Evidence.UNAVAILABLE
    return row if row.github_id == mine.github_id else Evidence.UNAVAILABLE


def _by_name(client: GitHubClient, mine: MirrorRepository) -> RepositoryRow | None:
    try:
        return client.get_repository(mine.owner, mine.name)
    except GitHubError as error:
        if error.is_evidence_of_absence:
            return None  # a redirect ends when its name is used again: only the id can tell
        raise
