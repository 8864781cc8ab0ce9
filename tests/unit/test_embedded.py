"""The embedded database's arrangements that need no server."""

import json
import socket
import stat
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from config import demo, embedded


@pytest.fixture(autouse=True)
def own_var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNC_VAR_DIR", str(tmp_path / "var"))
    return tmp_path / "var"


@pytest.mark.parametrize(
    ("environment", "ours"),
    [({}, True), ({"DATABASE_URL": ""}, True), ({"DATABASE_URL": "postgres://db/x"}, False)],
)
def test_the_database_is_ours_to_run_unless_another_one_is_named(
    environment: dict[str, str], ours: bool
) -> None:
    assert embedded.is_embedded(environment) is ours


def test_the_configuration_starts_nothing(own_var: Path) -> None:
    config = embedded.database_config()
    assert config["HOST"] == str(own_var / "postgres")
    assert not (own_var / "postgres").exists()


def test_a_path_too_long_for_a_socket_moves_it_to_a_short_private_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNC_VAR_DIR", str(tmp_path / ("deep" * 30)))
    folder = embedded.socket_dir()
    assert len(str(folder)) < 60
    assert embedded.socket_dir() == folder  # every process must find the same one
    monkeypatch.setenv("SYNC_VAR_DIR", str(tmp_path / ("else" * 30)))
    assert embedded.socket_dir() != folder


def test_a_socket_folder_that_somebody_else_laid_out_is_refused(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.symlink_to(tmp_path)
    with pytest.raises(embedded.EmbeddedDatabaseError, match="belongs to somebody else"):
        embedded._private_folder(trap)


def test_a_folder_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYNC_VAR_DIR", str(tmp_path / "file" / "var"))
    with pytest.raises(embedded.EmbeddedDatabaseError, match=r"^Cannot make the folder .*\.$"):
        embedded.var_dir()


def test_a_secret_is_made_once_and_only_its_owner_reads_it(own_var: Path) -> None:
    first = embedded.secret_key()
    assert len(first) > 50
    assert embedded.secret_key() == first
    assert stat.S_IMODE((own_var / "secret_key").stat().st_mode) == 0o600


def test_threads_that_ask_at_once_get_the_same_secret(own_var: Path) -> None:
    together = threading.Barrier(8)
    seen: list[str] = []

    def make() -> str:
        together.wait(timeout=5)  # all eight found no secret, and all eight make one
        return f"made by {threading.get_ident()}"

    threads = [
        threading.Thread(target=lambda: seen.append(embedded.kept_secret("shared", make)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(seen) == 8
    assert len(set(seen)) == 1
    assert [path.name for path in own_var.iterdir()] == ["shared"]


def test_the_broker_reads_where_it_writes() -> None:
    options = embedded.broker_options()
    assert options["data_folder_in"] == options["data_folder_out"]
    for name in ("data_folder_in", "control_folder", "processed_folder"):
        assert Path(options[name]).is_dir()


@pytest.mark.usefixtures("socket_enabled")
def test_the_simulator_stays_at_its_address_and_is_found_from_a_second_terminal() -> None:
    first = demo.prepare(app_id="1")
    assert demo.prepare(app_id="1") == first
    assert demo.recall({}) == {}  # it does not run
    with socket.create_server(("127.0.0.1", urlsplit(first["GITHUB_API_URL"]).port or 0)):
        assert demo.recall({}) == first
        assert demo.recall({"DATABASE_URL": "postgres://elsewhere/mirror"}) == {}
    assert Path(first["GITHUB_APP_PRIVATE_KEY"]).read_text().startswith("-----BEGIN PRIVATE KEY")


@pytest.mark.usefixtures("socket_enabled")
@pytest.mark.parametrize("junk", ["", "{", "[]", "null", '{"GITHUB_API_URL": 1}', "\0"])
def test_a_demo_whose_start_was_killed_half_way_stops_no_command(junk: str) -> None:
    whole = demo.prepare(app_id="1")
    folder = embedded.var_dir() / "demo"
    (folder / "environment.json").write_text(junk)
    (folder / "port").write_text(junk)
    assert demo.recall({}) == {}
    again = demo.prepare(app_id="1")
    assert again.keys() == whole.keys()
    assert again["GITHUB_APP_PRIVATE_KEY"] == whole["GITHUB_APP_PRIVATE_KEY"]
    assert json.loads((folder / "environment.json").read_text()) == again


@pytest.mark.usefixtures("socket_enabled")
@pytest.mark.parametrize("name", demo.CREDENTIALS)
def test_the_simulator_is_left_out_once_an_account_is_named(name: str) -> None:
    demo.prepare(app_id="1")
    assert demo.is_wanted({})
    assert not demo.is_wanted({name: "x"})
    assert demo.recall({name: "x"}) == {}
