"""`manage.py simulate_github` as people start it: a process with options, a ready line, an end."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.management import execute_from_command_line

ROOT = Path(__file__).resolve().parents[2]
NO_DATABASE = "postgres://nobody:nothing@127.0.0.1:9/none"


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), "simulate_github", *arguments]


def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "DATABASE_URL": NO_DATABASE,
        "SECRET_KEY": "for this test only, and long enough to be taken",
        "FIELD_ENCRYPTION_KEYS": "Zm9yIHRoaXMgdGVzdCBvbmx5LCBub3RoaW5nIGVsc2U=",
    }


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(tmp_path),
    )


def ended(*arguments: str) -> object:
    """The exit code of a command that does not begin to serve: seen without a process of its own."""
    with pytest.raises(SystemExit) as end:
        execute_from_command_line(["manage.py", "simulate_github", *arguments])
    return end.value.code


class Running:
    """The command as a process, from its ready line to its end."""

    def __init__(self, tmp_path: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            command("--port", "0", "--json", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(tmp_path),
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.state: dict[str, Any] = json.loads(line) if line else {}

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    running: list[Running] = []

    def start(*arguments: str) -> Running:
        running.append(Running(tmp_path, *arguments))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_without_a_database_and_ends_cleanly(started: Any, number: int) -> None:
    sim = started("--repos", "12", "--seed", "5")
    state = sim.state
    assert [a["repositories"] for a in state["accounts"]] == [12, 3]
    header = {"authorization": f"Bearer {state['token']}"}
    found = requests.get(state["url"] + "/user", headers=header, timeout=5)
    assert found.json()["login"] == state["token_owner"]
    assert state["private_key_pem"].startswith("-----BEGIN")
    assert sim.end(number) == (0, "", "")


def test_a_key_file_is_made_once_and_used_again(started: Any, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    first = started("--private-key-file", str(path), "--repos", "2")
    assert first.end()[0] == 0
    assert path.stat().st_mode & 0o777 == 0o600
    second = started("--private-key-file", str(path), "--repos", "2")
    assert second.state["private_key_pem"] == first.state["private_key_pem"] == path.read_text()
    assert second.state["private_key_file"] == str(path)


def test_a_history_survives_a_restart_and_a_lively_world_moves(
    started: Any, tmp_path: Path
) -> None:
    history = ("--history", str(tmp_path / "history"))
    first = started(*history, "--activity", "0.01")
    control = first.state["url"] + "/_simulator/"
    revision = first.state["revision"]
    while revision < first.state["revision"] + 20:
        revision = requests.get(control + "state", timeout=5).json()["revision"]
    made = {"name": "create", "args": {"owner": "octo-simulated", "name": "kept"}}
    requests.post(control + "mutate", json=made, timeout=5)
    assert first.end()[0] == 0
    second = started(*history)
    truth = requests.get(second.state["url"] + "/_simulator/truth?owner=octo-simulated", timeout=5)
    assert "octo-simulated/kept" in [t["full_name"] for t in truth.json()]
    assert second.end()[0] == 0
    refused = run(tmp_path, *history, "--seed", "9", "--port", "0")
    assert refused.returncode == 1
    assert "is not the history of this world" in refused.stderr


def test_a_taken_port_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run(tmp_path, "--port", str(port))
    assert refused.returncode == 1
    assert (
        refused.stderr == f"Cannot use port {port}: Address already in use. Choose another one.\n"
    )
    assert refused.stdout == ""


def test_a_file_that_is_no_key_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key.pem"
    path.write_text("not a key")
    assert ended("--port", "0", "--private-key-file", str(path)) == 1
    assert capsys.readouterr().err == f"{path} is no private RSA key in PEM form.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--port", "70000"),
        ("--repos", "-1"),
        ("--latency-ms", "slow"),
        ("--activity", "0"),
        ("--webhook-url", "ftp://example.org"),
        ("--colour", "red"),
    ],
)
def test_wrong_usage_ends_with_code_2(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(*arguments) == 2
    assert arguments[0] in capsys.readouterr().err
