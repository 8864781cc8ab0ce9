"""`manage.py retention`: forgets what has been kept long enough."""

from typing import Any

from syncsvc import clock, conf
from syncsvc.live import pruning
from syncsvc.shell import Exit, ShellCommand
from syncsvc.webhooks import retention


class Command(ShellCommand):
    help = (
        "Forgets payloads of webhooks that are older than SYNC_PAYLOAD_DAYS and were dealt with, "
        "and live events that are older than an hour."
    )

    def run(self, **options: Any) -> Exit:
        days = conf.for_installation(None).payload_days
        pruned, events = retention.prune(clock.now()), pruning.prune(clock.now())
        self.say(
            options,
            f"Forgot the payloads of {pruned:,} deliveries that are older than {days} days, "
            f"and {events:,} live events.",
            payloads_pruned=pruned,
            payload_days=days,
            live_events_pruned=events,
        )
        return Exit.DONE
