"""The whole API against its own description, as everybody, with requests that nobody would think of.

Each request is sent as every role, and what it did is undone. A few examples of each operation here;
`API_EXAMPLES=200` makes it a long run.
"""

import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rest_framework.throttling import AnonRateThrottle, UserRateThrottle
from rest_framework_simplejwt.tokens import RefreshToken
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup

from tests.factories import InstallationFactory
from tests.tenant_support import ROLES, person, populate

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R19.1", "R19.2")]

EXAMPLES: Final = int(os.environ.get("API_EXAMPLES", "2"))
SHARDS: Final = 6
VISITORS: Final = tuple(role for role in ROLES if role != "viewer")

load_all_checks()
CHECKED: Final = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
#: Each event of a stream is an object, the body a text: OpenAPI 3.1 describes the body only.
OF_STREAM: Final = [check for check in CHECKED if "schema" not in check.__name__]


@pytest.fixture(autouse=True)
def unthrottled(monkeypatch: pytest.MonkeyPatch) -> None:
    """That too many requests are refused is shown elsewhere."""
    for throttle in (AnonRateThrottle, UserRateThrottle):
        monkeypatch.setattr(throttle, "allow_request", lambda *_: True)


@pytest.fixture(autouse=True)
def kept_connection() -> Iterator[None]:
    """The end of a request closes the connection, and with it the transaction of the test."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@cache
def described() -> Any:
    """The description that `/api/schema/` serves, and the API behind it; once for all tests."""
    schema = schemathesis.openapi.from_dict(
        SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]  # as it comes
    )
    schema.app = WSGIHandler()
    return schema


@pytest.fixture
def ids() -> dict[str, Any]:
    """A row of each kind, of the tenant whose people visit."""
    return populate(InstallationFactory.create())


@pytest.fixture
def visitors(ids: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The headers by which each is known."""
    home = InstallationFactory._meta.model.objects.get(pk=ids["installations"])
    other = InstallationFactory.create()
    people = {role: person(role, home, other) for role in VISITORS}
    return {role: _known(user) for role, user in people.items()}


def _known(user: Any) -> dict[str, str]:
    if user is None:
        return {}
    return {"Authorization": f"Bearer {RefreshToken.for_user(user).access_token}"}


def operations(shard: int) -> Iterator[Any]:
    for number, found in enumerate(described().get_all_operations()):
        if number % SHARDS == shard:
            yield found.ok()


def cases(operation: Any, ids: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Requests as described and requests that are not; about rows that exist, and about others."""
    ways: list[dict[str, Any]] = [{}]
    if "{id}" in operation.path:
        parts = operation.path.split("/")
        ways.append({"path_parameters": {"id": ids[parts[parts.index("{id}") - 1]]}})
    made = [operation.as_strategy(**way) for way in ways]
    if operation.query or operation.body:
        made.extend(operation.as_strategy(GenerationMode.NEGATIVE, **way) for way in ways)
    return st.one_of(*reversed(made))


def tried(check: Callable[[Any], None], strategy: st.SearchStrategy[Any], examples: int) -> None:
    """Runs the check over examples, the same ones each time."""
    limits = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=EXAMPLES < 10,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    limits(given(case=strategy)(check))()


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_answer_is_one_that_the_description_tells_of(
    shard: int, ids: dict[str, Any], visitors: dict[str, dict[str, str]]
) -> None:
    seen, wrong = 0, {}
    for operation in operations(shard):

        def check(case: Any) -> None:
            nonlocal seen
            for headers in visitors.values():
                with transaction.atomic():
                    response = case.call(headers=headers)
                    transaction.set_rollback(True)
                checks = OF_STREAM if case.operation.path.endswith("/stream/") else CHECKED
                case.validate_response(response, checks=checks)
                seen += 1

        try:
            tried(check, cases(operation, ids), EXAMPLES * (2 if "{id}" in operation.path else 1))
        except FailureGroup as failures:  # the other operations are worth knowing too
            wrong[operation.label] = [str(each) for each in failures.exceptions]
    assert wrong == {}
    assert seen > 0
