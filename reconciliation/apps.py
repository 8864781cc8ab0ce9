from django.apps import AppConfig


class ReconciliationConfig(AppConfig):
    name = "reconciliation"
    verbose_name = "Reconciliation"

    def ready(self) -> None:
        from reconciliation import acts, gauges, showing, showing_repository, showing_run  # noqa: PLC0415  (models need the apps to be ready)

        acts.listen()
        gauges.register()
        showing.register()
        showing_repository.register()
        showing_run.register()
