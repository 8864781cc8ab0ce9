"""The connection below the transport: pooled, stateless, and its failures told in sentences.

Hides what has to be switched off in `requests` so that threads can share one session.
"""

from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from syncsvc.github.auth import Credential
from syncsvc.github.errors import ConfigurationError, GitHubError, NetworkError
from syncsvc.github.redaction import redact


class Authorization(AuthBase):
    """Sets the header itself; without it `requests` would let a ~/.netrc entry replace ours."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if (
            self._credential.value
        ):  # nobody in particular may ask too: the code of a new App is enough
            request.headers["Authorization"] = f"Bearer {self._credential.value}"
        return request


class _Session(requests.Session):
    """Leaves redirects alone altogether: even unfollowed, `requests` would read their bodies whole
    and stumble over malformed addresses while it prepares a next request that nobody asked for.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  (the signature of requests)
        return None


def new_session(pool_size: int) -> requests.Session:
    """A pooled session that threads can share: no cookies, no state that requests change.

    The environment is trusted for proxies and certificate bundles, never for credentials.
    """
    session = _Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    adapter = HTTPAdapter(pool_connections=2, pool_maxsize=pool_size, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def settle_environment(session: requests.Session, url: str) -> None:
    """Reads the proxies and certificates that the environment names for `url`, once.

    `requests` would look for them twice on every request, which costs a millisecond each time.
    """
    settled = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies, session.verify = settled["proxies"], settled["verify"]
    session.cert = settled["cert"]
    session.trust_env = False


def unreachable(host: str, error: requests.RequestException) -> GitHubError:
    """The typed error, with a sentence for people, behind a failure of `requests`."""
    detail = redact(f"{type(error).__name__}: {error}")[:300]
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader)):
        return ConfigurationError(detail=type(error).__name__)
    if isinstance(error, requests.exceptions.SSLError):
        sentence = (
            f"No trusted connection to {host}: its certificate was not accepted. Check "
            "the certificates of this machine and GITHUB_API_URL."
        )
    elif isinstance(error, requests.exceptions.ProxyError):
        sentence = f"The proxy did not lead to {host}. Check the proxy settings."
    elif isinstance(error, requests.Timeout):
        sentence = f"{host} did not answer in time. If it lasts, check the network and the proxy."
    elif isinstance(
        error,
        (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError),
    ):
        sentence = (
            f"The connection to {host} broke off. If it lasts, check the network and the proxy."
        )
    else:
        sentence = (
            f"{host} could not be reached. Check the network, the proxy settings and "
            "GITHUB_API_URL."
        )
    return NetworkError(sentence, detail=detail)
