"""The addresses of the first set-up and of the doctor."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
