"""What goes wrong while contents are read: failures, limits, kills, a world that moves, bad records."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from syncsvc import clock, contents, jobs, scheduling
from syncsvc.github import planning
from syncsvc.models import (
    Commit,
    ContentList,
    Installation,
    Issue,
    PullRequest,
    Repository,
    RepositoryMetric,
    SyncJob,
)
from syncsvc.service import SyncService
from syncsvc.simulator import Fault, Simulator, World
from syncsvc.simulator.content import Issue as Issue_
from syncsvc.simulator.content import Label
from syncsvc.simulator.http import Outcome
from syncsvc.simulator.messages import Request
from syncsvc.simulator.records import Repository as Simulated
from tests.support import (
    PRESENT,
    all_mirrored_contents,
    assert_equal_to_truth,
    changed,
    discover,
    mirrored_contents,
    ours,
    roomy,
    run,
    sync,
    true_contents,
)

pytestmark = pytest.mark.django_db(transaction=True)

FIELDS = {"issues": "issues", "pull_requests": "pullRequests", "commits": "defaultBranchRef"}
OVER = timedelta(hours=31)
"""So long that every list is read whole again."""

Json = dict[str, Any]
Edit = Callable[[Request, Json], Json]


@pytest.fixture
def world() -> World:
    """A small GitHub whose repositories hold something."""
    return World.generate(seed=1, repositories=8)


# --- tools ----------------------------------------------------------------------------------------


def list_of(simulated: Simulated, entity: str = "issues") -> ContentList:
    return ContentList.objects.get(repository__github_id=simulated.id, entity=entity)


def assert_equal(world: World, installation: Installation, *but: Simulated) -> None:
    """The mirror equals GitHub in all repositories but these."""
    assert_equal_to_truth(world, installation)
    rows = Repository.objects.filter(installation=installation, status__in=PRESENT)
    compared = list(rows.exclude(github_id__in=[each.id for each in but]))
    mine = all_mirrored_contents(compared)
    for row in compared:
        assert mine[row.pk] == true_contents(world, row), row.full_name


def assert_nothing_is_wrongly_gone(world: World) -> None:
    """What the mirror says is not there any more is not there."""
    for row in Repository.objects.filter(status__in=PRESENT):
        if row.github_id not in world.repositories:
            continue  # deleted meanwhile, and not missed as yet
        truth = world.truth_content(row.github_id)
        for model, name in ((Issue, "issues"), (PullRequest, "pull_requests")):
            gone = model._default_manager.filter(repository=row, removed_at__isnull=False)
            there = {each["github_id"] for each in truth[name]}
            assert not there.intersection(gone.values_list("github_id", flat=True)), row.full_name
        dropped = Commit.objects.filter(repository=row, dropped_at__isnull=False)
        there = {each["sha"] for each in truth["commits"]}
        assert not there.intersection(dropped.values_list("sha", flat=True)), row.full_name


def edit_answers(simulator: Simulator, edit: Edit, path_regex: str = "^/graphql$") -> None:
    """From now on every good answer below that path is what `edit` makes of it."""
    plain = simulator._dispatcher.respond

    def respond(request: Request) -> Outcome:
        outcome = plain(request)
        answer = outcome.answer
        if answer.status == 200 and answer.body and re.search(path_regex, request.path):
            answer.body = json.dumps(edit(request, json.loads(answer.body))).encode()
        return outcome

    simulator._dispatcher.respond = respond  # type: ignore[method-assign]


def aliases(request: Request) -> dict[str, str]:
    """Which alias stands for which repository in a query for contents."""
    variables = request.json().get("variables") or {}
    return {name: node for name, node in variables.items() if re.fullmatch(r"r\d+", name)}


def refuse(simulator: Simulator, repository: Simulated, entity: str, error: Json) -> None:
    """GraphQL says no to one list of one repository, whenever its pages are asked for."""

    def edit(request: Request, content: Json) -> Json:
        for alias, node in aliases(request).items():
            found = (content.get("data") or {}).get(alias)
            if node == repository.node_id and found and FIELDS[entity] in found:
                found[FIELDS[entity]] = None
                path = [alias, FIELDS[entity]]
                content.setdefault("errors", []).append({**error, "path": path})
        return content

    edit_answers(simulator, edit)


def asked_lists(simulator: Simulator) -> list[tuple[str, str]]:
    """Which lists of which repositories queries ask for from now on, as they come."""
    asked: list[tuple[str, str]] = []

    def note(request: Request, content: Json) -> Json:
        text = request.json()["query"]
        for alias, node in aliases(request).items():
            inside = re.search(rf"^{alias}: node.*$", text, re.MULTILINE)
            asked.extend((node, e) for e, f in FIELDS.items() if inside and f"{f}" in inside[0])
        return content

    edit_answers(simulator, note)
    return asked


def each_item(edit: Callable[[Json], Any]) -> Edit:
    """An edit of every item of every list in an answer, by GraphQL or REST."""

    def walk(value: Any, *, listed: bool) -> Any:
        if isinstance(value, list):
            return [
                walk(edit(v) if listed and isinstance(v, dict) else v, listed=False) for v in value
            ]
        if isinstance(value, dict):
            return {k: walk(v, listed=k == "nodes") for k, v in value.items()}
        return value

    return lambda _, content: walk(content, listed=isinstance(content, list))


@pytest.fixture(params=["graphql", "rest"])
def way(request: pytest.FixtureRequest) -> str:
    """How contents are read."""
    return str(request.param)


@pytest.fixture
def either(app_mode: Simulator, way: str) -> Simulator:
    """GitHub, once with GraphQL and once without."""
    if way == "rest":
        app_mode.faults.add(Fault(kind="status", status=404, path_regex="^/graphql$", times=None))
    return app_mode


# --- one repository fails -------------------------------------------------------------------------


@pytest.mark.spec("R5.6", "R4.4")
@pytest.mark.parametrize(
    ("status", "category"),
    [(404, "unknown"), (451, "unknown"), (500, "network"), (403, "authentication")],
)
def test_one_list_that_cannot_be_read_by_rest_stops_nothing(
    app_mode: Simulator, status: int, category: str
) -> None:
    installation, world = discover(), app_mode.world
    one = roomy(world, 2, 1, 3)
    name = world.full_name(one)
    app_mode.faults.add(
        Fault(kind="status", status=404, path_regex="^/graphql$", times=None),
        # The overview asks for one item a page, the reading for a hundred.
        Fault(kind="status", status=status, path_regex=f"{name}/issues.*per_page=100", times=None),
    )
    job = sync(installation, "cron", mode="full")
    assert job.status == "partial"
    [failure] = job.failures
    assert (failure["item"], failure["operation"]) == (name, "read issues")
    assert failure["category"] == category
    assert failure["at"]
    assert_equal(world, installation, one)
    there, here = true_contents(world, ours(one)), mirrored_contents(ours(one))
    assert here == there | {"issues": {}}
    row = list_of(one)
    assert (row.failures, row.count, row.error_category) == (1, None, category)
    assert row.retry_at is not None
    assert timedelta(minutes=3) < row.retry_at - clock.now() < timedelta(minutes=7)


@pytest.mark.spec("R5.6")
@pytest.mark.parametrize(
    ("kind", "category"), [("NOT_FOUND", "unknown"), ("FORBIDDEN", "authentication")]
)
def test_a_list_that_failed_waits_is_told_of_and_is_tried_again(
    app_mode: Simulator, kind: str, category: str
) -> None:
    installation, world = discover(), app_mode.world
    one = roomy(world, 2, 1, 3)
    name, plain = world.full_name(one), app_mode._dispatcher.respond
    refuse(app_mode, one, "issues", {"type": kind, "message": "No."})
    asked = asked_lists(app_mode)
    job = sync(installation, "cron", mode="full")
    assert job.status == "partial"
    assert [(f["item"], f["operation"], f["category"]) for f in job.failures] == [
        (name, "read issues", category)
    ]
    assert_equal(world, installation, one)
    # Not before its time, but not silently.
    asked.clear()
    job = sync(installation, "cron", mode="incremental")
    assert (job.status, asked) == ("partial", [])
    assert [(f["item"], f["operation"], f["category"]) for f in job.failures] == [
        (name, "read issues", category)
    ]
    assert list_of(one).failures == 1
    assert scheduling.request_retries() == 0
    # People need not wait.
    job = sync(installation)
    assert (job.status, asked) == ("partial", [(one.node_id, "issues")])
    assert list_of(one).failures == 2
    # It is asked for by itself when its time has come.
    app_mode._dispatcher.respond = plain  # type: ignore[method-assign]
    with time_machine.travel(clock.now() + timedelta(minutes=30)):
        assert scheduling.request_retries() == 1
        waiting = SyncJob.objects.get(status="queued")
        assert (waiting.mode, waiting.repository, waiting.trigger) == ("repo", name, "cron")
        assert run(waiting.pk).status == "succeeded"
        assert (list_of(one).failures, list_of(one).retry_at, list_of(one).error) == (0, None, "")
        assert scheduling.request_retries() == 0
        assert sync(installation, "cron", mode="incremental").status == "succeeded"
    assert_equal(world, installation)


@pytest.mark.spec("R5.6")
def test_a_repository_that_graphql_does_not_know_stops_nothing(app_mode: Simulator) -> None:
    installation, world = discover(), app_mode.world
    one = roomy(world, 2, 1, 3)

    def edit(request: Request, content: Json) -> Json:
        ids = (request.json().get("variables") or {}).get("ids") or []
        if one.node_id in ids:
            place = ids.index(one.node_id)
            content["data"]["nodes"][place] = None
            error = {"type": "NOT_FOUND", "message": "No.", "path": ["nodes", place]}
            content["errors"] = [error]
        return content

    edit_answers(app_mode, edit)
    job = sync(installation, "cron", mode="full")
    assert job.status == "partial"
    assert {failure["item"] for failure in job.failures} == {world.full_name(one)}
    assert_equal(world, installation, one)
    assert set(ContentList.objects.filter(failures=1).values_list("repository__github_id")) == {
        (one.id,)
    }


@pytest.mark.spec("R4.4", "R5.6")
def test_what_graphql_stumbles_over_is_read_by_rest(app_mode: Simulator) -> None:
    installation, world = discover(), app_mode.world
    one = roomy(world, 2, 1, 3)
    refuse(app_mode, one, "issues", {"message": "Something went wrong while executing your query."})
    job = sync(installation)
    assert (job.status, job.failures) == ("succeeded", [])
    assert_equal(world, installation)


@pytest.mark.spec("R5.6")
def test_a_blocked_repository_is_not_asked_for_every_minute(app_mode: Simulator) -> None:
    installation, world = discover(), app_mode.world
    one = roomy(world, 2, 1, 3)
    world.block(one.id)
    job = sync(installation, "cron", mode="full")
    assert job.status == "partial"
    assert_equal(world, installation, one)
    now, made = clock.now() + timedelta(minutes=10), 0
    for minute in range(10):
        with time_machine.travel(now + timedelta(minutes=minute)):
            scheduling.request_retries()
            for waiting in SyncJob.objects.filter(status="queued"):
                run(waiting.pk)
                made += 1
    assert made <= 2


@pytest.mark.spec("R5.6", "R2.3")
@pytest.mark.parametrize(
    ("permission", "shown", "entity"),
    [
        ("issues", "Issues", "issues"),
        ("pull_requests", "Pull requests", "pull_requests"),
        ("contents", "Contents", "commits"),
    ],
)
def test_a_permission_that_the_app_lacks_is_one_failure(
    either: Simulator, permission: str, shown: str, entity: str
) -> None:
    world = either.world
    account = world.account("octo-simulated")
    assert any(r.visibility == "private" for r in world.owned(account))
    granted = dict(world.installation("octo-simulated").permissions)
    world.change_permissions(
        "octo-simulated", {name: level for name, level in granted.items() if name != permission}
    )
    installation = discover()
    job = sync(installation, "cron", mode="full")
    assert job.status == "partial"
    [failure] = job.failures
    assert failure["category"] == "authentication"
    assert f"permission {shown}" in failure["message"]
    assert_equal_to_truth(world, installation)
    for row in Repository.objects.filter(installation=installation):
        here, there = mirrored_contents(row), true_contents(world, row)
        assert here == there | {entity: {}}
    assert not ContentList.objects.filter(entity=entity).exists()
    # What may not be read is not known, and a figure made of it would be wrong.
    measured = RepositoryMetric.objects.filter(repository__installation=installation)
    assert measured.exists() is (entity == "pull_requests")
    world.change_permissions("octo-simulated", granted)
    assert sync(discover(), "cron", mode="incremental").status == "succeeded"
    assert_equal(world, installation)


# --- GraphQL cannot be used at all ----------------------------------------------------------------


def no_such_field(request: Request, content: Json) -> Json:
    code = {"code": "undefinedField", "typeName": "Repository", "fieldName": "issues"}
    message = "Field 'issues' doesn't exist on type 'Repository'"
    return {"errors": [{"message": message, "path": ["query"], "extensions": code}]}


@pytest.mark.spec("R4.4")
@pytest.mark.parametrize("trouble", ["gone", "overloaded", "refused"])
def test_without_graphql_everything_is_read_by_rest(app_mode: Simulator, trouble: str) -> None:
    installation, world = discover(), app_mode.world
    plain = app_mode._dispatcher.respond
    if trouble == "refused":
        edit_answers(app_mode, no_such_field)
    else:
        status = {"gone": 404, "overloaded": 502}[trouble]
        app_mode.faults.add(
            Fault(kind="status", status=status, path_regex="^/graphql$", times=None)
        )
    job = sync(installation)
    assert (job.status, job.failures) == ("succeeded", [])
    assert_equal(world, installation)
    assert changed(sync(installation, "cron", mode="incremental")) == {}
    one = roomy(world, 3, 1, 3)
    world.delete_issue(one.id, world.content(one).issues[0].number)
    world.open_issue(one.id, "New")
    world.force_push(one.id, drop=1, add=2)
    job = sync(installation, "cron", mode="incremental")
    assert changed(job) == {
        "issues": {"created": 1, "deleted": 1},
        "commits": {"created": 2, "deleted": 1},
    }
    assert_equal(world, installation)
    # GraphQL says the same, field by field.
    app_mode.faults.clear()
    app_mode._dispatcher.respond = plain  # type: ignore[method-assign]
    with time_machine.travel(clock.now() + OVER):
        assert changed(sync(installation)) == {}
    assert_equal(world, installation)


@pytest.mark.spec("R4.4", "R5.5")
def test_of_a_long_list_only_what_changed_is_read(app_mode: Simulator) -> None:
    installation, world = discover(), app_mode.world
    one = roomy(world, 1, 1, 3)
    world.quiet = True
    made = [world.open_issue(one.id, "One of many") for _ in range(150)]
    for hours, issue in enumerate(reversed(made), 1):
        issue.created_at = issue.updated_at = issue.created_at - 3600 * hours
    world.content(one).changed()
    sync(installation)
    asked = asked_lists(app_mode)
    with time_machine.travel(clock.now() + timedelta(minutes=15)):
        world.edit_issue(one.id, made[3].number, title="Edited")
        world.open_issue(one.id, "New")
    with time_machine.travel(clock.now() + timedelta(minutes=30)):
        job = sync(installation, "cron", mode="incremental")
    assert changed(job) == {"issues": {"created": 1, "updated": 1}}
    assert asked == [(one.node_id, "issues")]
    assert_equal(world, installation)


# --- limits, refusals, kills ----------------------------------------------------------------------


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists take several requests."""
    defaults = planning.Limits.__init__.__kwdefaults__ or {}
    monkeypatch.setattr(planning.Limits.__init__, "__kwdefaults__", defaults | {"pages": 4})


