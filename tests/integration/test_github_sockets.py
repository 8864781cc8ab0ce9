"""The GitHub client over real sockets: against the simulated GitHub, and against servers that lie."""

import gzip
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from syncsvc.github.auth import AppAuth, InstallationAuth, TokenAuth, load_private_key
from syncsvc.github.budget import BudgetGuard
from syncsvc.github.client import AppClient, GitHubClient, RepositorySource
from syncsvc.github.errors import (
    AuthenticationFailed,
    GitHubError,
    LegallyBlocked,
    NetworkError,
    NotFound,
    RateLimited,
    Suspended,
    VersionRetired,
)
from syncsvc.github.listing import Listing
from syncsvc.github.memory import MemoryBudgetStore, MemoryEtagStore, MemoryTokenStore
from syncsvc.github.transport import Transport
from syncsvc.simulator import Fault, Simulator, World
from tests.contract import validate_request
from tests.github_support import repository

ORG = "octo-simulated"


class Office:
    """Clients for one installation at a simulated GitHub."""

    def __init__(
        self,
        sim: Simulator,
        *,
        etags: MemoryEtagStore | None = None,
        tokens: MemoryTokenStore | None = None,
    ) -> None:
        self.sim = sim
        self.slept: list[float] = []
        self.installation = sim.world.installation(ORG)
        auth = AppAuth(sim.app_id, load_private_key(sim.private_key_pem), self.now)
        self.app = AppClient(self._transport(), auth)
        self.tokens = tokens or MemoryTokenStore()
        self.client = GitHubClient(
            self._transport(),
            InstallationAuth(self.app, self.installation.id, self.tokens, self.now),
            etags or MemoryEtagStore(),
        )

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.sim.now(), UTC)

    def _transport(self) -> Transport:
        budget = BudgetGuard(MemoryBudgetStore(), 0, self.now, lambda: 0.5)
        return Transport(
            self.sim.url,
            budget,
            clock=self.now,
            timeouts=(2, 2),
            sleep=self.slept.append,
            rng=lambda: 0.5,
        )

    def listing(self) -> Listing:
        return self.client.list_repositories(RepositorySource.installation())

    def truth(self) -> set[int]:
        return {each.id for each in self.sim.world.installed(self.installation)}

    def __enter__(self) -> "Office":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.app.close()


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(World.generate(repositories=730)) as running:
        yield running


@pytest.fixture
def office(sim: Simulator) -> Iterator[Office]:
    with Office(sim) as made:
        yield made


def ids(listing: Listing) -> list[int]:
    return [row.github_id for page in listing for row in page.rows]


# -- the simulated GitHub --------------------------------------------------------------------------


@pytest.mark.spec("R2.1", "R4.6", "R4.7")
def test_an_installation_is_listed_whole_and_every_request_is_valid(office: Office) -> None:
    listing = office.listing()
    found = ids(listing)
    assert set(found) == office.truth()
    assert len(found) == len(set(found)) == listing.total_count
    assert listing.complete
    asked = office.sim.requests("/installation/repositories")
    assert len(asked) == listing.pages == 8
    for exchange in office.sim.log:
        validate_request(exchange.method, exchange.path)


@pytest.mark.spec("R4.3")
def test_an_unchanged_installation_costs_nothing_of_the_budget(sim: Simulator) -> None:
    etags, tokens = MemoryEtagStore(), MemoryTokenStore()
    with Office(sim, etags=etags, tokens=tokens) as first:
        before = [page.rows for page in first.listing()]
        left = first.client.transport.budget.budget()
    with Office(sim, etags=etags, tokens=tokens) as second:
        after = [page.rows for page in second.listing()]
        usage = second.client.usage.snapshot()
        still_left = second.client.transport.budget.budget()
    assert after == before
    assert usage.not_modified == usage.requests == 8
    assert left is not None
    assert still_left is not None
    assert still_left.remaining == left.remaining


@pytest.mark.spec("R4.1")
def test_a_new_token_is_fetched_when_the_old_one_ends(office: Office) -> None:
    list(office.listing())
    office.sim.advance(3590)
    assert office.listing().__next__().rows
    assert len(office.sim.requests("/app/installations")) == 2


@pytest.mark.spec("R4.1")
@pytest.mark.parametrize("ahead", [-900, 900])
def test_a_machine_whose_clock_is_wrong_still_lists(sim: Simulator, ahead: int) -> None:
    with Office(sim) as office:
        list(office.listing())  # a JWT needs the right time; what follows does not
        shifted = office.now
        office.now = lambda: shifted() + timedelta(seconds=ahead)  # type: ignore[method-assign]
        office.client.transport.clock = office.now
        listing = office.listing()
        list(listing)
        assert listing.complete


