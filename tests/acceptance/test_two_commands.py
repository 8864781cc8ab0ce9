"""`make run`, as a person meets it: start, trouble, Ctrl-C, start again. With the embedded database."""

import socket
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.acceptance.served import Served, free_port, until


def gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_start_trouble_ctrl_c_and_start_again(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve()
    served.await_ready()
    assert f"http://127.0.0.1:{served.port}" in served.said()
    assert "admin with the password" in served.said()
    assert "the GitHub simulator" in served.said()

    # a second one on the same folder is refused, and disturbs nothing
    second = serve()
    assert second.process.wait(timeout=20) == 1
    assert f"Process {served.process.pid} already runs from" in second.said()
    assert second.said().count("\n") == 1

    # a process that dies is replaced
    before = served.children()
    assert set(before) >= {"web", "worker", "beat", "simulator"}
    for name in ("web", "worker", "beat"):
        before[name].kill()
    replaced = ("web", "worker", "beat")

    def have_come_back() -> bool:
        present = served.children()  # looked at once: one may die between two looks
        return all(name in present and present[name].pid != before[name].pid for name in replaced)

    until(have_come_back, 20, served.said)
    until(lambda: served.status() == 200, 20, served.said)

    # Ctrl-C ends everything and leaves nothing behind but data
    everything = served.everything()
    assert len(everything) > 6
    served.ctrl_c()
    assert served.process.returncode == 0
    assert gone(everything) == []
    assert not (tmp_path / "var" / "postgres" / "data" / "postmaster.pid").exists()
    assert not list((tmp_path / "var" / "postgres").glob(".s.PGSQL*"))
    assert "Traceback" not in served.said()

    # the second start keeps the data, and says the same
    again = serve(served.port)
    again.await_ready()
    login = [line for line in served.said().splitlines() if "Log in:" in line]
    assert login[0] in again.said()

    # killed outright, it leaves nobody behind, and the next start is as good as any
    left = again.everything()
    again.process.kill()
    # The worker looks up from its broker every two seconds, then ends its pool: 4 s in all, of which
    # the database waits for the end; on a busy machine several times as long.
    until(lambda: gone(left) == [], 60, lambda: str(gone(left)))
    third = serve(served.port)
    third.await_ready()
    third.ctrl_c()
    assert third.process.returncode == 0


def test_a_port_in_use_is_one_sentence_and_starts_nothing(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        served = serve(occupied.getsockname()[1])
        assert served.process.wait(timeout=20) == 1
    assert served.said().startswith(f"Port {served.port} is in use")
    assert served.said().count("\n") == 1
    assert not (tmp_path / "var" / "postgres").exists()


def test_a_database_that_does_not_answer_is_one_sentence(serve: Callable[..., Served]) -> None:
    served = serve(
        DATABASE_URL=f"postgres://nobody@127.0.0.1:{free_port()}/none",
        SECRET_KEY="k" * 60,
        FIELD_ENCRYPTION_KEYS="k",
    )
    assert served.process.wait(timeout=30) == 1
    assert "The database does not answer" in served.said()
    assert "Traceback" not in served.said()
