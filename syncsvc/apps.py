from django.apps import AppConfig
from django.db.models.signals import post_migrate


class SyncsvcConfig(AppConfig):
    name = "syncsvc"
    verbose_name = "Mirror"

    def ready(self) -> None:
        from syncsvc.scheduling import install_periodic_tasks  # noqa: PLC0415

        post_migrate.connect(install_periodic_tasks, sender=self)
