"""The addresses of the member pages and of the probes."""

from django.urls import path

from syncsvc import (
    health,
    pages,
    pages_contents,
    pages_dead_letters,
    pages_repository,
    pages_run,
    pages_system,
    pages_webhooks,
)
from syncsvc.webhooks import door

urlpatterns = [
    path("", pages.home, name="home"),
    path("login/", pages.LogIn.as_view(), name="login"),
    path("logout/", pages.LogOut.as_view(), name="logout"),
    path("installations/<int:pk>/", pages.installation, name="installation"),
    path("installations/<int:pk>/card/", pages.card, name="card"),
    path("installations/<int:pk>/sync/", pages.sync, name="sync"),
    path("installations/<int:pk>/try-now/", pages.try_now, name="try_now"),
    path("jobs/<uuid:pk>/", pages_run.job, name="job"),
    path("jobs/<uuid:pk>/cancel/", pages_run.cancel, name="cancel"),
    path("repositories/<int:pk>/", pages_repository.repository, name="repository"),
    path("repositories/<int:pk>/sync/", pages_repository.sync, name="repository_sync"),
    path("issues/", pages_contents.issues, name="issues"),
    path("issues/<int:pk>/", pages_contents.issue, name="issue"),
    path("pull-requests/", pages_contents.pull_requests, name="pull_requests"),
    path("pull-requests/<int:pk>/", pages_contents.pull_request, name="pull_request"),
    path("commits/", pages_contents.commits, name="commits"),
    path("deliveries/", pages_webhooks.deliveries, name="deliveries"),
    path("deliveries/<int:pk>/", pages_webhooks.delivery, name="delivery"),
    path("deliveries/<int:pk>/replay/", pages_webhooks.replay, name="replay"),
    path("dead-letters/", pages_dead_letters.dead_letters, name="dead_letters"),
    path("dead-letters/<int:pk>/", pages_dead_letters.dead_letter, name="dead_letter"),
    path("dead-letters/<int:pk>/requeue/", pages_dead_letters.requeue, name="dead_letter_requeue"),
    path("dead-letters/<int:pk>/discard/", pages_dead_letters.discard, name="dead_letter_discard"),
    path("gaps/", pages_webhooks.gaps, name="gaps"),
    path("gaps/<int:pk>/", pages_webhooks.gap, name="gap"),
    path("system/", pages_system.system, name="system"),
    path("webhooks/github/", door.view, name="webhook"),
    path("webhooks/github", door.view),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
]
