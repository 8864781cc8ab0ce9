"""`manage.py discover`: which accounts there are to mirror."""

from typing import Any

from syncsvc import discovery
from syncsvc.shell import Exit, ShellCommand


class Command(ShellCommand):
    help = "Asks GitHub which accounts the App is installed on (or the token reaches) and records them."

    def run(self, **options: Any) -> Exit:
        found = discovery.discover()
        for each in found:
            row = each.installation
            self.say(
                options,
                f"{row.account_login} ({row.account_type.lower()}, {row.mode}): {row.status}, {each.change}",
                id=row.pk,
                github_id=row.github_id,
                account_login=row.account_login,
                account_type=row.account_type,
                mode=row.mode,
                status=row.status,
                change=each.change,
            )
        if not found and not options["json"]:
            self.stdout.write(
                "The GitHub App is not installed on any account: install it on one and try again."
            )
        return Exit.DONE
