"""The mirror's tables. Invariants live here as constraints, not in the code that writes."""

from syncsvc.models.budget import EtagEntry, InstallationToken, RateBudget
from syncsvc.models.content import (
    Commit,
    ContentList,
    Issue,
    PullRequest,
    RepositoryMetric,
)
from syncsvc.models.heartbeat import Heartbeat
from syncsvc.models.installation import Installation, Membership
from syncsvc.models.job import SyncJob
from syncsvc.models.repository import Repository

__all__ = [
    "Commit",
    "ContentList",
    "EtagEntry",
    "Heartbeat",
    "Installation",
    "InstallationToken",
    "Issue",
    "Membership",
    "PullRequest",
    "RateBudget",
    "Repository",
    "RepositoryMetric",
    "SyncJob",
]
