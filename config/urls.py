"""Which address leads where; each app keeps its own list."""

from django.contrib import admin
from django.urls import include, path

from syncsvc import attempts

urlpatterns = [
    path("admin/", include("alerts.urls_pages")),
    # Before the admin's own: the same page, behind the count of failed attempts.
    path("admin/login/", attempts.guarded(admin.site.login)),
    path("admin/", admin.site.urls),
    path("api/", include("syncsvc.api.urls")),
    path("api/v1/", include("reconciliation.urls")),
    path("api/v1/", include("alerts.urls")),
    path("", include("reconciliation.urls_pages")),
    path("", include("syncsvc.urls_setup")),
    path("", include("syncsvc.urls")),
]

handler400 = "syncsvc.error_pages.bad_request"
handler403 = "syncsvc.error_pages.forbidden"
handler404 = "syncsvc.error_pages.not_found"
handler500 = "syncsvc.error_pages.server_error"
