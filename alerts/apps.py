from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "alerts"
    verbose_name = "Alerts"

    def ready(self) -> None:
        from alerts import listening, showing  # noqa: PLC0415  (models need the apps to be ready)

        listening.connect()
        showing.register()
