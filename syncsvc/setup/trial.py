"""Credentials are tried before they are stored; hides how, and words what is wrong with them.

A trial takes one to three requests, each sent once, with short time-outs.
"""

from dataclasses import dataclass
from typing import Final

from syncsvc import connect
from syncsvc.github import apps
from syncsvc.github.apps import AppRow
from syncsvc.github.client import AppClient, GitHubClient, RepositorySource
from syncsvc.github.errors import (
    AuthenticationFailed,
    ConfigurationError,
    Forbidden,
    GitHubError,
    NotFound,
)
from syncsvc.github.payloads import AccountRow
from syncsvc.setup import manifest

_RANKS: Final = {"read": 1, "write": 2, "admin": 3}


class NotUsable(Exception):
    """Why credentials cannot be stored: one sentence or two for people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenSeen:
    """Whose token it is, and which account it is to mirror."""

    owner: str


def lacking(permissions: dict[str, str]) -> list[str]:
    """What is needed to read everything, and was not granted."""
    return [name for name in manifest.PERMISSIONS if permissions.get(name) not in _RANKS]


def new_app(code: str) -> apps.NewApp:
    """The App that a code stands for; raises `NotUsable`."""
    try:
        transport = connect.trial_transport()
        try:
            return apps.convert(transport, code)
        finally:
            transport.close()
    except NotFound:
        raise NotUsable(
            "GitHub does not take this code any more: it works once, and for an hour. If the App is "
            "in GitHub's list of your Apps, delete it there, or paste its key here; then begin again."
        ) from None
    except GitHubError as error:
        raise NotUsable(
            f"The App was made, but its key could not be fetched. {error.sentence} Then delete the "
            "App at GitHub and begin again, or paste a key of it here."
        ) from None


def app(app_id: str, key: str) -> AppRow:
    """What GitHub knows the App as; raises `NotUsable`."""
    if "-----BEGIN" not in key:  # else it would be taken for the path of a file of this machine
        raise NotUsable(
            "This is no private key. Take the whole .pem file that GitHub offers for download, from "
            "its BEGIN line to its END line."
        )
    try:
        with connect.trial_app(app_id, key) as client:
            return apps.app_row(client).value
    except GitHubError as error:
        raise NotUsable(explain_app(error, app_id)) from None


def explain_app(error: GitHubError, app_id: str) -> str:
    """What is wrong with an App's id or key, as far as GitHub lets on."""
    if isinstance(error, ConfigurationError):
        return error.sentence.replace("GITHUB_APP_PRIVATE_KEY", "The private key")
    if isinstance(error, NotFound):
        return (
            f"GitHub knows no App with the id {app_id}. The id stands on the App's page at GitHub, "
            "beside “App ID”."
        )
    if isinstance(error, AuthenticationFailed):
        if "claim" in error.detail:
            return (
                "GitHub says that this machine's clock is wrong, so it takes no signature from it. "
                "Set the clock (NTP), and try again."
            )
        return (
            f"GitHub does not take this key for the App {app_id}. Generate a private key on that "
            "App's page, and paste that."
        )
    return error.sentence


def is_app_taken(client: AppClient) -> None:
    """One quick request as the App; any `GitHubError`."""
    apps.app_row(client)


def is_token_taken(client: GitHubClient) -> None:
    """One quick request with the token; any `GitHubError` but a refusal to say whose it is."""
    _whose(client)


def token(value: str, owner: str) -> TokenSeen:
    """Which account the token mirrors, spelled as GitHub does; raises `NotUsable`."""
    try:
        with connect.trial_token(value) as client:
            mine = _whose(client)
            account = _account(client, owner) if owner else mine
            if account is None:
                raise NotUsable(
                    "This token speaks for no user: name the account that it is to mirror."
                )
            own = mine is not None and mine.github_id == account.github_id
            apps.first_of(client, _list_of(account, own=own))
            return TokenSeen(owner=account.login)
    except GitHubError as error:
        raise NotUsable(explain_token(error, owner)) from None


def explain_token(error: GitHubError, owner: str) -> str:
    """What is wrong with a token, as far as GitHub lets on."""
    whose = owner or "its account"
    if isinstance(error, ConfigurationError):
        return error.sentence.replace("GITHUB_TOKEN", "The token").replace("Set it", "Paste it")
    if isinstance(error, AuthenticationFailed):
        return (
            "GitHub does not take this token: it has expired, was revoked, or was not copied whole. "
            "Make a new one at GitHub, and paste that."
        )
    if isinstance(error, Forbidden):
        if "saml" in error.detail.lower() or "sso" in error.detail.lower():
            return (
                f"{whose} asks for single sign-on. At GitHub, under Settings > Developer settings > "
                "Personal access tokens, open “Configure SSO” of this token and authorize it there."
            )
        return (
            f"This token may not read the repositories of {whose}. Give it the scope “repo”, or as a "
            "fine-grained token read access to Metadata, Contents, Issues and Pull requests."
        )
    if isinstance(error, NotFound):
        return f"GitHub knows no account {owner!r}, or this token may not see it."
    return error.sentence


def _whose(client: GitHubClient) -> AccountRow | None:
    """Whose token it is; None for one that speaks for no user."""
    try:
        return apps.ask(client, "/user", apps.one_account).value
    except Forbidden:
        return None


def _account(client: GitHubClient, owner: str) -> AccountRow:
    return apps.ask(client, f"/users/{owner}", apps.one_account).value


def _list_of(account: AccountRow, *, own: bool) -> str:
    if account.type.lower() == "organization":
        source = RepositorySource.organization(account.login)
    elif own:
        source = RepositorySource.authenticated_user()
    else:
        source = RepositorySource.user(account.login)
    return source.path.replace("per_page=100", "per_page=1")