@pytest.mark.spec("R2.1", "R2.3")
def test_suspension_is_told_apart_and_the_app_still_lists_the_installation(office: Office) -> None:
    office.sim.world.suspend(office.installation.id)
    with pytest.raises(Suspended):
        list(office.listing())
    rows = {row.github_id: row for row in office.app.installations()}
    assert rows[office.installation.id].suspended_at is not None
    assert office.app.installation(office.installation.id).account_login == ORG
    assert office.app.account_installation(ORG, "Organization").suspended_at is not None


@pytest.mark.spec("R7.1", "R7.2")
def test_renamed_moved_deleted_and_blocked_repositories_are_told_apart(office: Office) -> None:
    world = office.sim.world
    one, two, three, *_ = sorted(office.truth())
    old = office.client.get_repository_by_id(one)
    world.rename(one, "another-name")
    assert office.client.get_repository(old.owner, old.name).github_id == one
    world.delete(two)
    with pytest.raises(NotFound) as gone:
        office.client.get_repository_by_id(two)
    assert gone.value.is_evidence_of_absence
    world.block(three)
    with pytest.raises(LegallyBlocked) as blocked:
        office.client.get_repository_by_id(three)
    assert not blocked.value.is_evidence_of_absence


@pytest.mark.spec("R4.5", "P28")
@pytest.mark.parametrize("kind", ["status", "reset", "reset_midway", "malformed"])
def test_a_passing_fault_is_overcome(office: Office, kind: Any) -> None:
    office.sim.faults.add(Fault(kind=kind, path_regex="/installation/repositories.*page=3"))
    listing = office.listing()
    assert set(ids(listing)) == office.truth()
    assert listing.complete
    assert len(office.slept) == 1


@pytest.mark.spec("R7.2", "P30")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(kind="empty_page", path_regex="&page=3"), "page 3 of 8 was empty"),
        (Fault(kind="bad_record", path_regex="&page=3"), "1 records could not be identified"),
        (Fault(kind="bad_record", path_regex="&page=3", damage={"name": None}), None),
    ],
)
def test_what_was_not_whole_says_so(office: Office, fault: Fault, reason: str | None) -> None:
    office.sim.faults.add(fault)
    listing = office.listing()
    assert set(ids(listing)) < office.truth()
    assert listing.incomplete_reason == reason


@pytest.mark.spec("R7.2")
def test_a_list_that_shifts_while_it_is_read_says_so(office: Office) -> None:
    first = min(office.truth())
    drift = Fault(kind="drift", path_regex="&page=1", change=lambda: office.sim.world.delete(first))
    office.sim.faults.add(drift)
    listing = office.listing()
    list(listing)
    assert "changed from 730 to 729" in str(listing.incomplete_reason)


@pytest.mark.spec("R4.2", "R4.6")
def test_a_budget_of_five_allows_five_pages_and_nothing_more(office: Office) -> None:
    office.client.get_account(ORG)
    office.sim.limits.set(office.installation.id, remaining=5)
    with pytest.raises(RateLimited) as caught:
        list(office.listing())
    assert office.sim.requests_while_exhausted == 0
    assert caught.value.until > office.now()
    office.sim.advance((caught.value.until - office.now()).total_seconds())
    listing = office.listing()
    list(listing)
    assert listing.complete


@pytest.mark.spec("R4.2")
@pytest.mark.parametrize("status", [403, 429])
def test_a_secondary_limit_pauses_everything(office: Office, status: int) -> None:
    office.sim.faults.add(Fault(kind="secondary_limit", status=status, path_regex="page=2"))
    with pytest.raises(RateLimited) as caught:
        list(office.listing())
    assert caught.value.secondary
    asked = len(office.sim.log)
    with pytest.raises(RateLimited):
        office.client.get_account(ORG)
    assert len(office.sim.log) == asked


def test_a_retired_version_is_no_absence(office: Office) -> None:
    office.client.transport._headers["X-GitHub-Api-Version"] = "2001-01-01"
    with pytest.raises(GitHubError) as caught:
        office.client.get_account(ORG)
    assert isinstance(caught.value, VersionRetired)
    assert not caught.value.is_evidence_of_absence


