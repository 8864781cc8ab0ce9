"""The stores that the client needs, kept in memory: for tests and for checks from the shell.

Hides nothing but dictionaries; what a store has to promise stands at its Protocol.
"""

from syncsvc.github.auth import Credential
from syncsvc.github.budget import BudgetState
from syncsvc.github.etags import StoredPage


class MemoryTokenStore:
    """A `TokenStore`; `saves` counts the writes."""

    def __init__(self) -> None:
        self.credentials: dict[int, Credential] = {}
        self.saves = 0

    def load(self, installation_id: int) -> Credential | None:
        return self.credentials.get(installation_id)

    def save(self, installation_id: int, credential: Credential) -> None:
        self.credentials[installation_id] = credential
        self.saves += 1

    def delete(self, installation_id: int) -> None:
        self.credentials.pop(installation_id, None)


class MemoryBudgetStore:
    """A `BudgetStore`; `saves` counts the writes."""

    def __init__(self, state: BudgetState | None = None) -> None:
        self.state = state or BudgetState()
        self.saves = 0

    def load(self) -> BudgetState:
        return self.state

    def save(self, state: BudgetState) -> None:
        self.state = state
        self.saves += 1


class MemoryEtagStore:
    """An `EtagStore`; `puts` counts the writes."""

    def __init__(self) -> None:
        self.pages: dict[str, StoredPage] = {}
        self.puts = 0

    def get(self, url_key: str) -> StoredPage | None:
        return self.pages.get(url_key)

    def put(self, url_key: str, page: StoredPage) -> None:
        self.pages[url_key] = page
        self.puts += 1

    def flush(self) -> None:
        """Nothing waits here."""
