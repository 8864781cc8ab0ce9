"""One look at a repository through REST: what GraphQL's overview tells, with more requests (R4.4).

Hides how REST is made to count, where it says that there is nothing, and that its list of issues
has pull requests in it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from syncsvc.github.client import GitHubClient, repository_path
from syncsvc.github.content import Languages, is_pull_request, is_sha, parse_languages
from syncsvc.github.errors import (
    Forbidden,
    GitHubError,
    Gone,
    LegallyBlocked,
    NotFound,
    ServerError,
    ValidationFailed,
)
from syncsvc.github.graphql import ALL
from syncsvc.github.graphql_content import RepositoryOverview, has_ci_file, has_test_folder
from syncsvc.github.listing import PER_PAGE
from syncsvc.github.payloads import RepositoryRow, parse_list, parse_object, parse_repository
from syncsvc.github.reading import Entity
from syncsvc.github.transport import Request
from syncsvc.github.values import InvalidRecord, is_mapping, parse_time, some_text

OWN: Final = (NotFound, Gone, Forbidden, LegallyBlocked, ValidationFailed, ServerError)
"""Errors that concern one repository; any other one would meet the next repository as well."""

NEWEST_FIRST: Final = "state=all&sort=updated&direction=desc"

_THE_NEWEST: Final = 30
"""Among so many entries of the issue list an issue is looked for when the first one is none."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """How long a list is, and its first entry."""

    total: int
    first: Mapping[str, Any]


_NOTHING: Final = _Listed(0, {})


def is_switched_off(error: GitHubError) -> bool:
    """Whether it is GitHub's answer to the issues of a repository that has none: 410, "disabled"."""
    return isinstance(error, Gone) and "disabled" in error.detail.lower()


def read_overview(
    client: GitHubClient,
    node_id: str,
    full_name: str,
    *,
    details: bool,
    entities: Collection[Entity] = ALL,
) -> RepositoryOverview:
    """What one repository holds; any `GitHubError`. Lists that are not asked for look empty.

    Takes 5 requests, with details up to 7 and one more where there is a folder `.github`; and one
    more where the issue list begins with a pull request. The first is the last as well: had the name
    changed hands in between, two repositories would be mixed. Raises `NotFound` when the name belongs to
    another repository by now.
    """
    return _Look(client, node_id, full_name).taken(details=details, entities=entities)


