"""The word that a process is to stop: heard by its children, and by nobody else."""

import os
import signal
from collections.abc import Iterator

import pytest

from config import stopping

pytestmark = pytest.mark.spec("R10.2")


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    stopping.begin()
    yield
    stopping.begin()


def in_child(act: str) -> int:
    """What a forked process makes of it: its exit code."""
    pid = os.fork()
    if not pid:
        code = 9
        try:
            if act == "want":
                stopping.want()
            elif act == "begin":
                stopping.begin()
                stopping.want()
            code = int(stopping.is_wanted())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_parent_and_children_share_the_word() -> None:
    assert in_child("look") == 0
    stopping.want()
    assert in_child("look") == 1
    stopping.begin()
    assert in_child("want") == 1
    assert stopping.is_wanted()


def test_who_begins_anew_is_told_nothing_of_others_and_tells_them_nothing() -> None:
    assert in_child("begin") == 1
    assert not stopping.is_wanted()


def test_a_command_hears_sigterm_only_while_it_runs_something() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopping.on_sigterm():
        assert not stopping.is_wanted()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.is_wanted()
    assert signal.getsignal(signal.SIGTERM) is before
    assert not stopping.is_wanted()
