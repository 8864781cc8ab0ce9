"""Addresses of the API."""

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from alerts import api

router = SimpleRouter(use_regex_path=False)
router.register("sync-health/incidents", api.IncidentView, basename="incident")

app_name = "alerts"
urlpatterns: list[URLPattern | URLResolver] = [path("", include(router.urls))]
