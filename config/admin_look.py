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


def without_inline_style(_request: HttpRequest) -> dict[str, Any]:
    """What Unfold's pages get besides its own: no colours, so that no style stands in the page (R18.6)."""
    return {"colors": None}


UNFOLD: Final[dict[str, Any]] = {
    "SITE_TITLE": "GitHub mirror",
    "SITE_HEADER": "GitHub mirror",
    "SITE_URL": "/",
    "SITE_ICON": _static("syncsvc/logo.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": _static("syncsvc/logo.svg")}
    ],
    "SHOW_VIEW_ON_SITE": False,
    # Colours stand in admin.css: Unfold would write them into each page as a <style>.
    "DASHBOARD_CALLBACK": "alerts.admin_start.context",
    "GLOBAL_CALLBACK": "config.admin_look.without_inline_style",
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {
                "title": "Look here first",
                "items": [
                    {
                        "title": "Sync health",
                        "icon": "monitor_heart",
                        "link": "/admin/sync-health/",
                        "permission": lambda request: request.user.is_staff,
                    },
                    _entry("Incidents", "notifications_active", "alerts.incident"),
                    _entry("Held disappearances", "front_hand", "reconciliation.review"),
                    _entry("Discrepancies", "difference", "reconciliation.discrepancy"),
                    _entry("Dead letters", "mark_email_unread", "syncsvc.deadletter"),
                ],
            },
            {
                "title": "Mirror",
                "separator": True,
                "items": [
                    _entry("Installations", "hub", "syncsvc.installation"),
                    _entry("Repositories", "folder_copy", "syncsvc.repository"),
                    _entry("Issues", "bug_report", "syncsvc.issue"),
                    _entry("Pull requests", "merge", "syncsvc.pullrequest"),
                    _entry("Commits", "commit", "syncsvc.commit"),
                    _entry("Daily metrics", "monitoring", "syncsvc.repositorymetric"),
                    _entry("Readings", "menu_book", "syncsvc.contentlist"),
                    _entry("Sync jobs", "sync", "syncsvc.syncjob"),
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
                    _entry("Figures of runs", "percent", "reconciliation.runfigure"),
                    _entry("Independent audits", "fact_check", "reconciliation.sampleaudit"),
                    _entry("Items of audits", "checklist", "reconciliation.sampleditem"),
                    _entry("Integrity problems", "rule", "reconciliation.integrityissue"),
                    _entry("Summed hours", "functions", "reconciliation.rolledhours"),
                    _entry("Summed hours of all", "functions", "reconciliation.rolledfleet"),
                    _entry("Days to sum again", "event_busy", "reconciliation.staleday"),
                    _entry("Summed until", "event_available", "reconciliation.rolleduntil"),
                ],
            },
            {
                "title": "Who did what",
                "separator": True,
                "items": [
                    _entry("Audit log", "history", "reconciliation.auditentry"),
                    _entry("Records of runs", "receipt_long", "reconciliation.auditrecord"),
                    _entry("Errors of runs", "error", "reconciliation.auditerror"),
                    _entry("Changes made here", "edit_note", "admin.logentry"),
                ],
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
                    _entry("Mailboxes", "inbox", "syncsvc.mailbox"),
                    _entry("Live events", "stream", "syncsvc.liveevent"),
                    _entry("GitHub's keys", "key", "syncsvc.credential"),
                    _entry("GitHub's tokens", "schedule_send", "syncsvc.installationtoken"),
                ],
            },
        ],
    },
}
