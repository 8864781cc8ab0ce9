"""Listings: streamed in order, few requests, and honest about whether they were whole."""

import hashlib
import math
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
import requests

from syncsvc.github.auth import Credential, InstallationAuth, TokenAuth
from syncsvc.github.client import RepositorySource
from syncsvc.github.errors import AuthenticationFailed, GitHubError, NotFound, RateLimited
from syncsvc.github.etags import StoredPage
from syncsvc.github.listing import Listing, RepositoryPage
from syncsvc.github.memory import MemoryEtagStore, MemoryTokenStore
from tests.github_support import START, Desk, FakeClock, Reply, limit_headers, repository

Override = Callable[[int, Reply], Reply | Exception]


class Shelf:
    """A list of repositories as GitHub pages it; `override` spoils single pages."""

    def __init__(
        self,
        count: int,
        *,
        totals: bool = True,
        links: bool = True,
        override: Override | None = None,
    ) -> None:
        self.items = [repository(number) for number in range(1, count + 1)]
        self.totals = totals
        self.links = links
        self.override = override
        self.pages_asked: list[int] = []
        self.threads: set[str] = set()

    def __call__(self, request: requests.PreparedRequest) -> Reply | Exception:
        url = str(request.url)
        page = int(parse_qs(urlsplit(url).query)["page"][0])
        self.pages_asked.append(page)
        self.threads.add(threading.current_thread().name)
        last = max(1, math.ceil(len(self.items) / 100))
        part = self.items[(page - 1) * 100 : page * 100]
        content: Any = part
        if self.totals:
            content = {"total_count": len(self.items), "repositories": part}
        body = orjson.dumps(content)
        etag = f'W/"{hashlib.sha256(body + request.headers["Authorization"].encode()).hexdigest()}"'
        headers = limit_headers(4000) | {"ETag": etag}
        if self.links and page < last:
            base = url.rsplit("page=", 1)[0]
            headers["Link"] = (
                f'<{base}page={page + 1}>; rel="next", <{base}page={last}>; rel="last"'
            )
        reply: Reply = (200, headers, body)
        if request.headers.get("If-None-Match") == etag:
            reply = (304, headers, b"")
        return self.override(page, reply) if self.override else reply


def listing_of(shelf: Shelf, **options: Any) -> tuple[Desk, Listing]:
    desk = Desk(shelf, **options)
    source = RepositorySource.installation() if shelf.totals else RepositorySource.user("octo")
    return desk, desk.client.list_repositories(source)


def ids(listing: Listing) -> list[int]:
    return [row.github_id for page in listing for row in page.rows]


def read_until_error(listing: Listing) -> tuple[list[RepositoryPage], GitHubError]:
    pages = []
    try:
        for page in listing:
            pages.append(page)  # noqa: PERF402  (extend would lose what came before the error)
    except GitHubError as error:
        return pages, error
    raise AssertionError("no error came")


def on(page: int, reply: Reply | Exception) -> Override:
    return lambda number, usual: reply if number == page else usual


# -- whole listings --------------------------------------------------------------------------------


@pytest.mark.spec("R4.3", "R4.6")
@pytest.mark.parametrize("totals", [True, False])
@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 1234])
def test_a_listing_is_whole_in_as_few_requests_as_it_has_pages(count: int, totals: bool) -> None:
    desk, listing = listing_of(Shelf(count, totals=totals))
    assert ids(listing) == list(range(1, count + 1))
    assert (listing.complete, listing.incomplete_reason) == (True, None)
    # Without a count, a full last page could have lost its link: one request more makes sure.
    probe = 1 if count and count % 100 == 0 and not totals else 0
    assert desk.client.usage.requests == max(1, math.ceil(count / 100)) + probe
    assert listing.total_count == (count if totals else None)
    assert (listing.pages, listing.seen) == (desk.client.usage.requests, count)


def test_a_count_without_links_is_enough() -> None:
    _, listing = listing_of(Shelf(350, links=False))
    assert len(ids(listing)) == 350
    assert listing.complete


@pytest.mark.spec("R7.2")
@pytest.mark.parametrize("page", [1, 3, 5])
def test_links_that_are_lost_hide_no_repository_from_a_listing_that_says_it_is_whole(
    page: int,
) -> None:
    def lose(number: int, usual: Reply) -> Reply:
        headers = {k: v for k, v in usual[1].items() if number != page or k != "Link"}
        return usual[0], headers, usual[2]

    for with_totals in (True, False):
        _, listing = listing_of(Shelf(450, totals=with_totals, override=lose))
        assert len(ids(listing)) == 450 or not listing.complete


