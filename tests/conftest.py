"""What all tests share: a simulated GitHub, settings that point to it, and no surprises from outside."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache
from socketserver import BaseServer
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from django.core.cache import cache as shared_cache
from django.db import connection, transaction
from django.test import TransactionTestCase, override_settings
from hypothesis import settings as hypothesis_settings
from pytest_django import Settings

from syncsvc import conf, connect, credentials, jobs, rechecks
from syncsvc.conf import SyncSettings
from syncsvc.simulator import Simulator, World
from syncsvc.webhooks import inbox

# Compiled once: else both workers rewrite every test's asserts, and each started process compiles us.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

hypothesis_settings.register_profile("default", max_examples=100, deadline=None)
hypothesis_settings.load_profile("default")


def pytest_xdist_auto_num_workers() -> int:
    """One more than processors: tests of real processes wait most of their time."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """What is there now stays to the end: looking for garbage in it, every 700 objects, took a tenth of
    the whole time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(autouse=True, scope="session")
def basic_settings() -> Iterator[None]:
    """What every test begins with. Said once for all: telling Django of a changed setting takes time."""
    with override_settings(
        # Nothing outside the test decides which GitHub it talks to.
        GITHUB_API_URL="http://127.0.0.1:9",
        GITHUB_APP_ID="",
        GITHUB_APP_PRIVATE_KEY="",
        GITHUB_TOKEN="",
        GITHUB_OWNER="",
        # A password takes half a second to hash on purpose; a test that logs in need not wait for it.
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        # Listing all static files takes 20 ms, for each test client anew; one by one they are the same.
        WHITENOISE_AUTOREFRESH=True,
    ):
        yield


@pytest.fixture(autouse=True, scope="session")
def quick_stops() -> Iterator[None]:
    """A server looks up twenty times a second whether it shall stop; who stops one need not wait for that."""
    serve = BaseServer.serve_forever

    def alert(server: BaseServer, poll_interval: float = 0.5) -> None:
        serve(server, min(poll_interval, 0.005))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseServer, "serve_forever", alert)
        yield


@pytest.fixture(autouse=True, scope="session")
def quick_keys() -> Iterator[None]:
    """Whether a private key is sound takes 50 ms to see; each simulator has the same one and need not look."""
    load = cache(serialization.load_pem_private_key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serialization, "load_pem_private_key", load)
        yield


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for again is read at once, however often."""
    monkeypatch.setattr(rechecks, "PAUSE", timedelta(0))
    shared_cache.clear()  # it remembers when accounts were last looked for
    credentials.forget()


@pytest.fixture(autouse=True)
def bells(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """Instead of the broker: the ids of the jobs that workers were told of."""
    rung: list[UUID] = []

    def ring(job_id: UUID) -> bool:
        rung.append(job_id)
        return True

    monkeypatch.setattr(jobs, "ring", ring)
    return rung


@pytest.fixture(autouse=True)
def tune(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SyncSettings]:
    """Changes settings for one test: `tune(manual_cooldown_seconds=5)`. No cooldown unless asked for."""

    def change(**values: Any) -> SyncSettings:
        tuned = replace(conf.defaults(), **values)
        monkeypatch.setattr(conf, "defaults", lambda: tuned)
        return tuned

    change(manual_cooldown_seconds=0)
    return change


KEPT = ("django_migrations", "django_content_type", "auth_permission", "django_celery_beat_%")


@pytest.fixture(autouse=True, scope="session")
def quick_flush() -> Iterator[None]:
    """After a test with transactions of its own: TRUNCATE costs every table a new file, and what Django
    makes anew after it (permissions, content types, periodic tasks) no such test changes. Where all
    goes, no row need be looked for that another refers to: who may, deletes without asking."""

    def forget(_: TransactionTestCase) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('session_replication_role', 'replica', true)"
                " FROM pg_roles WHERE rolname = current_user AND rolsuper"
            )
            cursor.execute(
                "SELECT tablename FROM pg_tables"
                " WHERE schemaname = 'public' AND NOT tablename LIKE ANY(%s)",
                [list(KEPT)],
            )
            tables = [row[0] for row in cursor.fetchall()]
            cursor.execute(";".join(f'DELETE FROM "{table}"' for table in tables))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", forget)
        yield


@pytest.fixture
def world() -> World:
    """A small GitHub: one organization and one user, each an installation of the App.

    Its repositories hold nothing: tests of issues, pull requests and commits have worlds of their own.
    """
    return World.generate(
        seed=1,
        repositories=30,
        issues_per_repository=0,
        pull_requests_per_repository=0,
        commits_per_repository=0,
    )


@pytest.fixture
def simulator(world: World) -> Iterator[Simulator]:
    """That GitHub, served over HTTP."""
    with Simulator(world) as running:
        yield running


@pytest.fixture
def app_mode(simulator: Simulator, settings: Settings) -> Simulator:
    """The product is configured as the simulated GitHub's App."""
    settings.GITHUB_API_URL = simulator.url
    settings.GITHUB_APP_ID = str(simulator.app_id)
    settings.GITHUB_APP_PRIVATE_KEY = simulator.private_key_pem
    return simulator


@pytest.fixture
def token_mode(simulator: Simulator, settings: Settings) -> Simulator:
    """The product has the personal access token of the simulated user, and mirrors that user."""
    settings.GITHUB_API_URL = simulator.url
    settings.GITHUB_TOKEN = simulator.token
    settings.GITHUB_OWNER = simulator.token_owner
    return simulator


@pytest.fixture(autouse=True)
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waiting between retries takes no time; the seconds that would have passed are recorded."""
    waited: list[float] = []
    plain = connect.transport_for
    monkeypatch.setattr(
        connect,
        "transport_for",
        lambda budget, concurrency: plain(budget, concurrency, sleep=waited.append),
    )
    return waited


@pytest.fixture(autouse=True)
def real_ring(monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Stored deliveries ring no broker; returned is what would have been called."""
    rings = inbox.ring_bell
    monkeypatch.setattr(inbox, "ring_bell", lambda: True)
    return rings
