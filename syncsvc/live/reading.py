"""The SQL of live updates, for the loop that serves streams and for the short answers alike."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

#: Rows read at once.
BATCH: Final = 500
#: Who missed more is told to look anew.
MOST_MISSED: Final = 1_000

_COLUMNS: Final = "id, installation_id, job_id, kind, at, data"

#: Parameters: the holes, the newest, how many.
SINCE: Final = f"""
    (SELECT {_COLUMNS} FROM syncsvc_liveevent WHERE id = ANY(%s))
    UNION ALL
    (SELECT {_COLUMNS} FROM syncsvc_liveevent WHERE id > %s ORDER BY id LIMIT %s)
    ORDER BY id
"""  # noqa: S608  (nothing of it comes from outside)

#: What may still have holes, and the ends of what is kept.
RECENT: Final = """
    SELECT id FROM syncsvc_liveevent WHERE at > clock_timestamp() - interval '5 minutes'
    ORDER BY at DESC LIMIT 1000
"""
ENDS: Final = "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM syncsvc_liveevent"

#: How things stand: the active jobs, and what has ended while a page was loading.
PRESENT: Final = f"""
    SELECT NULL::bigint, installation_id, id, 'sync:progress', clock_timestamp(), jsonb_build_object(
        'status', status, 'trigger', "trigger", 'mode', mode, 'dry_run', dry_run, 'stage', stage,
        'stage_started_at', stage_started_at, 'current', current, 'total', total,
        'item', current_item, 'errors', errors, 'started_at', started_at,
        'finished_at', finished_at, 'cancelling', cancel_requested_at IS NOT NULL)
    FROM syncsvc_syncjob WHERE status IN ('queued', 'running', 'blocked')
    UNION ALL
    (SELECT {_COLUMNS} FROM syncsvc_liveevent
     WHERE at > clock_timestamp() - interval '1 minute' AND kind IN ('sync:complete', 'sync:error')
     ORDER BY id)
"""  # noqa: S608  (nothing of it comes from outside)


@dataclass(frozen=True, slots=True)
class Row:
    """One event as it is stored; a row of the present state has no number."""

    number: int
    installation_id: int
    job_id: UUID
    kind: str
    at: datetime
    data: dict[str, Any]


def row(columns: tuple[Any, ...]) -> Row:
    """A row of `SINCE` or `PRESENT`."""
    number, installation_id, job_id, kind, at, data = columns
    read = (
        data if isinstance(data, dict) else orjson.loads(data)
    )  # Django's cursors leave JSON alone
    return Row(number or 0, installation_id, job_id, kind, at, read)
