"""The supervisor, in a process of its own: forking from a test runner would copy its threads."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
PREAMBLE = """
    import os, signal, subprocess, sys, time, types
    from pathlib import Path
    package = types.ModuleType("config")  # without Celery, which the supervisor does not need
    package.__path__ = [{config!r}]
    sys.modules["config"] = package
    from config.supervisor import Service, Supervisor, SupervisorError
    folder = Path({folder!r})

    def note(name):
        (folder / name).write_text(str(os.getpid()))

    def sleep():
        time.sleep(60)
"""


class Run:
    """A supervisor that runs a script of the test's."""

    def __init__(self, folder: Path, script: str) -> None:
        self.folder = folder
        preamble = textwrap.dedent(PREAMBLE).format(config=str(ROOT / "config"), folder=str(folder))
        self.process = subprocess.Popen(
            [sys.executable, "-c", preamble + textwrap.dedent(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        )

    def pid_of(self, name: str) -> int:
        text = until(lambda: (path := self.folder / name).exists() and path.read_text())
        return int(str(text))

    def finish(self) -> str:
        output, _ = self.process.communicate(timeout=15)
        return output

    def stop(self) -> str:
        self.process.send_signal(signal.SIGINT)
        return self.finish()


def until(condition: Callable[[], object], seconds: float = 10.0) -> object:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("waited in vain")


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Run]]:
    runs: list[Run] = []

    def begin(script: str) -> Run:
        runs.append(Run(tmp_path, script))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()
        if run.process.stdout is not None:
            run.process.stdout.close()


ONE = """
    def one():
        note("one")
        sleep()
    supervisor = Supervisor(folder)
    supervisor.start(Service(name="one", run=one))
    supervisor.run()
    supervisor.stop()
"""


def test_ctrl_c_ends_everything_and_leaves_no_state(
    start: Callable[[str], Run], tmp_path: Path
) -> None:
    run = start(ONE)
    pid = run.pid_of("one")
    output = run.stop()
    assert run.process.returncode == 0
    assert is_gone(pid)
    assert "stopping" in output
    assert not (tmp_path / "serve.json").exists()


def test_a_service_that_is_killed_starts_again(start: Callable[[str], Run], tmp_path: Path) -> None:
    run = start(ONE)
    first = run.pid_of("one")
    (tmp_path / "one").unlink()
    os.kill(first, signal.SIGKILL)
    assert run.pid_of("one") != first
    assert "was ended by SIGKILL; starts again in 0.5 s" in run.stop()


def test_what_a_dead_service_started_ends_with_it(start: Callable[[str], Run]) -> None:
    run = start("""
        def one():
            if os.fork() == 0:
                note("grandchild")
                sleep()
            note("one")
            sleep()
        supervisor = Supervisor(folder)
        supervisor.start(Service(name="one", run=one, restart=False))
        supervisor.run()
        supervisor.stop()
    """)
    grandchild = run.pid_of("grandchild")
    os.kill(run.pid_of("one"), signal.SIGKILL)
    until(lambda: is_gone(grandchild))


def test_a_service_that_ignores_every_signal_is_killed(start: Callable[[str], Run]) -> None:
    run = start("""
        import config.supervisor
        config.supervisor.TERM_SECONDS = config.supervisor.QUIT_SECONDS = 0.2
        def deaf():
            for number in (signal.SIGTERM, signal.SIGQUIT):
                signal.signal(number, signal.SIG_IGN)
            note("deaf")
            sleep()
        supervisor = Supervisor(folder)
        supervisor.start(Service(name="deaf", run=deaf))
        supervisor.run()
        supervisor.stop()
    """)
    pid = run.pid_of("deaf")
    assert "does not stop: killed" in run.stop()
    assert is_gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread watches a pipe")
def test_a_supervisor_that_is_killed_outright_takes_its_services_along(
    start: Callable[[str], Run],
) -> None:
    run = start(ONE)
    pid = run.pid_of("one")
    run.process.kill()
    until(lambda: is_gone(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread watches a pipe")
def test_in_the_background_of_a_shell_it_takes_them_along_as_well(
    start: Callable[[str], Run],
) -> None:
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)  # as a shell does before its `&`
    try:
        run = start(ONE)
    finally:
        signal.signal(signal.SIGQUIT, before)
    pid = run.pid_of("one")
    run.process.kill()
    until(lambda: is_gone(pid))


def test_leftovers_of_a_killed_run_are_ended_at_the_next_start(
    start: Callable[[str], Run], tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    ) as left:
        stranger = os.getpid()  # its number is in the file, but it started at another time
        started = psutil.Process(left.pid).create_time()
        (tmp_path / "serve.json").write_text(f'{{"{left.pid}": {started}, "{stranger}": 1.0}}')
        run = start(ONE)
        assert left.wait(timeout=10) == -signal.SIGKILL
        run.pid_of("one")
        assert "left behind" in run.stop()


def test_a_second_supervisor_is_refused_with_one_sentence(start: Callable[[str], Run]) -> None:
    first = start(ONE)
    first.pid_of("one")
    second = start("""
        try:
            Supervisor(folder)
        except SupervisorError as error:
            print(error)
    """)
    assert f"Process {first.process.pid} already runs from" in second.finish()
    assert first.process.poll() is None


def test_words_go_to_the_log_and_what_matters_to_the_terminal(
    start: Callable[[str], Run], tmp_path: Path
) -> None:
    run = start("""
        def talk():
            print('{"event": "quiet", "level": "info"}')
            print('{"event": "loud", "level": "error"}')
            sys.stdout.write("unfinished")
        supervisor = Supervisor(folder)
        supervisor.start(Service(name="talk", run=talk, restart=False))
        supervisor.start(Service(name="guest", run=lambda: print("welcome"), restart=False, speaks=True))
        print("codes", supervisor.wait_for("talk"), supervisor.wait_for("guest"))
        supervisor.stop()
    """)
    output = run.finish()
    assert "talk      | " in output
    assert '"loud"' in output
    assert '"quiet"' not in output
    assert "\nwelcome\n" in f"\n{output}"
    assert "codes 0 0" in output
    assert [line[-10:] for line in (tmp_path / "log" / "talk.log").read_text().splitlines()][
        -1
    ] == "unfinished"
