"""Whatever the simulator answers is what GitHub's own description allows."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jwt
import pytest
import requests

from syncsvc.simulator import Simulator, Weather, World
from tests.contract import contract_dir, validate_request, validate_response

ORG = "octo-simulated"


@pytest.fixture(autouse=True)
def _needs_contract() -> None:
    contract_dir()


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(World.generate(repositories=120)) as running:
        yield running


class Client:
    """Asks, and judges each answer."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.session = requests.Session()
        now = int(sim.now())
        claims = {"iat": now - 60, "exp": now + 540, "iss": str(sim.app_id)}
        self.app = jwt.encode(claims, sim.private_key_pem, algorithm="RS256")

    def ask(
        self, method: str, url: str, token: str, body: Any = None, **headers: str
    ) -> requests.Response:
        path = url.removeprefix(self.sim.url)
        validate_request(method, path, body)
        with self.session.request(
            method,
            self.sim.url + path,
            json=body,
            headers={"authorization": f"Bearer {token}", **headers},
            allow_redirects=False,
        ) as answer:
            validate_response(method, path, answer.status_code, answer.content)
            return answer


@pytest.fixture
def client(sim: Simulator) -> Iterator[Client]:
    made = Client(sim)
    with made.session:
        yield made


@pytest.mark.spec("R4.7")
@pytest.mark.parametrize(
    "path",
    [
        "/app",
        "/app/installations",
        "/app/installations?per_page=1&page=2",
        f"/orgs/{ORG}/installation",
        "/app/hook/config",
        "/app/hook/deliveries",
        "/rate_limit",
        "/meta",
    ],
)
def test_what_an_app_may_read_fits_the_description(client: Client, path: str) -> None:
    assert client.ask("GET", path, client.app).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/user",
        "/user/repos?per_page=100&affiliation=owner&sort=updated&direction=asc",
        "/user/repos?per_page=100&visibility=private&since=2020-01-01T00:00:00Z",
        f"/orgs/{ORG}",
        f"/orgs/{ORG}/repos?per_page=100&type=all&sort=full_name",
        f"/orgs/{ORG}/hooks",
        f"/users/{ORG}",
        f"/users/{ORG}/repos?per_page=100&sort=pushed",
        "/rate_limit",
        "/meta",
    ],
)
def test_what_a_user_may_read_fits_the_description(client: Client, path: str) -> None:
    assert client.ask("GET", path, client.sim.token).status_code == 200


def test_a_listing_fits_the_description_on_every_page(client: Client) -> None:
    sim = client.sim
    token = sim.installation_token(ORG)
    url = "/installation/repositories?per_page=50"
    seen = 0
    while url:
        answer = client.ask("GET", url, token)
        seen += len(answer.json()["repositories"])
        url = answer.links.get("next", {}).get("url", "")
    assert seen == 120


def test_the_pages_of_an_organization_are_found_by_its_id(client: Client) -> None:
    first = client.ask("GET", f"/orgs/{ORG}/repos?per_page=100", client.sim.token)
    second = client.ask("GET", first.links["next"]["url"], client.sim.token)
    assert "/organizations/" in second.url
    assert len(second.json()) == 20


def test_single_repositories_fit_the_description(client: Client) -> None:
    world, token = client.sim.world, client.sim.token
    for facts in world.truth_of(ORG)[:20]:
        client.ask("GET", f"/repos/{facts['full_name']}", token)
        client.ask("GET", f"/repositories/{facts['github_id']}", token)


def test_installations_and_their_tokens_fit_the_description(client: Client) -> None:
    world = client.sim.world
    installation = world.installation(ORG)
    chosen = world.installed(installation)[0]
    path = f"/app/installations/{installation.id}"
    client.ask("GET", path, client.app)
    tokens = f"{path}/access_tokens"
    assert client.ask("POST", tokens, client.app).status_code == 201
    narrow = {"repository_ids": [chosen.id], "permissions": {"metadata": "read"}}
    assert client.ask("POST", tokens, client.app, narrow).status_code == 201
    assert client.ask("POST", tokens, client.app, {"repository_ids": [1]}).status_code == 422
    world.suspend(installation.id)
    assert client.ask("GET", "/app/installations", client.app).json()[0]["suspended_at"]
    client.ask("GET", path, client.app)
    assert client.ask("POST", tokens, client.app).status_code == 403
    world.uninstall(installation.id)
    assert client.ask("POST", tokens, client.app).status_code == 404