@pytest.mark.spec("R4.2", "R10.2")
@pytest.mark.parametrize("trouble", ["budget", "secondary"])
def test_a_limit_in_the_middle_sets_the_job_aside_and_nothing_is_read_twice(
    app_mode: Simulator, wide: None, trouble: str
) -> None:
    installation, world = discover(), app_mode.world
    asked = asked_lists(app_mode)

    def limit() -> None:
        if trouble == "budget":
            app_mode.limits.set(
                installation.github_id, resource="graphql", remaining=0, reset_in=600
            )
        else:
            app_mode.limits.secondary(installation.github_id, seconds=600)

    app_mode.faults.add(Fault(kind="drift", path_regex="^/graphql$", after=2, change=limit))
    decision = SyncService.request(installation.pk, "manual")
    assert decision.job_id is not None
    job = run(decision.job_id)
    assert job.status == "blocked"
    assert job.blocked_reason == {"budget": "budget", "secondary": "secondary_limit"}[trouble]
    settled = set(
        ContentList.objects.filter(read_at__isnull=False).values_list(
            "repository__node_id", "entity"
        )
    )
    assert 0 < len(settled) < 24
    assert job.run_after - clock.now() > timedelta(minutes=9)
    asked.clear()
    for _ in range(
        3
    ):  # of two requests under way both are refused, and each refusal lengthens the wait
        with time_machine.travel(job.run_after + timedelta(seconds=5)):
            job = run(job.pk)
        if job.status != "blocked":
            break
    assert (job.status, job.failures) == ("succeeded", [])
    assert not settled.intersection(asked)
    assert_equal(world, installation)


