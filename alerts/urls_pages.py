"""The addresses of the sync-health dashboard."""

from django.urls import URLPattern, path

from alerts import pages, pages_find, pages_incidents

urlpatterns: list[URLPattern] = [
    path("sync-health/", pages.sync_health, name="sync_health"),
    path("sync-health.csv", pages.sync_health_csv, name="sync_health_csv"),
    path("sync-health/find/", pages_find.find, name="sync_health_find"),
    path("sync-health/incidents/", pages_incidents.incidents, name="sync_health_incidents"),
    path(
        "sync-health/incidents/<int:pk>/acknowledge/",
        pages_incidents.acknowledge,
        name="sync_health_acknowledge",
    ),
]
