"""Unit tests touch neither the network nor the database."""

from collections.abc import Iterator

import pytest
from pytest_socket import disable_socket, enable_socket


@pytest.fixture(autouse=True)
def no_sockets() -> Iterator[None]:
    """Any socket fails the test."""
    disable_socket()
    yield
    enable_socket()
