"""Webhooks in the admin: what arrived, what was missed, which gaps there were. Only the product writes it;
a delivery can be processed once more.
"""

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateTimeFilter
from unfold.decorators import display

from syncsvc import conf
from syncsvc.admin_base import HistoryAdmin, brief, list_link, unbroken
from syncsvc.admin_contents import named
from syncsvc.admin_decisions import Choice, DecidingAdmin, Refused, asks, asks_here
from syncsvc.admin_lists import MOST_SEARCHED
from syncsvc.models import Delivery, Gap, Hook, MissedDelivery, Recheck, Repository, WebhookState
from syncsvc.webhooks import replay, viewing, wording

DELIVERY_TONES: Final = {
    "received": "info",
    "processed": "success",
    "ignored": "default",
    "failed": "danger",
}
GAP_TONES: Final = {
    "open": "danger",
    "redelivering": "warning",
    "catching_up": "warning",
    "closed": "success",
}
MOST_NAMED: Final = 20
"""Repositories that one name is taken for."""
ACCOUNT: Final = ("installation", AutocompleteSelectFilter)


class OpenFilter(admin.SimpleListFilter):
    """Whether something is still to be done; `field` is the time at which it was."""

    field: ClassVar[str]
    words: ClassVar[tuple[str, str]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What there is to choose."""
        return [("yes", self.words[0]), ("no", self.words[1])]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of that kind."""
        if self.value() not in ("yes", "no"):
            return queryset
        return queryset.filter(**{f"{self.field}__isnull": self.value() == "yes"})


class OpenGapFilter(OpenFilter):
    """Open or closed."""

    title = "state"
    parameter_name = "open"
    field = "closed_at"
    words = ("Open", "Closed")


class UnhealedFilter(OpenFilter):
    """Healed or not."""

    title = "healing"
    parameter_name = "unhealed"
    field = "healed_at"
    words = ("Not healed yet", "Healed")


def _replay(row: Any, request: HttpRequest, _reason: str) -> str:
    shown = request.POST.get(_seen(row))
    with transaction.atomic():
        mine = Delivery.objects.select_for_update(no_key=True).filter(pk=row.pk)
        ended = mine.values_list("processed_at", flat=True).first()
        if shown is not None and shown != str(ended or ""):
            raise Refused(
                "it was replayed or processed since it was shown: nothing was done again."
            )
        done = replay.replay([row.pk], user_id=request.user.pk)
    if not done:
        raise Refused(str(replay.refusal(row, payload_kept=row.payload_kept) or CHANGED))
    return "it waits to be processed once more."


def _seen(row: Delivery) -> str:
    return f"processed_{row.pk}"


CHANGED: Final = "It waits already: somebody else had it replayed."


class DeliveryAdmin(DecidingAdmin):
    """Deliveries that arrived. No list reads a payload; a single one shows it masked."""

    choices: ClassVar = {
        "replay": Choice(
            name="replay",
            title="Replay",
            explained="Each of these deliveries is processed once more from the payload that was kept. One that "
            "waits already, or whose payload was removed, is left alone. What GitHub changed since is not "
            "undone: older news never overwrites newer.",
            button="Replay",
            act=_replay,
        ),
    }
    list_display = (
        "received_at",
        "shown_event",
        "shown_status",
        "shown_outcome",
        "installation",
        "shown_repository",
        "shown_size",
        "page",
    )
    list_display_links = ("received_at", "shown_event")
    list_filter = (
        ACCOUNT,
        "status",
        ("received_at", RangeDateTimeFilter),
    )
    list_select_related = ("installation",)
    search_fields = (
        "=guid",
        "=event",
        "=action",
        "=outcome",
        "=repository_github_id",
        "installation__account_login",
    )
    search_help_text = (
        "A GUID, GitHub's id of a repository, OWNER/NAME; of few deliveries words too"
    )
    exact = ("guid", "repository_github_id")
    sorted_by = ("received_at",)
    ordering = ("-received_at", "-id")
    exclude = ("payload",)
    readonly_fields = ("shown_payload",)
    actions = ("replay",)
    actions_detail = ("replay_one",)  # type: ignore[assignment]  # unfold's is ()
    replay, replay_one = asks("replay", "Replay: process once more"), asks_here("replay", "Replay")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        """The rows without their payloads, each with the name of its repository."""
        rows: QuerySet[Delivery] = super().get_queryset(request)
        named = Repository.objects.filter(github_id=OuterRef("repository_github_id"))
        return rows.defer("payload").annotate(
            repository_name=Subquery(named.values("full_name")[:1]),
            payload_kept=ExpressionWrapper(Q(payload__isnull=False), output_field=BooleanField()),
        )

    def search_condition(self, term: str) -> Q | None:
        """The delivery, or all of a repository."""
        found = super().search_condition(term)
        if "/" not in term or len(term) > MOST_SEARCHED:
            return found
        of_it = Q(repository_github_id__in=[it.github_id for it in named(term)[:MOST_NAMED]])
        return of_it if found is None else found | of_it

    def is_open(self, row: Delivery) -> bool:
        """Whether it can be replayed."""
        return row.status != Delivery.Status.RECEIVED

    def seen(self, row: Delivery) -> dict[str, object]:
        """When it was processed: whoever presses twice replays once."""
        return {_seen(row): row.processed_at or ""}

    @display(description="Event", ordering="event")
    def shown_event(self, row: Delivery) -> SafeString:
        """The event and its action."""
        return unbroken(wording.event(row.event, row.action))

    @display(description="Status", ordering="status", label=DELIVERY_TONES)
    def shown_status(self, row: Delivery) -> tuple[str, str]:
        """The status as a badge."""
        return row.status, row.get_status_display()

    @display(description="What became of it", ordering="outcome")
    def shown_outcome(self, row: Delivery) -> SafeString:
        """What became of it, as far as it fits."""
        waiting = row.status == Delivery.Status.RECEIVED
        return brief(
            wording.outcome(row.outcome, row.detail, waiting=waiting, attempts=row.attempts)
        )

    @display(description="Repository")
    def shown_repository(self, row: Any) -> SafeString | str:
        """Its name, or GitHub's id of what is not mirrored."""
        return brief(row.repository_name or row.repository_github_id or "")

    @display(description="Payload", ordering="payload_bytes")
    def shown_size(self, row: Any) -> str:
        """How large it was, and that it is gone."""
        return f"{row.payload_bytes:,} bytes" if row.payload_kept else "removed"

    @display(description="Payload, masked")
    def shown_payload(self, row: Delivery) -> SafeString | str:
        """The payload as people may see it."""
        if row.payload_bytes > viewing.MOST_BYTES:
            return "Too large to be laid out here; the API gives it."
        viewed = viewing.view(row, kept_days=conf.for_installation(row.installation).payload_days)
        if viewed.problem:
            return viewed.problem
        return format_html(
            '<pre class="max-h-96 overflow-auto whitespace-pre">{}</pre>',
            viewed.text[: viewing.MOST_CHARACTERS],
        )

    @display(description="Page")
    def page(self, row: Delivery) -> SafeString:
        """Leads to the delivery's page."""
        address = reverse("delivery", args=[row.pk])
        return format_html('<a class="underline" href="{}">Open</a>', address)


class GapAdmin(HistoryAdmin):
    """Gaps, from their discovery to their end."""

    list_display = (
        "opened_at",
        "installation",
        "reason",
        "shown_step",
        "shown_missed",
        "seconds_to_detect",
        "seconds_to_repair",
        "closed_at",
        "page",
    )
    list_filter = (ACCOUNT, "reason", OpenGapFilter, ("opened_at", RangeDateTimeFilter))
    list_select_related = ("installation",)
    search_fields = ("installation__account_login", "=job__id")
    search_help_text = "An account, or the id of the run that caught up"
    exact = ("job",)
    sorted_by = ("opened_at",)
    ordering = ("-opened_at", "-id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Gap]:
        """The rows without what can be long; a single row reads it when it is shown."""
        rows: QuerySet[Gap] = super().get_queryset(request)
        return rows.defer("evidence", "timeline")

    @display(description="Step", ordering="step", label=GAP_TONES)
    def shown_step(self, row: Gap) -> tuple[str, str]:
        """How far its healing is, as a badge."""
        return row.step, row.get_step_display()

    @display(description="Missed", ordering="missed")
    def shown_missed(self, row: Gap) -> SafeString:
        """Leads to the missed deliveries."""
        return list_link("misseddelivery", "gap", row, row.missed)

    @display(description="Page")
    def page(self, row: Gap) -> SafeString:
        """Leads to the gap's page."""
        return format_html('<a class="underline" href="{}">Open</a>', reverse("gap", args=[row.pk]))


class MissedDeliveryAdmin(HistoryAdmin):
    """What GitHub's log names and did not arrive when it was sent."""

    list_display = (
        "first_at",
        "shown_event",
        "installation",
        "kind",
        "status_code",
        "attempts",
        "requests",
        "shown_healed",
        "guid",
    )
    list_display_links = ("first_at", "shown_event")
    list_filter = (
        ACCOUNT,
        ("gap", AutocompleteSelectFilter),
        "kind",
        UnhealedFilter,
        ("first_at", RangeDateTimeFilter),
    )
    list_select_related = ("installation",)
    search_fields = ("=guid", "=event", "installation__account_login", "=repository_github_id")
    search_help_text = "A GUID; of few the event, the account or GitHub's id of a repository too"
    exact = ("guid",)
    ordering = ("-id",)
    sorted_by: ClassVar = ()

    @display(description="Event", ordering="event")
    def shown_event(self, row: MissedDelivery) -> SafeString:
        """The event and its action."""
        return unbroken(wording.event(row.event, row.action))

    @display(description="Healed", ordering="healed_at", label={"no": "warning", "yes": "success"})
    def shown_healed(self, row: MissedDelivery) -> tuple[str, str]:
        """By what, or that it is not yet."""
        if row.healed_at is None:
            return "no", "not yet"
        return "yes", wording.healed_by(row.healed_by)


class HookAdmin(HistoryAdmin):
    """The webhooks that lead to us, and how far GitHub's log of each was read."""

    list_display = (
        "__str__",
        "installation",
        "active",
        "read_at",
        "newest_at",
        "seen",
        "failures",
        "retry_at",
        "shown_error",
    )
    list_filter = (ACCOUNT, "target_type", "active")
    list_select_related = ("installation",)
    search_fields = ("installation__account_login", "=target_id", "=github_id")
    exclude = ("resume_cursor",)

    @display(description="Error")
    def shown_error(self, row: Hook) -> SafeString | str:
        """Why its log could not be read, as far as it fits."""
        return brief(row.error) if row.error else ""


class WebhookStateAdmin(HistoryAdmin):
    """What each account's deliveries were like so far."""

    list_display = ("installation", "last_delivery_at", "consecutive_failures", "rhythm_at")
    list_filter = (("last_delivery_at", RangeDateTimeFilter),)
    list_select_related = ("installation",)
    search_fields = ("installation__account_login",)
    ordering = ("-consecutive_failures", "installation__account_login")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookState]:
        """The rows without the rhythm; a single row reads it when it is shown."""
        rows: QuerySet[WebhookState] = super().get_queryset(request)
        return rows.defer("rhythm")


class RecheckAdmin(HistoryAdmin):
    """Repositories that wait to be read again."""

    list_display = (
        "full_name",
        "installation",
        "reason",
        "trigger",
        "asked_at",
        "due_at",
        "attempts",
    )
    list_filter = (ACCOUNT, "trigger", ("due_at", RangeDateTimeFilter))
    list_select_related = ("installation",)
    search_fields = ("full_name", "=github_id", "installation__account_login")
    search_help_text = "OWNER/NAME, an account, or GitHub's id of a repository"
    narrow = ("installation__id__exact",)
    exact = ("github_id",)
    sorted_by = ("due_at",)
    ordering = ("due_at", "id")


def register() -> None:
    """Puts webhooks into the admin."""
    admin.site.register(Delivery, DeliveryAdmin)
    admin.site.register(Gap, GapAdmin)
    admin.site.register(MissedDelivery, MissedDeliveryAdmin)
    admin.site.register(Hook, HookAdmin)
    admin.site.register(WebhookState, WebhookStateAdmin)
    admin.site.register(Recheck, RecheckAdmin)
