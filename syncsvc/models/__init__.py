"""The mirror's tables. Invariants live here as constraints, not in the code that writes."""

from syncsvc.models.budget import EtagEntry, InstallationToken, RateBudget
from syncsvc.models.heartbeat import Heartbeat
from syncsvc.models.installation import Installation, Membership
from syncsvc.models.job import SyncJob
from syncsvc.models.repository import Repository

__all__ = [
    "EtagEntry",
    "Heartbeat",
    "Installation",
    "InstallationToken",
    "Membership",
    "RateBudget",
    "Repository",
    "SyncJob",
]
