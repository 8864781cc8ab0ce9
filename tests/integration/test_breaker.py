"""An account's breaker in the database: what opens it, its one trial, who is told, and who may end it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.urls import reverse

from alerts.models import Incident
from reconciliation.models import AuditEntry
from syncsvc import cards, circuit, conf, discovery, events, health, jobs, policy, state
from syncsvc.endings import Outcome
from syncsvc.leases import Lease
from syncsvc.models import DeadLetter, Installation, SyncJob
from syncsvc.policy import Decision
from syncsvc.service import SyncService
from syncsvc.simulator import Simulator
from tests.factories import InstallationFactory, SyncJobFactory
from tests.people_support import api, browser, member_of, staff
from tests.support import discover, sync

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NO_NETWORK: dict[str, Any] = {"sentence": "No network.", "category": "network", "retryable": True}
REFUSED: dict[str, Any] = {
    "sentence": "Renew the token.", "category": "authentication", "kind": "authentication",
    "retryable": False,
}  # fmt: skip
NOT_FOUND: dict[str, Any] = {
    "sentence": "Check the name.", "category": "unknown", "kind": "not_found", "retryable": False,
}  # fmt: skip


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def acme() -> Installation:
    return InstallationFactory.create(account_login="acme")


@pytest.fixture
def turns() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The turns of breakers, as they are told."""
    told: list[tuple[str, dict[str, Any]]] = []

    def note(*, name: str, fields: dict[str, Any], **_: Any) -> None:
        if name.startswith("sync.breaker."):
            told.append((name.removeprefix("sync.breaker."), fields))

    events.happened.connect(note)
    yield told
    events.happened.disconnect(note)


def started(installation: Installation, **wish: Any) -> Lease:
    decision = SyncService.request(installation.pk, "cron", **wish)
    assert decision.job_id is not None, decision
    lease = jobs.claim(decision.job_id)
    assert lease is not None
    return lease


def fail(installation: Installation, times: int = 1, **trouble: Any) -> SyncJob:
    for _ in range(times):
        lease = started(installation)
        lease.fail(Outcome(), last=True, **(trouble or NO_NETWORK))
    installation.refresh_from_db()
    return lease.job


def of(installation: Installation) -> tuple[str, int, int]:
    installation.refresh_from_db()
    return (
        installation.breaker_state,
        installation.consecutive_failures,
        installation.breaker_openings,
    )


# -- the three states ------------------------------------------------------------------------------


@pytest.mark.spec("R10.3")
def test_five_failures_open_it_each_failed_trial_doubles_the_pause_and_a_success_ends_it(
    clock: Any, acme: Installation, turns: list[tuple[str, dict[str, Any]]]
) -> None:
    fail(acme, 4)
    assert of(acme) == ("closed", 4, 0)
    last = fail(acme)
    assert of(acme) == ("open", 5, 1)
    assert turns == [
        (
            "opened",
            {
                "installation_id": acme.pk,
                "job_id": str(last.pk),
                "failures": 5,
                "until": (NOON + 5 * MINUTE).isoformat(),
            },
        )
    ]
    for openings, pause in enumerate((5, 10, 20, 40, 60, 60), start=1):
        acme.refresh_from_db()
        assert acme.breaker_open_until is not None
        assert acme.breaker_open_until - acme.breaker_opened_at == pause * MINUTE  # type: ignore[operator]
        refused = SyncService.request(acme.pk, "manual")
        assert (str(refused.action), str(refused.reason)) == ("block", "breaker_open")
        assert refused.metadata["until"] == acme.breaker_open_until
        clock.move_to(acme.breaker_open_until)
        trial = started(acme)
        assert of(acme) == ("half_open", 4 + openings, openings)
        trial.fail(Outcome(), **NO_NETWORK)
        assert trial.job.status == "failed"  # one attempt: the next trial is the next
    assert not DeadLetter.objects.exists()
    clock.shift(60 * MINUTE)
    started(acme).succeed(Outcome())
    assert of(acme) == ("closed", 0, 0)
    assert (acme.breaker_opened_at, acme.breaker_open_until) == (None, None)
    names = [name for name, _ in turns]
    assert names == ["opened", *["half_open", "opened"] * 6, "half_open", "closed"]
    assert all(fields["job_id"] for _, fields in turns)
    fail(acme, 4)
    assert of(acme)[0] == "closed"  # it begins anew


