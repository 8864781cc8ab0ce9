"""Users, groups and the beat schedule in the admin's own clothes: other packages register them plain."""

import json
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold import fields as unfold_fields
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from syncsvc.admin_base import ListedAdmin


class StyledUserAdmin(UserAdmin, ListedAdmin):
    """Users with forms that fit. Who may change users, but is no superuser, makes nobody more than they
    are, and no superuser less: else the keys to GitHub would be theirs with one more click."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    powers = ("is_staff", "is_superuser", "groups", "user_permissions")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What gives power is a superuser's to give."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if _is_superuser(request) else (*fields, *self.powers)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Of superusers only for superusers, their passwords included."""
        return _is_a_match(request, obj) and bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The same."""
        return _is_a_match(request, obj) and bool(super().has_delete_permission(request, obj))


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def _is_a_match(request: HttpRequest, obj: Any) -> bool:
    return _is_superuser(request) or not getattr(obj, "is_superuser", False)


class StyledGroupAdmin(GroupAdmin, ListedAdmin):
    """Groups."""


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """The registered tasks to choose from."""


class StyledTaskForm(beat.PeriodicTaskForm):
    """A periodic task."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


class StyledTaskAdmin(beat.PeriodicTaskAdmin, ListedAdmin):
    """Periodic tasks: what beat asks for, and how often."""

    form = StyledTaskForm
    date_hierarchy = None
    list_display = ("name", "enabled", "scheduler", "last_run_at", "total_run_count")
    list_filter = ("enabled", "one_off")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The package's own for whoever may change tasks; it asks nobody."""
        found: dict[str, Any] = super().get_actions(request)
        return found if self.has_change_permission(request) else {}


class StyledScheduleAdmin(ListedAdmin):
    """Intervals."""

    search_fields = ("=every", "period")


class StyledCrontabAdmin(beat.CrontabScheduleAdmin, ListedAdmin):
    """Crontab lines, in words too."""

    search_fields = ("=minute", "=hour", "day_of_week", "timezone")

    inlines = ()


def plain_json(data: Any, encoder: Any) -> SafeString:
    """JSON laid out. Unfold would colour it where Pygments happens to be installed, by style attributes
    that a strict Content-Security-Policy refuses."""
    laid_out = json.dumps(data, sort_keys=True, indent=2, ensure_ascii=False, cls=encoder)
    return format_html("<pre>{}</pre>", laid_out)


def register() -> None:
    """Puts these in the place of what the packages registered."""
    unfold_fields.prettify_json = plain_json
    styled: dict[Any, Any] = {
        User: StyledUserAdmin,
        Group: StyledGroupAdmin,
        PeriodicTask: StyledTaskAdmin,
        IntervalSchedule: StyledScheduleAdmin,
        CrontabSchedule: StyledCrontabAdmin,
    }
    # Nobody schedules a sync by the sun; fewer entries are easier to read.
    for model in (*styled, SolarSchedule, ClockedSchedule):
        admin.site.unregister(model)
    for model, options in styled.items():
        admin.site.register(model, options)
