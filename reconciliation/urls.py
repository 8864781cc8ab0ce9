"""The addresses of the API: discrepancies, reviews, accuracy, audit log, performance."""

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from reconciliation import api, api_proof, api_trail

router = SimpleRouter(use_regex_path=False)
router.register("discrepancies", api.DiscrepancyView, basename="discrepancy")
router.register("reviews", api.ReviewView, basename="review")
router.register("run-figures", api.RunFigureView, basename="run-figure")
router.register("sample-audits", api_proof.SampleAuditView, basename="sample-audit")
router.register("integrity-issues", api_proof.IntegrityIssueView, basename="integrity-issue")
router.register("audit-log", api_trail.AuditLogView, basename="audit-entry")

app_name = "judge"
urlpatterns: list[URLPattern | URLResolver] = [
    path("accuracy/", api.AccuracyView.as_view(), name="accuracy"),
    path("performance/", api_trail.PerformanceView.as_view(), name="performance"),
    path("", include(router.urls)),
]
