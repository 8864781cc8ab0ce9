"""The simulator over HTTP: who may see what, limits, conditional requests, faults, the log."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
import requests

from syncsvc.simulator import Fault, Simulator, World

ORG = "octo-simulated"
LISTING = "/installation/repositories?per_page=10"


class Asker:
    """A session that names its token."""

    def __init__(self, sim: Simulator, token: str) -> None:
        self.sim, self.token = sim, token
        self.session = requests.Session()

    def __call__(self, path: str, method: str = "GET", **headers: str) -> requests.Response:
        url = path if path.startswith("http") else self.sim.url + path
        return self.session.request(
            method,
            url,
            headers={"authorization": f"Bearer {self.token}", **headers},
            allow_redirects=False,
            timeout=10,
        )


Asking = Callable[[str], Asker]


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(World.generate(repositories=45)) as running:
        yield running


@pytest.fixture
def asking(sim: Simulator) -> Iterator[Asking]:
    askers: list[Asker] = []

    def make(token: str) -> Asker:
        askers.append(Asker(sim, token))
        return askers[-1]

    yield make
    for asker in askers:
        asker.session.close()


@pytest.fixture
def ask(sim: Simulator, asking: Asking) -> Asker:
    return asking(sim.installation_token(ORG))


def app_token(sim: Simulator) -> str:
    now = int(sim.now())
    claims = {"iat": now - 60, "exp": now + 540, "iss": str(sim.app_id)}
    return jwt.encode(claims, sim.private_key_pem, algorithm="RS256")


def ids(answer: requests.Response) -> list[int]:
    body = answer.json()
    return [r["id"] for r in (body["repositories"] if isinstance(body, dict) else body)]


# Who may see what


@pytest.mark.spec("R2.1")
def test_an_app_trades_its_token_for_one_of_an_installation(sim: Simulator, asking: Asking) -> None:
    installations = asking(app_token(sim))("/app/installations").json()
    assert [i["account"]["login"] for i in installations] == [ORG, sim.token_owner]
    issued = asking(app_token(sim))(
        f"/app/installations/{installations[0]['id']}/access_tokens", "POST"
    )
    listed = asking(issued.json()["token"])(LISTING)
    assert listed.json()["total_count"] == 45


def test_a_listing_holds_the_truth_page_by_page(sim: Simulator, ask: Asker) -> None:
    found, url = [], LISTING
    while url:
        answer = ask(url)
        found += answer.json()["repositories"]
        url = answer.links.get("next", {}).get("url", "")
    truth = sim.world.truth_of(ORG)
    assert [r["id"] for r in found] == [t["github_id"] for t in truth]
    for shown, true in zip(found, truth, strict=True):
        assert shown["node_id"] == true["node_id"]
        assert shown["full_name"] == true["full_name"]
        assert shown["owner"]["id"] == true["owner_id"]
        assert shown["visibility"] == true["visibility"]
        assert shown["topics"] == true["topics"]
        assert shown["stargazers_count"] == true["stars"]
        assert (shown["license"] or {}).get("spdx_id") == true["license"]
        assert shown["updated_at"] == true["github_updated_at"]
        assert shown["pushed_at"] == true["pushed_at"]


@pytest.mark.spec("R2.3")
def test_tokens_end_with_suspension_uninstallation_and_time(
    sim: Simulator, ask: Asker, asking: Asking
) -> None:
    sim.world.suspend(ORG)
    refused = ask(LISTING)
    assert refused.status_code == 403
    assert refused.json()["message"] == "This installation has been suspended"
    sim.world.unsuspend(ORG)
    assert ask(LISTING).status_code == 200
    sim.advance(3600)
    assert ask(LISTING).status_code == 401
    assert ask(LISTING).json()["message"] == "Bad credentials"
    gone = sim.world.uninstall(ORG)
    path = f"/app/installations/{gone.id}/access_tokens"
    assert asking(app_token(sim))(path, "POST").status_code == 404


def test_private_repositories_are_hidden_from_strangers(sim: Simulator, asking: Asking) -> None:
    sim.world.create_account("stranger", "User")
    private = next(t for t in sim.world.truth_of(ORG) if t["visibility"] == "private")
    public = [t["github_id"] for t in sim.world.truth_of(ORG) if t["visibility"] == "public"]
    stranger, owner = asking(sim.token_for("stranger")), asking(sim.token)
    path = f"/repos/{private['full_name']}"
    assert (owner(path).status_code, stranger(path).status_code) == (200, 404)
    listing = f"/orgs/{ORG}/repos?per_page=100&sort=created&direction=asc"
    assert ids(stranger(listing)) == public
    assert len(ids(owner(listing))) == 45
    assert ids(stranger("/user/repos")) == []
    assert len(ids(owner("/user/repos?per_page=100"))) == 45 + 8
    assert len(ids(owner("/user/repos?per_page=100&affiliation=owner"))) == 8


def test_an_installation_sees_its_selection_and_public_things_only(
    sim: Simulator, ask: Asker
) -> None:
    truth = sim.world.truth_of(ORG)
    private = [t["full_name"] for t in truth if t["visibility"] == "private"]
    sim.world.select_repositories(ORG, private[:1])
    assert ask(LISTING).json()["total_count"] == 1
    assert ask(f"/repos/{private[0]}").status_code == 200
    assert ask(f"/repos/{private[1]}").status_code == 404
    public = next(t["full_name"] for t in truth if t["visibility"] == "public")
    assert ask(f"/repos/{public}").status_code == 200


def test_each_door_wants_its_own_key(sim: Simulator, ask: Asker, asking: Asking) -> None:
    user, app = asking(sim.token), asking(app_token(sim))
    assert ask("/app").status_code == 401
    assert user(LISTING).status_code == 403
    assert app(LISTING).status_code == 403
    assert ask("/user").status_code == 403
    assert app("/user").status_code == 401
    assert requests.get(sim.url + "/user", timeout=5).status_code == 401


def test_a_limited_token_lists_what_it_was_limited_to(sim: Simulator, asking: Asking) -> None:
    wanted = sim.world.truth_of(ORG)[3]
    url = f"{sim.url}/app/installations/{sim.world.installation(ORG).id}/access_tokens"
    header = {"authorization": f"Bearer {app_token(sim)}"}
    body = {"repositories": [wanted["name"]], "permissions": {"metadata": "read"}}
    issued = requests.post(url, json=body, headers=header, timeout=5).json()
    assert issued["permissions"] == {"metadata": "read"}
    assert ids(asking(issued["token"])(LISTING)) == [wanted["github_id"]]
    too_much = {"permissions": {"contents": "write"}}
    assert requests.post(url, json=too_much, headers=header, timeout=5).status_code == 422
    assert requests.post(url, data="{", headers=header, timeout=5).status_code == 400


# Single repositories


@pytest.mark.spec("R4.5")
def test_an_old_name_redirects_to_the_id(sim: Simulator, ask: Asker) -> None:
    old = sim.world.truth_of(ORG)[0]["full_name"]
    repository = sim.world.rename(old, "renamed")
    moved = ask(f"/repos/{old}")
    assert moved.status_code == 301
    assert moved.headers["location"] == f"{sim.url}/repositories/{repository.id}"
    assert ask(moved.headers["location"]).json()["name"] == "renamed"
    deeper = ask(f"/repos/{old}/issues?state=all")
    assert deeper.headers["location"].endswith(f"/repositories/{repository.id}/issues?state=all")
    assert ask(f"/repos/{old}", "PATCH").status_code == 307
    sim.world.create(ORG, old.split("/")[1])
    assert ask(f"/repos/{old}").status_code == 200


def test_a_blocked_repository_is_listed_and_cannot_be_read(sim: Simulator, ask: Asker) -> None:
    first, second = (t["full_name"] for t in sim.world.truth_of(ORG)[:2])
    sim.world.block(first)
    sim.world.block(second, "tos")
    assert ask(f"/repos/{first}").status_code == 451
    assert ask(f"/repos/{second}").status_code == 403
    assert ask(f"/repos/{first}").json()["block"]["reason"] == "dmca"
    assert ask(LISTING).json()["total_count"] == 45


# What every answer has


def test_every_answer_carries_the_limits_and_an_id(sim: Simulator, ask: Asker) -> None:
    for path in (LISTING, "/nowhere", "/user"):
        headers = ask(path).headers
        assert int(headers["x-ratelimit-limit"]) == 5000 + 50 * 25
        assert headers["x-ratelimit-resource"] == "core"
        assert headers["x-github-request-id"]
        assert headers["x-github-api-version-selected"] == "2022-11-28"
    budget = ask("/rate_limit").json()["resources"]["core"]
    assert budget["used"] == 3
    assert budget["limit"] - budget["used"] == budget["remaining"]


def test_what_is_not_there_is_refused_in_githubs_words(sim: Simulator, ask: Asker) -> None:
    answer = ask("/nowhere")
    assert answer.status_code == 404
    assert answer.json()["message"] == "Not Found"
    assert answer.json()["status"] == "404"
    head = ask("/nowhere", "HEAD")
    assert (head.status_code, head.content) == (404, b"")
    assert ask(LISTING, "HEAD").headers["content-length"] != "0"


def test_versions_and_user_agents_are_looked_at(sim: Simulator, ask: Asker) -> None:
    assert ask(LISTING, **{"x-github-api-version": "2021-01-01"}).status_code == 410
    assert ask(LISTING, **{"x-github-api-version": "1999-12-31"}).status_code == 400
    newer = ask(LISTING, **{"x-github-api-version": "2026-03-10"})
    assert newer.headers["x-github-api-version-selected"] == "2026-03-10"
    assert ask(LISTING, **{"user-agent": ""}).status_code == 403


# Conditional requests


@pytest.mark.spec("R4.3")
def test_an_unchanged_page_is_free_and_belongs_to_its_token(
    sim: Simulator, ask: Asker, asking: Asking
) -> None:
    tag = ask(LISTING).headers["etag"]
    used = ask("/rate_limit").json()["rate"]["used"]
    again = ask(LISTING, **{"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert ask("/rate_limit").json()["rate"]["used"] == used
    renewed = asking(sim.installation_token(ORG))
    assert renewed(LISTING, **{"if-none-match": tag}).status_code == 200
    assert ask(LISTING + "&page=2", **{"if-none-match": tag}).status_code == 200
    sim.world.edit(ids(ask(LISTING))[0], stars=12345)
    assert ask(LISTING, **{"if-none-match": tag}).status_code == 200


def test_a_single_repository_says_when_it_was_modified(sim: Simulator, ask: Asker) -> None:
    path = f"/repos/{sim.world.truth_of(ORG)[0]['full_name']}"
    modified = ask(path).headers["last-modified"]
    assert ask(path, **{"if-modified-since": modified}).status_code == 304
    sim.world.push(sim.world.truth_of(ORG)[0]["github_id"])
    assert ask(path, **{"if-modified-since": modified}).status_code == 200
    assert ask(path, **{"if-modified-since": "yesterday"}).status_code == 200


# Limits


@pytest.mark.spec("R4.2")
def test_an_exhausted_installation_is_refused_until_the_reset(sim: Simulator, ask: Asker) -> None:
    installation = sim.world.installation(ORG).id
    sim.limits.set(installation, remaining=1, reset_in=100)
    assert ask(LISTING).headers["x-ratelimit-remaining"] == "0"
    refused = ask(LISTING)
    assert refused.status_code == 403
    assert refused.json()["message"].startswith("API rate limit exceeded for installation ID")
    assert sim.requests_while_exhausted == 1
    sim.limits.exhausted_status = 429
    assert ask(LISTING).status_code == 429
    assert ask("/rate_limit").status_code == 200
    sim.advance(101)
    assert ask(LISTING).status_code == 200
    assert sim.requests_while_exhausted == 2


def test_tokens_of_one_user_share_one_budget(sim: Simulator, asking: Asking) -> None:
    asking(sim.token)("/user")
    assert sim.limits.get(sim.token).used == 1
    assert sim.limits.get(sim.world.installation(ORG).id).used == 0
    assert requests.get(sim.url + "/meta", timeout=5).headers["x-ratelimit-limit"] == "60"


def test_a_secondary_limit_may_come_with_or_without_retry_after(sim: Simulator, ask: Asker) -> None:
    sim.faults.add(
        Fault(kind="secondary_limit", retry_after=60), Fault(kind="secondary_limit", status=429)
    )
    first, second = ask(LISTING), ask(LISTING)
    assert (first.status_code, first.headers["retry-after"]) == (403, "60")
    assert (second.status_code, "retry-after" in second.headers) == (429, False)
    assert "secondary rate limit" in second.json()["message"]


# Faults


def test_a_connection_can_be_reset_before_or_amid_an_answer(sim: Simulator, ask: Asker) -> None:
    sim.faults.add(Fault(kind="reset"), Fault(kind="reset_midway"))
    with pytest.raises(requests.ConnectionError):
        ask(LISTING)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        ask(LISTING)
    assert ask(LISTING).status_code == 200
    assert [e.status for e in sim.log] == [0, 200, 200]


def test_a_silent_server_lets_the_client_time_out(sim: Simulator, ask: Asker) -> None:
    sim.faults.add(Fault(kind="hang"))
    with pytest.raises(requests.Timeout):
        ask.session.get(sim.url + LISTING, timeout=0.05)


def test_a_slow_answer_arrives_in_the_end(sim: Simulator, ask: Asker) -> None:
    sim.faults.add(Fault(kind="slow", seconds=0.05))
    began = time.monotonic()
    assert ask(LISTING).status_code == 200
    assert time.monotonic() - began >= 0.05


def test_pages_drift_while_they_are_read(sim: Simulator, ask: Asker) -> None:
    first = sim.world.truth_of(ORG)[0]["github_id"]
    sim.faults.add(
        Fault(kind="drift", path_regex="per_page=10$", change="delete", arguments={"repo": first}),
        Fault(kind="drift", path_regex="page=2", change=lambda: sim.world.create(ORG, "late")),
    )
    before = [t["github_id"] for t in sim.world.truth_of(ORG)]
    one, two = ask(LISTING), ask(LISTING + "&page=2")
    assert ids(one) == before[:10]
    assert ids(two) == before[11:21]
    assert one.json()["total_count"] == 45
    assert two.json()["total_count"] == 44
    assert ask(LISTING + "&page=3").json()["total_count"] == 45


@pytest.mark.spec("R7.1")
def test_a_truncated_listing_says_so_by_its_count_only(sim: Simulator, ask: Asker) -> None:
    sim.faults.add(Fault(kind="truncated", path_regex="page=2"))
    page = ask(LISTING + "&page=2")
    assert "next" not in page.links
    assert page.json()["total_count"] == 45


def test_one_unauthorized_answer_is_followed_by_good_ones(sim: Simulator, ask: Asker) -> None:
    sim.faults.add(Fault(kind="status", status=401))
    assert [ask(LISTING).status_code for _ in range(2)] == [401, 200]


# The log, the server, the clock


def test_the_log_knows_what_was_asked_and_no_secret(sim: Simulator, ask: Asker) -> None:
    ask(LISTING, **{"if-none-match": 'W/"x"', "x-github-api-version": "2022-11-28"})
    (exchange,) = sim.requests("/installation")
    assert (exchange.method, exchange.path, exchange.query) == (
        "GET",
        "/installation/repositories",
        "per_page=10",
    )
    assert exchange.url == LISTING
    assert exchange.headers["if-none-match"] == 'W/"x"'
    assert exchange.bytes_sent > 10_000
    assert ask.token not in repr(sim.log)
    sim.reset_log()
    assert sim.log == []


def test_many_clients_are_served_at_once(sim: Simulator, asking: Asking) -> None:
    token = sim.installation_token(ORG)
    totals: list[int] = []

    def read(asker: Asker) -> None:
        totals.extend(asker(LISTING).json()["total_count"] for _ in range(20))

    threads = [threading.Thread(target=read, args=(asking(token),)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals == [45] * 100
    assert len(sim.log) == 100


def test_stopping_ends_kept_and_hanging_connections() -> None:
    before = set(threading.enumerate())
    sim = Simulator(World.generate(repositories=3)).start()
    sim.faults.add(Fault(kind="hang", path_regex="/meta"))
    with socket.create_connection(("127.0.0.1", sim.port)) as hanging, requests.Session() as kept:
        hanging.sendall(b"GET /meta HTTP/1.1\r\nhost: x\r\nuser-agent: x\r\n\r\n")
        kept.get(sim.url + "/rate_limit", timeout=5)
        deadline = time.monotonic() + 5
        while len(sim.log) < 2 and time.monotonic() < deadline:
            pass
        sim.stop()
        assert hanging.recv(1) == b""
    assert set(threading.enumerate()) <= before
    with pytest.raises(requests.ConnectionError):
        requests.get(sim.url, timeout=1)


def test_a_taken_port_is_an_error_at_once(sim: Simulator) -> None:
    with pytest.raises(OSError, match="in use"):
        Simulator(World.generate(repositories=1), port=sim.port)


def test_what_is_no_http_is_dropped(sim: Simulator) -> None:
    for noise in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", sim.port)) as connection:
            connection.sendall(noise)
            assert connection.recv(1) == b""


@pytest.mark.spec("R2.2")
def test_an_enterprise_server_has_its_api_under_a_prefix() -> None:
    with Simulator(World.generate(repositories=3), prefix="/api/v3") as sim:
        header = {"authorization": f"Bearer {sim.token}"}
        found = requests.get(sim.url + "/user", headers=header, timeout=5)
        assert found.json()["url"].startswith(sim.root_url + "/api/v3/users/")
        assert requests.get(sim.root_url + "/user", headers=header, timeout=5).status_code == 404


# Remote control


def control(sim: Simulator, method: str, name: str, body: Any = None) -> requests.Response:
    return requests.request(method, f"{sim.root_url}/_simulator/{name}", json=body, timeout=5)


def test_another_process_can_look_and_change(sim: Simulator, ask: Asker) -> None:
    state = control(sim, "GET", "state").json()
    assert state["url"] == sim.url
    assert state["installations"][0]["repositories"] == 45
    made = control(
        sim, "POST", "mutate", {"name": "create", "args": {"owner": ORG, "name": "remote"}}
    )
    assert sim.world.repository(made.json()["id"]).name == "remote"
    truth = control(sim, "GET", f"truth?installation={ORG}").json()
    assert truth == {str(k): v for k, v in sim.world.truth(ORG).items()}
    assert control(sim, "GET", f"truth?owner={ORG}").json() == sim.world.truth_of(ORG)
    control(sim, "POST", "faults", {"kind": "status", "status": 503})
    assert ask(LISTING).status_code == 503
    installation = sim.world.installation(ORG).id
    control(sim, "POST", "limits", {"owner": installation, "remaining": 0})
    assert ask(LISTING).status_code == 403
    control(sim, "POST", "clock", {"advance": 3600})
    assert ask(LISTING).status_code == 401
    assert control(sim, "POST", "webhooks", {"loss": 0.5}).json()["loss"] == 0.5
    assert control(sim, "GET", "counters").json()["requests_while_exhausted"] == 1
    assert [e["status"] for e in control(sim, "GET", "log?path=/inst").json()] == [503, 403, 401]
    control(sim, "DELETE", "log")
    assert control(sim, "GET", "log").json() == []


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("mutate", {"name": "explode", "args": {}}),
        ("mutate", {"name": "__init__", "args": {}}),
        ("mutate", {"name": "rename", "args": {"repo": "octo-simulated/none", "name": "x"}}),
        ("mutate", {"name": "rename", "args": {"repository": 1}}),
        ("mutate", ["rename"]),
        ("faults", {"kind": "status", "colour": "red"}),
        ("faults", {"kind": "nothing"}),
        ("limits", {"remaining": 1}),
        ("limits", {"owner": 1, "remaining": -1}),
        ("clock", {"advance": -5}),
        ("webhooks", {"hail": 1}),
    ],
)
def test_remote_mistakes_are_answered_with_a_sentence(sim: Simulator, name: str, body: Any) -> None:
    answer = control(sim, "POST", name, body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_an_unknown_door_names_the_known_ones(sim: Simulator) -> None:
    answer = control(sim, "GET", "mutate")
    assert answer.status_code == 404
    assert "POST /_simulator/mutate" in answer.json()["error"]
