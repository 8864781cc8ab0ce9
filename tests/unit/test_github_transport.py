"""One request: retries, redirects, limits and failures, without a socket."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs

from syncsvc.github.auth import Credential, InstallationAuth
from syncsvc.github.errors import (
    AuthenticationFailed,
    ConfigurationError,
    Forbidden,
    GitHubError,
    NetworkError,
    NotFound,
    RateLimited,
    ServerError,
)
from syncsvc.github.memory import MemoryTokenStore
from tests.github_support import (
    API,
    START,
    Desk,
    FakeClock,
    Handler,
    Reply,
    limit_headers,
    repository,
)

OK: Reply = (200, limit_headers(), repository(1))


def script(*replies: Reply | Exception) -> Handler:
    """Answers in turn; the last one again and again."""
    left = list(replies)
    return lambda _request: left.pop(0) if len(left) > 1 else left[0]


def ask(desk: Desk) -> Any:
    return desk.client.get_repository("octo", "repo-1")


# -- what is sent ----------------------------------------------------------------------------------


@pytest.mark.spec("R4.1", "R4.7")
def test_a_request_says_who_asks_for_which_version() -> None:
    desk = Desk(script(OK), user_agent="mirror/1.0")
    ask(desk)
    (request,) = desk.github.sent
    assert request.headers["Accept"] == "application/vnd.github+json"
    assert request.headers["X-GitHub-Api-Version"] == "2022-11-28"
    assert request.headers["Authorization"] == "Bearer ghp_example"
    assert request.headers["User-Agent"] == "mirror/1.0"
    assert request.headers["Accept-Encoding"] == "gzip"


@pytest.mark.spec("R2.2")
def test_an_enterprise_servers_root_keeps_its_path() -> None:
    desk = Desk(script(OK), api_url="https://ghe.example/api/v3/")
    ask(desk)
    assert desk.github.urls == ["https://ghe.example/api/v3/repos/octo/repo-1"]


def test_a_netrc_entry_never_replaces_our_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.github.com login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    desk = Desk(script(OK))
    ask(desk)
    assert desk.github.sent[0].headers["Authorization"] == "Bearer ghp_example"


@pytest.mark.parametrize("url", ["", "api.github.com", "ftp://x", "https://", "https://a:b@c/"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError, match="GITHUB_API_URL"):
        Desk(script(OK), api_url=url)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_a_name_that_leads_elsewhere_is_refused_unsent(name: str) -> None:
    desk = Desk(script(OK))
    with pytest.raises(GitHubError):
        desk.client.get_repository("octo", name)
    assert desk.github.sent == []


def test_odd_names_stay_one_segment() -> None:
    desk = Desk(script(OK))
    desk.client.get_repository("octo", "a?b#c%20 d")
    assert desk.github.urls == [f"{API}/repos/octo/a%3Fb%23c%2520%20d"]


# -- retries ---------------------------------------------------------------------------------------

FAULTS: list[Reply | Exception] = [
    requests.ConnectionError("refused"),
    requests.ReadTimeout("slow"),
    requests.exceptions.ChunkedEncodingError("cut"),
    requests.exceptions.SSLError("certificate"),
    requests.exceptions.ProxyError("proxy"),
    (500, limit_headers(), b""),
    (502, {}, b"<html>"),
    (200, limit_headers(), b'{"id": 1, "na'),
    (200, limit_headers(), []),
    (200, limit_headers(), {"message": "not a repository"}),
    (304, limit_headers(), b""),
]


@pytest.mark.spec("R4.5", "P28")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_is_tried_again_with_growing_delays(fault: Reply | Exception) -> None:
    desk = Desk(script(fault, fault, fault, OK))
    assert ask(desk).github_id == 1
    assert desk.slept == sorted(desk.slept)
    assert len(set(desk.slept)) == 3
    assert all(1 <= delay <= 60 for delay in desk.slept)
    assert desk.client.usage.snapshot().retries == 3


@pytest.mark.spec("R4.5", "R10.5")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_lasting_fault_is_a_network_error_after_three_retries(fault: Reply | Exception) -> None:
    desk = Desk(script(fault))
    with pytest.raises((NetworkError, ServerError)) as caught:
        ask(desk)
    assert len(desk.github.sent) == 4
    assert caught.value.category == "network"
    assert caught.value.retryable
    assert not caught.value.is_evidence_of_absence
    assert caught.value.__cause__ is None


@pytest.mark.spec("R4.5", "R10.1")
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 451])
def test_other_refusals_fail_fast(status: int) -> None:
    desk = Desk(script((status, limit_headers(), {"message": "no"})))
    with pytest.raises(GitHubError) as caught:
        ask(desk)
    assert len(desk.github.sent) == 1
    assert caught.value.status == status
    assert not caught.value.retryable


@pytest.mark.spec("R4.5")
def test_retry_after_on_a_server_error_is_honoured() -> None:
    desk = Desk(script((503, limit_headers(Retry_After="40"), b""), OK))
    ask(desk)
    assert desk.slept == [40]


def test_a_server_that_wants_long_peace_is_left_alone() -> None:
    desk = Desk(script((503, limit_headers(Retry_After="600"), b""), OK))
    with pytest.raises(ServerError) as caught:
        ask(desk)
    assert caught.value.retry_after == 600
    assert desk.slept == []


@pytest.mark.spec("R11.3")
def test_secrets_reach_neither_errors_nor_logs() -> None:
    desk = Desk(script(requests.ConnectionError("header Authorization: Bearer ghp_example")))
    with capture_logs() as logs, pytest.raises(NetworkError) as caught:
        ask(desk)
    everything = f"{caught.value!r} {caught.value} {vars(caught.value)} {logs}"
    assert "ghp_example" not in everything
    assert [log["event"] for log in logs] == ["github.retry"] * 3


def test_a_body_beyond_all_measure_is_refused_once() -> None:
    desk = Desk(script((200, limit_headers(), b" " * 5000)), max_body=1000)
    with pytest.raises(NetworkError, match="larger") as caught:
        ask(desk)
    assert len(desk.github.sent) == 1
    assert not caught.value.retryable


# -- redirects -------------------------------------------------------------------------------------


@pytest.mark.spec("R4.5")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("location", [f"{API}/repositories/1", "/repositories/1"])
def test_a_renamed_repository_is_followed_on_the_same_host(status: int, location: str) -> None:
    desk = Desk(script((status, limit_headers(Location=location), {}), OK))
    assert ask(desk).github_id == 1
    assert desk.github.urls[-1] == f"{API}/repositories/1"
    assert desk.github.sent[-1].headers["Authorization"] == "Bearer ghp_example"


@pytest.mark.spec("R4.5", "R11.3")
@pytest.mark.parametrize(
    "location",
    ["https://evil.example/x", "http://api.github.com/x", "//evil.example", "", "https://[::1"],
)
def test_credentials_are_never_sent_elsewhere(location: str) -> None:
    desk = Desk(script((301, limit_headers(Location=location), {}), OK))
    with pytest.raises(NetworkError, match="another host") as caught:
        ask(desk)
    assert len(desk.github.sent) == 1
    assert not caught.value.is_evidence_of_absence


def test_a_circle_of_redirects_ends() -> None:
    desk = Desk(script((302, limit_headers(Location="/again"), {})))
    with pytest.raises(NetworkError, match="too often"):
        ask(desk)
    assert len(desk.github.sent) == 4


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.spec("R4.2")
def test_nothing_is_sent_once_the_budget_is_used_up() -> None:
    desk = Desk(script((200, limit_headers(0), repository(1))))
    ask(desk)
    with pytest.raises(RateLimited) as caught:
        ask(desk)
    assert len(desk.github.sent) == 1
    assert caught.value.until > START + timedelta(minutes=30)


@pytest.mark.spec("R4.2")
@pytest.mark.parametrize("status", [403, 429])
def test_a_declared_limit_is_not_tried_again(status: int) -> None:
    desk = Desk(script((status, limit_headers(Retry_After="90"), {"message": "slow down"}), OK))
    with pytest.raises(RateLimited) as caught:
        ask(desk)
    assert caught.value.secondary
    assert caught.value.until >= START + timedelta(seconds=90)
    with pytest.raises(RateLimited):
        ask(desk)
    assert len(desk.github.sent) == 1
    desk.clock.now = caught.value.until
    assert ask(desk).github_id == 1


@pytest.mark.spec("R7.2")
def test_a_permission_is_no_limit() -> None:
    desk = Desk(script((403, limit_headers(), {"message": "Resource not accessible"})))
    with pytest.raises(Forbidden):
        ask(desk)
    with pytest.raises(Forbidden):
        ask(desk)


# -- credentials -----------------------------------------------------------------------------------


class Issuer:
    def __init__(self) -> None:
        self.made = 0

    def create_installation_token(self, installation_id: int) -> Credential:
        self.made += 1
        return Credential.of(f"ghs_{self.made}", START + timedelta(hours=1))


@pytest.mark.spec("R4.1")
def test_a_refused_installation_token_is_renewed_and_tried_once_more() -> None:
    issuer = Issuer()
    auth = InstallationAuth(issuer, 5, MemoryTokenStore(), FakeClock())

    def handler(request: requests.PreparedRequest) -> Reply:
        good = request.headers["Authorization"] == "Bearer ghs_2"
        return OK if good else (401, limit_headers(), {"message": "Bad credentials"})

    desk = Desk(handler, auth=auth)
    assert ask(desk).github_id == 1
    assert (issuer.made, len(desk.github.sent)) == (2, 2)


@pytest.mark.spec("R4.1", "R10.1")
def test_a_second_refusal_is_believed() -> None:
    issuer = Issuer()
    auth = InstallationAuth(issuer, 5, MemoryTokenStore(), FakeClock())
    desk = Desk(script((401, limit_headers(), {"message": "Bad credentials"})), auth=auth)
    with pytest.raises(AuthenticationFailed):
        ask(desk)
    assert (issuer.made, len(desk.github.sent)) == (2, 2)


# -- counting --------------------------------------------------------------------------------------


@pytest.mark.spec("R12.1")
def test_every_exchange_is_counted() -> None:
    desk = Desk(script((500, {}, b"oops"), OK, (404, {}, b"{}")))
    ask(desk)
    with pytest.raises(NotFound):
        ask(desk)
    usage = desk.client.usage.snapshot()
    assert (usage.requests, usage.retries, usage.not_modified) == (3, 1, 0)
    assert usage.by_status == {500: 1, 200: 1, 404: 1}
    assert usage.bytes > 6


def test_leaving_the_client_saves_the_budget() -> None:
    desk = Desk(script(OK))
    with desk.client:
        ask(desk)
        assert desk.budgets.saves == 0
    assert desk.budgets.saves == 1
