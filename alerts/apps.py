from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AlertsConfig(AppConfig):
    name = "alerts"
    verbose_name = "Alerts"

    def ready(self) -> None:
        from alerts import (  # noqa: PLC0415  (models need the apps to be ready)
            admin_groups,
            listening,
            showing,
        )

        listening.connect()
        showing.register()
        # The last of the apps: all permissions are there when its signal comes.
        post_migrate.connect(admin_groups.make, sender=self, dispatch_uid="groups of staff")