class _Look:
    """The requests about one repository."""

    def __init__(self, client: GitHubClient, node_id: str, full_name: str) -> None:
        self._client = client
        self._node_id = node_id
        self._path = repository_path(full_name)

    def taken(self, *, details: bool, entities: Collection[Entity]) -> RepositoryOverview:
        repository = self._repository()
        # A renamed repository would redirect each further request.
        self._path = repository_path(repository.full_name)
        # Pull requests first: one that is opened meanwhile makes one issue too many, not too few,
        # and where none is expected none would be read.
        has_pulls = Entity.PULL_REQUESTS in entities
        pulls = self._listed(f"/pulls?{NEWEST_FIRST}") if has_pulls else _NOTHING
        entries = self._entries() if Entity.ISSUES in entities else _NOTHING
        issues = max(0, entries.total - pulls.total)
        commits, is_empty = self._commits() if Entity.COMMITS in entities else (_NOTHING, False)
        head = commits.first.get("sha")
        head = head if is_sha(head) else None
        has_ci, has_tests = self._files(head) if details and head else (None, None)
        if self._repository().github_id != repository.github_id:
            raise NotFound(status=200, detail="the name changed hands meanwhile")
        return RepositoryOverview(
            node_id=self._node_id,
            github_id=repository.github_id,
            full_name=repository.full_name,
            is_empty=is_empty,
            issues=issues,
            pull_requests=pulls.total,
            latest_issue_at=self._latest_issue_at(entries) if issues else None,
            latest_pull_request_at=_updated_at(pulls.first),
            default_branch=repository.default_branch if commits.total else None,
            head_oid=head,
            commits=commits.total,
            languages=self._languages(is_empty=is_empty) if details else None,
            has_ci=has_ci,
            has_tests=has_tests,
        )

    # -- lists -------------------------------------------------------------------------------------

    def _repository(self) -> RepositoryRow:
        try:
            row = parse_repository(self._object(""))
        except InvalidRecord as problem:
            detail = f"the repository lacks {problem.field}"
            raise ServerError(status=200, detail=detail) from None
        if _is_another(self._node_id, row.node_id):
            raise NotFound(status=200, detail="the name belongs to another repository")
        return row

    def _entries(self) -> _Listed:
        """Issues and pull requests together, as REST lists them."""
        try:
            return self._listed(f"/issues?{NEWEST_FIRST}")
        except Gone as error:
            if is_switched_off(error):
                return _NOTHING
            raise

    def _commits(self) -> tuple[_Listed, bool]:
        """The default branch's history, and whether the repository is empty (409)."""
        try:
            return self._listed("/commits"), False
        except ValidationFailed as error:
            if error.status == 409:
                return _NOTHING, True
            raise

    def _listed(self, path: str) -> _Listed:
        """The number of the last page is the number of entries, with one entry a page."""
        joint = "&" if "?" in path else "?"
        request = Request(url=self._url(f"{path}{joint}per_page=1"), parse=parse_list)
        answer = self._client.ask(request)
        if not answer.value:
            return _NOTHING
        first = answer.value[0] if is_mapping(answer.value[0]) else {}
        total = answer.links.last_page
        if total is None and answer.links.next is not None:  # lists by cursor name no last page
            whole = f"{self._path}{path}{joint}per_page={PER_PAGE}"
            total = sum(len(items) for items in self._client.pages(whole, parse_list))
        return _Listed(total or len(answer.value), first)

    def _latest_issue_at(self, entries: _Listed) -> datetime | None:
        """When the issue that was updated last was; at least a time that moves when it does."""
        if not is_pull_request(entries.first):
            return _updated_at(entries.first)
        url = self._url(f"/issues?{NEWEST_FIRST}&per_page={_THE_NEWEST}")
        newest = self._client.ask(Request(url=url, parse=parse_list)).value or []
        issue = next((each for each in newest if not is_pull_request(each)), entries.first)
        return _updated_at(issue)

    # -- details -----------------------------------------------------------------------------------

    def _languages(self, *, is_empty: bool) -> Languages | None:
        if is_empty:
            return parse_languages({})
        try:
            return parse_languages(self._object("/languages"))
        except OWN:
            return None

    def _files(self, head: str) -> tuple[bool | None, bool | None]:
        """Whether there is CI, and whether there are tests, by the names in the root folder."""
        try:
            # The root folder has no address of its own among the contents that are documented.
            entries = self._object(f"/git/trees/{head}").get("tree")
        except OWN:
            return None, None
        if not isinstance(entries, list):
            return None, None
        paths = (some_text(each.get("path")) for each in entries if is_mapping(each))
        exact = frozenset(path for path in paths if path is not None)
        names = frozenset(path.lower() for path in exact)
        has_ci: bool | None = has_ci_file(names)
        if not has_ci and ".github" in exact:
            has_ci = self._has_workflows(head)
        return has_ci, has_test_folder(names)

    def _has_workflows(self, head: str) -> bool | None:
        url = self._url(f"/contents/.github/workflows?ref={head}")
        try:
            # A folder is a list, a file is an object: either way there is something.
            self._client.ask(Request(url=url, parse=bool))
        except NotFound:
            return False
        except OWN:
            return None
        return True

    # -- asking ------------------------------------------------------------------------------------

    def _url(self, path: str) -> str:
        return self._client.transport.url(f"{self._path}{path}")

    def _object(self, path: str) -> Mapping[str, Any]:
        answer = self._client.ask(Request(url=self._url(path), parse=parse_object))
        return answer.value or {}


def _updated_at(item: Mapping[str, Any]) -> datetime | None:
    return parse_time(item.get("updated_at"))


def _is_another(asked: str, found: str) -> bool:
    """Whether two node ids name two repositories: told only between ids of the same form."""
    forms = (asked.startswith("R_"), found.startswith("R_"))
    return bool(asked and found) and forms[0] == forms[1] and asked != found
