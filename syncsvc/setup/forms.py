"""What people type on the set-up pages, and what of it is taken. Secrets never go back into a page."""

from typing import Any, ClassVar, Final

from django import forms
from django.core.exceptions import ValidationError

from syncsvc.github.protocol import origin
from syncsvc.github.redaction import redact
from syncsvc.setup import manifest

LARGEST_KEY: Final = 20_000
LONGEST_SECRET: Final = 500
MISPLACED: Final = (
    "This looks like a key or a token, so it was forgotten: paste it into the field that is for it."
)


class Discreet(forms.Form):
    """Forgets what looks like a key or a token where it was pasted into a field that shows what was typed:
    it is neither shown again nor sent to GitHub."""

    shown: ClassVar[tuple[str, ...]] = ()

    def full_clean(self) -> None:
        """Looks before anything is read."""
        misplaced = [name for name in self.shown if self._is_secret(name)]
        if misplaced:
            kept: Any = self.data
            kept = kept.copy()
            for name in misplaced:
                kept[self.add_prefix(name)] = ""
            self.data = kept
        super().full_clean()
        for name in misplaced:
            self.errors[name] = self.error_class([MISPLACED])

    def _is_secret(self, name: str) -> bool:
        said = (self.data.get(self.add_prefix(name)) or "")[:LARGEST_KEY]
        return redact(said) != said


class NewApp(Discreet):
    """An App to be made at GitHub."""

    shown = ("name", "organization", "webhook_url")

    name = forms.CharField(
        max_length=manifest.LONGEST_NAME,
        error_messages={"required": "Give the App a name, one that nobody at GitHub has yet."},
    )
    organization = forms.CharField(required=False, max_length=100)
    webhook_url = forms.CharField(required=False, max_length=500)

    def clean_webhook_url(self) -> str:
        """Any http or https address; a server in the same network may have a name without a dot."""
        url: str = self.cleaned_data["webhook_url"].strip()
        if url and origin(url) is None:
            raise ValidationError("This is no web address: begin with https://")
        return url

    def clean_organization(self) -> str:
        """A login, or nothing for an App of one's own."""
        login: str = self.cleaned_data["organization"].strip().removeprefix("@")
        if login and not manifest.is_login(login):
            raise ValidationError(
                "This is no name of an organization: it has letters, digits and -."
            )
        return login


class Secrets(Discreet):
    """What signs webhooks."""

    webhook_secret = forms.CharField(required=False, max_length=2 * LONGEST_SECRET)

    def clean_webhook_secret(self) -> str:
        """One, or `new,old`, as in the environment."""
        parts = [each.strip() for each in self.cleaned_data["webhook_secret"].split(",")]
        if len(parts) > 2 or (len(parts) == 2 and not all(parts)):
            raise ValidationError("One secret, or two with a comma between them: new,old.")
        return ",".join(parts)


class ChangedSecret(Secrets):
    """A webhook secret that has to be there."""

    webhook_secret = forms.CharField(
        max_length=2 * LONGEST_SECRET, error_messages={"required": "Paste the webhook's secret."}
    )


class ExistingApp(Secrets):
    """An App that is there already: its id, and its key as text or as the file."""

    shown = ("app_id",)

    app_id = forms.RegexField(
        r"^\s*\d{1,18}\s*$",
        error_messages={
            "required": "Fill in the App's id; it stands on its page at GitHub.",
            "invalid": "The App's id is a number; it stands on its page at GitHub.",
        },
    )
    key = forms.CharField(required=False, max_length=LARGEST_KEY)
    key_file = forms.FileField(required=False, max_length=200)

    def clean(self) -> dict[str, Any]:
        """The key, wherever it was given."""
        found: dict[str, Any] = super().clean() or self.cleaned_data
        file = found.get("key_file")
        if file is not None:
            if file.size > LARGEST_KEY:
                raise ValidationError({"key_file": "This file is too large to be a key."})
            found["key"] = file.read().decode("utf-8", "replace")
        if not (found.get("key") or "").strip() and "key" not in self.errors:
            raise ValidationError({"key": "Paste the private key, or choose its .pem file."})
        return found


class PastedToken(Secrets):
    """A personal access token, and whom it mirrors."""

    shown = ("owner",)

    token = forms.CharField(
        max_length=LONGEST_SECRET, error_messages={"required": "Paste the token."}
    )
    owner = forms.CharField(required=False, max_length=100)

    def clean_owner(self) -> str:
        """A login, or nothing for the token's own account."""
        login: str = self.cleaned_data["owner"].strip().removeprefix("@")
        if login and not manifest.is_login(login):
            raise ValidationError("This is no name of an account: it has letters, digits and -.")
        return login
