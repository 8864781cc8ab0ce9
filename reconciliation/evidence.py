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
    except GitHubError as error:
        found = said_by(error)
        if found is not None:
            return found
        if error.category in ("authentication", "rate_limit"):
            raise
        return Evidence.UNAVAILABLE
    return row if row.github_id == mine.github_id else Evidence.UNAVAILABLE


def said_by(error: GitHubError) -> Evidence | None:
    """What a refusal says of the repository that was asked for; None when it says nothing of it."""
    if isinstance(error, LegallyBlocked):
        return Evidence.BLOCKED
    if isinstance(error, Forbidden):
        return Evidence.FORBIDDEN
    return Evidence.NOT_FOUND if error.is_evidence_of_absence else None


def _by_name(client: GitHubClient, mine: MirrorRepository) -> RepositoryRow | None:
    try:
        return client.get_repository(mine.owner, mine.name)
    except GitHubError as error:
        if error.is_evidence_of_absence:
            return None  # a redirect ends when its name is used again: only the id can tell
        raise
