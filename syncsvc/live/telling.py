"""What a client is told of a run, worked out as status and pages do it; and which events are whose."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from syncsvc import cards, status
from syncsvc.live import frames
from syncsvc.live.cursor import Cursor
from syncsvc.live.reading import Row
from syncsvc.live.rights import Viewer
from syncsvc.models import SyncJob

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What somebody wants to hear, and where they were."""

    viewer: Viewer
    installation: int | None = None
    job: UUID | None = None
    cursor: Cursor | None = None

    def wants(self, row: Row) -> bool:
        """Whether this event is for them."""
        return (
            self.viewer.sees(row.installation_id)
            and self.installation in (None, row.installation_id)
            and self.job in (None, row.job_id)
        )


@dataclass(frozen=True, slots=True)
class Telling:
    """A row and the bytes that tell of it, worked out once for all who hear of it."""

    row: Row
    body: bytes

    @property
    def number(self) -> int:
        """The id of the event."""
        return self.row.number


def of(row: Row) -> Telling:
    """What is said of a row; nothing of one that a hand wrote into the table."""
    try:
        return Telling(row, frames.body(row.kind, told(row)))
    except (KeyError, TypeError, ValueError) as error:
        log.warning("live.event_unreadable", event_id=row.number, error=type(error).__name__)
        return Telling(row, b"")


def told(row: Row) -> dict[str, Any]:
    """The data of one event; times and rates are those of its moment, whenever it arrives."""
    said = row.data
    shown = status.progress(_job(said), row.at)
    active = said["status"] in SyncJob.ACTIVE
    data = {
        "id": row.number or None,
        "installation": row.installation_id,
        "job_id": str(row.job_id),
        "at": row.at,
        "status": said["status"],
        "trigger": said["trigger"],
        "mode": said["mode"],
        "dry_run": said["dry_run"],
        "cancelling": said["cancelling"] and active,
        "stage": shown.stage,
        "current": shown.current,
        "total": shown.total,
        "percent": shown.percent,
        "item": shown.item,
        "errors": shown.errors,
        "eta_seconds": shown.eta_seconds if active else None,
    }
    if not active:
        counts = said.get("counts") or {}
        data |= {
            "counts": counts,
            "summary": dict(cards.totals(counts.values())),
            "accuracy": said.get("accuracy"),
            "finished_at": said.get("finished_at"),
        }
    return data


def _job(said: dict[str, Any]) -> SyncJob:
    """The run as it was at that moment; never saved."""
    return SyncJob(
        status=said["status"],
        stage=said["stage"],
        stage_started_at=_moment(said["stage_started_at"]),
        started_at=_moment(said["started_at"]),
        current=said["current"],
        total=said["total"],
        current_item=said["item"],
        errors=said["errors"],
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