def test_pages_come_in_order_with_their_numbers() -> None:
    _, listing = listing_of(Shelf(950))
    assert [page.number for page in listing] == list(range(1, 11))


@pytest.mark.spec("R4.6")
def test_the_look_ahead_is_bounded() -> None:
    shelf = Shelf(3000)
    _, listing = listing_of(shelf, concurrency=3)
    with listing:
        for page in listing:
            assert len(shelf.pages_asked) <= page.number + 2 * 3
    assert len(shelf.threads - {threading.current_thread().name}) <= 3


def test_the_list_may_grow_a_page_while_it_is_read() -> None:
    shelf = Shelf(200, totals=False)

    def grow(number: int, usual: Reply) -> Reply:
        if number != 2:
            return usual
        link = '<https://api.github.com/users/octo/repos?page=3>; rel="next"'
        return usual[0], {**usual[1], "Link": link}, usual[2]

    shelf.override = grow
    desk, listing = listing_of(shelf)
    assert len(ids(listing)) == 200
    assert desk.client.usage.requests == 3
    assert listing.complete


# -- listings that are not whole -------------------------------------------------------------------


def incomplete(shelf: Shelf) -> tuple[list[int], str]:
    _, listing = listing_of(shelf)
    found = ids(listing)
    assert not listing.complete
    assert listing.incomplete_reason is not None
    return found, listing.incomplete_reason


def totals(total: int, *items: Any) -> bytes:
    return orjson.dumps({"total_count": total, "repositories": items})


@pytest.mark.spec("R7.2")
def test_fewer_repositories_than_github_counts_is_not_whole() -> None:
    shelf = Shelf(3, override=on(1, (200, limit_headers(), totals(4, *map(repository, (1, 2, 3))))))
    found, reason = incomplete(shelf)
    assert found == [1, 2, 3]
    assert reason == "GitHub counts 4 repositories, 3 came"


@pytest.mark.spec("R7.2")
def test_a_repository_that_moved_between_pages_comes_once_and_casts_doubt() -> None:
    for with_totals in (True, False):
        shelf = Shelf(200, totals=with_totals)
        shelf.items[100] = repository(100)  # 101 was skipped, 100 came again
        found, _ = incomplete(shelf)
        assert len(found) == len(set(found)) == 199


@pytest.mark.spec("R7.2")
def test_a_count_that_changes_while_reading_casts_doubt() -> None:
    moved = totals(201, *map(repository, range(101, 201)))
    _, reason = incomplete(Shelf(200, override=on(2, (200, limit_headers(), moved))))
    assert "changed from 200 to 201" in reason


@pytest.mark.spec("R7.2")
@pytest.mark.parametrize("with_totals", [True, False])
def test_an_empty_page_in_the_middle_casts_doubt(with_totals: bool) -> None:
    empty: Any = totals(500) if with_totals else []
    shelf = Shelf(500, totals=with_totals, override=on(3, (200, limit_headers(), empty)))
    _, reason = incomplete(shelf)
    assert reason == "page 3 of 5 was empty"


def test_a_page_that_says_too_early_that_it_is_the_last_casts_doubt() -> None:
    part = list(map(repository, range(101, 201)))
    shelf = Shelf(300, totals=False, override=on(2, (200, limit_headers(), part)))
    _, reason = incomplete(shelf)
    assert reason == "page 2 of 3 said that it was the last"


@pytest.mark.spec("P30")
def test_a_bad_record_with_an_id_is_put_aside_and_one_without_casts_doubt() -> None:
    shelf = Shelf(3)
    shelf.items[1] = repository(2, name=None)
    _, listing = listing_of(shelf)
    assert ids(listing) == [1, 3]
    assert listing.complete
    assert [bad.github_id for bad in listing.bad] == [2]
    shelf.items[1] = {"nonsense": True}
    _, reason = incomplete(shelf)
    assert reason == "1 records could not be identified"


def test_a_garbled_count_does_not_lead_through_a_million_pages() -> None:
    shelf = Shelf(150, override=lambda n, usual: (200, limit_headers(), totals(10**9)))
    _, listing = listing_of(shelf)
    assert ids(listing) == []
    assert not listing.complete
    assert len(shelf.pages_asked) <= 12


