"""Users, groups and the beat schedule in the admin's own clothes: other packages register them plain."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget


class StyledUserAdmin(UserAdmin, ModelAdmin):
    """Users with forms that fit."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    show_full_result_count = False


class StyledGroupAdmin(GroupAdmin, ModelAdmin):
    """Groups."""


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """The registered tasks to choose from."""


class StyledTaskForm(beat.PeriodicTaskForm):
    """A periodic task."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


class StyledTaskAdmin(beat.PeriodicTaskAdmin, ModelAdmin):
    """Periodic tasks: what beat asks for, and how often."""

    form = StyledTaskForm
    date_hierarchy = None
    list_display = ("name", "enabled", "scheduler", "last_run_at", "total_run_count")
    list_filter = ("enabled", "one_off")


class StyledScheduleAdmin(ModelAdmin):
    """Intervals, points in time and positions of the sun."""


class StyledCrontabAdmin(beat.CrontabScheduleAdmin, ModelAdmin):
    """Crontab lines, in words too."""

    inlines = ()


def register() -> None:
    """Puts these in the place of what the packages registered."""
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
