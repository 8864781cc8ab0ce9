"""Find: from an id or a name, as it stands in a log line or a mail, to the page about it."""

import uuid
from urllib.parse import urlencode

import pytest
from django.test import Client

from tests.factories import (
    DeliveryFactory,
    GapFactory,
    InstallationFactory,
    MissedDeliveryFactory,
    RepositoryFactory,
    SyncJobFactory,
)
from tests.judge_factories import DiscrepancyFactory
from tests.people_support import browser, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.1")]


@pytest.fixture
def client() -> Client:
    return browser(staff())


def led(client: Client, asked: object) -> str:
    answer = client.get(f"/admin/sync-health/find/?{urlencode({'q': asked})}")
    assert answer.status_code == 302, answer.content.decode()
    return str(answer["Location"])


def test_a_run_is_found_by_its_correlation_id_however_it_is_copied(client: Client) -> None:
    job = SyncJobFactory.create()

    for written in (f" {job.pk} ", str(job.pk).upper(), job.pk.hex, f"{{{job.pk}}}"):
        assert led(client, written) == f"/jobs/{job.pk}/"


def test_what_is_left_of_a_run_that_was_cleared_away_is_found(client: Client) -> None:
    row = DiscrepancyFactory.create()

    assert led(client, row.correlation_id) == f"/discrepancies/?correlation_id={row.correlation_id}"


def test_a_delivery_is_found_by_its_guid_and_two_of_two_hooks_as_a_list(client: Client) -> None:
    one, other = DeliveryFactory.create(), DeliveryFactory.create(guid=str(uuid.uuid4()))
    assert led(client, one.guid) == f"/deliveries/{one.pk}/"

    DeliveryFactory.create(guid=other.guid, hook_id=other.hook_id + 1)
    assert led(client, other.guid) == f"/deliveries/?guid={other.guid}"


def test_a_delivery_that_never_arrived_leads_to_its_gap(client: Client) -> None:
    gap = GapFactory.create()
    missed = MissedDeliveryFactory.create(gap=gap, installation=gap.installation)

    assert led(client, missed.guid) == f"/gaps/{gap.pk}/"


def test_a_discrepancy_a_repository_and_an_account_are_found(client: Client) -> None:
    row = DiscrepancyFactory.create(installation=InstallationFactory.create(account_login="acme"))
    home = row.repository
    assert home is not None

    assert led(client, row.pk) == f"/discrepancies/{row.pk}/"
    assert led(client, f"#{row.pk}") == f"/discrepancies/{row.pk}/"
    assert led(client, home.full_name.upper()) == f"/repositories/{home.pk}/"
    assert led(client, "ACME") == f"/installations/{row.installation_id}/"
    assert led(client, "cm") == f"/installations/{row.installation_id}/"


def test_of_two_repositories_the_one_that_has_the_name_now_is_meant(client: Client) -> None:
    old = RepositoryFactory.create(name="web", name_is_current=False)
    new = RepositoryFactory.create(installation=old.installation, name="web")

    assert led(client, new.full_name) == f"/repositories/{new.pk}/"


def test_part_of_several_logins_leads_to_the_table_of_them(client: Client) -> None:
    for login in ("acme-one", "acme-two"):
        InstallationFactory.create(account_login=login)

    assert led(client, "acme") == "/admin/sync-health/?installation=acme"


@pytest.mark.parametrize(
    "asked",
    [
        str(uuid.UUID(int=5)),
        "9" * 19,
        "99",
        "no/such",
        "a/b/c",
        "-x",
        "%",
        "x" * 10_000,
        "🚀\u202e",
    ],
)
def test_what_is_nowhere_is_said_and_stays_in_the_field(client: Client, asked: str) -> None:
    InstallationFactory.create(account_login="acme")

    answer = client.get(f"/admin/sync-health/find/?{urlencode({'q': asked})}")

    assert answer.status_code == 404
    assert answer.context["q"] == asked
    assert answer.context["problem"] in answer.content.decode().replace("&quot;", '"')
    assert len(answer.context["problem"]) < 400
    assert 'aria-invalid="true"' in answer.content.decode()


def test_nothing_asked_says_what_may_be(client: Client) -> None:
    answer = client.get("/admin/sync-health/find/")

    assert answer.status_code == 400
    assert "GUID of a delivery" in answer.content.decode()
