"""Webhooks of the simulator: signed, logged, lost and doubled on command, never sent again alone."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
import pytest
import requests

from syncsvc.simulator import Simulator, Weather, World
from syncsvc.simulator.sending import signature

ORG = "octo-simulated"


class Receiver:
    """A web hook's other end; answers with the statuses it is given, then with 202."""

    def __init__(self) -> None:
        received: list[tuple[dict[str, str], bytes]] = []
        answers: list[int] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                received.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(answers.pop(0) if answers else 202)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.received, self.answers = received, answers
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def guids(self) -> list[str]:
        return [headers["x-github-delivery"] for headers, _ in self.received]

    def events(self) -> list[str]:
        return [headers["x-github-event"] for headers, _ in self.received]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    made.thread.start()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


@pytest.fixture
def sim(receiver: Receiver) -> Iterator[Simulator]:
    world = World.generate(repositories=20)
    with Simulator(world, webhook_url=receiver.url, webhook_secret="s3cret") as running:
        yield running


def some_repository(sim: Simulator) -> int:
    number: int = sim.world.truth_of(ORG)[0]["github_id"]
    return number


def as_app(sim: Simulator, path: str, method: str = "GET") -> requests.Response:
    now = int(sim.now())
    claims = {"iat": now - 60, "exp": now + 540, "iss": str(sim.app_id)}
    token = jwt.encode(claims, sim.private_key_pem, algorithm="RS256")
    header = {"authorization": f"Bearer {token}"}
    url = path if path.startswith("http") else sim.url + path
    return requests.request(method, url, headers=header, timeout=5)


