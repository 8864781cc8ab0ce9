"""The end of the demo: what the simulator had told is forgotten, and nothing else.

At the next start, when no process mirrors it any more; hides how simulated accounts are known.
"""

from django.db import transaction

from syncsvc.models import Delivery, Hook, Installation
from syncsvc.simulator import World


def forget_what_was_simulated(world: World) -> int:
    """Forgets the accounts of that world, told by id and name; returns how many there were."""
    simulated = {account.id: account.login for account in world.accounts.values()}
    with transaction.atomic():
        rows = [
            row
            for row in Installation.objects.filter(account_id__in=simulated)
            if simulated[row.account_id] == row.account_login
        ]
        if not rows:
            return 0
        Installation.objects.filter(pk__in=[row.pk for row in rows]).delete()
        if not Installation.objects.exists():  # else it is not known whose the rest is
            Delivery.objects.all().delete()
            Hook.objects.all().delete()
    return len(rows)