def test_a_next_link_that_leads_in_circles_ends() -> None:
    link = {"Link": '<https://api.github.com/users/octo/repos?page=2>; rel="next"'}
    shelf = Shelf(1, totals=False, override=lambda n, u: (200, limit_headers() | link, u[2]))
    shelf.items = []
    _, reason = incomplete(shelf)
    assert "was empty" in reason
    assert len(shelf.pages_asked) <= 3


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.spec("R7.2", "R5.6")
@pytest.mark.parametrize(
    "reply",
    [
        (404, limit_headers(), {"message": "Not Found"}),
        (403, limit_headers(), {"message": "This installation has been suspended"}),
        (429, limit_headers(), {"message": "rate limit"}),
        (500, limit_headers(), b""),
        requests.ConnectionError("gone"),
    ],
)
def test_good_pages_come_before_the_error_and_the_listing_is_not_whole(reply: Any) -> None:
    _, listing = listing_of(Shelf(1000, override=on(4, reply)))
    pages, error = read_until_error(listing)
    found = [row.github_id for page in pages for row in page.rows]
    assert set(range(1, 301)) <= set(found)
    assert not set(found) & set(range(301, 401))
    assert found == sorted(found)
    assert not listing.complete
    assert listing.error is error
    assert "page 4 could not be read" in str(listing.incomplete_reason)
    assert list(listing) == []


@pytest.mark.spec("R5.6")
def test_one_page_on_which_github_stumbles_does_not_hide_the_others() -> None:
    _, listing = listing_of(Shelf(3000, override=on(4, (500, limit_headers(), b""))))
    pages, _ = read_until_error(listing)
    assert [page.number for page in pages] == [n for n in range(1, 31) if n != 4]


def test_a_server_that_is_ill_is_left_alone() -> None:
    shelf = Shelf(5000, override=lambda n, usual: (500, limit_headers(), b"") if n > 3 else usual)
    _, listing = listing_of(shelf)
    with pytest.raises(GitHubError):
        list(listing)
    assert max(shelf.pages_asked) <= 3 + 2 + 10


def test_an_error_on_the_first_page_is_raised_at_once() -> None:
    _, listing = listing_of(Shelf(5, override=on(1, (404, {}, {"message": "Not Found"}))))
    with pytest.raises(NotFound):
        next(listing)
    assert not listing.complete


@pytest.mark.spec("R4.2")
def test_a_budget_that_runs_out_midway_stops_the_listing() -> None:
    left = [7]
    lock = threading.Lock()

    def spend(number: int, usual: Reply) -> Reply:
        with lock:
            left[0] -= 1
            return usual[0], {**usual[1], **limit_headers(max(0, left[0]), limit=7)}, usual[2]

    shelf = Shelf(2000, override=spend)
    _, listing = listing_of(shelf)
    with pytest.raises(RateLimited) as caught:
        list(listing)
    assert len(shelf.pages_asked) <= 7
    assert left[0] >= 0
    assert caught.value.until > START


def test_closing_early_stops_everything() -> None:
    shelf = Shelf(5000)
    _, listing = listing_of(shelf)
    next(listing)
    next(listing)
    listing.close()
    asked = len(shelf.pages_asked)
    assert asked <= 2 + 10
    assert list(listing) == []
    assert len(shelf.pages_asked) == asked
    assert listing.incomplete_reason == "it was not read to its end"
    assert not any(t.name.startswith("github") for t in threading.enumerate())


def test_closing_before_the_first_page_sends_nothing() -> None:
    desk, listing = listing_of(Shelf(5))
    listing.close()
    assert desk.github.sent == []
    assert not listing.complete


# -- credentials and storage -----------------------------------------------------------------------


class Issuer:
    def __init__(self) -> None:
        self.made = 0

    def create_installation_token(self, installation_id: int) -> Credential:
        self.made += 1
        return Credential.of(f"ghs_{self.made}", START + timedelta(hours=1))


