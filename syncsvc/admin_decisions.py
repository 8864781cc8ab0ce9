"""How people decide in the admin: a page that says what will happen and asks for the reason, then the act.

Hides that one row is decided from its page and many from the list, by the same form; that the form brings
back what it showed; and that whoever may only look is refused. What an act does twice it refuses itself:
each is a function of the service, the same as behind the API and the pages.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action

from syncsvc.admin_base import HistoryAdmin

MOST_NAMED: Final = 10
"""What became of more rows than these is said in numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One thing that can be decided. `act` takes the row, the request and the reason, and returns the
    sentence that says what came of it."""

    name: str
    title: str
    explained: str
    button: str
    act: Callable[[Any, HttpRequest, str], str]
    needs_reason: bool = False


class Refused(Exception):
    """The present state does not allow it; the text is a sentence for people."""


def asks(name: str, title: str) -> Any:
    """The action of a list that asks about the chosen rows first; `name` is one of `choices`."""

    @admin.action(description=title, permissions=["decide"])
    def ask(owner: Any, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        found: HttpResponse | None = owner.decide_many(request, name, rows)
        return found

    ask.__name__ = name
    return ask


def asks_here(name: str, title: str) -> Any:
    """The button of a row's page that asks first; `name` is one of `choices`."""

    def ask(owner: Any, request: HttpRequest, object_id: str) -> HttpResponse:
        found: HttpResponse = owner.decide_one(request, name, object_id)
        return found

    ask.__name__ = f"{name}_one"
    return action(description=title, permissions=["decide"])(ask)  # type: ignore[operator]  # unfold says Action


class DecidingAdmin(HistoryAdmin):
    """Rows that only the product writes, and about which people decide."""

    choices: ClassVar[dict[str, Choice]] = {}
    #: The field that says how far a row is, and those of its values that leave something to decide; no field
    #: where there always is.
    state: ClassVar[str] = ""
    open_states: ClassVar[tuple[str, ...]] = ()
    #: What `act` raises, with a sentence, where the present state does not allow it.
    refusals: ClassVar[tuple[type[Exception], ...]] = (Refused,)

    def has_decide_permission(self, request: HttpRequest, _object_id: object = None) -> bool:
        """Whoever has Django's permission to change such rows; nothing else can be changed."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def is_open(self, row: Any) -> bool:
        """Whether there is anything left to decide about the row."""
        return not self.state or getattr(row, self.state) in self.open_states

    def seen(self, row: Any) -> dict[str, object]:
        """What the form has to bring back of what it showed of a row, by name."""
        return {f"row_{row.pk}": row.pk}

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """What a decision is made on stands first."""
        first: list[Any] = list(self.readonly_fields)
        return [*first, *(name for name in super().get_fields(request, obj) if name not in first)]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """The buttons of a row's page, as long as there is something to decide."""
        row = self.get_object(request, str(object_id))
        if row is None or not self.is_open(row):
            return []
        found: list[Any] = super().get_actions_detail(request, object_id)
        return found

    def decide_one(self, request: HttpRequest, name: str, object_id: str) -> HttpResponse:
        """From a row's page: asks, then acts and leads back there."""
        rows = self.get_queryset(request).filter(pk=object_id)
        row = get_object_or_404(rows)
        back = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk])
        return self._decide(request, name, rows, back) or HttpResponseRedirect(back)

    def decide_many(
        self, request: HttpRequest, name: str, rows: QuerySet[Any]
    ) -> HttpResponse | None:
        """From the list: asks, then acts."""
        return self._decide(request, name, rows, request.get_full_path())

    def _decide(
        self, request: HttpRequest, name: str, rows: QuerySet[Any], back: str
    ) -> HttpResponse | None:
        choice, reason, error = self.choices[name], request.POST.get("reason", "").strip(), ""
        if request.method == "POST" and "decided" in request.POST:
            if reason or not choice.needs_reason:
                self._carry_out(request, choice, list(rows), reason)
                return None
            error = "A reason is needed."
        shown: list[Model] = list(rows[: self.most_at_once])
        if not shown:
            self.message_user(request, "None of these rows is there any more.", messages.WARNING)
            return HttpResponseRedirect(back)
        one = self.opts.verbose_name if len(shown) == 1 else self.opts.verbose_name_plural
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{choice.title}: {len(shown)} {one}",
            "action": name,
            "explained": choice.explained,
            "button": choice.button,
            "needs_reason": choice.needs_reason,
            "reason": reason,
            "error": error,
            "rows": shown,
            "seen": [pair for row in shown for pair in self.seen(row).items()],
            "back": back,
        }
        return TemplateResponse(request, "admin/decide.html", context)

    def _carry_out(
        self, request: HttpRequest, choice: Choice, rows: list[Any], reason: str
    ) -> None:
        answers = [(str(row), *self._act(request, choice, row, reason)) for row in rows]
        if len(answers) <= MOST_NAMED:
            for name, told, level in answers:
                self.message_user(request, f"{name}: {told}", level)
            return
        for (told, level), often in Counter(each[1:] for each in answers).most_common():
            self.message_user(request, f"{often} of {len(answers)}: {told}", level)

    def _act(self, request: HttpRequest, choice: Choice, row: Any, reason: str) -> tuple[str, int]:
        try:
            return choice.act(row, request, reason), messages.SUCCESS
        except self.refusals as refused:
            return str(refused), messages.WARNING
