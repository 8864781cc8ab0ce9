"""The addresses of the API, its schema and its documentation."""

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from syncsvc.api import contents, dead_letters, live, system, tokens, views, webhooks

router = SimpleRouter(use_regex_path=False)
router.register("installations", views.InstallationView, basename="installation")
router.register("jobs", views.JobView, basename="job")
router.register("repositories", views.RepositoryView, basename="repository")
router.register("issues", contents.IssueView, basename="issue")
router.register("pull-requests", contents.PullRequestView, basename="pull-request")
router.register("commits", contents.CommitView, basename="commit")
router.register("repository-metrics", contents.MetricView, basename="repository-metric")
router.register("deliveries", webhooks.DeliveryView, basename="delivery")
router.register("missed-deliveries", webhooks.MissedDeliveryView, basename="missed-delivery")
router.register("gaps", webhooks.GapView, basename="gap")
router.register("dead-letters", dead_letters.DeadLetterView, basename="dead-letter")
router.register("hooks", webhooks.HookView, basename="hook")

v1: list[URLPattern | URLResolver] = [
    path("auth/token/", tokens.TokenView.as_view(), name="token"),
    path("auth/token/refresh/", tokens.RefreshView.as_view(), name="token-refresh"),
    path("system/", system.SystemView.as_view(), name="system"),
    path(
        "installations/<int:pk>/webhooks/",
        webhooks.HookHealthView.as_view(),
        name="installation-webhooks",
    ),
    path("jobs/stream/", live.JobStreamView.as_view(), name="job-stream"),
    path("", include(router.urls)),
]

app_name = "api"
urlpatterns = [
    path("v1/", include(v1)),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="api:schema"), name="docs"),
]
