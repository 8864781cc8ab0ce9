from django.apps import AppConfig


class SyncsvcConfig(AppConfig):
    name = "syncsvc"
    verbose_name = "Mirror"
