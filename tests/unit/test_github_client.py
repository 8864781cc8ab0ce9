"""Everything the client asks, judged by GitHub's own description."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from syncsvc.github.auth import AppAuth, InstallationAuth
from syncsvc.github.client import AppClient, GitHubClient, RepositorySource
from syncsvc.github.errors import NetworkError, NotFound
from syncsvc.github.memory import MemoryTokenStore
from tests.contract import validate_request
from tests.github_support import API, Desk, Reply, limit_headers, repository, rsa_key

ACCOUNT = {"id": 7, "login": "octo", "type": "Organization", "name": "Octo"}
INSTALLATION = {"id": 11, "app_id": 3, "account": ACCOUNT, "repository_selection": "all"}
TOKEN = {"token": "ghs_fresh", "expires_at": "2026-03-01T13:00:00Z"}


def answer(request: requests.PreparedRequest) -> Reply:
    """What GitHub would answer, by path."""
    path = urlsplit(str(request.url)).path
    content: Any
    if path.endswith("/access_tokens"):
        return 201, limit_headers(), TOKEN
    if path == "/app/installations":
        content = [INSTALLATION, {"id": 12, "account": None}]
    elif "/installations/" in path or path.endswith("/installation"):
        content = INSTALLATION
    elif path == "/installation/repositories":
        content = {"total_count": 150, "repositories": [repository(n) for n in range(1, 101)]}
        if "page=2" in str(request.url):
            content["repositories"] = [repository(n) for n in range(101, 151)]
    elif path.endswith("/repos"):
        content = [repository(1)]
    elif path.startswith("/repos"):
        content = repository(1)
    else:
        content = ACCOUNT
    return 200, limit_headers(), content


Asking = Callable[[GitHubClient, AppClient], Any]
ASKED: dict[str, Asking] = {
    "installation": lambda c, a: list(c.list_repositories(RepositorySource.installation())),
    "own": lambda c, a: list(c.list_repositories(RepositorySource.authenticated_user())),
    "organization": lambda c, a: list(c.list_repositories(RepositorySource.organization("octo"))),
    "user": lambda c, a: list(c.list_repositories(RepositorySource.user("octo"))),
    "repository": lambda c, a: c.get_repository("octo", "repo.js"),
    "repository by id": lambda c, a: c.get_repository_by_id(1),
    "account": lambda c, a: c.get_account("octo"),
    "authenticated user": lambda c, a: c.get_authenticated_user(),
    "installations": lambda c, a: a.installations(),
    "one installation": lambda c, a: a.installation(11),
    "organization's installation": lambda c, a: a.account_installation("octo", "Organization"),
    "user's installation": lambda c, a: a.account_installation("octo", "User"),
    "token": lambda c, a: a.create_installation_token(11),
}


def clients() -> tuple[Desk, AppClient]:
    desk = Desk(answer)
    return desk, AppClient(desk.transport, AppAuth(3, rsa_key(), desk.clock))


@pytest.mark.spec("R4.7")
@pytest.mark.parametrize("name", ASKED)
def test_every_request_is_valid_by_githubs_description(name: str) -> None:
    desk, app = clients()
    ASKED[name](desk.client, app)
    assert desk.github.sent
    for request in desk.github.sent:
        validate_request(str(request.method), str(request.url), request.body)


def test_no_public_method_is_left_out() -> None:
    asked = {
        name
        for cls in (GitHubClient, AppClient)
        for name in vars(cls)
        if not name.startswith("_") and name != "flush"
    }
    called: set[str] = set()
    desk, app = clients()

    class Spy:
        def __init__(self, client: Any) -> None:
            self.client = client

        def __getattr__(self, name: str) -> Any:
            called.add(name)
            return getattr(self.client, name)

    for ask in ASKED.values():
        ask(Spy(desk.client), Spy(app))  # type: ignore[arg-type]
    assert called == asked


@pytest.mark.spec("R2.1")
def test_the_app_lists_its_installations_and_puts_broken_ones_aside() -> None:
    _, app = clients()
    installations = app.installations()
    assert [each.github_id for each in installations] == [11]
    assert [bad.github_id for bad in installations.bad] == [12]


@pytest.mark.spec("R4.1")
def test_an_installation_speaks_with_a_token_that_the_app_made() -> None:
    desk, app = clients()
    auth = InstallationAuth(app, 11, MemoryTokenStore(), desk.clock)
    client = GitHubClient(desk.transport, auth, desk.etags)
    client.get_account("octo")
    made, asked = desk.github.sent
    assert (made.method, made.url) == ("POST", f"{API}/app/installations/11/access_tokens")
    assert made.headers["Authorization"].startswith("Bearer eyJ")
    assert asked.headers["Authorization"] == "Bearer ghs_fresh"


@pytest.mark.spec("R2.3", "R7.2")
def test_an_uninstalled_app_says_nothing_about_the_repository_asked_for() -> None:
    desk = Desk(lambda request: (404, limit_headers(), {"message": "Not Found"}))
    app = AppClient(desk.transport, AppAuth(3, rsa_key(), desk.clock))
    auth = InstallationAuth(app, 11, MemoryTokenStore(), desk.clock)
    client = GitHubClient(desk.transport, auth, desk.etags)
    with pytest.raises(NotFound, match="not installed") as caught:
        client.get_repository_by_id(1)
    assert not caught.value.is_evidence_of_absence


@pytest.mark.parametrize("token", [None, "", 5, "ghs_a\nb", "ghs_ü"])
def test_an_answer_without_a_usable_token_is_no_token(token: Any) -> None:
    desk = Desk(lambda request: (201, limit_headers(), TOKEN | {"token": token}))
    app = AppClient(desk.transport, AppAuth(3, rsa_key(), desk.clock))
    with pytest.raises(NetworkError):
        app.create_installation_token(11)


def test_a_token_whose_end_is_not_told_lives_an_hour_at_most() -> None:
    desk = Desk(lambda request: (201, limit_headers(), {"token": "ghs_x"}))
    app = AppClient(desk.transport, AppAuth(3, rsa_key(), desk.clock))
    expires_at = app.create_installation_token(11).expires_at
    assert expires_at is not None
    assert (expires_at - desk.clock.now).total_seconds() == 3600
