"""The product as `make run` serves it, a simulated GitHub beside it, and hands on the database of both.

The simulator lives in the tests' own process: a test changes GitHub by calling a method. The
database is the served one: a test compares what a page says with what is stored.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.test import override_settings

from config import embedded
from syncsvc.models import Installation, Membership, SyncJob
from syncsvc.simulator import Simulator, World
from syncsvc.simulator.generate import AccountPlan
from syncsvc.simulator.records import Repository
from tests.acceptance.served import Served, free_port, until
from tests.factories import PASSWORD, MembershipFactory, UserFactory

SECRET: Final = "browser-webhook-secret"
BUSY, QUIET, OTHER = "octo-simulated", "quiet-works", "lone-user"
PLANS: Final = (
    AccountPlan(login=BUSY, repositories=24),
    AccountPlan(login=QUIET, repositories=12),
    AccountPlan(login=OTHER, type="User", repositories=3),
)
#: More accounts, where the pictures of the docs are taken.
FLEET: Final = tuple(
    AccountPlan(login=login, repositories=4)
    for login in (
        "acme-robotics", "blue-harbour", "cedar-labs", "delta-optics", "evergreen-data",
        "fjord-systems", "granite-tools", "hollow-pine", "ivory-coast-dev",
    )
)  # fmt: skip
CALM: Final = {
    # Nothing happens but what a test does.
    "SYNC_INTERVAL_MINUTES": "600",
    "SYNC_INTERVAL_LEAST_MINUTES": "600",
    "SYNC_MANUAL_COOLDOWN_SECONDS": "0",
    "SYNC_AUDIT_INTERVAL_MINUTES": "600",
    "API_THROTTLE_ANON": "6000/min",
}


@dataclass(kw_only=True)
class Product:
    """What runs, and who may log in."""

    url: str
    simulator: Simulator
    admin: User
    operator: User
    """Of the busy account alone."""
    member: User
    """Of the busy account alone; may look, not act."""

    @property
    def world(self) -> World:
        """The simulated GitHub, to be changed."""
        return self.simulator.world

    def repository(self, login: str = BUSY, nth: int = 0) -> Repository:
        """One of an account's repositories at GitHub, by its place in the order of ids."""
        owner = self.installation(login).account_id
        mine = [each for each in self.world.repositories.values() if each.owner_id == owner]
        return sorted(mine, key=lambda each: each.id)[nth]

    def installation(self, login: str = BUSY) -> Installation:
        """An account as it is stored now."""
        return Installation.objects.get(account_login=login)

    def cookie(self, user: User) -> dict[str, Any]:
        """What a browser holds in which `user` has logged in."""
        session = SessionStore()
        session["_auth_user_id"] = str(user.pk)
        session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
        session["_auth_user_hash"] = user.get_session_auth_hash()
        session.set_expiry(timedelta(hours=1))
        session.save()
        return {
            "name": settings.SESSION_COOKIE_NAME,
            "value": session.session_key,
            "url": self.url,
            "httpOnly": True,
            "sameSite": "Lax",
        }

    def asked_for(self, login: str = BUSY) -> int:
        """How many runs people have asked for."""
        return SyncJob.objects.filter(
            installation__account_login=login, trigger=SyncJob.Trigger.MANUAL
        ).count()

    def settled(self, login: str = BUSY, seconds: float = 40) -> SyncJob:
        """The newest run of an account, once none is under way."""
        runs = SyncJob.objects.filter(installation__account_login=login)
        until(
            lambda: runs.exists() and not runs.filter(status__in=SyncJob.ACTIVE).exists(),
            seconds,
            lambda: f"a run of {login} does not end: {list(runs.values())}",
        )
        return runs.latest("created_at")


@contextmanager
def product(var: Path, more: Sequence[AccountPlan] = ()) -> Iterator[Product]:
    """Everything up, mirrored once and ready to be looked at; everything put away afterwards."""
    plans = (*PLANS, *more)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    world = World.generate(
        seed=7,
        accounts=plans,
        issues_per_repository=3,
        pull_requests_per_repository=2,
        commits_per_repository=4,
    )
    with Simulator(world, webhook_secret=SECRET, webhook_url=f"{url}/webhooks/github/") as github:
        served = Served(
            var,
            port,
            GITHUB_API_URL=github.url,
            GITHUB_APP_ID=str(github.app_id),
            GITHUB_APP_PRIVATE_KEY=github.private_key_pem,
            GITHUB_WEBHOOK_SECRET=SECRET,
            ADMIN_USERNAME="admin",
            ADMIN_PASSWORD=PASSWORD,
            **CALM,
        )
        try:
            until(lambda: served.status() == 200 and "Ready:" in served.said(), 180, served.said)
            _use_its_database(var)
            yield _people(url, github, plans)
        finally:
            connection.close()
            served.ctrl_c()


def _use_its_database(var: Path) -> None:
    """From here on the tests' own queries go to the database that is served."""
    connection.close()
    os.environ["SYNC_VAR_DIR"] = str(var)
    described = embedded.database_config()
    connection.settings_dict.update({k: v for k, v in described.items() if k != "ENGINE"})


def _people(url: str, github: Simulator, plans: Sequence[AccountPlan]) -> Product:
    # The server knows Django's hashers, not the quick one of other tests.
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.PBKDF2PasswordHasher"]):
        operator = UserFactory.create(username="olga-operator")
        member = UserFactory.create(username="mia-member")
    found = Product(
        url=url,
        simulator=github,
        admin=User.objects.get(username="admin"),
        operator=operator,
        member=member,
    )
    until(lambda: Installation.objects.count() == len(plans), 60, lambda: "accounts are not found")
    for plan in plans:
        found.settled(plan.login, seconds=120)
    MembershipFactory.create(
        user=operator, installation=found.installation(), role=Membership.Role.OPERATOR
    )
    MembershipFactory.create(user=member, installation=found.installation())
    return found
