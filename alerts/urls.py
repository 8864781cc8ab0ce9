"""Addresses of the API."""

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from alerts import api, api_summary

router = SimpleRouter(use_regex_path=False)
router.register("sync-health/incidents", api.IncidentView, basename="incident")

app_name = "alerts"
urlpatterns: list[URLPattern | URLResolver] = [
    path("sync-health/summary/", api_summary.SummaryView.as_view(), name="summary"),
    path("", include(router.urls)),
]
