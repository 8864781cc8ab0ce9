"""What the probes and Prometheus are told, in good times and in bad."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, ProgrammingError, connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries, Settings

from syncsvc import clock, health, heartbeats
from syncsvc.models import Heartbeat
from tests.factories import (
    DeliveryFactory,
    GapFactory,
    InstallationFactory,
    MissedDeliveryFactory,
    RateBudgetFactory,
    RepositoryFactory,
    SyncJobFactory,
)
from tests.people_support import browser, member_of, staff


def beat(*components: str, seconds_ago: int = 0) -> None:
    for name in components:
        at = clock.now() - timedelta(seconds=seconds_ago)
        Heartbeat.objects.update_or_create(component=name, defaults={"beaten_at": at})


def ready() -> tuple[int, dict[str, str]]:
    response = Client().get("/readyz")
    return response.status_code, response.json()["checks"]


def figures(client: Client | None = None, **headers: str) -> dict[tuple[str, ...], float]:
    response = (client or Client()).get("/metrics", headers=headers)
    assert response.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


@pytest.fixture
def files(settings: Settings, tmp_path: Path) -> Path:
    """A broker of files in a folder of its own."""
    settings.CELERY_BROKER_URL = "filesystem://"
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"data_folder_out": str(tmp_path)}
    return tmp_path


@pytest.mark.spec("R19.3")
def test_healthz_answers_without_touching_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    response = Client().get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")
    assert Client().post("/healthz").status_code == 405


@pytest.mark.spec("R19.3")
@pytest.mark.django_db
def test_readyz_is_200_when_all_parts_live(files: Path) -> None:
    beat("worker", "beat", "sweeper")
    assert ready() == (
        200,
        dict.fromkeys(("database", "broker", "worker", "beat", "sweeper"), "ok"),
    )


@pytest.mark.spec("R19.3")
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("silent", "words"),
    [("worker", "Celery worker"), ("beat", "Celery beat"), ("sweeper", "queue of short tasks")],
)
def test_readyz_names_a_part_that_has_gone_silent(files: Path, silent: str, words: str) -> None:
    beat("worker", "beat", "sweeper")
    beat(silent, seconds_ago=91)
    code, checks = ready()
    assert code == 503
    assert words in checks.pop(silent)
    assert set(checks.values()) == {"ok"}


@pytest.mark.spec("R19.3")
@pytest.mark.django_db
@pytest.mark.parametrize("address", ["redis://127.0.0.1:9/0", "filesystem://", "nonsense://"])
def test_readyz_says_that_the_broker_is_gone(settings: Settings, files: Path, address: str) -> None:
    beat("worker", "beat", "sweeper")
    settings.CELERY_BROKER_URL = address
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"data_folder_out": str(files / "gone")}
    code, checks = ready()
    assert code == 503
    assert "broker does not answer" in checks["broker"]
    assert "9/0" not in checks["broker"]


@pytest.mark.spec("R19.3", "R19.5")
@pytest.mark.django_db
def test_readyz_says_that_the_migrations_were_forgotten(
    monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    def refuse(*_: Any) -> None:
        raise ProgrammingError("relation does not exist")

    monkeypatch.setattr(heartbeats, "alive", refuse)
    code, checks = ready()
    assert code == 503
    assert "manage.py prepare" in checks["worker"]
    assert checks["database"] == "ok"


@pytest.mark.spec("R19.3")
@pytest.mark.django_db
def test_readyz_says_that_the_disk_of_the_file_broker_is_full(
    monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    disk = os.statvfs(files)
    full = os.statvfs_result((*disk[:4], 0, *disk[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    assert "has room" in ready()[1]["broker"]


@pytest.mark.spec("R19.3")
@pytest.mark.django_db
def test_readyz_answers_while_the_database_does_not(
    monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    def refuse(*_: Any) -> None:
        raise DatabaseError("password=secret")

    monkeypatch.setattr(connection, "cursor", refuse)
    code, checks = ready()
    assert code == 503
    assert "DATABASE_URL" in checks["database"]
    assert "secret" not in str(checks)
    assert checks["broker"] == "ok"
    assert (
        checks["worker"]
        == checks["sweeper"]
        == checks["beat"]
        == "Not known while the database does not answer."
    )
    assert Client().get("/metrics").status_code == 503


@pytest.mark.spec("R19.3")
@pytest.mark.django_db
def test_metrics_count_what_is_in_the_database() -> None:
    acme = InstallationFactory.create(last_synced_at=clock.now() - timedelta(hours=2))
    InstallationFactory.create(status="suspended")
    RepositoryFactory.create(installation=acme)
    RepositoryFactory.create(installation=acme, status="deleted")
    SyncJobFactory.create(installation=acme, created_at=clock.now() - timedelta(days=9))
    SyncJobFactory.create(installation=acme, failed=True)
    SyncJobFactory.create(
        installation=acme, running=True, created_at=clock.now() - timedelta(days=3)
    )
    RateBudgetFactory.create(installation=acme, remaining=123)
    beat("worker")
    found = figures()
    assert found["mirror_installations", "active"] == 1
    assert found["mirror_installations", "suspended"] == 1
    assert found["mirror_repositories", "deleted"] == 1
    assert found["mirror_repositories", "archived"] == 0
    assert found["mirror_jobs", "succeeded"] == 0
    assert found["mirror_jobs", "failed"] == 1
    assert found["mirror_jobs", "running"] == 1
    assert found["mirror_rate_budget_remaining", str(acme.pk), "core"] == 123
    assert 7200 <= found["mirror_oldest_sync_age_seconds",] < 7300
    assert found["mirror_heartbeat_age_seconds", "worker"] < 10


@pytest.mark.spec("R19.3")
@pytest.mark.django_db
def test_metrics_say_what_waits_and_what_was_missed() -> None:
    now = clock.now()
    found = figures()
    assert found["mirror_oldest_waiting_delivery_age_seconds",] == 0
    assert found["mirror_gaps_open", "silence"] == 0
    DeliveryFactory.create(waiting=True, received_at=now - timedelta(days=2))
    DeliveryFactory.create(waiting=True)
    DeliveryFactory.create(received_at=now - timedelta(days=2))
    DeliveryFactory.create(status="failed")
    GapFactory.create(reason="silence")
    GapFactory.create(closed=True)
    MissedDeliveryFactory.create()
    MissedDeliveryFactory.create(healed=True)
    found = figures()
    assert found["mirror_deliveries", "received"] == 2
    assert found["mirror_deliveries", "processed"] == 0
    assert found["mirror_deliveries", "failed"] == 1
    assert 172_800 <= found["mirror_oldest_waiting_delivery_age_seconds",] < 172_900
    assert found["mirror_gaps_open", "silence"] == 1
    assert found["mirror_gaps_open", "failed_deliveries"] == 0
    assert found["mirror_missed_deliveries_unhealed",] == 1


@pytest.mark.spec("R19.3")
@pytest.mark.django_db
def test_a_scrape_costs_the_same_queries_however_much_there_is(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(17):
        figures()
    for _ in range(10):
        RateBudgetFactory.create(installation=RepositoryFactory.create().installation)
    with django_assert_num_queries(17):
        figures()


@pytest.mark.spec("R19.2")
@pytest.mark.django_db
def test_metrics_name_nobody() -> None:
    row = InstallationFactory.create(account_login="secret-org")
    RepositoryFactory.create(installation=row, name="secret-name", visibility="private")
    RateBudgetFactory.create(installation=row)
    assert b"secret" not in Client().get("/metrics").content


@pytest.mark.spec("R19.2")
@pytest.mark.django_db
def test_a_token_closes_metrics_to_all_but_its_bearer_and_staff(settings: Settings) -> None:
    settings.METRICS_TOKEN = "s3cret"
    assert Client().get("/metrics").status_code == 401
    wrong = {"authorization": "Bearer wrong"}
    assert Client().get("/metrics", headers=wrong).status_code == 401
    assert browser(member_of(InstallationFactory.create())).get("/metrics").status_code == 401
    assert figures(authorization="Bearer s3cret")
    assert figures(browser(staff()))


def test_registering_the_collector_reads_nothing() -> None:
    assert health.MirrorCollector().describe() == []


@pytest.mark.spec("R19.3")
@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_that_knows_only_the_machines_address_is_answered(
    client: Client, path: str
) -> None:
    assert client.get(path, headers={"host": "10.1.2.3:8000"}).status_code in (200, 503)
    assert client.get("/login/", headers={"host": "10.1.2.3:8000"}).status_code == 400
