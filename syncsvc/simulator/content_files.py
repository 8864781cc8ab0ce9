"""Which files a repository has: enough to see whether it has tests and continuous integration.

Hides how that is decided: by the repository's id, so that it never changes.
"""

from dataclasses import dataclass
from hashlib import sha1
from random import Random
from typing import Literal

from syncsvc.simulator.records import Repository

ALWAYS = ("README.md", "src/main")
SOMETIMES: tuple[tuple[str, float], ...] = (
    (".github/workflows/ci.yml", 0.6),
    (".gitlab-ci.yml", 0.05),
    ("LICENSE", 0.5),
    ("tests/test_main", 0.5),
    ("test/main_test", 0.15),
    ("docs/index.md", 0.3),
    ("pyproject.toml", 0.3),
)


@dataclass(frozen=True, slots=True)
class File:
    """A file or a folder; `sha` is that of its content."""

    path: str
    kind: Literal["blob", "tree"]
    sha: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


def files_of(repository: Repository) -> list[File]:
    """All files and folders, by path; what an empty repository would have."""
    random = Random(f"files {repository.id}")
    paths = {*ALWAYS, *(path for path, share in SOMETIMES if random.random() < share)}
    folders = {path[:i] for path in paths for i, letter in enumerate(path) if letter == "/"}
    return [
        File(path, "tree" if path in folders else "blob", _sha(repository, path))
        for path in sorted(paths | folders)
    ]


def entries(files: list[File], folder: str) -> list[File]:
    """What lies directly in a folder; "" is the root."""
    return [f for f in files if f.path.rpartition("/")[0] == folder]


def file_at(files: list[File], path: str) -> File | None:
    """The file or folder of that path."""
    return next((f for f in files if f.path == path), None)


def _sha(repository: Repository, path: str) -> str:
    return sha1(f"{repository.id} {path}".encode(), usedforsecurity=False).hexdigest()
