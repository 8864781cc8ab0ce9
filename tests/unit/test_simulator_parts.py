"""The simulator's pure parts: pages, limits, faults, tokens, history, and a lively day."""

import json
from pathlib import Path
from random import Random
from typing import Any

import jwt
import pytest

from syncsvc.simulator import Fault, World
from syncsvc.simulator.activity import stir
from syncsvc.simulator.auth import Keys, Principal, process_key
from syncsvc.simulator.faults import Faults, applied, in_place
from syncsvc.simulator.history import History, HistoryError
from syncsvc.simulator.limits import Limits
from syncsvc.simulator.messages import Answer, Refusal, Request, encode
from syncsvc.simulator.paging import Page, link_header, page_of

ORG = "octo-simulated"
NOW = 2_000_000_000.0


def request(path: str = "/", query: str = "", method: str = "GET", **headers: str) -> Request:
    return Request(method, path, query, headers, b"")


# Pages


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ({}, Page(1, 30)),
        ({"per_page": "100", "page": "3"}, Page(3, 100)),
        ({"per_page": "101"}, Page(1, 100)),
        ({"per_page": "0", "page": "-1"}, Page(1, 30)),
        ({"per_page": "many", "page": "²"}, Page(1, 30)),
    ],
)
def test_nonsense_in_paging_means_the_default(query: dict[str, str], page: Page) -> None:
    assert page_of(query) == page


@pytest.mark.parametrize(
    ("number", "relations"),
    [
        (1, ["next", "last"]),
        (2, ["prev", "next", "last", "first"]),
        (3, ["prev", "first"]),
        (9, ["prev", "first"]),
    ],
)
def test_link_headers_name_what_github_names_on_that_page(
    number: int, relations: list[str]
) -> None:
    link = link_header(request(query="per_page=10&page=2"), "http://x/y", Page(number, 10), 25)
    found = [part.split('rel="')[1].rstrip('"') for part in link["link"].split(", ")]
    assert found == relations


def test_link_headers_keep_the_query_in_its_order() -> None:
    link = link_header(request(query="sort=updated&per_page=1"), "http://x/y", Page(1, 1), 2)
    assert link["link"].startswith('<http://x/y?sort=updated&per_page=1&page=2>; rel="next"')
    assert link_header(request(), "http://x/y", Page(1, 30), 30) == {}


# Limits


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> Limits:
    people = {"ghp_x": Principal("user", 9, "ghp_x")}
    return Limits(clock, {1: 10, 2: 100, 3: 1000}.__getitem__, people.get)


@pytest.mark.parametrize(("installation", "limit"), [(1, 5000), (2, 9000), (3, 12500)])
def test_an_installation_may_ask_more_the_more_repositories_it_has(
    limits: Limits, installation: int, limit: int
) -> None:
    assert limits.get(installation).limit == limit


def test_an_exhausted_budget_refuses_and_counts_until_its_reset(
    limits: Limits, clock: Clock
) -> None:
    limits.set(1, remaining=1, reset_in=60)
    who = Principal("installation", 1)
    assert limits.check(who, "core") is None
    limits.charge(who, "core")
    refusal = limits.check(who, "core")
    assert refusal is not None
    assert refusal.status == 403
    assert refusal.content["message"].startswith("API rate limit exceeded for installation ID 1.")
    assert limits.requests_while_exhausted == 1
    assert limits.check(who, "graphql") is None
    clock.now += 60
    assert limits.check(who, "core") is None
    assert limits.get(1).remaining == 5000


def test_a_set_limit_outlives_its_window(limits: Limits, clock: Clock) -> None:
    limits.set("ghp_x", limit=10)
    clock.now += 4000
    assert limits.get("ghp_x").limit == 10


@pytest.mark.parametrize("retry_after", [True, False])
def test_a_secondary_limit_ends_by_itself(limits: Limits, clock: Clock, retry_after: bool) -> None:
    limits.secondary("ghp_x", seconds=30, retry_after=retry_after, status=429)
    refusal = limits.check(Principal("user", 9), "core")
    assert refusal is not None
    assert refusal.status == 429
    assert refusal.headers == ({"retry-after": "30"} if retry_after else {})
    assert "secondary rate limit" in refusal.content["message"]
    clock.now += 31
    assert limits.check(Principal("user", 9), "core") is None


