"""What can be asked of GitHub's REST API, as methods that return rows or raise typed errors.

Hides paths, parameters, credentials and their renewal, and conditional requests. `GitHubClient`
speaks for an installation or a token, `AppClient` for the GitHub App itself.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar
from urllib.parse import quote

from syncsvc.github.auth import AppAuth, Auth, Credential, is_token
from syncsvc.github.errors import AuthenticationFailed, NetworkError, ValidationFailed
from syncsvc.github.etags import EtagStore, StoredPage, remembered
from syncsvc.github.listing import PER_PAGE, FetchedPage, Job, Listing
from syncsvc.github.payloads import (
    AccountRow,
    BadRecord,
    InstallationRow,
    InvalidRecord,
    MalformedBody,
    ParsedPage,
    RepositoryRow,
    parse_account,
    parse_each,
    parse_installation,
    parse_list,
    parse_object,
    parse_repositories,
    parse_repository,
)
from syncsvc.github.rows import dump_rows
from syncsvc.github.transport import Answer, Request, Transport
from syncsvc.github.usage import Usage
from syncsvc.github.values import parse_time

Value = TypeVar("Value")

_TOKEN_LIVES: Final = timedelta(hours=1)
_MOST_PAGES: Final = 10_000


@dataclass(frozen=True, slots=True)
class RepositorySource:
    """Whose repositories to list; made by the four functions below."""

    path: str

    @classmethod
    def installation(cls) -> Self:
        """All that the installation may see. Has a `total_count`, so wholeness can be checked."""
        return cls(f"/installation/repositories?per_page={PER_PAGE}")

    @classmethod
    def authenticated_user(cls) -> Self:
        """What the token's own user owns, private repositories included."""
        return cls(f"/user/repos?affiliation=owner&per_page={PER_PAGE}")

    @classmethod
    def organization(cls, login: str) -> Self:
        """An organization's repositories, as far as the token may see them."""
        return cls(f"/orgs/{_segment(login)}/repos?type=all&per_page={PER_PAGE}")

    @classmethod
    def user(cls, login: str) -> Self:
        """A user's own public repositories."""
        return cls(f"/users/{_segment(login)}/repos?type=owner&per_page={PER_PAGE}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Installations:
    """All installations of the App, suspended ones too, and the records that were put aside."""

    rows: tuple[InstallationRow, ...]
    bad: tuple[BadRecord, ...] = ()

    def __iter__(self) -> Iterator[InstallationRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def repository_path(full_name: str) -> str:
    """The path of a repository by `owner/name`; what could lead elsewhere is refused unsent."""
    owner, _, name = full_name.partition("/")
    return f"/repos/{_segment(owner)}/{_segment(name)}"


def _segment(name: str) -> str:
    """A name as one segment of a path; what could lead elsewhere is refused unsent."""
    if not name or name in {".", ".."} or "/" in name:
        raise ValidationFailed(
            "An account's or repository's name is empty or not a name. Check the names."
        )
    return quote(name, safe="")


def _one(parse: Callable[[object], Value]) -> Callable[[bytes], Value]:
    """A reader for an answer that holds a single object."""

    def read(body: bytes) -> Value:
        try:
            return parse(parse_object(body))
        except InvalidRecord as error:
            raise MalformedBody(f"the answer lacks {error.field}") from error

    return read


class _Client:
    """What both clients share: the transport, who we are, and a second try after a 401.

    A context manager: leaving it saves what is to be kept and gives the connections back.
    """

    def __init__(self, transport: Transport, auth: Auth) -> None:
        self.transport = transport
        self.auth = auth

    @property
    def usage(self) -> Usage:
        """What was spent so far."""
        return self.transport.usage

    def flush(self) -> None:
        """Save what is to be kept beyond this process, where it changed."""
        self.transport.budget.flush()

    def close(self) -> None:
        """Save, and give the connections back."""
        try:
            self.flush()
        finally:
            self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def pages(self, path: str, parse: Callable[[bytes], Value]) -> Iterator[Value]:
        """The values of all pages of any list, one after the other, as `Link` leads (R4.7)."""
        url: str | None = self.transport.url(path)
        for _ in range(_MOST_PAGES):
            if url is None:
                return
            answer = self.ask(Request(url=url, parse=parse))
            yield _value(answer)
            url = answer.links.next
        raise NetworkError("GitHub's list does not end. Check GITHUB_API_URL.", retryable=False)

    def ask(self, request: Request[Value]) -> Answer[Value]:
        """The answer to any request, asked as who we are; any `GitHubError`."""
        return self._authorized(lambda credential: self.transport.send(request, credential))

    def _get(self, path: str, parse: Callable[[object], Value]) -> Value:
        return _value(self.ask(Request(url=self.transport.url(path), parse=_one(parse))))

    def _authorized(self, act: Callable[[Credential], Value]) -> Value:
        """`act` with our credential; once more with a new one, if it was refused and can be."""
        credential = self.auth.credential()
        try:
            return act(credential)
        except AuthenticationFailed:
            if not self.auth.invalidate(credential):
                raise
        return act(self.auth.credential())


def _value(answer: Answer[Value]) -> Value:
    if answer.value is None:  # a 304, which unconditional requests never get
        raise NetworkError(status=answer.status)
    return answer.value


class GitHubClient(_Client):
    """GitHub as one installation or one token sees it.

    `etags` has to be this installation's own store: all installations share the same addresses.
    """

    def __init__(self, transport: Transport, auth: Auth, etags: EtagStore) -> None:
        super().__init__(transport, auth)
        self.etags = etags

    def flush(self) -> None:
        """Save the budget and the pages read, where they changed."""
        self.etags.flush()
        super().flush()

    def list_repositories(self, source: RepositorySource) -> Listing:
        """All repositories of a source, as a stream of pages (see `Listing`); nothing is sent yet.

        10,000 repositories take 100 requests, and none of the budget when nothing changed (R4.3).
        """
        return Listing(_RepositoryPages(self, source.path), self.transport.concurrency)

    def get_repository(self, owner: str, name: str) -> RepositoryRow:
        """One repository by name; a renamed one answers with its new name. `NotFound`, ..."""
        return self._get(f"/repos/{_segment(owner)}/{_segment(name)}", parse_repository)

    def get_repository_by_id(self, github_id: int) -> RepositoryRow:
        """One repository by its identity, wherever it is called or moved to now (R7.2).

        This is the address that GitHub's own redirects of renamed repositories lead to.
        """
        return self._get(f"/repositories/{int(github_id)}", parse_repository)

    def get_account(self, login: str) -> AccountRow:
        """A user or an organization by login."""
        return self._get(f"/users/{_segment(login)}", parse_account)

    def get_authenticated_user(self) -> AccountRow:
        """The user whose token this is."""
        return self._get("/user", parse_account)


class AppClient(_Client):
    """GitHub as the App itself sees it; also what makes tokens for `InstallationAuth`."""

    def __init__(self, transport: Transport, auth: AppAuth) -> None:
        super().__init__(transport, auth)

    def installations(self) -> Installations:
        """All installations, suspended ones included (R2.1)."""
        rows: list[InstallationRow] = []
        bad: list[BadRecord] = []
        for items in self.pages(f"/app/installations?per_page={PER_PAGE}", parse_list):
            good, aside = parse_each(items, parse_installation)
            rows.extend(good)
            bad.extend(aside)
        return Installations(rows=tuple(rows), bad=tuple(bad))

    def installation(self, installation_id: int) -> InstallationRow:
        """One installation; `NotFound` once it is uninstalled."""
        return self._get(f"/app/installations/{int(installation_id)}", parse_installation)

    def account_installation(
        self, login: str, account_type: Literal["Organization", "User"]
    ) -> InstallationRow:
        """The installation on an account; `NotFound` when the App is not installed there."""
        kind = "orgs" if account_type == "Organization" else "users"
        return self._get(f"/{kind}/{_segment(login)}/installation", parse_installation)

    def create_installation_token(self, installation_id: int) -> Credential:
        """A new installation token, good for an hour. `Suspended`, `NotFound`, ..."""
        url = self.transport.url(f"/app/installations/{int(installation_id)}/access_tokens")
        request = Request(url=url, parse=_one(self._read_token), method="POST")
        return _value(self.ask(request))

    def _read_token(self, item: object) -> Credential:
        answer: Mapping[str, Any] = item if isinstance(item, Mapping) else {}
        token = answer.get("token")
        if not is_token(token):
            raise InvalidRecord("token", "missing or not a token", None)
        expires_at = parse_time(answer.get("expires_at"))
        return Credential.of(token, expires_at or self.transport.clock() + _TOKEN_LIVES)


class _RepositoryPages:
    """The pages of one repository list, asked for conditionally where they are known (R4.3)."""

    def __init__(self, client: GitHubClient, path: str) -> None:
        self._client = client
        self._path = path

    def _url(self, number: int) -> str:
        return self._client.transport.url(f"{self._path}&page={number}")

    def prepare(self, number: int) -> Job:
        return self._job(number, self._client.auth.credential())

    def fetch(self, number: int, stop: threading.Event) -> FetchedPage:
        return self._client._authorized(  # noqa: SLF001  (one module, one unit)
            lambda credential: self._job(number, credential)(stop)
        )

    def keep(self, number: int, page: FetchedPage) -> None:
        if page.to_store is not None and page.to_store.etag:
            self._client.etags.put(self._url(number), page.to_store)

    def _job(self, number: int, credential: Credential) -> Job:
        url = self._url(number)
        known = remembered(self._client.etags.get(url), credential.fingerprint)
        transport = self._client.transport
        request = Request(url=url, parse=parse_repositories, etag=known[0].etag if known else None)

        def run(stop: threading.Event) -> FetchedPage:
            answer = transport.send(request, credential, stop=stop)
            if answer.value is None and known is not None:
                stored, content = known
                return FetchedPage(
                    content=content,
                    has_next=stored.has_next,
                    last_page=stored.last_page,
                    to_store=None,
                )
            return _fetched(answer, _value(answer), credential)

        return run


def _fetched(
    answer: Answer[ParsedPage], content: ParsedPage, credential: Credential
) -> FetchedPage:
    has_next, last_page = answer.links.next is not None, answer.links.last_page
    return FetchedPage(
        content=content,
        has_next=has_next,
        last_page=last_page,
        to_store=StoredPage(
            etag=answer.etag,
            fingerprint=credential.fingerprint,
            rows=dump_rows(content) if answer.etag else b"",
            has_next=has_next,
            last_page=last_page,
        ),
    )
