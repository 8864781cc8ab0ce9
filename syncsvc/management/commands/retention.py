"""`manage.py retention`: forgets what has been kept long enough."""

from typing import Any

from syncsvc import clock, conf
from syncsvc.shell import Exit, ShellCommand
from syncsvc.webhooks import retention


class Command(ShellCommand):
    help = "Forgets payloads of webhooks that are older than SYNC_PAYLOAD_DAYS and were dealt with."

    def run(self, **options: Any) -> Exit:
        days = conf.for_installation(None).payload_days
        pruned = retention.prune(clock.now())
        self.say(
            options,
            f"Forgot the payloads of {pruned:,} deliveries that are older than {days} days.",
            payloads_pruned=pruned,
            payload_days=days,
        )
        return Exit.DONE
