"""The broker made of files."""

from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection

from config.filesystem_broker import Transport


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    folders = {name: tmp_path / name for name in ("queue", "control", "processed")}
    for folder in folders.values():
        folder.mkdir()
    return {
        "data_folder_in": str(folders["queue"]),
        "data_folder_out": str(folders["queue"]),
        "control_folder": str(folders["control"]),
        "processed_folder": str(folders["processed"]),
    }


def _channel(options: dict[str, Any]) -> Any:
    connection = Connection(
        "filesystem://localhost", transport=Transport, transport_options=options
    )
    return connection.channel()


def test_messages_come_in_the_order_they_went(options: dict[str, Any], tmp_path: Path) -> None:
    channel = _channel(options)
    for number in range(20):
        channel._put("celery", {"number": number})
    assert [channel._get("celery")["number"] for _ in range(20)] == list(range(20))
    with pytest.raises(Empty):
        channel._get("celery")
    assert not list(tmp_path.rglob("*.msg"))


def test_a_message_taken_by_another_worker_is_passed_over(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, other = _channel(options), _channel(options)
    channel._put("celery", {"number": 1})
    channel._put("celery", {"number": 2})
    listed = Path.iterdir

    def list_and_lose_the_first(path: Path) -> list[Path]:
        found = list(listed(path))
        monkeypatch.undo()
        assert other._get("celery") == {"number": 1}
        return found

    monkeypatch.setattr(Path, "iterdir", list_and_lose_the_first)
    assert channel._get("celery") == {"number": 2}


def test_queues_do_not_mix(options: dict[str, Any]) -> None:
    channel = _channel(options)
    channel._put("celery", {"for": "celery"})
    with pytest.raises(Empty):
        channel._get("other")
    assert channel._size("celery") == 1


def test_a_backlog_is_listed_once_not_for_each_message(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, other = _channel(options), _channel(options)
    for number in range(300):
        channel._put("celery", {"number": number})
    listed, times = Path.iterdir, []

    def list_and_count(path: Path) -> Any:
        times.append(path)
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", list_and_count)
    taken = [each._get("celery")["number"] for _ in range(140) for each in (channel, other)]
    channel._put("celery", {"number": 300})
    while True:
        try:
            taken.append(channel._get("celery")["number"])
        except Empty:
            break
    assert sorted(taken) == list(range(301))
    assert len(times) <= 5
