"""What can happen to accounts and to the App on them, with the webhooks that follow.

Hides which installation sees what after a change of its selection. Installations are named
by id or by the login of their account; WorldError says what GitHub would refuse.
"""

from collections.abc import Iterable, Mapping

from syncsvc.simulator.changes import change
from syncsvc.simulator.events import Telling
from syncsvc.simulator.records import (
    Account,
    AccountType,
    Hook,
    Installation,
    Selection,
    WorldError,
)
from syncsvc.simulator.records import Repository as Repo

APP_HOOK_ID = 500_000_000
PERMISSION_LEVELS = ("read", "write", "admin")


class InstallationChanges(Telling):
    """Changes to accounts, installations and hooks."""

    @change
    def create_account(
        self,
        login: str,
        kind: AccountType = "Organization",
        *,
        members: Iterable[str] = (),
    ) -> Account:
        """A new account without the App; `members` see an organization's private repositories."""
        self._require_free_login(login)
        if kind not in {"Organization", "User"}:
            raise WorldError(f"{kind!r} is no type of account.")
        number = self.next_id("account", max(self.accounts, default=500_000))
        account = Account(number, login, kind, login, None, None, self.time, self.time)
        account.member_ids = {self.account(member).id for member in members}
        self.add_account(account)
        return account

    @change
    def rename_account(self, account: int | str, login: str) -> Account:
        """Give an account another login; its repositories redirect from their old names."""
        found = self.account(account)
        if found.login.lower() != login.lower():
            self._require_free_login(login)
        old = found.login
        self.relabel(found, login)
        found.updated_at = self.time
        found.revision += 1
        self.tell_renamed_account(found, old)
        return found

    @change
    def install(
        self,
        account: int | str,
        *,
        selection: Selection = "all",
        repositories: Iterable[int | str] = (),
        told: bool = True,
    ) -> Installation:
        """Install the App on an account, on all of its repositories or on a selection."""
        found = self.account(account)
        if self.installation_of(found) is not None:
            raise WorldError(f"The App is installed on {found.login} already.")
        installation = Installation(0, found.id, self.time, self.time)
        self._select(installation, selection, repositories)
        installation.id = self.next_id("installation", 40_000_000)
        self.installations[installation.id] = installation
        self.revision += 1
        if told:
            self.tell_installation(
                "created", installation, repositories=self.installed(installation)
            )
        return installation

    @change
    def uninstall(self, installation: int | str) -> Installation:
        """Remove the App from an account: tokens end, the installation is gone."""
        found = self.installation(installation)
        seen = self.installed(found)
        del self.installations[found.id]
        self.tell_installation("deleted", found, repositories=seen)
        return found

    @change
    def reinstall(self, account: int | str) -> Installation:
        """Install the App anew on an account: same account, a new installation id.

        An installation that is still there is uninstalled first.
        """
        found = self.account(account)
        present = self.installation_of(found)
        if present is not None:
            self.uninstall(present.id)
        return self.install(found.id)

    @change
    def suspend(self, installation: int | str) -> Installation:
        """Suspend: still listed, but its tokens answer 403 and its events are not sent."""
        found = self.installation(installation)
        if found.suspended_at is not None:
            raise WorldError(f"Installation {found.id} is suspended already.")
        found.suspended_at = found.updated_at = self.time
        self.tell_installation("suspend", found)
        return found

    @change
    def unsuspend(self, installation: int | str) -> Installation:
        """End a suspension."""
        found = self.installation(installation)
        if found.suspended_at is None:
            raise WorldError(f"Installation {found.id} is not suspended.")
        found.suspended_at, found.updated_at = None, self.time
        self.tell_installation("unsuspend", found)
        return found

    @change
    def select_repositories(
        self, installation: int | str, repositories: Iterable[int | str]
    ) -> Installation:
        """Let the App see only these repositories.

        From `all` to a selection GitHub sends `added` with the chosen ones and an empty
        `repositories_removed`; between selections `added` and `removed` as they apply.
        """
        found = self.installation(installation)
        before = None if found.selection == "all" else set(found.repository_ids)
        self._select(found, "selected", repositories)
        found.updated_at = self.time
        if before is None:
            self.tell_selection("added", found, added=self._repositories(found.repository_ids))
            return found
        added, removed = found.repository_ids - before, before - found.repository_ids
        if added:
            self.tell_selection("added", found, added=self._repositories(added))
        if removed:
            self.tell_selection("removed", found, removed=self._repositories(removed))
        return found

    @change
    def select_all(self, installation: int | str) -> Installation:
        """Let the App see every repository of the account."""
        found = self.installation(installation)
        if found.selection == "all":
            raise WorldError(f"Installation {found.id} sees every repository already.")
        before = set(found.repository_ids)
        self._select(found, "all", ())
        found.updated_at = self.time
        self.revision += 1
        gained = [r for r in self.installed(found) if r.id not in before]
        self.tell_selection("added", found, added=gained)
        return found

    @change
    def change_permissions(
        self, installation: int | str, permissions: Mapping[str, str]
    ) -> Installation:
        """The account accepts other permissions (`new_permissions_accepted`)."""
        found = self.installation(installation)
        wrong = [f"{k}={v}" for k, v in permissions.items() if v not in PERMISSION_LEVELS]
        if wrong:
            raise WorldError(f"{', '.join(wrong)} is no permission.")
        found.permissions = dict(permissions)
        found.updated_at = self.time
        self.tell_installation(
            "new_permissions_accepted", found, repositories=self.installed(found)
        )
        return found

    @change
    def set_app_hook(self, url: str, secret: str) -> Hook:
        """Where the App's webhooks go; replaces what was set before."""
        self.hooks = {i: h for i, h in self.hooks.items() if not h.of_app}
        hook = Hook(APP_HOOK_ID, url, secret, ("*",), self.time, self.time)
        self.hooks[hook.id] = hook
        return hook

    @change
    def add_organization_hook(
        self, organization: int | str, url: str, secret: str, events: Iterable[str] = ("*",)
    ) -> Hook:
        """A hook of an organization, as token mode uses it."""
        account = self.account(organization)
        if account.type != "Organization":
            raise WorldError(f"{account.login} is no organization.")
        number = self.next_id("hook", APP_HOOK_ID)
        hook = Hook(number, url, secret, tuple(events), self.time, self.time, account.id)
        self.hooks[number] = hook
        return hook

    @change
    def add_repository_hook(
        self, repo: int | str, url: str, secret: str, events: Iterable[str] = ("push",)
    ) -> Hook:
        """A hook of a repository, as token mode may use it."""
        number = self.next_id("hook", APP_HOOK_ID)
        of = self.repository(repo).id
        hook = Hook(number, url, secret, tuple(events), self.time, self.time, repository_id=of)
        self.hooks[number] = hook
        return hook

    # Helpers

    def app_hook(self) -> Hook | None:
        """The App's own hook, if one was set."""
        return next((h for h in self.hooks.values() if h.of_app), None)

    def _select(
        self, installation: Installation, selection: Selection, repositories: Iterable[int | str]
    ) -> None:
        if selection not in {"all", "selected"}:
            raise WorldError(f"{selection!r} is no selection; choose all or selected.")
        chosen = [self.repository(ref) for ref in repositories]
        strangers = [r for r in chosen if r.owner_id != installation.account_id]
        if strangers:
            raise WorldError(f"{self.full_name(strangers[0])} belongs to another account.")
        installation.selection = selection
        installation.repository_ids = {r.id for r in chosen}
        self.revision += 1

    def _repositories(self, ids: Iterable[int]) -> list[Repo]:
        return [self.repositories[i] for i in sorted(ids) if i in self.repositories]

    def _require_free_login(self, login: str) -> None:
        if not login or not all(part.isalnum() and part.isascii() for part in login.split("-")):
            raise WorldError(f"{login!r} is no login.")
        if self.find_account(login) is not None:
            raise WorldError(f"The login {login} is taken.")