@pytest.mark.spec("R4.2", "R7.2")
def test_a_limit_among_the_questions_for_single_items(app_mode: Simulator) -> None:
    installation, world = discover(), app_mode.world
    sync(installation)
    one = roomy(world, 5)
    for issue in world.content(one).issues[:4]:
        world.delete_issue(one.id, issue.number)

    def limit() -> None:
        app_mode.limits.set(installation.github_id, remaining=0, reset_in=600)

    app_mode.faults.add(Fault(kind="drift", path_regex=r"/issues/\d+", after=1, change=limit))
    decision = SyncService.request(installation.pk, "cron", mode="incremental")
    assert decision.job_id is not None
    job = run(decision.job_id)
    assert job.status == "blocked"
    assert_nothing_is_wrongly_gone(world)
    with time_machine.travel(job.run_after + timedelta(seconds=5)):
        job = run(job.pk)
    assert (job.status, job.failures) == ("succeeded", [])
    assert_equal(world, installation)


@pytest.mark.spec("R4.5", "R10.1")
def test_refused_credentials_in_the_middle(app_mode: Simulator, wide: None) -> None:
    installation, world = discover(), app_mode.world
    app_mode.faults.add(Fault(kind="status", status=401, path_regex="^/graphql$", after=2))
    job = sync(installation)  # a new token helps
    assert (job.status, job.failures) == ("succeeded", [])
    assert_equal(world, installation)
    with time_machine.travel(clock.now() + OVER):
        app_mode.faults.add(
            Fault(kind="status", status=401, path_regex="^/graphql$", after=2, times=None)
        )
        job = sync(installation)
        assert (job.status, job.error_category) == ("failed", "authentication")
        assert_equal(world, installation)
        app_mode.faults.clear()
        assert sync(installation).status == "succeeded"
    assert_equal(world, installation)