class OneThread:
    """Fails when a store is touched from another thread than the one that made it."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def check(self) -> None:
        assert threading.get_ident() == self._thread


class OneThreadTokens(MemoryTokenStore):
    def __init__(self) -> None:
        super().__init__()
        self._owner = OneThread()

    def load(self, installation_id: int, /) -> Credential | None:
        self._owner.check()
        return super().load(installation_id)

    def save(self, installation_id: int, credential: Credential, /) -> None:
        self._owner.check()
        super().save(installation_id, credential)


class OneThreadEtags(MemoryEtagStore):
    def __init__(self) -> None:
        super().__init__()
        self._owner = OneThread()

    def get(self, url_key: str, /) -> StoredPage | None:
        self._owner.check()
        return super().get(url_key)

    def put(self, url_key: str, page: StoredPage, /) -> None:
        self._owner.check()
        super().put(url_key, page)


@pytest.mark.spec("R4.1")
def test_a_token_that_ends_midway_is_renewed_and_only_our_thread_touches_storage() -> None:
    issuer, tokens = Issuer(), OneThreadTokens()
    shelf = Shelf(2000)

    def handler(request: requests.PreparedRequest) -> Reply | Exception:
        old = request.headers["Authorization"] == "Bearer ghs_1"
        if old and len(shelf.pages_asked) > 5:
            return 401, limit_headers(), {"message": "Bad credentials"}
        return shelf(request)

    desk = Desk(
        handler, auth=InstallationAuth(issuer, 5, tokens, FakeClock()), etags=OneThreadEtags()
    )
    listing = desk.client.list_repositories(RepositorySource.installation())
    assert ids(listing) == list(range(1, 2001))
    assert listing.complete
    assert issuer.made == 2


def test_a_token_that_cannot_be_renewed_ends_the_listing() -> None:
    _, listing = listing_of(Shelf(500, override=on(3, (401, {}, {"message": "Bad credentials"}))))
    with pytest.raises(AuthenticationFailed):
        list(listing)
    assert not listing.complete


# -- conditional requests --------------------------------------------------------------------------


@pytest.mark.spec("R4.3", "R5.5")
@pytest.mark.parametrize("with_totals", [True, False])
def test_an_unchanged_list_costs_304s_and_no_writes(with_totals: bool) -> None:
    shelf, etags = Shelf(450, totals=with_totals), MemoryEtagStore()
    _, first = listing_of(shelf, etags=etags)
    before = list(first)
    puts = etags.puts
    desk, second = listing_of(shelf, etags=etags)
    after = list(second)
    assert [page.rows for page in after] == [page.rows for page in before]
    assert all(page.not_modified for page in after)
    assert not any(page.not_modified for page in before)
    assert desk.client.usage.not_modified == desk.client.usage.requests == 5
    assert etags.puts == puts
    assert second.complete


@pytest.mark.spec("R4.3")
def test_only_pages_that_changed_are_read_and_stored_again() -> None:
    shelf, etags = Shelf(450), MemoryEtagStore()
    list(listing_of(shelf, etags=etags)[1])
    puts = etags.puts
    shelf.items[250] = repository(251, description="new")
    pages = list(listing_of(shelf, etags=etags)[1])
    assert [page.not_modified for page in pages] == [True, True, False, True, True]
    assert pages[2].rows[50].description == "new"
    assert etags.puts == puts + 1


@pytest.mark.spec("R4.3")
def test_pages_read_with_another_token_are_not_asked_for_conditionally() -> None:
    shelf, etags = Shelf(150), MemoryEtagStore()
    list(listing_of(shelf, etags=etags)[1])
    desk, listing = listing_of(shelf, etags=etags, auth=TokenAuth("ghp_other"))
    list(listing)
    assert not any("If-None-Match" in request.headers for request in desk.github.sent)
    assert desk.client.usage.not_modified == 0


@pytest.mark.spec("R4.3")
@pytest.mark.parametrize("spoil", [{"version": 0}, {"rows": b"damaged"}, {"etag": ""}])
def test_stored_pages_that_cannot_be_used_are_fetched_anew(spoil: dict[str, Any]) -> None:
    shelf, etags = Shelf(150), MemoryEtagStore()
    list(listing_of(shelf, etags=etags)[1])
    for key, page in etags.pages.items():
        fields = {name: getattr(page, name) for name in StoredPage.__slots__}
        etags.pages[key] = StoredPage(**(fields | spoil))
    desk, listing = listing_of(shelf, etags=etags)
    assert len(ids(listing)) == 150
    assert desk.client.usage.not_modified == 0


def test_pages_without_an_etag_are_not_stored() -> None:
    def bare(number: int, usual: Reply) -> Reply:
        return usual[0], {k: v for k, v in usual[1].items() if k != "ETag"}, usual[2]

    desk, listing = listing_of(Shelf(150, override=bare))
    list(listing)
    assert desk.etags.puts == 0
