from django.apps import AppConfig
from django.db.models.signals import post_migrate


class SyncsvcConfig(AppConfig):
    name = "syncsvc"
    verbose_name = "Mirror"

    def ready(self) -> None:
        from syncsvc import attempts, conf, dead_letters_shown  # noqa: PLC0415  (models need the apps to be ready)
        from syncsvc.scheduling import install_periodic_tasks  # noqa: PLC0415  (models need the apps to be ready)

        conf.defaults()  # a setting that cannot work stops every process at its start
        dead_letters_shown.register()
        attempts.listen()
        post_migrate.connect(install_periodic_tasks, sender=self)
