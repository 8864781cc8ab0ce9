"""The addresses of the sync-health dashboard."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