def after_writes(monkeypatch: pytest.MonkeyPatch, count: int, happens: Callable[[], None]) -> None:
    """Something happens just before contents are written for that time."""
    plain, calls = contents.write, [0]

    def write(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == count:
            happens()
        return plain(*arguments)

    monkeypatch.setattr(contents, "write", write)


@pytest.mark.spec("R3.7")
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_cancelled_run_keeps_what_it_wrote(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    installation, world = discover(), app_mode.world

    def stop() -> None:
        jobs.cancel(SyncJob.objects.get())

    after_writes(monkeypatch, count, stop)
    job = sync(installation)
    assert job.status == "cancelled"
    for row in Repository.objects.filter(installation=installation):
        here, there = mirrored_contents(row), true_contents(world, row)
        assert all(here[entity].items() <= there[entity].items() for entity in here)
    assert sync(installation).status == "succeeded"
    assert_equal(world, installation)


class Killed(BaseException):
    """The process is gone: nobody tidies up."""


@pytest.mark.spec("R10.2", "P37")
@pytest.mark.parametrize("ending", [SystemExit, Killed])
@pytest.mark.parametrize("count", [1, 3])
def test_what_a_killed_worker_left_is_finished_by_the_next(
    app_mode: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    ending: type[BaseException],
    count: int,
) -> None:
    installation, world = discover(), app_mode.world

    def end() -> None:
        raise ending

    after_writes(monkeypatch, count, end)
    decision = SyncService.request(installation.pk, "manual")
    assert decision.job_id is not None
    with pytest.raises(ending):
        run(decision.job_id)
    job = SyncJob.objects.get()
    assert job.status == {SystemExit: "queued", Killed: "running"}[ending]
    with time_machine.travel(clock.now() + timedelta(minutes=2)):
        jobs.ring_waiting()
        job = run(job.pk)
    assert (job.status, job.failures) == ("succeeded", [])
    assert_equal(world, installation)


# --- a world that moves while it is read ----------------------------------------------------------


@pytest.mark.spec("R5.5", "R7.2", "R7.6")
@pytest.mark.parametrize("seed", [3])
def test_whatever_happens_while_we_read_nothing_is_lost(
    either: Simulator, way: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(planning, "MOST_PER_PAGE", 3)
    installation, world = discover(), either.world
    installations = [installation, *Installation.objects.exclude(pk=installation.pk)]
    steps = iter(range(10_000))

    def happen() -> None:
        world.random_history(100_000 * seed + next(steps), 2)

    path = "^/graphql$" if way == "graphql" else r"/(issues|pulls|commits)\b"
    usual = either.faults.pending()
    for mode in ("full", "incremental", "full"):
        either.faults.clear()
        drift = Fault(kind="drift", path_regex=path, times=25, change=happen)
        either.faults.add(*usual, drift)
        for each in installations:
            job = sync(each, "cron", mode=mode)
            assert job.status in ("succeeded", "partial"), job.error
            assert_nothing_is_wrongly_gone(world)
    either.faults.clear()
    either.faults.add(*usual)
    for mode in ("incremental", "incremental", "full"):
        ended = [sync(each, mode=mode) for each in installations]
    for job in ended:
        assert (job.status, job.failures) == ("succeeded", [])
        assert_equal(world, job.installation)


@pytest.mark.spec("R5.5", "R7.2")
@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("first", [True, False])
def test_changes_between_the_look_and_the_pages(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch, after: int, *, first: bool
) -> None:
    monkeypatch.setattr(planning, "MOST_PER_PAGE", 2)
    installation, world = discover(), app_mode.world
    one = roomy(world, 5, 1, 5)
    oldest, *_, newest = sorted(world.content(one).issues, key=lambda i: i.updated_at)
    if not first:
        sync(installation)
        world.push_commits(one.id, 3)
        world.comment(one.id, newest.number)

    def change() -> None:
        world.edit_issue(one.id, oldest.number, title="It went to the front")
        world.delete_issue(one.id, newest.number)
        world.open_issue(one.id, "New")
        world.push_commits(one.id, 2)
        world.force_push(one.id, drop=3, add=1)

    app_mode.faults.add(Fault(kind="drift", path_regex="^/graphql$", after=after, change=change))
    sync(installation, "cron", mode="incremental")
    assert not app_mode.faults.pending()
    assert_nothing_is_wrongly_gone(world)
    for _ in range(2):
        job = sync(installation, "cron", mode="incremental")
    assert (job.status, job.failures) == ("succeeded", [])
    assert_equal(world, installation)


# --- absence needs proof --------------------------------------------------------------------------


@pytest.mark.spec("R7.2")
def test_a_list_that_lacks_what_is_there_removes_nothing(either: Simulator) -> None:
    installation, world = discover(), either.world
    sync(installation)
    one = roomy(world, 3, 2, 0)
    issues, pulls = world.content(one).issues, world.content(one).pull_requests
    hidden = {each.node_id for each in (issues[0], issues[-1], pulls[0])}

    def edit(_: Request, content: Any) -> Any:
        def walk(value: Any) -> Any:
            if isinstance(value, list):
                return [walk(v) for v in value if not (isinstance(v, dict) and is_hidden(v))]
            if isinstance(value, dict):
                return {k: walk(v) for k, v in value.items()}
            return value

        def is_hidden(item: Json) -> bool:
            return bool(hidden & {item.get("id"), item.get("node_id")}) and "number" in item

        return walk(content)

    edit_answers(either, edit, r"^/graphql$|/(issues|pulls)$")
    for _ in range(2):
        job = sync(installation, mode="repo", repository=world.full_name(one))
        assert changed(job) == {}
    assert job.status == "succeeded"
    assert_equal(world, installation)


@pytest.mark.spec("R7.2")
@pytest.mark.parametrize(
    "what", ["deleted", "hidden", "renamed", "replaced", "blocked", "refused", "stumbling"]
)
def test_a_repository_that_vanishes_among_the_questions_loses_nothing(
    app_mode: Simulator, what: str
) -> None:
    installation, world = discover(), app_mode.world
    sync(installation)
    one = roomy(world, 5)
    other = next(r for r in (roomy(world), roomy(world, skip=1)) if r is not one)
    name, row = one.name, ours(one)
    for issue in world.content(one).issues[:2]:
        world.delete_issue(one.id, issue.number)
    world.open_issue(other.id, "New")
    before = set(mirrored_contents(row)["issues"])

    def vanish() -> None:
        if what in ("deleted", "replaced"):
            world.delete(one.id)
        elif what == "hidden":
            shown = [r.id for r in world.owned(world.account("octo-simulated")) if r is not one]
            one.visibility = "private"
            world.select_repositories(installation.github_id, shown)
        elif what == "renamed":
            world.rename(one.id, "another-name")
        elif what == "blocked":
            world.block(one.id)
        else:
            status = {"refused": 403, "stumbling": 500}[what]
            app_mode.faults.add(
                Fault(
                    kind="status", status=status, path_regex=f"/repositories/{one.id}$", times=None
                )
            )
        if what in ("renamed", "replaced"):
            world.create("octo-simulated", name)

    # After the list of issues was read, before the first of them is asked for.
    app_mode.faults.add(
        Fault(
            kind="drift",
            path_regex="^/graphql$",
            body_regex="query Contents",
            after=0,
            change=vanish,
        )
    )
    job = sync(installation, "cron", mode="incremental")
    assert job.status == "partial", job.error
    assert set(mirrored_contents(row)["issues"]) == before
    assert mirrored_contents(ours(other)) == true_contents(world, ours(other))
    app_mode.faults.clear()
    if what == "blocked":
        world.unblock(one.id)
    assert sync(discover()).status == "succeeded"
    assert_equal(world, installation)


@pytest.mark.spec("R5.5", "R7.2")
def test_names_that_are_swapped_while_rest_reads_mix_no_repositories(app_mode: Simulator) -> None:
    installation, world = discover(), app_mode.world
    sync(installation)
    one, other = roomy(world, 2, 1, 3), roomy(world, 2, 1, 3, skip=1)
    before = {row.pk: mirrored_contents(row) for row in (ours(one), ours(other))}
    for each in (one, other):
        world.label(each.id, world.content(each).pull_requests[0].number, "new")
    last = world.full_name(world.owned(world.account("octo-simulated"))[-1])
    app_mode.faults.add(
        Fault(kind="status", status=404, path_regex="^/graphql$", times=None),
        # Everything was looked at, and no list was read as yet.
        Fault(
            kind="drift",
            path_regex=f"/repos/{last}/pulls",
            change=lambda: world.swap_names(one.id, other.id),
        ),
    )
    sync(installation, "cron", mode="full")
    assert not [f for f in app_mode.faults.pending() if f.kind == "drift"]
    for row in (ours(one), ours(other)):
        for entity, found in mirrored_contents(row).items():
            assert found.keys() == before[row.pk][entity].keys()
    assert_nothing_is_wrongly_gone(world)
    assert sync(installation).status == "succeeded"
    assert_equal(world, installation)


@pytest.mark.spec("P30", "R7.2")
def test_an_item_that_only_its_own_page_shows_may_be_too_much_for_the_database(
    app_mode: Simulator,
) -> None:
    installation, world = discover(), app_mode.world
    sync(installation)
    one = roomy(world, 4)
    issue = world.content(one).issues[0]
    before = Issue.objects.get(github_id=issue.id)
    issue.author = replace(world.contents.people[0], login="x" * 300)
    world.edit_issue(one.id, issue.number, title="Too much")

    def hide(_: Request, content: Any) -> Any:
        lists = [each for each in (content.get("data") or {}).values() if isinstance(each, dict)]
        for each in lists:
            nodes = (each.get("issues") or {}).get("nodes") or []
            nodes[:] = [node for node in nodes if node.get("id") != issue.node_id]
        return content

    edit_answers(app_mode, hide)
    job = sync(installation, mode="repo", repository=world.full_name(one))
    assert job.status == "partial"
    assert [each["category"] for each in job.failures] == ["validation"]
    after = Issue.objects.get(github_id=issue.id)
    assert (after.title, after.removed_at) == (before.title, None)


@pytest.mark.spec("R7.2")
def test_many_deleted_issues_are_removed_over_several_runs(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation, world = discover(), app_mode.world
    one, other = roomy(world), roomy(world, skip=1)
    world.quiet = True
    made = [world.open_issue(r.id, "One of many") for r in (one, other) for _ in range(110)]
    sync(installation)
    for issue in made:
        world.delete_issue(issue.repository_id, issue.number)
    left = len(made)
    for wanted in ("partial", "partial", "succeeded"):
        app_mode.reset_log()
        job = sync(installation, "cron", mode="incremental")
        assert job.status == wanted
        left = max(0, left - 100)
        assert Issue.objects.filter(removed_at__isnull=False).count() == len(made) - left
        assert_nothing_is_wrongly_gone(world)
    assert_equal(world, installation)


# --- records that cannot be read ------------------------------------------------------------------


@pytest.mark.spec("P30", "P32", "R5.2")
def test_strange_but_true_records_are_mirrored(either: Simulator) -> None:
    installation, world = discover(), either.world
    one = roomy(world, 4, 1, 3)
    content = world.content(one)
    a, b, c, d = content.issues[:4]
    a.author, a.title, a.body = None, "\N{PILE OF POO} \x00 end", "\x00"
    b.body = "\N{BUG}" * 65_536
    b.labels = tuple(
        Label(one.id * 100 + 7000 + n, f"label {n:03}", "ededed", None, default=False)
        for n in range(130)
    )
    c.assignees = tuple(world.contents.people[:14])
    d.body, d.closed_at, d.state_reason = "", None, None
    content.pull_requests[0].author = None
    content.changed()
    job = sync(installation)
    assert (job.status, job.failures) == ("succeeded", [])
    row = Issue.objects.get(github_id=a.id)
    assert (row.author, row.title) == (None, "\N{PILE OF POO} \ufffd end")
    assert len(Issue.objects.get(github_id=b.id).labels) == 130
    assert len(Issue.objects.get(github_id=c.id).assignees) == 14
    a.title, a.body = "end", "end"
    content.changed()
    with time_machine.travel(clock.now() + OVER):
        assert changed(sync(installation)) == {"issues": {"updated": 1}}
    assert_equal(world, installation)


Damage = Mapping[str, Any]
BAD_ISSUES: dict[str, Damage | None] = {
    "no object": None,
    "number 0": {"number": 0},
    "number beyond": {"number": 2**31},
    "no number": {"number": None},
    "weird state": {"state": "WEIRD"},
    "no title": {"title": None},
    "no time": {"updated_at": None, "updatedAt": None},
    "no id": {"id": None, "fullDatabaseId": None},
    "id 0": {"id": 0, "fullDatabaseId": "0"},
}


def damaged(world: World) -> dict[str, Issue_]:
    """One issue for each damage, no two in one repository at the same place of its list."""
    issues = [
        issue
        for repository in world.owned(world.account("octo-simulated"))
        for issue in world.content(repository).issues[:2]
        if not repository.archived
    ]
    return dict(zip(BAD_ISSUES, issues, strict=False))


def spoiled(chosen: Mapping[str, Issue_]) -> Edit:
    """Answers in which each of these issues is damaged in its own way."""
    names = {issue.node_id: name for name, issue in chosen.items()}

    def spoil(item: Json) -> Any:
        name = names.get(item.get("id") or "") or names.get(item.get("node_id") or "")
        if name is None or "number" not in item:
            return item
        damage = BAD_ISSUES[name]
        return "no object" if damage is None else item | dict(damage)

    return each_item(spoil)


@pytest.mark.spec("P30", "R10.5")
def test_bad_issues_are_put_aside_and_the_rest_goes_on(either: Simulator) -> None:
    installation, world = discover(), either.world
    bad, plain = damaged(world), either._dispatcher.respond
    assert bad.keys() == BAD_ISSUES.keys()
    edit_answers(either, spoiled(bad), r"^/graphql$|/issues$")
    job = sync(installation)
    assert job.status == "partial"
    assert {(f["operation"], f["category"]) for f in job.failures} == {
        ("read issues", "validation")
    }
    assert len(job.failures) == job.counts["issues"]["errors"] == len(bad)
    assert_equal_to_truth(world, installation)
    for row in Repository.objects.filter(installation=installation):
        here, there = mirrored_contents(row), true_contents(world, row)
        for issue in bad.values():
            there["issues"].pop(issue.id, None)
        assert here == there
    lists = ContentList.objects.filter(entity="issues")
    assert sum(lists.values_list("unreadable", flat=True)) == len(bad)
    # They are not away silently: and once they are good again, they are found.
    either._dispatcher.respond = plain  # type: ignore[method-assign]
    for issue in bad.values():
        world.edit_issue(issue.repository_id, issue.number, title="Good again")
    job = sync(installation, "cron", mode="incremental")
    assert (job.status, changed(job)) == ("succeeded", {"issues": {"created": len(bad)}})
    assert not lists.exclude(unreadable=0).exists()
    assert_equal(world, installation)


@pytest.mark.spec("P30", "P7")
def test_each_bad_record_is_told_of(app_mode: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MOST_PER_PAGE", 1)  # so that all stand at one place of a page
    installation, world = discover(), app_mode.world
    bad = world.content(roomy(world, 4)).issues[:3]
    edit_answers(app_mode, spoiled(dict.fromkeys(["no object"], bad[0])))
    edit_answers(app_mode, spoiled({"no id": bad[1]}))
    edit_answers(app_mode, spoiled({"id 0": bad[2]}))
    job = sync(installation)
    assert job.counts["issues"]["errors"] == len(job.failures) == 3


@pytest.mark.spec("P30", "R7.2")
def test_issues_that_turn_bad_are_not_taken_for_deleted(either: Simulator) -> None:
    installation, world = discover(), either.world
    sync(installation)
    bad = damaged(world)
    edit_answers(either, spoiled(bad), r"^/graphql$|/issues$")
    with time_machine.travel(clock.now() + OVER):
        job = sync(installation)
    assert (job.status, changed(job)) == ("partial", {"issues": {"errors": len(bad)}})
    assert_equal(world, installation)


@pytest.mark.spec("P30", "R5.3")
@pytest.mark.parametrize("name", ["no object", "no sha", "no time"])
def test_a_commit_that_cannot_be_read_was_not_dropped(either: Simulator, name: str) -> None:
    installation, world = discover(), either.world
    sync(installation)
    one = roomy(world, 0, 0, 5)
    bad = world.content(one).history(one.default_branch)[2]

    def spoil(item: Json) -> Any:
        if bad.sha not in (item.get("oid"), item.get("sha")):
            return item
        if name == "no sha":
            return item | {"oid": None, "sha": None}
        if name == "no time":
            commit = item.get("commit", {}) | {"author": None, "committer": None}
            return item | {"authoredDate": None, "committedDate": None, "commit": commit}
        return None

    edit_answers(either, each_item(spoil), r"^/graphql$|/commits$")
    job = sync(installation, mode="repo", repository=world.full_name(one))
    assert job.status == "partial"
    assert_nothing_is_wrongly_gone(world)
    assert_equal(world, installation)


@pytest.mark.spec("P30", "R5.5")
def test_a_bad_record_does_not_hide_a_deletion(either: Simulator) -> None:
    installation, world = discover(), either.world
    sync(installation)
    one = roomy(world, 4)
    gone = world.content(one).issues[0]
    world.delete_issue(one.id, gone.number)
    bad = world.open_issue(one.id, "The count is the same as before")

    def spoil(item: Json) -> Any:
        is_bad = bad.node_id in (item.get("id"), item.get("node_id")) and "number" in item
        return item | {"number": 0} if is_bad else item

    edit_answers(either, each_item(spoil), r"^/graphql$|/issues$")
    assert sync(installation, "cron", mode="incremental").status == "partial"
    assert Issue.objects.get(github_id=gone.id).removal == "deleted"


@pytest.mark.spec("P30", "R5.5")
def test_a_record_that_the_database_refuses_does_not_hide_a_deletion(app_mode: Simulator) -> None:
    installation, world = discover(), app_mode.world
    sync(installation)
    one = roomy(world, 4)
    gone = world.content(one).issues[0]
    world.delete_issue(one.id, gone.number)
    bad = world.open_issue(one.id, "The count is the same as before")
    bad.author = replace(world.contents.people[0], login="x" * 300)
    world.content(one).changed()
    assert sync(installation, "cron", mode="incremental").status == "partial"
    assert Issue.objects.get(github_id=gone.id).removal == "deleted"


@pytest.mark.spec("P30", "R5.5")
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_time_in_the_future_hides_no_other_change(either: Simulator, mode: str) -> None:
    installation, world = discover(), either.world
    one = roomy(world, 4)
    ahead, other = world.content(one).issues[:2]
    right = ahead.updated_at
    ahead.updated_at = int(clock.now().timestamp()) + 40 * 86_400
    world.content(one).changed()
    assert sync(installation).status == "succeeded"
    with time_machine.travel(clock.now() + timedelta(minutes=15)):
        world.edit_issue(one.id, other.number, title="Edited")
        sync(installation, "cron", mode=mode)
        assert_equal(world, installation)
        # GitHub's time is right again: the row is not shielded for ever.
        ahead.title, ahead.updated_at = "Right again", right + 1
        world.content(one).changed()
        sync(installation, "cron", mode=mode)
        assert_equal(world, installation)