def test_limits_refuse_what_makes_no_sense(limits: Limits) -> None:
    with pytest.raises(ValueError, match="no such token"):
        limits.set("unknown", limit=1)
    with pytest.raises(ValueError, match="resource"):
        limits.set(1, resource="coffee")
    with pytest.raises(ValueError, match="negative"):
        limits.set(1, remaining=-1)


# Faults


def test_a_fault_waits_for_its_request_and_spends_itself() -> None:
    faults = Faults()
    faults.add(Fault(kind="status", path_regex=r"page=2", method="GET", after=1, times=2))
    asked = [request("/x", "page=1"), *[request("/x", "page=2")] * 4]
    assert [faults.take(r) is not None for r in asked] == [False, False, True, True, False]
    assert faults.pending() == []
    assert faults.take(request("/x", "page=2", method="POST")) is None


def test_a_fault_that_cannot_work_is_refused() -> None:
    wrongs: list[dict[str, Any]] = [
        {"kind": "earthquake"},
        {"kind": "status", "path_regex": "("},
        {"kind": "drift"},
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=r"\.$"):
            Fault(**wrong)


def page() -> Answer:
    items = [{"id": n, "name": f"r{n}"} for n in range(3)]
    body = encode({"total_count": 9, "repositories": items})
    return Answer(body=body, headers={"link": '<x>; rel="next"'})


def spoil(**fault: Any) -> Answer:
    return applied(Fault(**fault), page(), lambda name, arguments: None).answer


def test_listings_can_end_early_in_several_ways() -> None:
    assert "link" not in spoil(kind="truncated").headers
    assert json.loads(spoil(kind="empty_page").body) == {"total_count": 9, "repositories": []}
    with pytest.raises(ValueError):
        json.loads(spoil(kind="malformed").body)


def test_one_record_of_a_page_can_be_bad() -> None:
    records = json.loads(spoil(kind="bad_record", record=1).body)["repositories"]
    assert "id" not in records[1]
    assert records[0] == {"id": 0, "name": "r0"}
    records = json.loads(spoil(kind="bad_record", damage={"id": "x"}).body)["repositories"]
    assert records[0] == {"id": "x", "name": "r0"}


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451, 500, 502, 503])
def test_any_status_can_be_had_as_json_or_as_html(status: int) -> None:
    answer = in_place(Fault(kind="status", status=status, retry_after=7)).answer
    assert answer.status == status
    assert answer.headers["retry-after"] == "7"
    assert json.loads(answer.body)["status"] == str(status)
    page_of_apology = in_place(Fault(kind="status", status=status, html=True)).answer
    assert page_of_apology.body.startswith(b"<!DOCTYPE html>")
    assert page_of_apology.headers["content-type"].startswith("text/html")


# Tokens


@pytest.fixture
def world() -> World:
    return World.generate(repositories=10)


@pytest.fixture
def keys(world: World) -> Keys:
    return Keys(world, process_key(), token_seconds=3600)


def app_token(world: World, **claims: Any) -> str:
    good = {"iat": NOW - 60, "exp": NOW + 540, "iss": str(world.app.id)}
    kept = {k: v for k, v in (good | claims).items() if v is not None}
    return "Bearer " + jwt.encode(kept, process_key(), algorithm="RS256")


@pytest.mark.spec("R2.1")
def test_an_app_is_known_by_its_id_or_its_client_id(world: World, keys: Keys) -> None:
    for issuer in (str(world.app.id), world.app.client_id):
        assert keys.identify(app_token(world, iss=issuer), NOW).kind == "app"


@pytest.mark.parametrize(
    ("claims", "status", "words"),
    [
        ({"exp": NOW - 1}, 401, "'Expiration time' claim ('exp') must be a numeric value"),
        ({"exp": None}, 401, "'Expiration time' claim ('exp') must be a numeric value"),
        ({"exp": NOW + 700}, 401, "too far in the future"),
        ({"iat": NOW + 60}, 401, "'Issued at' claim ('iat')"),
        ({"iat": None}, 401, "'Issued at' claim ('iat')"),
        ({"iss": None}, 401, "issuer"),
        ({"iss": "999999"}, 404, "Integration not found"),
    ],
)
def test_wrong_claims_are_refused_in_githubs_words(
    world: World, keys: Keys, claims: dict[str, Any], status: int, words: str
) -> None:
    with pytest.raises(Refusal) as refused:
        keys.identify(app_token(world, **claims), NOW)
    assert refused.value.status == status
    assert words in refused.value.content["message"]