@pytest.mark.spec("R10.3", "R3.3", "P39")
def test_of_many_that_ask_at_once_when_the_pause_is_over_one_starts_the_trial(
    acme: Installation, turns: list[tuple[str, dict[str, Any]]]
) -> None:
    with time_machine.travel(datetime.now(UTC) - timedelta(minutes=6)):
        fail(acme, 5)
    barrier = threading.Barrier(8)

    def ask(_: int) -> Decision:
        barrier.wait(timeout=30)
        try:
            return SyncService.request(acme.pk, "manual")
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        decisions = list(pool.map(ask, range(8)))
    assert sorted(str(each.action) for each in decisions) == ["skip"] * 7 + ["start"]
    assert len({each.job_id for each in decisions}) == 1
    assert [name for name, _ in turns] == ["opened", "half_open"]
    assert of(acme)[0] == "half_open"


@pytest.mark.spec("R10.3")
def test_a_request_that_looked_before_it_opened_starts_nothing(
    clock: Any, acme: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last failure is written between the look of policy and the insert of the job."""
    fail(acme, 4)
    plain = policy.evaluate

    def slow(*given: Any) -> Decision:
        decision = plain(*given)
        monkeypatch.setattr(policy, "evaluate", plain)
        fail(acme)
        return decision

    monkeypatch.setattr(policy, "evaluate", slow)
    decision = SyncService.request(acme.pk, "cron")
    assert (str(decision.action), str(decision.reason)) == ("block", "breaker_open")
    assert not SyncJob.objects.filter(status__in=SyncJob.ACTIVE).exists()
    assert of(acme) == ("open", 5, 1)


@pytest.mark.spec("R10.2", "R10.3")
@pytest.mark.parametrize(
    "without_verdict", ["cancelled", "blocked", "handed back", "deleted", "narrow"]
)
def test_a_trial_without_a_verdict_leaves_it_half_open_and_the_next_sync_decides(
    clock: Any, acme: Installation, without_verdict: str
) -> None:
    fail(acme, 5)
    clock.shift(5 * MINUTE)
    if without_verdict == "narrow":
        lease = started(acme, mode="repo", repository="acme/site")
        lease.succeed(Outcome())
    else:
        lease = started(acme)
    if without_verdict == "cancelled":
        jobs.cancel(lease.job)
        lease.cancelled(Outcome())
    elif without_verdict == "blocked":
        lease.block(NOON + 30 * MINUTE, "budget", Outcome())
    elif without_verdict == "handed back":
        lease.hand_back()
    elif without_verdict == "deleted":
        lease.job.delete()
    assert of(acme) == ("half_open", 5, 1)
    clock.shift(30 * MINUTE)
    again = jobs.claim(lease.job.pk) if without_verdict != "deleted" else None
    (again or started(acme)).succeed(Outcome())
    assert of(acme) == ("closed", 0, 0)


@pytest.mark.spec("R10.2", "R10.3")
def test_a_trial_that_kills_its_workers_opens_it_again(clock: Any, acme: Installation) -> None:
    fail(acme, 5)
    clock.shift(5 * MINUTE)
    job = started(acme).job
    for _ in range(9):
        clock.shift(3 * MINUTE)
        jobs.ring_waiting()
        if jobs.claim(job.pk) is None:
            break
    job.refresh_from_db()
    assert job.status == "dead"
    assert of(acme) == ("open", 6, 2)


@pytest.mark.spec("R10.3", "R19.5")
def test_a_row_that_older_code_left_open_waits_and_gets_its_trial(
    clock: Any, acme: Installation
) -> None:
    Installation.objects.update(consecutive_failures=5, breaker_open_until=NOON + MINUTE)
    acme.refresh_from_db()
    assert str(circuit.of(acme).state) == "open"
    assert str(SyncService.request(acme.pk, "cron").reason) == "breaker_open"
    clock.shift(MINUTE)
    started(acme).fail(Outcome(), **NO_NETWORK)
    assert of(acme) == ("open", 6, 2)


# -- whose failure it is ---------------------------------------------------------------------------


@pytest.mark.spec("R10.3")
@pytest.mark.parametrize("mode", ["repo", "recheck", "audit"])
@pytest.mark.parametrize("trouble", [NO_NETWORK, NOT_FOUND], ids=["network", "not_found"])
def test_one_repositorys_failures_never_open_it(
    acme: Installation, mode: str, trouble: dict[str, Any]
) -> None:
    for _ in range(8):
        lease = started(acme, mode=mode, repository="acme/site")
        lease.fail(Outcome(), last=True, **trouble)
    assert of(acme) == ("closed", 0, 0)
    assert (acme.last_error, acme.action_needed) == ("", "")
    expected = "Check the name." if trouble is NOT_FOUND else ""
    assert {row.action_needed for row in SyncJob.objects.all()} == {expected}


@pytest.mark.spec("R10.3")
def test_a_run_for_one_repository_whose_token_is_refused_speaks_of_the_account(
    acme: Installation, tune: Any
) -> None:
    tune(breaker_failures=2)
    for _ in range(2):
        lease = started(acme, mode="repo", repository="acme/site")
        lease.fail(Outcome(), **REFUSED)
    assert of(acme) == ("open", 2, 1)
    assert acme.action_needed == "Renew the token."


# -- what a person has to do -----------------------------------------------------------------------


@pytest.mark.spec("R10.1", "R14.1", "R3.5")
def test_what_a_person_has_to_do_is_shown_everywhere_until_a_run_succeeds(
    acme: Installation,
) -> None:
    job = fail(acme, **REFUSED)
    assert (job.status, job.action_needed, job.attempt) == ("failed", "Renew the token.", 1)
    user = member_of(acme, "operator")
    shown = api(user).get(f"/api/v1/installations/{acme.pk}/status/").json()
    assert (shown["action_needed"], shown["breaker_state"]) == ("Renew the token.", "closed")
    assert api(user).get(f"/api/v1/jobs/{job.pk}/").json()["action_needed"] == "Renew the token."
    for address in (
        reverse("home"), reverse("installation", args=[acme.pk]), reverse("job", args=[job.pk]),
    ):  # fmt: skip
        page = browser(user).get(address).content.decode()
        assert "Needs somebody:" in page
        assert "Renew the token." in page
    assert Incident.objects.get(kind="action_needed").status == "open"

    started(acme).succeed(Outcome())
    acme.refresh_from_db()
    assert acme.action_needed == ""
    assert Incident.objects.get(kind="action_needed").status == "resolved"
    assert "Needs somebody:" not in browser(user).get(reverse("home")).content.decode()


@pytest.mark.spec("R10.1")
def test_what_time_may_mend_asks_nobody_for_anything(acme: Installation) -> None:
    fail(acme)
    assert (acme.last_error, acme.action_needed) == ("No network.", "")


@pytest.mark.spec("R10.1")
def test_a_key_that_is_none_reaches_job_and_account_from_a_real_run(app_mode: Simulator) -> None:
    installation = discover()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.GITHUB_APP_PRIVATE_KEY", "not a key")
        job = sync(installation)
    installation.refresh_from_db()
    assert job.status == "failed"
    assert job.action_needed == job.error == installation.action_needed != ""
    assert sync(installation).status == "succeeded"
    installation.refresh_from_db()
    assert installation.action_needed == ""


@pytest.mark.spec("R2.3", "R10.3")
def test_an_account_that_comes_back_begins_with_a_closed_breaker(
    acme: Installation, turns: list[tuple[str, dict[str, Any]]]
) -> None:
    fail(acme, 5, **REFUSED)
    discovery.mark_uninstalled(acme)
    acme.refresh_from_db()
    assert (acme.breaker_state, acme.action_needed) == ("open", "")
    discovery._record(acme.account_id, {"status": "active", "uninstalled_at": None})
    assert of(acme) == ("closed", 0, 0)
    assert [name for name, _ in turns] == ["opened", "closed"]
    assert SyncService.request(acme.pk, "cron").job_id is not None


# -- people ----------------------------------------------------------------------------------------


@pytest.mark.spec("R10.3", "R18.3")
def test_the_card_and_the_metrics_say_how_it_stands(clock: Any, acme: Installation) -> None:
    user = member_of(acme)
    rows = Installation.objects.all()
    [card] = cards.read(user, rows)
    assert card.breaker == ""
    fail(acme, 5)
    [opened] = cards.read(user, rows)
    assert "paused after 5 failures in a row" in opened.breaker
    assert "2026-03-01 12:05:00 UTC" in opened.breaker
    assert opened.fingerprint != card.fingerprint
    assert opened.breaker in browser(user).get(reverse("home")).content.decode()
    assert _gauge() == {"closed": 0, "open": 1, "half_open": 0}
    clock.shift(5 * MINUTE)
    started(acme)
    [trial] = cards.read(user, rows)
    assert "a trial" in trial.breaker
    assert _gauge() == {"closed": 0, "open": 0, "half_open": 1}
    assert Incident.objects.get(kind="breaker_open").title.startswith("Syncs of acme are on trial")


def _gauge() -> dict[str, float]:
    [gauge] = [
        each for each in health.MirrorCollector().collect() if each.name == "mirror_breakers"
    ]
    return {sample.labels["state"]: sample.value for sample in gauge.samples}


@pytest.mark.spec("R10.3", "R11.2", "R19.2")
@pytest.mark.parametrize(
    ("role", "allowed"), [("operator", True), ("admin", True), ("member", False)]
)
def test_an_operator_closes_it_by_hand_and_the_audit_log_says_who(
    acme: Installation, role: str, allowed: bool, turns: list[tuple[str, dict[str, Any]]]
) -> None:
    fail(acme, 5)
    user = member_of(acme, role)
    address = f"/api/v1/installations/{acme.pk}/breaker/reset/"
    response = api(user).post(address)
    if not allowed:
        assert response.status_code == 403
        assert of(acme)[0] == "open"
        return
    assert response.status_code == 200
    assert (response.json()["breaker_state"], response.json()["can_sync_now"]) == ("closed", True)
    assert api(user).post(address).status_code == 200  # twice is once
    assert of(acme) == ("closed", 0, 0)
    entry = AuditEntry.objects.get(kind="breaker")
    assert (entry.actor, entry.installation) == (user, acme)
    assert entry.detail == {"was": "open", "failures": 5}
    assert [name for name, _ in turns] == ["opened", "closed", "reset"]
    stranger = member_of(InstallationFactory.create(), "operator")
    assert api(stranger).post(address).status_code == 404


@pytest.mark.spec("R10.3", "R18.2")
def test_the_admin_finds_what_is_open_and_tries_it_now(acme: Installation) -> None:
    fail(acme, 5)
    InstallationFactory.create(account_login="calm")
    user = staff()
    client: Client = browser(user)
    address = reverse("admin:syncsvc_installation_changelist")
    page = client.get(address, {"breaker_state__exact": "open"}).content.decode()
    assert "acme" in page
    assert "calm" not in page
    body = {"action": "try_now", "_selected_action": [acme.pk]}
    client.post(address, body)
    assert of(acme)[0] == "open"
    client.post(address, body | {"decided": "yes"})
    assert of(acme)[0] == "closed"
    job = SyncJob.objects.get(installation=acme, status="queued")
    assert (job.trigger, job.requested_by) == ("manual", user)
    assert AuditEntry.objects.filter(kind="breaker", actor=user).exists()


@pytest.mark.spec("R10.3", "R18.3", "R19.2")
def test_operators_end_the_pause_from_the_card_and_members_are_not_offered_to(
    acme: Installation,
) -> None:
    fail(acme, 5)
    address = f"/installations/{acme.pk}/try-now/"
    member, operator = member_of(acme, "member"), member_of(acme, "operator")
    assert address not in browser(member).get("/").content.decode()
    assert browser(member).post(address).status_code == 403
    assert (
        browser(member_of(InstallationFactory.create(), "admin")).post(address).status_code == 404
    )
    assert of(acme)[0] == "open"
    client = browser(operator)
    assert address in client.get("/").content.decode()
    shown = client.post(address, follow=True).content.decode()
    assert "has started" in shown
    assert address not in shown
    assert of(acme)[0] == "closed"
    job = SyncJob.objects.get(installation=acme, status="queued")
    assert (job.trigger, job.requested_by) == ("manual", operator)


def test_the_states_of_policy_and_row_agree(clock: Any, acme: Installation) -> None:
    """Whatever the breaker is, policy refuses exactly what the insert of a job would."""
    SyncJobFactory.create(installation=acme)
    for name, until in (("closed", None), ("open", 1), ("open", -1), ("half_open", None)):
        moment = None if until is None else NOON + until * MINUTE
        Installation.objects.update(breaker_state=name, breaker_open_until=moment)
        asked = policy.evaluate(state.read_one(acme.pk).state, "cron", NOON, conf.defaults())
        assert (str(asked.action) == "start") == (until != 1)
