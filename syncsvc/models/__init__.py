"""The mirror's tables. Invariants live here as constraints, not in the code that writes."""

from syncsvc.models.budget import EtagEntry, InstallationToken, RateBudget
from syncsvc.models.content import (
    Commit,
    ContentList,
    Issue,
    PullRequest,
    RepositoryMetric,
)
from syncsvc.models.credential import Credential
from syncsvc.models.dead_letter import DeadLetter
from syncsvc.models.delivery import (
    Delivery,
    Gap,
    Hook,
    MissedDelivery,
    Recheck,
    WebhookState,
)
from syncsvc.models.heartbeat import Heartbeat
from syncsvc.models.installation import Installation, Membership
from syncsvc.models.job import SyncJob
from syncsvc.models.live_event import LiveEvent
from syncsvc.models.mailbox import Mailbox
from syncsvc.models.repository import Repository

__all__ = [
    "Commit",
    "ContentList",
    "Credential",
    "DeadLetter",
    "Delivery",
    "EtagEntry",
    "Gap",
    "Heartbeat",
    "Hook",
    "Installation",
    "InstallationToken",
    "Issue",
    "LiveEvent",
    "Mailbox",
    "Membership",
    "MissedDelivery",
    "PullRequest",
    "RateBudget",
    "Recheck",
    "Repository",
    "RepositoryMetric",
    "SyncJob",
    "WebhookState",
]
