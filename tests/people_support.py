"""What tests of pages and API share: the people, and the clients they come with."""

from typing import Any

from django.core.cache import cache
from django.test import Client
from rest_framework.test import APIClient

from syncsvc.models import Installation, Membership
from tests.factories import MembershipFactory, UserFactory

PROBLEM = "application/problem+json"


def api(user: Any = None) -> APIClient:
    """A client of the API, logged in as `user`; its budget of requests is fresh."""
    cache.clear()
    client = APIClient()
    if user is not None:
        client.force_authenticate(user)
    return client


def browser(user: Any) -> Client:
    """A browser in which `user` has logged in."""
    client = Client()
    client.force_login(user)
    return client


def staff() -> Any:
    """Somebody who runs the product."""
    return UserFactory.create(is_staff=True, is_superuser=True)


def member_of(installation: Installation, role: str = Membership.Role.MEMBER) -> Any:
    """Somebody who may see this installation."""
    return MembershipFactory.create(installation=installation, role=role).user
