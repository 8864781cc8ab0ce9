"""A world's changes in a file, so that a simulator that starts again is where it was.

Hides the file: JSON lines, the first of which says of which world they are. A world is the
same for the same seed, so that repeating its changes gives the same state.
"""

import json
from pathlib import Path
from typing import Self, TextIO

from syncsvc.simulator.control import run_change
from syncsvc.simulator.records import Change
from syncsvc.simulator.world import World

SAID_AT_EACH_START = {"set_app_hook"}
"""Where the App's webhooks go is no part of what happened."""


class HistoryError(ValueError):
    """A file that is no history, or that of another world; its text is one sentence."""


class History:
    """Repeats what a file holds and adds what happens from then on."""

    def __init__(self, path: Path, world: World, **origin: int) -> None:
        """Bring a freshly generated world to where the file ends, and keep writing.

        `origin` is what the world was generated from. Raises HistoryError, or OSError when the
        file cannot be written.
        """
        self._path = path
        begins = json.dumps({"world": origin}, sort_keys=True)
        lines = path.read_text(errors="replace").splitlines(keepends=True) if path.exists() else []
        # The process may have been killed while it wrote: half a line is no line.
        whole = [line for line in lines if line.endswith("\n")]
        if whole and whole[0].strip() != begins:
            raise HistoryError(f"{path} is not the history of this world; remove it.")
        world.quiet = True
        self._repeat(world, whole[1:])
        world.quiet = False
        self._file: TextIO = path.open("a")
        self._file.truncate(len("".join(whole).encode()))
        if not whole:
            self._file.write(begins + "\n")
            self._file.flush()
        world.on_change = self._note

    def __enter__(self) -> Self:
        """Go on writing until the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop writing."""
        self.close()

    def close(self) -> None:
        """Stop writing."""
        self._file.close()

    def _repeat(self, world: World, lines: list[str]) -> None:
        for line in lines:
            try:
                at, name, arguments = json.loads(line)
                world.follow(lambda moment=at: moment)  # type: ignore[misc]  # a lambda with a default
                run_change(world, name, arguments)
            except (ValueError, TypeError) as error:
                raise HistoryError(f"{self._path} is damaged ({error}); remove it.") from error

    def _note(self, change: Change) -> None:
        if change.name in SAID_AT_EACH_START:
            return
        line = json.dumps([change.at, change.name, change.arguments], default=list)
        self._file.write(line + "\n")
        self._file.flush()
