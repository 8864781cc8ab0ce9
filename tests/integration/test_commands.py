"""The commands as a shell sees them: output, exit codes, one sentence for each bad input."""

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError
from pytest_django import Settings

from syncsvc.models import Installation, Repository, SyncJob
from syncsvc.simulator import Fault, Simulator
from tests.factories import SyncJobFactory
from tests.support import assert_equal_to_truth

pytestmark = pytest.mark.django_db(transaction=True)


def shell(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Runs a command with --json: exit code, the objects it printed, what it said on stderr."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as exit_:
        call_command(*arguments, "--json", stdout=out, stderr=err)
    code = exit_.value.code
    assert isinstance(code, int)
    assert "Traceback" not in err.getvalue()
    return code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue()


@pytest.mark.spec("R19.6")
def test_sync_waits_and_prints_one_object_with_everything_of_the_run(app_mode: Simulator) -> None:
    code, lines, _ = shell("sync", "octo-simulated", "--wait")
    assert code == 0
    (result,) = lines
    assert result["status"] == "succeeded"
    assert (result["trigger"], result["mode"]) == ("manual", "full")
    assert result["decision"] == {"action": "start", "reason": "accepted", "metadata": {}}
    assert result["job_id"] == str(SyncJob.objects.get().pk)
    assert set(result["counts"]["repositories"]) == {
        "created",
        "updated",
        "unchanged",
        "deleted",
        "errors",
    }
    assert set(result["api"]) >= {"requests", "not_modified", "graphql_points"}
    assert set(result["phases_seconds"]) == {"fetch", "compare", "update", "verify", "total"}
    assert {"accuracy", "discrepancies"} <= set(result)
    assert_equal_to_truth(app_mode.world, Installation.objects.get(account_login="octo-simulated"))


@pytest.mark.spec("R19.6")
def test_without_a_login_every_active_account_is_synced_one_object_a_line(
    app_mode: Simulator,
) -> None:
    code, lines, _ = shell("sync", "--wait")
    assert code == 0
    assert {line["installation"] for line in lines} == set(
        Installation.objects.values_list("account_login", flat=True)
    )
    assert len(lines) == 2


@pytest.mark.spec("R19.6", "R3.2")
def test_without_wait_the_job_is_queued_for_a_worker(app_mode: Simulator, bells: list[Any]) -> None:
    code, lines, _ = shell("sync", "octo-simulated", "--mode", "reconcile")
    assert (code, lines[0]["status"], lines[0]["mode"]) == (0, "queued", "reconcile")
    assert [str(job_id) for job_id in bells] == [lines[0]["job_id"]]
    code, again, _ = shell("sync", "octo-simulated")
    assert (code, again[0]["decision"]["reason"]) == (3, "already_syncing")
    assert again[0]["job_id"] == lines[0]["job_id"]


@pytest.mark.spec("R19.6")
def test_wait_takes_up_a_job_that_is_queued_already(app_mode: Simulator) -> None:
    shell("sync", "octo-simulated")
    code, lines, _ = shell("sync", "octo-simulated", "--wait")
    assert (code, lines[0]["status"]) == (0, "succeeded")
    assert SyncJob.objects.count() == 1


@pytest.mark.spec("R19.6", "R7.5")
@pytest.mark.parametrize(
    ("queued", "asked"),
    [
        ([], ["--dry-run"]),
        (["--dry-run"], []),
        (["--mode", "reconcile"], []),
        (["--repo", "octo-simulated/x"], []),
    ],
)
def test_wait_never_runs_a_job_that_does_something_else_than_was_asked_for(
    app_mode: Simulator, queued: list[str], asked: list[str]
) -> None:
    shell("sync", "octo-simulated", *queued)
    code, lines, _ = shell("sync", "octo-simulated", *asked, "--wait")
    assert (code, lines[0]["decision"]["reason"]) == (3, "already_syncing")
    assert not Repository.objects.exists()
    assert SyncJob.objects.get().status == "queued"


@pytest.mark.spec("R10.2", "R19.6")
def test_wait_takes_over_from_a_worker_that_is_found_dead(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("discover")
    octo = Installation.objects.get(account_login="octo-simulated")
    job = SyncJobFactory.create(running=True, installation=octo)

    def lease_runs_out(_seconds: float) -> None:
        SyncJob.objects.filter(pk=job.pk).update(lease_expires_at=job.created_at)

    monkeypatch.setattr("reconciliation.management.commands.sync.time.sleep", lease_runs_out)
    code, lines, _ = shell("sync", "octo-simulated", "--wait")
    assert (code, lines[0]["status"], lines[0]["job_id"]) == (0, "succeeded", str(job.pk))


@pytest.mark.spec("R10.2")
def test_who_interrupts_a_sync_leaves_no_job_behind_that_seems_to_run(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("syncsvc.mirror.apply", interrupt)
    code, _, err = shell("sync", "octo-simulated", "--wait")
    assert code == 1
    assert "Interrupted" in err
    job = SyncJob.objects.get()
    assert (job.status, job.lease) == ("cancelled", None)


@pytest.mark.spec("R3.1", "R19.6")
def test_the_cooldown_skips_with_exit_code_3(app_mode: Simulator, tune: Any) -> None:
    tune(manual_cooldown_seconds=60)
    assert shell("sync", "octo-simulated", "--wait")[0] == 0
    code, lines, _ = shell("sync", "octo-simulated", "--wait")
    assert code == 3
    assert lines[0]["decision"]["action"] == "skip"
    assert lines[0]["decision"]["reason"] == "cooldown"
    assert lines[0]["job_id"] is None


@pytest.mark.spec("R19.6", "R4.2")
def test_a_blocked_job_ends_with_exit_code_3(app_mode: Simulator) -> None:
    octo = app_mode.world.installation("octo-simulated")
    app_mode.limits.set(octo.id, remaining=0, reset_in=600)
    code, lines, _ = shell("sync", "octo-simulated", "--wait")
    assert (code, lines[0]["status"]) == (3, "blocked")
    assert lines[0]["blocked_until"].endswith("Z")
    assert "goes on by itself" in lines[0]["error"]
    assert set(lines[0]["counts"]["repositories"].values()) == {0}


@pytest.mark.spec("R5.6", "R19.6")
def test_a_partial_run_is_never_plain_success(app_mode: Simulator) -> None:
    app_mode.faults.add(
        Fault(kind="bad_record", path_regex="/installation/repositories", times=None)
    )
    code, lines, _ = shell("sync", "octo-simulated", "--wait")
    assert (code, lines[0]["status"]) == (1, "partial")
    assert lines[0]["failures"]


@pytest.mark.spec("R19.6", "R7.5")
def test_a_dry_run_prints_its_plan_and_writes_nothing(app_mode: Simulator) -> None:
    code, lines, _ = shell("sync", "octo-simulated", "--wait", "--dry-run")
    assert code == 0
    assert len(lines[0]["plan"]) == 30
    assert not Repository.objects.exists()


@pytest.mark.spec("R19.6")
def test_one_repository(app_mode: Simulator) -> None:
    shell("sync", "octo-simulated", "--wait")
    row = Repository.objects.filter(installation__account_login="octo-simulated").first()
    assert row is not None
    code, lines, _ = shell("sync", "--repo", row.full_name, "--wait")
    assert (code, lines[0]["mode"], lines[0]["status"]) == (0, "repo", "succeeded")


def test_an_unknown_login_says_which_are_known(app_mode: Simulator) -> None:
    code, lines, err = shell("sync", "nobody", "--wait")
    assert code == 2
    assert "nobody" in err
    assert "octo-simulated" in err
    assert "nobody" in lines[0]["error"]
    assert not SyncJob.objects.exists()


@pytest.mark.parametrize("repo", ["noslash", "a/b/c", "/x", "x/", "other/repo"])
def test_a_repository_that_is_none_or_anothers(app_mode: Simulator, repo: str) -> None:
    code, _, err = shell("sync", "octo-simulated", "--repo", repo)
    assert code == 2
    assert err.strip().endswith(".")


def test_no_credentials(settings: Settings) -> None:
    for command in (["discover"], ["sync"], ["sync", "octo"]):
        code, _, err = shell(*command)
        assert code == 1
        assert "GITHUB_APP_ID" in err
        assert "GITHUB_TOKEN" in err


def test_a_private_key_that_is_no_key(app_mode: Simulator, settings: Settings) -> None:
    settings.GITHUB_APP_PRIVATE_KEY = (
        "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----"
    )
    code, _, err = shell("sync", "octo-simulated", "--wait")
    assert code == 1
    assert "GITHUB_APP_PRIVATE_KEY" in err
    assert "nonsense" not in err
    assert not Installation.objects.exists()


def test_wrong_credentials(app_mode: Simulator, settings: Settings) -> None:
    settings.GITHUB_APP_ID = "999999"
    code, _, err = shell("discover")
    assert code == 1
    assert "credentials" in err


def test_an_api_that_cannot_be_reached(app_mode: Simulator, settings: Settings) -> None:
    settings.GITHUB_API_URL = "http://127.0.0.1:9"
    code, _, err = shell("discover")
    assert code == 1
    assert "could not be reached" in err


def test_an_address_that_is_none(app_mode: Simulator, settings: Settings) -> None:
    settings.GITHUB_API_URL = "nowhere"
    code, _, err = shell("discover")
    assert code == 1
    assert "GITHUB_API_URL" in err


def test_a_database_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any, **__: Any) -> Any:
        raise OperationalError("connection refused: password=hunter2")

    monkeypatch.setattr(Installation.objects, "filter", down)
    code, _, err = shell("sync", "octo-simulated")
    assert code == 1
    assert "DATABASE_URL" in err
    assert "hunter2" not in err


@pytest.mark.spec("R19.6")
def test_discover_prints_each_account(app_mode: Simulator) -> None:
    code, lines, _ = shell("discover")
    assert code == 0
    assert {line["change"] for line in lines} == {"created"}
    assert set(lines[0]) >= {"github_id", "account_login", "account_type", "status"}


@pytest.mark.spec("R19.6")
def test_people_read_sentences(app_mode: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("sync", "octo-simulated", "--wait")
    assert "octo-simulated: succeeded in" in capsys.readouterr().out


@pytest.mark.spec("R3.3")
def test_wait_follows_a_job_that_another_worker_runs(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("discover")
    octo = Installation.objects.get(account_login="octo-simulated")
    job = SyncJobFactory.create(running=True, installation=octo)

    def end(_seconds: float) -> None:
        SyncJob.objects.filter(pk=job.pk).update(
            status="succeeded", finished_at=job.created_at, lease=None, lease_expires_at=None
        )

    monkeypatch.setattr("reconciliation.management.commands.sync.time.sleep", end)
    code, lines, _ = shell("sync", "octo-simulated", "--wait")
    assert (code, lines[0]["status"], lines[0]["job_id"]) == (0, "succeeded", str(job.pk))
