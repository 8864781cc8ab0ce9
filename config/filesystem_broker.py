"""Kombu's broker made of files, with messages that appear whole and are taken by exactly one worker.

Kombu opens a message under its final name and writes afterwards, so a worker that looks in between
reads half of it and fails; and it takes messages through the machine's temporary folder, which may
be another file system. Here both steps are renames within one folder tree.
"""

import uuid
from pathlib import Path
from queue import Empty
from time import time_ns
from typing import Any

from kombu.transport import filesystem
from kombu.utils.encoding import bytes_to_str, str_to_bytes
from kombu.utils.json import dumps, loads


class Channel(filesystem.Channel):
    """Puts and takes by renaming."""

    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]  # Kombu's two bases name it differently
        # Wall-clock nanoseconds keep the order over a restart of the machine.
        name = f"{time_ns():020d}_{uuid.uuid4().hex}.{queue}.msg"
        draft = Path(self.processed_folder) / name
        draft.write_bytes(str_to_bytes(dumps(payload)))
        draft.rename(Path(self.data_folder_out) / name)

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ARG002  Kombu's
        ending = f"{queue}.msg"
        for name in sorted(path.name for path in Path(self.data_folder_in).iterdir()):
            if name.partition(".")[2] != ending:
                continue
            taken = Path(self.processed_folder) / name
            try:
                (Path(self.data_folder_in) / name).rename(taken)
            except FileNotFoundError:
                continue  # another worker was quicker
            payload = taken.read_bytes()
            taken.unlink()
            return loads(bytes_to_str(payload))
        raise Empty


class Transport(filesystem.Transport):
    """Chosen by `broker_transport`."""

    Channel = Channel
