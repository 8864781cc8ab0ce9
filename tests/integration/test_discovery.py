"""Which accounts are ours, and what became of them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from syncsvc import discovery, vault
from syncsvc.github.errors import AuthenticationFailed, ConfigurationError, NetworkError
from syncsvc.models import EtagEntry, Installation, InstallationToken
from syncsvc.simulator import Fault, Simulator
from tests.support import discover, sync

pytestmark = pytest.mark.django_db(transaction=True)


def changes() -> dict[str, str]:
    return {each.installation.account_login: each.change for each in discovery.discover()}


@pytest.mark.spec("R2.1")
def test_app_mode_finds_every_installation_and_the_same_twice_writes_nothing(
    app_mode: Simulator,
) -> None:
    assert set(changes().values()) == {"created"}
    before = list(Installation.objects.order_by("pk").values())
    assert {row["account_type"] for row in before} == {"Organization", "User"}
    assert set(changes().values()) == {"unchanged"}
    assert list(Installation.objects.order_by("pk").values()) == before


@pytest.mark.spec("R2.3")
def test_the_life_of_an_installation(app_mode: Simulator) -> None:
    octo = discover()
    world = app_mode.world
    world.suspend(octo.github_id)
    assert changes()["octo-simulated"] == "suspended"
    octo.refresh_from_db()
    assert (octo.status, octo.suspended_at is not None) == ("suspended", True)

    world.unsuspend(octo.github_id)
    assert changes()["octo-simulated"] == "unsuspended"

    world.change_permissions(octo.github_id, {"metadata": "read", "issues": "write"})
    assert changes()["octo-simulated"] == "permissions_changed"

    world.rename_account("octo-simulated", "octo-renamed")
    assert changes()["octo-renamed"] == "renamed"

    world.uninstall(octo.github_id)
    assert changes()["octo-renamed"] == "uninstalled"
    octo.refresh_from_db()
    assert (octo.status, octo.uninstalled_at is not None) == ("uninstalled", True)

    world.reinstall("octo-renamed")
    assert changes()["octo-renamed"] == "reinstalled"
    again = Installation.objects.get(account_login="octo-renamed")
    assert again.pk == octo.pk
    assert (again.status, again.uninstalled_at) == ("active", None)
    assert again.github_id != octo.github_id
    assert again.next_scheduled_at is not None


@pytest.mark.spec("R2.3", "R4.3")
def test_a_reinstalled_app_starts_with_tokens_and_pages_of_its_own(app_mode: Simulator) -> None:
    octo = discover()
    sync(octo)
    assert InstallationToken.objects.filter(installation=octo).exists()
    app_mode.world.uninstall(octo.github_id)
    app_mode.world.reinstall("octo-simulated")
    discovery.discover()
    assert not InstallationToken.objects.filter(installation=octo).exists()
    assert not EtagEntry.objects.filter(installation=octo).exists()


@pytest.mark.spec("R19.4", "R11.3")
def test_installation_tokens_are_encrypted_at_rest(app_mode: Simulator) -> None:
    octo = discover()
    sync(octo)
    stored = bytes(InstallationToken.objects.get(installation=octo).encrypted)
    assert b"ghs_" not in stored
    assert vault.decrypt(stored).startswith("ghs_")


@pytest.mark.spec("R19.4")
def test_a_key_that_was_rotated_away_costs_one_new_token(
    app_mode: Simulator, settings: Settings
) -> None:
    octo = discover()
    sync(octo, mode="reconcile")
    settings.FIELD_ENCRYPTION_KEYS = ["new", *settings.FIELD_ENCRYPTION_KEYS]
    assert sync(octo, mode="reconcile").api["requests"] == 1  # an older key still reads
    settings.FIELD_ENCRYPTION_KEYS = ["another"]
    job = sync(octo, mode="reconcile")
    assert (job.status, job.api["requests"]) == ("succeeded", 2)


@pytest.mark.spec("R2.1")
def test_token_mode_records_the_owner(token_mode: Simulator) -> None:
    found = discovery.discover()
    row = found[0].installation
    assert (row.mode, row.account_login) == ("token", token_mode.token_owner)
    assert row.account_id == row.github_id
    assert changes() == {token_mode.token_owner: "unchanged"}


@pytest.mark.spec("R2.1")
def test_app_and_token_for_the_same_account_make_one_installation(
    app_mode: Simulator, token_mode: Simulator
) -> None:
    discovery.discover()
    assert Installation.objects.filter(account_login=token_mode.token_owner).count() == 1
    assert Installation.objects.get(account_login=token_mode.token_owner).mode == "app"


@pytest.mark.spec("R2.3")
def test_going_from_token_to_app_keeps_the_history(
    token_mode: Simulator, settings: Settings
) -> None:
    owner = discover(token_mode.token_owner)
    sync(owner)
    settings.GITHUB_TOKEN = ""
    settings.GITHUB_APP_ID = str(token_mode.app_id)
    settings.GITHUB_APP_PRIVATE_KEY = token_mode.private_key_pem
    same = discover(token_mode.token_owner)
    assert (same.pk, same.mode) == (owner.pk, "app")
    assert sync(same).counts["repositories"]["created"] == 0


@pytest.mark.spec("R4.1")
@pytest.mark.parametrize("status", [500, 401])
def test_a_discovery_that_fails_changes_nothing(app_mode: Simulator, status: int) -> None:
    discovery.discover()
    before = list(Installation.objects.order_by("pk").values())
    app_mode.faults.add(
        Fault(kind="status", status=status, path_regex="/app/installations", times=None)
    )
    with pytest.raises((NetworkError, AuthenticationFailed, Exception)) as caught:
        discovery.discover()
    assert "." in str(caught.value)
    assert list(Installation.objects.order_by("pk").values()) == before


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "No GitHub credentials are set"),
        ({"GITHUB_APP_ID": "1"}, "GITHUB_APP_PRIVATE_KEY is not set"),
        ({"GITHUB_APP_PRIVATE_KEY": "x"}, "GITHUB_APP_ID is not set"),
        ({"GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY": "no key"}, "GITHUB_APP_PRIVATE_KEY"),
    ],
)
def test_incomplete_credentials_are_one_clear_sentence(
    settings: Settings, given: dict[str, Any], sentence: str
) -> None:
    for name, value in given.items():
        setattr(settings, name, value)
    with pytest.raises(ConfigurationError, match=sentence):
        discovery.discover()


def test_an_owner_that_github_does_not_know_is_one_clear_sentence(
    token_mode: Simulator, settings: Settings
) -> None:
    settings.GITHUB_OWNER = "nobody-here"
    with pytest.raises(ConfigurationError, match="nobody-here"):
        discovery.discover()
    assert not Installation.objects.exists()


@pytest.mark.spec("P39")
def test_two_discoveries_at_once_record_each_account_once(app_mode: Simulator) -> None:
    barrier = threading.Barrier(4)

    def go(_: int) -> int:
        barrier.wait(timeout=30)
        try:
            return len(discovery.discover())
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(go, range(4))) == {2}
    assert Installation.objects.count() == 2
