"""Kombu's broker made of files, with messages that appear whole and are taken by exactly one worker.

Kombu opens a message under its final name and writes afterwards, so a worker that looks in between
reads half of it and fails; and it takes messages through the machine's temporary folder, which may
be another file system. Here both steps are renames within one folder tree.
"""

import uuid
from collections import deque
from pathlib import Path
from queue import Empty
from time import time_ns
from typing import Any, Final

from kombu.transport import filesystem
from kombu.utils.encoding import bytes_to_str, str_to_bytes
from kombu.utils.json import dumps, loads

LONGEST_WAIT: Final = 0.25
"""Seconds."""


class Channel(filesystem.Channel):
    """Puts and takes by renaming. Folders that somebody removed are made anew with each connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._listed: dict[str, deque[str]] = {}
        for folder in (
            self.data_folder_in,
            self.data_folder_out,
            self.processed_folder,
            self.control_folder,
        ):
            Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)

    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]  # Kombu's two bases name it differently
        # Wall-clock nanoseconds keep the order over a restart of the machine.
        name = f"{time_ns():020d}_{uuid.uuid4().hex}.{queue}.msg"
        draft = Path(self.processed_folder) / name
        draft.write_bytes(str_to_bytes(dumps(payload)))
        draft.rename(Path(self.data_folder_out) / name)

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ARG002  Kombu's
        # A whole listing is used up before the next one is made: while nobody takes, beat leaves
        # thousands of messages behind, and to list them all for each would take hours.
        listed = self._listed.setdefault(queue, deque())
        if not listed:
            listed.extend(self._names(f"{queue}.msg"))
        while listed:
            name = listed.popleft()
            taken = Path(self.processed_folder) / name
            try:
                (Path(self.data_folder_in) / name).rename(taken)
            except FileNotFoundError:
                continue  # another worker was quicker
            payload = taken.read_bytes()
            taken.unlink()
            return loads(bytes_to_str(payload))
        raise Empty

    def _names(self, ending: str) -> list[str]:
        try:
            names = [path.name for path in Path(self.data_folder_in).iterdir()]
        except FileNotFoundError:
            return []  # whoever sends next makes the folder anew
        return sorted(name for name in names if name.partition(".")[2] == ending)


class Transport(filesystem.Transport):
    """Chosen by `broker_transport`."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Looks for a message as Kombu does, and comes back soon: Celery asks for two seconds and looks
        only between whether it shall stop."""
        patience = LONGEST_WAIT if timeout is None else min(timeout, LONGEST_WAIT)
        super().drain_events(connection, timeout=patience)
