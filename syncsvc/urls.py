"""The addresses of the member pages and of the probes."""

from django.urls import path

from syncsvc import health, pages

urlpatterns = [
    path("", pages.home, name="home"),
    path("login/", pages.LogIn.as_view(), name="login"),
    path("logout/", pages.LogOut.as_view(), name="logout"),
    path("installations/<int:pk>/", pages.installation, name="installation"),
    path("installations/<int:pk>/card/", pages.card, name="card"),
    path("installations/<int:pk>/sync/", pages.sync, name="sync"),
    path("jobs/<uuid:pk>/", pages.job, name="job"),
    path("jobs/<uuid:pk>/cancel/", pages.cancel, name="cancel"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
]
