"""What can go wrong between us and GitHub, as types.

Hides which status, header and body stand behind each failure: callers ask the error for its
`category`, its `sentence` for people, and whether trying again or concluding absence is allowed.
"""

from datetime import datetime, timedelta
from typing import ClassVar, Literal

from syncsvc.retrying import Trouble

Category = Literal["network", "validation", "authentication", "rate_limit", "unknown"]
Kind = Literal[
    "authentication",
    "suspended",
    "forbidden",
    "not_found",
    "gone",
    "version_retired",
    "legally_blocked",
    "rate_limited",
    "network",
    "server",
    "validation",
    "configuration",
]


class GitHubError(Exception):
    """Any failed exchange with GitHub (R4.1, R10.5).

    `sentence` is meant for people and never holds secrets or an exception's text; `detail` is
    GitHub's own message or the transport's, redacted, for logs. `retryable` means that the same
    request may succeed later; `is_evidence_of_absence` that the thing asked for may be gone, which
    a limit, a suspension, a retired API version or a broken network never shows.
    """

    category: ClassVar[Category] = "unknown"
    kind: ClassVar[Kind] = "server"
    default_sentence: ClassVar[str] = "GitHub gave an answer that could not be used. Try again."

    def __init__(
        self,
        sentence: str = "",
        *,
        status: int | None = None,
        detail: str = "",
        retryable: bool = False,
        is_evidence_of_absence: bool = False,
    ) -> None:
        self.sentence = sentence or self.default_sentence
        self.status = status
        self.detail = detail
        self.retryable = retryable
        self.is_evidence_of_absence = is_evidence_of_absence
        super().__init__(self.sentence)

    def __str__(self) -> str:
        return self.sentence

    @property
    def trouble(self) -> Trouble:
        """What the retry policy has to know of it (R10.1)."""
        asked: float | None = getattr(self, "retry_after", None)
        return Trouble(
            category=self.category,
            kind=self.kind,
            retryable=self.retryable,
            sentence=self.sentence,
            retry_after=None if asked is None else timedelta(seconds=asked),
            until=getattr(self, "until", None),
        )


class ConfigurationError(GitHubError):
    """The credentials or addresses we were given cannot work, found before anything was sent."""

    category = "validation"
    kind = "configuration"
    default_sentence = "The GitHub settings are incomplete. Check the GITHUB_* variables."


class AuthenticationFailed(GitHubError):
    """401: GitHub does not accept who we say we are."""

    category = "authentication"
    kind = "authentication"
    default_sentence = (
        "GitHub does not accept the credentials. Check that the token, or the App's id and "
        "private key, are right and not expired or revoked, and that this machine's clock is right."
    )


class Suspended(GitHubError):
    """403: the App's installation is suspended."""

    category = "authentication"
    kind = "suspended"
    default_sentence = (
        "The GitHub App is suspended for this account. An owner of the account can unsuspend it "
        "in GitHub's settings, under installed GitHub Apps."
    )


class Forbidden(GitHubError):
    """403: a permission is missing."""

    category = "authentication"
    kind = "forbidden"
    default_sentence = (
        "GitHub refuses access. Check the permissions of the GitHub App or the scopes of the token."
    )


class NotFound(GitHubError):
    """404: gone, or not visible to us; GitHub does not say which."""

    kind = "not_found"
    default_sentence = (
        "GitHub does not know this item, or these credentials may not see it. Check the name and "
        "the access of the GitHub App or token."
    )


class Gone(GitHubError):
    """410 of one item: GitHub says that it was deleted, or switched off."""

    kind = "gone"
    default_sentence = "GitHub says that this item is gone for good. Nothing needs to be done."


class VersionRetired(GitHubError):
    """410 or 400 because of the API version that we pin: says nothing about the item."""

    category = "validation"
    kind = "version_retired"
    default_sentence = (
        "GitHub no longer serves the API version that this program asks for. Update the program."
    )


class LegallyBlocked(GitHubError):
    """451, or 403 with a block: GitHub took the repository down; it can still be listed."""

    kind = "legally_blocked"
    default_sentence = (
        "GitHub has blocked access to this repository. Its owner has to settle that with GitHub."
    )


class ValidationFailed(GitHubError):
    """Any other 4xx: the request itself is wrong, sending it again would not help."""

    category = "validation"
    kind = "validation"
    default_sentence = "GitHub did not accept the request. Check the names that were asked for."


class RateLimited(GitHubError):
    """403 or 429, or our own refusal to send when the budget is used up (R4.2).

    `until` is when to ask again; `secondary` tells a secondary limit from the hourly budget;
    `hinted` is false when GitHub gave no time and `until` is a guess to be lengthened.
    """

    category = "rate_limit"
    kind = "rate_limited"
    default_sentence = (
        "GitHub's request limit is reached. Syncing goes on by itself when it resets."
    )

    def __init__(
        self,
        sentence: str = "",
        *,
        until: datetime,
        resource: str = "core",
        secondary: bool = False,
        hinted: bool = True,
        status: int | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(sentence, status=status, detail=detail, retryable=True)
        self.until = until
        self.resource = resource
        self.secondary = secondary
        self.hinted = hinted


class NetworkError(GitHubError):
    """No whole answer came back: connection, time-out, TLS, a cut or garbled body."""

    category = "network"
    kind = "network"
    default_sentence = (
        "GitHub could not be reached. Check the network, the proxy settings and GITHUB_API_URL."
    )

    def __init__(
        self,
        sentence: str = "",
        *,
        status: int | None = None,
        detail: str = "",
        retryable: bool = True,
    ) -> None:
        super().__init__(sentence, status=status, detail=detail, retryable=retryable)


class AnswerTooLarge(NetworkError):
    """The answer is longer than what is worth holding in memory; asking for less may help."""

    default_sentence = "GitHub's answer is larger than this program accepts. Check GITHUB_API_URL."

    def __init__(self, *, status: int | None = None) -> None:
        super().__init__(status=status, retryable=False)


class ServerError(GitHubError):
    """5xx. `retry_after` is the number of seconds that GitHub asked for, if it did."""

    category = "network"
    kind = "server"
    default_sentence = "GitHub has a problem of its own. If it lasts, see GitHub's status page."

    def __init__(
        self,
        sentence: str = "",
        *,
        status: int | None = None,
        detail: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(sentence, status=status, detail=detail, retryable=True)
        self.retry_after = retry_after
