"""The doctor's judgement, from facts to findings, without anything to look at."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncsvc.doctor import checks, checks_github
from syncsvc.doctor.facts import Account, Asked, Delivered, Finding, Local, Way
from syncsvc.setup import manifest

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WELL = Local(
    now=NOW,
    version="1",
    ways=(Way(kind="app"),),
    from_environment=(),
    demo=False,
    secrets=1,
    secret_trouble="",
    accounts=(
        Account(
            login="octo",
            mode="app",
            permissions=manifest.PERMISSIONS,
            events=manifest.EVENTS,
            remaining=4000,
            limit=5000,
            reset_at=NOW + timedelta(minutes=30),
        ),
    ),
    more_accounts=0,
    last_delivery_at=NOW - timedelta(minutes=5),
    silent={},
    broker=True,
    database_version=160_002,
    database_bytes=5 * 1024**3,
    connections=10,
    connections_most=100,
    disk_free_percent=60,
    unapplied=0,
    derived_key=False,
    base_url="https://mirror.example.org",
    api_url="https://api.github.com",
    hosts=("mirror.example.org",),
    debug=False,
)
HEALTHY = Asked(
    at=NOW,
    permissions=manifest.PERMISSIONS,
    events=manifest.EVENTS,
    app_name="Mirror",
    their_time=NOW - timedelta(seconds=1),
    hook_url="https://mirror.example.org/webhooks/github/",
    hook_has_secret=True,
    log=(Delivered(at=NOW, code=202, event="push"),),
)


def by_key(found: list[Finding]) -> dict[str, Finding]:
    """Findings by their key; none twice."""
    assert len({each.key for each in found}) == len(found)
    return {each.key: each for each in found}


def test_where_all_is_well_nothing_is_to_be_done() -> None:
    found = checks.judge(WELL) + checks_github.judge(WELL, HEALTHY)
    by_key(found)
    assert {each.state for each in found} == {checks.OK}
    assert not [each.fix for each in found if each.fix]
    assert checks.worst(found) == checks.OK


MIXED = (
    Delivered(at=NOW, code=202, event="push"),
    Delivered(at=NOW, code=500, event="push"),
)
POOR = replace(WELL.accounts[0], permissions={"metadata": "read"})
DEAF = replace(WELL.accounts[0], events=("push",))


@pytest.mark.parametrize(
    ("change", "key", "state", "said"),
    [
        ({"ways": ()}, "credentials", "bad", "No way to GitHub"),
        ({"ways": (Way(kind="app", trouble="Lost."),)}, "credentials", "bad", "Lost."),
        ({"accounts": (POOR,)}, "granted:octo", "warning", "may not read commits, issues, pull requests"),
        ({"accounts": (replace(POOR, permissions={}),)}, "granted:octo", "bad", "may not read repositories"),
        ({"accounts": (DEAF,)}, "granted:octo", "warning", "Webhooks for issues"),
        ({"accounts": (replace(POOR, remaining=10),)}, "budget:octo", "bad", "10 of 5,000"),
        ({"accounts": (replace(POOR, remaining=300),)}, "budget:octo", "warning", "300 of 5,000"),
        ({"accounts": (replace(POOR, remaining=0, reset_at=NOW),)}, "budget:octo", "ok", "begun anew"),
        ({"secrets": 0}, "webhook_secret", "warning", "every webhook is refused"),
        ({"secrets": 2}, "webhook_secret", "ok", "one is being changed"),
        ({"secret_trouble": "Lost."}, "webhook_secret", "bad", "Lost."),
        ({"last_delivery_at": None}, "webhook_arrival", "unknown", "None has arrived yet"),
        ({"last_delivery_at": None, "base_url": "http://127.0.0.1:8000"}, "webhook_arrival", "warning", "cannot reach"),
        ({"last_delivery_at": NOW - timedelta(days=3)}, "webhook_arrival", "warning", "3 days ago"),
        ({"silent": {"beat": "Start beat."}}, "beat", "bad", "No sign of life"),
        ({"broker": False}, "broker", "bad", "does not answer"),
        ({"database_version": 140_010}, "database", "bad", "PostgreSQL 14"),
        ({"connections": 95}, "database", "warning", "95 of 100"),
        ({"disk_free_percent": 4}, "disk", "bad", "4 %"),
        ({"unapplied": 2}, "migrations", "bad", "missing: 2"),
        ({"derived_key": True}, "encryption", "warning", "SECRET_KEY"),
        ({"base_url": "http://mirror.example.org"}, "https", "bad", "unprotected"),
        ({"hosts": ("*",)}, "hosts", "warning", "every host"),
        ({"hosts": ("other.example",)}, "hosts", "bad", "does not allow mirror.example.org"),
        ({"debug": True}, "debug", "bad", "is on"),
    ],
)  # fmt: skip
def test_what_is_wrong_here_is_said_with_what_to_do(
    change: dict[str, Any], key: str, state: str, said: str
) -> None:
    found = by_key(checks.judge(replace(WELL, **change)))[key]
    assert (found.state, said in found.says) == (state, True), found
    assert found.at == NOW
    if state in ("bad", "warning"):
        assert found.fix


@pytest.mark.parametrize(
    ("change", "key", "state", "said"),
    [
        ({"errors": {"app": "GitHub does not take this key."}}, "accepted_app", "bad", "does not take"),
        ({"their_time": NOW - timedelta(seconds=60)}, "clock", "warning", "60 seconds ahead of"),
        ({"their_time": NOW + timedelta(seconds=300)}, "clock", "bad", "300 seconds behind"),
        ({"their_time": None}, "clock", "unknown", "did not tell"),
        ({"permissions": {"metadata": "read"}}, "app_permissions", "warning", "contents, issues, pull_requests"),
        ({"permissions": {**manifest.PERMISSIONS, "issues": "write"}}, "app_permissions", "ok", "may write issues"),
        ({"hook_url": ""}, "hook", "warning", "has none"),
        ({"hook_url": "https://elsewhere.example/hook"}, "hook", "bad", "leads to https://elsewhere"),
        ({"hook_has_secret": False}, "hook", "bad", "no secret"),
        ({"errors": {"hook": "Away."}}, "hook", "unknown", "Away."),
        ({"log": ()}, "hook_log", "unknown", "Nothing in the last three days"),
        ({"log": (Delivered(at=NOW, code=401, event="push"),)}, "hook_log", "bad", "got 401"),
        ({"log": (Delivered(at=NOW, code=0, event="push"),)}, "hook_log", "bad", "no answer in time"),
        ({"log": MIXED}, "hook_log", "warning", "1 of the last 2"),
    ],
)  # fmt: skip
def test_what_github_says_is_judged(
    change: dict[str, Any], key: str, state: str, said: str
) -> None:
    found = by_key(checks_github.judge(WELL, replace(HEALTHY, **change)))[key]
    assert (found.state, said in found.says) == (state, True), found
    if state in ("bad", "warning"):
        assert found.fix


@pytest.mark.parametrize(
    ("api", "page"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://github.example.com/api/v3", "https://github.example.com"),
        ("https://api.octo.ghe.com", "https://octo.ghe.com"),
        ("http://127.0.0.1:8900", "http://127.0.0.1:8900"),
    ],
)
def test_the_pages_that_belong_to_an_api_are_known(api: str, page: str) -> None:
    assert manifest.web_root(api) == page
    assert manifest.new_app_url(api, "", "s t").startswith(f"{page}/settings/apps/new?state=s+t")


@pytest.mark.parametrize(
    ("url", "api", "warned"),
    [
        ("http://127.0.0.1:8000", "https://api.github.com", True),
        ("http://10.1.2.3", "https://api.github.com", True),
        ("http://mirror:8000", "https://api.github.com", True),
        ("http://[::1]:8000", "https://api.github.com", True),
        ("https://mirror.local", "https://api.github.com", True),
        ("https://mirror.example.org", "https://api.github.com", False),
        ("http://10.1.2.3", "https://github.corp.internal/api/v3", False),
    ],
)
def test_an_address_that_github_cannot_reach_is_known(url: str, api: str, warned: bool) -> None:
    assert bool(manifest.unreachable(url, api)) is warned
