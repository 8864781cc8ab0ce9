"""How the admin looks: its name, colours and side bar, in the words of django-unfold."""

from collections.abc import Callable
from typing import Any, Final

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _static(path: str) -> Callable[[HttpRequest], str]:
    return lambda _request: static(path)


def _entry(title: str, icon: str, model: str) -> dict[str, Any]:
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app}.view_{name}"),
    }


UNFOLD: Final[dict[str, Any]] = {
    "SITE_TITLE": "GitHub mirror",
    "SITE_HEADER": "GitHub mirror",
    "SITE_URL": "/",
    "SITE_ICON": _static("syncsvc/logo.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": _static("syncsvc/logo.svg")}
    ],
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "8px",
    "COLORS": {
        "primary": {
            "50": "#f1f5fe",
            "100": "#e1eafc",
            "200": "#c9d8fa",
            "300": "#a5c1ff",
            "400": "#8fb1ff",
            "500": "#5a86e8",
            "600": "#2b59c3",
            "700": "#1f459e",
            "800": "#1c3a80",
            "900": "#1a2a4b",
            "950": "#0d1a38",
        }
    },
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {
                "title": "Mirror",
                "items": [
                    _entry("Installations", "hub", "syncsvc.installation"),
                    _entry("Repositories", "folder_copy", "syncsvc.repository"),
                    _entry("Issues", "bug_report", "syncsvc.issue"),
                    _entry("Pull requests", "merge", "syncsvc.pullrequest"),
                    _entry("Commits", "commit", "syncsvc.commit"),
                    _entry("Daily metrics", "monitoring", "syncsvc.repositorymetric"),
                    _entry("Readings", "menu_book", "syncsvc.contentlist"),
                    _entry("Sync jobs", "sync", "syncsvc.syncjob"),
                    _entry("Dead letters", "mark_email_unread", "syncsvc.deadletter"),
                ],
            },
            {
                "title": "Webhooks",
                "separator": True,
                "items": [
                    _entry("Deliveries", "webhook", "syncsvc.delivery"),
                    _entry("Gaps", "troubleshoot", "syncsvc.gap"),
                    _entry("Missed deliveries", "unpublished", "syncsvc.misseddelivery"),
                    _entry("Hooks", "anchor", "syncsvc.hook"),
                    _entry("Accounts' rhythms", "ecg_heart", "syncsvc.webhookstate"),
                    _entry("To be read again", "replay", "syncsvc.recheck"),
                ],
            },
            {
                "title": "Accuracy",
                "separator": True,
                "items": [
                    _entry("Discrepancies", "difference", "reconciliation.discrepancy"),
                    _entry("Held disappearances", "front_hand", "reconciliation.review"),
                    _entry("Figures of runs", "percent", "reconciliation.runfigure"),
                    _entry("Independent audits", "fact_check", "reconciliation.sampleaudit"),
                    _entry("Integrity problems", "rule", "reconciliation.integrityissue"),
                    _entry("Audit log", "history", "reconciliation.auditentry"),
                ],
            },
            {
                "title": "Alerts",
                "separator": True,
                "items": [_entry("Incidents", "notifications_active", "alerts.incident")],
            },
            {
                "title": "People",
                "separator": True,
                "items": [
                    _entry("Users", "person", "auth.user"),
                    _entry("Groups", "group", "auth.group"),
                    _entry("Memberships", "badge", "syncsvc.membership"),
                ],
            },
            {
                "title": "Machinery",
                "separator": True,
                "items": [
                    _entry("Periodic tasks", "schedule", "django_celery_beat.periodictask"),
                    _entry("Intervals", "timer", "django_celery_beat.intervalschedule"),
                    _entry("Crontabs", "event_repeat", "django_celery_beat.crontabschedule"),
                    _entry("Rate budgets", "speed", "syncsvc.ratebudget"),
                    _entry("ETag entries", "cached", "syncsvc.etagentry"),
                    _entry("Heartbeats", "monitor_heart", "syncsvc.heartbeat"),
                ],
            },
        ],
    },
}
