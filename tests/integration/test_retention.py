"""Payloads are forgotten when their time is over; what they did is not, and nothing that waits is."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command

from syncsvc import clock
from syncsvc.models import Delivery
from syncsvc.webhooks import retention
from tests.factories import DeliveryFactory, InstallationFactory

pytestmark = pytest.mark.django_db


def delivered(days: float, **how: Any) -> Delivery:
    at = clock.now() - timedelta(days=days)
    return DeliveryFactory.create(received_at=at, account=InstallationFactory.create(), **how)


def kept() -> set[int]:
    return set(Delivery.objects.filter(payload__isnull=False).values_list("pk", flat=True))


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_old_payloads_of_what_was_dealt_with_are_forgotten(batch: int) -> None:
    old = [delivered(days) for days in (14.1, 14.1, 20, 400)]
    young = [delivered(13.9), delivered(0)]
    waiting = delivered(30, waiting=True)
    assert retention.prune(clock.now(), batch=batch) == len(old)
    assert kept() == {row.pk for row in (*young, waiting)}
    assert Delivery.objects.count() == 7
    assert retention.prune(clock.now(), batch=batch) == 0


def test_many_of_one_moment_are_all_found() -> None:
    moment = clock.now() - timedelta(days=20)
    account = InstallationFactory.create()
    DeliveryFactory.create_batch(7, received_at=moment, account=account)
    assert retention.prune(clock.now(), batch=2) == 7


def test_the_days_are_a_setting(tune: Any) -> None:
    delivered(2)
    tune(payload_days=1)
    assert retention.prune(clock.now()) == 1


def test_the_command_says_what_it_did() -> None:
    delivered(15)
    for words, said in (
        ([], "Forgot the payloads of 1 deliveries that are older than 14 days, and 0 live events."),
        (["--json"], {"payloads_pruned": 0, "payload_days": 14, "live_events_pruned": 0}),
    ):
        out = io.StringIO()
        with pytest.raises(SystemExit) as ended:
            call_command("retention", *words, stdout=out)
        assert ended.value.code == 0
        found = out.getvalue().strip()
        assert (json.loads(found) if words else found) == said