def test_another_key_or_another_algorithm_is_refused(world: World, keys: Keys) -> None:
    forged = jwt.encode({"iss": "1"}, "x" * 32, algorithm="HS256")
    for token in (forged, app_token(world).removeprefix("Bearer ")[:-8] + "AAAAAAAA", "ey.x.y"):
        with pytest.raises(Refusal, match="could not be decoded"):
            keys.identify(f"Bearer {token}", NOW)


def test_an_installation_token_ends_with_its_hour_its_suspension_or_its_app(
    world: World, keys: Keys
) -> None:
    installation = world.installation(ORG)
    issued = keys.issue(installation, NOW, permissions={})
    header = f"token {issued.token}"
    assert keys.identify(header, NOW + 3599).id == installation.id
    with pytest.raises(Refusal, match="Bad credentials"):
        keys.identify(header, NOW + 3600)
    world.suspend(ORG)
    with pytest.raises(Refusal, match="This installation has been suspended"):
        keys.identify(header, NOW)
    world.uninstall(ORG)
    with pytest.raises(Refusal, match="Bad credentials"):
        keys.identify(header, NOW)


def test_tokens_may_be_of_any_length(world: World) -> None:
    keys = Keys(world, process_key(), token_seconds=3600, long_tokens=True)
    token = keys.issue(world.installation(ORG), NOW, permissions={}).token
    assert token.startswith(f"ghs_{world.app.id}_")
    assert len(token) > 300
    assert keys.identify(f"Bearer {token}", NOW).kind == "installation"


def test_no_token_is_issued_again_after_a_restart(world: World, keys: Keys) -> None:
    old = keys.issue(world.installation(ORG), NOW, permissions={}).token
    restarted = Keys(world, process_key(), token_seconds=3600)
    assert restarted.issue(world.installation(ORG), NOW, permissions={}).token != old
    assert restarted.owner_of(old) is None


def test_a_users_token_is_the_same_each_time_until_it_is_revoked(world: World, keys: Keys) -> None:
    token = keys.personal_token(world.actor())
    assert keys.personal_token(world.actor()) == token
    assert keys.identify(f"Bearer {token}", NOW) == Principal("user", world.actor().id, token)
    keys.revoke(token)
    for header in (f"Bearer {token}", "Basic eDp5", "Bearer "):
        with pytest.raises(Refusal, match="Bad credentials"):
            keys.identify(header, NOW)


# History and activity


def test_a_history_brings_a_new_world_to_where_the_old_one_was(tmp_path: Path) -> None:
    path = tmp_path / "history"
    world = World.generate(repositories=20)
    with History(path, world, seed=1, repos=20):
        world.follow(lambda: 1_900_000_000.0)
        random = Random(5)
        for _ in range(200):
            stir(world, random)
        world.reinstall(ORG)
        world.set_app_hook("http://127.0.0.1:1/", "secret")
    path.write_text(path.read_text() + '[1900000001, "dele')
    again = World.generate(repositories=20)
    with History(path, again, seed=1, repos=20):
        assert again.truth() == world.truth()
        for facts in world.truth_of(ORG):
            number = facts["github_id"]
            assert again.truth_content(number) == world.truth_content(number)
        again.create(ORG, "after-the-restart")
    third = World.generate(repositories=20)
    with History(path, third, seed=1, repos=20):
        assert third.truth() == again.truth()
    assert "secret" not in path.read_text()


@pytest.mark.parametrize(
    "content", ["what is this?\n", '{"world": {"repos": 20, "seed": 1}}\n[1, "explode", {}]\n']
)
def test_a_history_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "history"
    path.write_text(content)
    with pytest.raises(HistoryError, match="remove it"):
        History(path, World.generate(repositories=20), seed=1, repos=20)
    assert path.read_text() == content


def test_a_lively_world_stays_populated() -> None:
    world, random = World.generate(repositories=6), Random(1)
    told = [stir(world, random) for _ in range(500)]
    assert all(sentence.endswith(".") for sentence in told)
    assert min(len(found) for found in world.truth().values()) > 0
    assert len(set(told)) > 100
    for installation in list(world.installations):
        world.uninstall(installation)
    assert stir(world, random) == "Nobody has the App: nothing happened."