def log(sim: Simulator, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = as_app(sim, f"/app/hook/deliveries?per_page=100{query}").json()
    return found


@pytest.mark.spec("R6.1")
def test_a_change_arrives_signed_and_with_githubs_headers(
    sim: Simulator, receiver: Receiver
) -> None:
    sim.world.rename(some_repository(sim), "renamed")
    assert sim.deliveries.drain()
    ((headers, body),) = receiver.received
    assert headers["x-hub-signature-256"] == signature("s3cret", body)
    assert headers["x-github-event"] == "repository"
    assert headers["x-github-hook-installation-target-id"] == str(sim.app_id)
    assert headers["x-github-hook-installation-target-type"] == "integration"
    assert headers["user-agent"].startswith("GitHub-Hookshot/")
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["changes"]["repository"]["name"]["from"]
    (logged,) = log(sim)
    assert logged["guid"] == headers["x-github-delivery"]
    assert (logged["status"], logged["status_code"]) == ("Accepted", 202)
    assert logged["installation_id"] == sim.world.installation(ORG).id
    assert logged["repository_id"] == some_repository(sim)


def test_a_failed_delivery_stays_failed_until_somebody_asks(
    sim: Simulator, receiver: Receiver
) -> None:
    receiver.answers.append(500)
    sim.world.edit(some_repository(sim), description="unlucky")
    assert sim.deliveries.drain()
    (failed,) = log(sim, "&status=failure")
    assert (failed["status_code"], failed["redelivery"]) == (500, False)
    detail = as_app(sim, f"/app/hook/deliveries/{failed['id']}").json()
    assert detail["request"]["payload"]["repository"]["description"] == "unlucky"
    assert detail["request"]["headers"]["X-GitHub-Delivery"] == failed["guid"]
    assert detail["response"]["payload"] == "ok"
    again = as_app(sim, f"/app/hook/deliveries/{failed['id']}/attempts", "POST")
    assert again.status_code == 202
    assert sim.deliveries.drain()
    newest, oldest = log(sim)
    assert newest["guid"] == oldest["guid"]
    assert newest["redelivery"] is True
    assert newest["id"] != oldest["id"]
    assert receiver.guids() == [failed["guid"]] * 2
    assert as_app(sim, "/app/hook/deliveries/1/attempts", "POST").status_code == 404


@pytest.mark.spec("R6.5")
def test_a_lost_delivery_is_logged_and_in_no_filter(sim: Simulator, receiver: Receiver) -> None:
    sim.deliveries.weather = Weather(loss=1.0)
    sim.world.edit(some_repository(sim), description="lost")
    assert sim.deliveries.drain()
    (lost,) = log(sim)
    assert (lost["status"], lost["status_code"]) == ("timed out", 0)
    assert log(sim, "&status=failure") == log(sim, "&status=success") == []
    assert receiver.received == []


def test_a_silent_loss_leaves_no_trace_and_a_double_leaves_two(
    sim: Simulator, receiver: Receiver
) -> None:
    sim.deliveries.weather = Weather(silent_loss=1.0)
    sim.world.edit(some_repository(sim), description="never")
    assert sim.deliveries.drain()
    assert log(sim) == []
    sim.deliveries.weather = Weather(duplicate=1.0)
    sim.world.edit(some_repository(sim), description="twice")
    assert sim.deliveries.drain()
    assert len(receiver.received) == 2
    assert len(set(receiver.guids())) == 1


@pytest.mark.spec("R6.5")
def test_github_may_say_ok_to_what_never_arrived_and_refuse_what_was_never_sent(
    sim: Simulator, receiver: Receiver
) -> None:
    sim.deliveries.weather = Weather(swallowed=1.0)
    sim.world.edit(some_repository(sim), description="swallowed")
    assert sim.deliveries.drain()
    sim.deliveries.weather = Weather(failed=1.0)
    sim.world.edit(some_repository(sim), description="failed")
    assert sim.deliveries.drain()
    sim.deliveries.weather = Weather()
    failed, swallowed = log(sim)
    assert (swallowed["status"], swallowed["status_code"]) == ("OK", 200)
    assert failed["status_code"] in (500, 502, 504)
    assert receiver.received == []
    assert [each.arrived for each in sim.deliveries.truth()] == [False, False]
    for delivery in (swallowed, failed):
        path = f"/app/hook/deliveries/{delivery['id']}/attempts"
        assert as_app(sim, path, "POST").status_code == 202
    assert sim.deliveries.drain()
    assert receiver.guids() == [swallowed["guid"], failed["guid"]]
    assert [each.arrived for each in sim.deliveries.truth()] == [False, False, True, True]


def test_redeliveries_have_the_same_weather(sim: Simulator, receiver: Receiver) -> None:
    sim.deliveries.weather = Weather(loss=1.0)
    sim.world.edit(some_repository(sim), description="lost")
    assert sim.deliveries.drain()
    path = f"/app/hook/deliveries/{log(sim)[0]['id']}/attempts"
    assert as_app(sim, path, "POST").status_code == 202
    assert sim.deliveries.drain()
    again, first = log(sim)
    assert (again["status_code"], again["redelivery"]) == (0, True)
    assert again["guid"] == first["guid"]
    assert receiver.received == []


def test_an_outage_can_be_announced_from_another_process(
    sim: Simulator, receiver: Receiver
) -> None:
    door = f"{sim.root_url}/_simulator/outages"
    announced = requests.post(door, json={"in": 100, "seconds": 60}, timeout=5).json()
    assert requests.get(door, timeout=5).json() == [announced]
    for body in ({}, {"seconds": 0}, {"seconds": "long"}, {"in": -1, "seconds": 5}, {"weeks": 1}):
        assert requests.post(door, json=body, timeout=5).status_code == 400
    for seconds in (90, 30, 60):
        sim.advance(seconds)
        sim.world.edit(some_repository(sim), description=f"after {seconds}")
        assert sim.deliveries.drain()
    assert [entry["status"] for entry in log(sim)] == [
        "Accepted", "failed to connect to host", "Accepted",
    ]  # fmt: skip
    assert len(receiver.received) == 2


def test_late_deliveries_wait_for_the_simulators_own_time(
    sim: Simulator, receiver: Receiver
) -> None:
    sim.deliveries.weather = Weather(reorder=3600)
    for number in range(10):
        sim.world.edit(some_repository(sim), description=str(number))
    assert len(receiver.received) < 10
    sim.advance(3600)
    assert sim.deliveries.drain()
    told = [json.loads(body)["repository"]["description"] for _, body in receiver.received]
    assert sorted(told) == [str(number) for number in range(10)]
    assert told != sorted(told)


def test_by_hand_the_day_of_a_hook_is_the_same_each_time(receiver: Receiver) -> None:
    def live() -> list[tuple[str, str, float]]:
        receiver.received.clear()
        moment = [2_000_000_000.0]
        world = World.generate(repositories=20)
        with Simulator(
            world, webhook_url=receiver.url, clock=lambda: moment[0], webhooks_by_hand=True
        ) as sim:
            sim.deliveries.weather = Weather(
                failed=0.2, swallowed=0.2, throttled=0.2, duplicate=0.2, reorder=60
            )
            for number in range(40):
                world.edit(some_repository(sim), description=str(number))
                moment[0] += 10
                sim.deliveries.pump()
            moment[0] += 900
            assert sim.deliveries.drain()
            return [(d.event.guid, d.status, d.delivered_at) for d in sim.deliveries.truth()]

    first = live()
    told = [json.loads(body)["repository"]["description"] for _, body in receiver.received]
    assert told != sorted(told, key=int)
    assert len({status for _, status, _ in first}) >= 4
    assert first == live()


def test_disorder_is_the_same_for_the_same_seed(receiver: Receiver) -> None:
    def order() -> list[str]:
        receiver.received.clear()
        world = World.generate(repositories=20)
        with Simulator(world, webhook_url=receiver.url) as sim:
            sim.deliveries.weather = Weather(shuffle=True)
            sim.deliveries.pause()
            for number in range(10):
                world.edit(some_repository(sim), description=str(number))
            sim.deliveries.resume()
            assert sim.deliveries.drain()
            return [json.loads(b)["repository"]["description"] for _, b in receiver.received]

    first = order()
    assert sorted(first) != first
    assert first == order()


def test_an_unreachable_receiver_is_logged_as_such() -> None:
    world = World.generate(repositories=20)
    with Simulator(world, webhook_url="http://127.0.0.1:9/") as sim:
        world.edit(some_repository(sim), description="nobody there")
        assert sim.deliveries.drain()
        (failed,) = log(sim, "&status=failure")
        assert failed["status"] == "failed to connect to host"


def test_the_log_is_paged_by_cursor_and_ends_after_three_days(
    sim: Simulator, receiver: Receiver
) -> None:
    for number in range(5):
        sim.world.edit(some_repository(sim), description=f"number {number}")
    assert sim.deliveries.drain()
    found, url = [], "/app/hook/deliveries?per_page=2"
    while url:
        answer = as_app(sim, url)
        found += [d["id"] for d in answer.json()]
        assert set(answer.links) <= {"next"}
        url = answer.links.get("next", {}).get("url", "")
    assert found == sorted(found, reverse=True)
    assert len(found) == 5
    assert as_app(sim, "/app/hook/deliveries?cursor=nonsense").status_code == 422
    assert as_app(sim, "/app/hook/deliveries?status=odd").status_code == 422
    sim.advance(3 * 86_400 + 1)
    assert log(sim) == []


def test_an_organizations_hook_hears_the_same_event_under_the_same_guid(
    sim: Simulator, receiver: Receiver
) -> None:
    header = {"authorization": f"Bearer {sim.token}"}
    hook = requests.post(
        f"{sim.url}/orgs/{ORG}/hooks",
        json={"config": {"url": receiver.url, "secret": "other"}, "events": ["repository"]},
        headers=header,
        timeout=5,
    ).json()
    sim.world.edit(some_repository(sim), description="told twice")
    sim.world.push(some_repository(sim))
    assert sim.deliveries.drain()
    assert receiver.events() == ["ping", "repository", "repository", "push"]
    greeting, one, two, _ = receiver.received
    assert one[0]["x-github-delivery"] == two[0]["x-github-delivery"]
    assert {one[0]["x-github-hook-id"], two[0]["x-github-hook-id"]} >= {str(hook["id"])}
    assert greeting[0]["x-github-hook-installation-target-type"] == "organization"
    assert greeting[0]["x-hub-signature-256"] == signature("other", greeting[1])
    listed = requests.get(hook["deliveries_url"], headers=header, timeout=5).json()
    assert [d["event"] for d in listed] == ["repository", "ping"]


@pytest.mark.spec("R6.5")
def test_a_repositorys_hook_hears_of_that_repository_and_has_a_log_of_its_own(
    sim: Simulator, receiver: Receiver
) -> None:
    header = {"authorization": f"Bearer {sim.token}"}
    repository, other = (sim.world.truth_of(ORG)[place] for place in (0, 1))
    hooks = f"{sim.url}/repos/{repository['full_name']}/hooks"
    wanted = {"config": {"url": receiver.url, "secret": "own"}, "events": ["repository"]}
    made = requests.post(hooks, json=wanted, headers=header, timeout=5)
    assert made.status_code == 201
    hook = made.json()
    assert "own" not in made.text
    assert [h["id"] for h in requests.get(hooks, headers=header, timeout=5).json()] == [hook["id"]]
    sim.world.edit(other["github_id"], description="another one's")
    sim.world.edit(repository["github_id"], description="its own")
    assert sim.deliveries.drain()
    mine = [
        (head, body)
        for head, body in receiver.received
        if head["x-github-hook-id"] == str(hook["id"])
    ]
    assert [head["x-github-event"] for head, _ in mine] == ["ping", "repository"]
    assert mine[1][0]["x-github-hook-installation-target-type"] == "repository"
    assert mine[1][0]["x-github-hook-installation-target-id"] == str(repository["github_id"])
    assert mine[1][0]["x-hub-signature-256"] == signature("own", mine[1][1])
    deliveries = hook["deliveries_url"]
    listed = requests.get(deliveries, headers=header, timeout=5).json()
    assert [d["event"] for d in listed] == ["repository", "ping"]
    one = f"{deliveries}/{listed[0]['id']}"
    assert requests.get(one, headers=header, timeout=5).json()["guid"] == listed[0]["guid"]
    assert requests.post(f"{one}/attempts", headers=header, timeout=5).status_code == 202
    assert sim.deliveries.drain()
    assert len(requests.get(deliveries, headers=header, timeout=5).json()) == 3
    strange = f"{sim.url}/repos/{other['full_name']}/hooks/{hook['id']}/deliveries"
    assert requests.get(strange, headers=header, timeout=5).status_code == 404
    assert requests.get(deliveries, timeout=5).status_code == 401
    sim.world.rename(repository["github_id"], "moved")
    assert (
        requests.get(deliveries, headers=header, timeout=5, allow_redirects=False).status_code
        == 301
    )


def test_without_a_hook_nothing_is_sent_or_logged() -> None:
    with Simulator(World.generate(repositories=5)) as sim:
        sim.world.edit(some_repository(sim), description="unheard")
        assert sim.world.events
        assert sim.deliveries.all() == []
        assert log(sim) == []