def test_refusals_fit_the_description(client: Client) -> None:
    sim, world = client.sim, client.sim.world
    repository = world.truth_of(ORG)[0]["full_name"]
    path = f"/repos/{repository}"
    assert client.ask("GET", path, "unknown").status_code == 401
    assert client.ask("GET", f"/repos/{ORG}/nothing", sim.token).status_code == 404
    assert (
        client.ask("GET", path, sim.token, **{"x-github-api-version": "2021-01-01"}).status_code
        == 410
    )
    world.block(repository)
    assert client.ask("GET", path, sim.token).status_code == 451
    world.rename(repository, "elsewhere")
    assert client.ask("GET", path, sim.token).status_code == 301
    sim.limits.set(sim.token, remaining=0)
    assert client.ask("GET", "/user", sim.token).status_code == 403
    sim.limits.exhausted_status = 429
    assert client.ask("GET", "/user", sim.token).status_code == 429


def test_an_unchanged_answer_has_no_body(client: Client) -> None:
    first = client.ask("GET", "/user", client.sim.token)
    tag = first.headers["etag"]
    assert client.ask("GET", "/user", client.sim.token, **{"if-none-match": tag}).status_code == 304


def test_hooks_and_deliveries_fit_the_description(client: Client) -> None:
    sim = client.sim
    nowhere = "http://127.0.0.1:9/"
    sim.world.set_app_hook(nowhere, "secret")
    wanted = {"config": {"url": nowhere, "content_type": "json", "secret": "x"}, "name": "web"}
    hook = client.ask("POST", f"/orgs/{ORG}/hooks", sim.token, wanted).json()
    repository = sim.world.truth_of(ORG)[0]
    sim.world.edit(repository["github_id"], description="new")
    for weather in (Weather(failed=1), Weather(swallowed=1), Weather(throttled=1), Weather(loss=1)):
        sim.deliveries.weather = replace(weather, throttle=0)
        sim.world.edit(repository["github_id"], description=str(weather))
    sim.world.suspend(ORG)
    of_one = sim.world.add_repository_hook(repository["github_id"], nowhere, "x", ("*",))
    sim.world.edit(repository["github_id"], description="told to its own hook")
    assert sim.deliveries.drain()
    client.ask("GET", f"/orgs/{ORG}/hooks", sim.token)
    for root, token in (
        ("/app/hook/deliveries", client.app),
        (f"/repos/{repository['full_name']}/hooks/{of_one.id}/deliveries", sim.token),
        (f"/orgs/{ORG}/hooks/{hook['id']}/deliveries", sim.token),
    ):
        for status in ("", "&status=failure", "&status=success"):
            client.ask("GET", f"{root}?per_page=1{status}", token)
        listed = client.ask("GET", root, token).json()
        for delivery in listed:
            if not root.startswith("/repos"):  # of these GitHub's excerpt here has the list only
                client.ask("GET", f"{root}/{delivery['id']}", token)
        again = client.ask("POST", f"{root}/{listed[0]['id']}/attempts", token)
        assert again.status_code == 202
    assert sim.deliveries.drain()


def test_the_judge_knows_wrong_from_right(sim: Simulator) -> None:
    with pytest.raises(AssertionError, match="no query parameter 'sort'"):
        validate_request("GET", "/installation/repositories?sort=updated")
    with pytest.raises(AssertionError, match="per_page"):
        validate_request("GET", "/app/installations?per_page=many")
    with pytest.raises(AssertionError, match="no operation"):
        validate_request("GET", "/app/installations/7/repositories")
    with pytest.raises(AssertionError, match="total_count"):
        validate_response("GET", "/installation/repositories", 200, {"repositories": []})
    app = requests.get(sim.url + "/meta", timeout=5).json() | {"hooks": "everywhere"}
    with pytest.raises(AssertionError, match="hooks"):
        validate_response("GET", "/meta", 200, app)
    user = requests.get(f"{sim.url}/orgs/{ORG}", timeout=5).json()
    with pytest.raises(AssertionError, match="date-time"):
        validate_response("GET", f"/orgs/{ORG}", 200, user | {"created_at": "noon"})
