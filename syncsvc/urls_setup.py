"""The addresses of the first set-up and of the doctor."""

from django.urls import path, re_path

from syncsvc.doctor.pages import doctor
from syncsvc.setup import pages, pages_ways

_KIND = "(?P<kind>app|token)"

urlpatterns = [
    path("doctor/", doctor, name="doctor"),
    path("setup/", pages.overview, name="setup"),
    path("setup/find/", pages.find, name="setup_find"),
    path("setup/leave-demo/", pages.leave_demo, name="setup_leave_demo"),
    path("setup/app/new/", pages_ways.new_app, name="setup_new_app"),
    path("setup/app/", pages_ways.existing_app, name="setup_app"),
    path("setup/token/", pages_ways.token, name="setup_token"),
    path("setup/github/", pages_ways.from_github, name="setup_github"),
    re_path(f"^setup/{_KIND}/remove/$", pages.remove, name="setup_remove"),
    re_path(f"^setup/{_KIND}/secret/$", pages.webhook_secret, name="setup_secret"),
]
