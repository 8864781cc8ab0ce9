"""The addresses of the judge's pages for members."""

from django.urls import path

from reconciliation import pages, pages_trail

urlpatterns = [
    path("discrepancies/", pages.discrepancies, name="discrepancies"),
    path("discrepancies/<int:pk>/", pages.discrepancy, name="discrepancy"),
    path("discrepancies/<int:pk>/repair/", pages.repair, name="repair"),
    path("discrepancies/<int:pk>/dismiss/", pages.dismiss, name="dismiss"),
    path("jobs/<uuid:pk>/trail/", pages_trail.run_trail, name="run_trail"),
    path("reviews/<int:pk>/", pages.review, name="review"),
    path("reviews/<int:pk>/approve/", pages.approve, name="approve"),
    path("reviews/<int:pk>/reject/", pages.reject, name="reject"),
]