def test_a_token_lists_its_own_and_a_wrong_one_is_refused(sim: Simulator) -> None:
    def client(token: str) -> GitHubClient:
        budget = BudgetGuard(
            MemoryBudgetStore(), 0, lambda: datetime.fromtimestamp(sim.now(), UTC), lambda: 0.5
        )
        transport = Transport(sim.url, budget, clock=lambda: datetime.fromtimestamp(sim.now(), UTC))
        return GitHubClient(transport, TokenAuth(token), MemoryEtagStore())

    with client(sim.token) as own:
        login = own.get_authenticated_user().login
        for source in (
            RepositorySource.authenticated_user(),
            RepositorySource.user(login),
            RepositorySource.organization(ORG),
        ):
            listing = own.list_repositories(source)
            assert list(listing)
            assert listing.complete
    with client("ghp_wrong") as wrong, pytest.raises(AuthenticationFailed):
        wrong.get_authenticated_user()


# -- servers that lie ------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Counts connections; `reply` writes what it likes."""

    daemon_threads = True
    connections = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


@contextmanager
def serving(reply: Any) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5

        def do_GET(self) -> None:
            reply(self)

        def log_message(self, *args: Any) -> None:
            """Silence."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def client_at(port: int, **options: Any) -> GitHubClient:
    def now() -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)

    transport = Transport(
        f"http://127.0.0.1:{port}",
        BudgetGuard(MemoryBudgetStore(), 0, now, lambda: 0.5),
        clock=now,
        sleep=lambda _seconds: None,
        rng=lambda: 0.5,
        **options,
    )
    return GitHubClient(transport, TokenAuth("ghp_example"), MemoryEtagStore())


def give(handler: BaseHTTPRequestHandler, body: bytes, **headers: str) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", headers.pop("length", str(len(body))))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def page_for(handler: BaseHTTPRequestHandler) -> bytes:
    number = int(handler.path.rsplit("page=", 1)[1])
    first = (number - 1) * 100 + 1
    items = [repository(each) for each in range(first, first + 100)]
    return orjson.dumps({"total_count": 3000, "repositories": items})


@pytest.mark.spec("R4.1", "R4.6")
def test_connections_are_kept_and_never_more_than_the_concurrency() -> None:
    with serving(lambda handler: give(handler, page_for(handler))) as server:
        with client_at(server.server_port, concurrency=4) as client:
            listing = client.list_repositories(RepositorySource.installation())
            assert len(ids(listing)) == 3000
            assert listing.complete
        assert server.connections <= 4


def test_packed_answers_are_unpacked() -> None:
    body = gzip.compress(orjson.dumps(repository(1)))
    with (
        serving(lambda handler: give(handler, body, Content_Encoding="gzip")) as server,
        client_at(server.server_port) as client,
    ):
        assert client.get_repository("octo", "repo-1").github_id == 1


@pytest.mark.parametrize("break_off", ["length", "gzip", "silence"])
def test_a_body_that_breaks_off_is_a_network_error(break_off: str) -> None:
    whole = orjson.dumps(repository(1))

    def reply(handler: BaseHTTPRequestHandler) -> None:
        if break_off == "length":
            give(handler, whole[:50], length=str(len(whole)))
        elif break_off == "gzip":
            give(handler, b"not packed at all", Content_Encoding="gzip")
        handler.close_connection = True

    with serving(reply) as server, client_at(server.server_port) as client:
        with pytest.raises(NetworkError) as caught:
            client.get_repository("octo", "repo-1")
        assert client.usage.snapshot().retries == 3
    assert caught.value.retryable


def test_a_packed_bomb_is_not_unpacked_whole() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    with (
        serving(lambda handler: give(handler, bomb, Content_Encoding="gzip")) as server,
        client_at(server.server_port, max_body=1_000_000) as client,
    ):
        tracemalloc.start()
        with pytest.raises(NetworkError, match="larger"):
            client.get_repository("octo", "repo-1")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 10_000_000


def test_nobody_at_home_is_a_sentence() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with client_at(port) as client, pytest.raises(NetworkError) as caught:
            client.get_account("octo")
    assert "could not be reached" in caught.value.sentence
    assert "Errno" not in caught.value.sentence


def test_silence_ends_with_the_time_out() -> None:
    quiet = threading.Event()
    with (
        serving(lambda handler: quiet.wait(5)) as server,
        client_at(server.server_port, timeouts=(0.5, 0.05)) as client,
    ):
        with pytest.raises(NetworkError, match="in time"):
            client.get_account("octo")
        quiet.set()
