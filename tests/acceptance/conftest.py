"""What the acceptance tests share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.served import Served, free_port


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    begun: list[Served] = []

    def begin(port: int | None = None, **environment: str) -> Served:
        begun.append(Served(tmp_path / "var", port or free_port(), **environment))
        return begun[-1]

    yield begin
    for served in begun:
        if served.process.poll() is None:
            served.process.kill()
            served.process.wait()
