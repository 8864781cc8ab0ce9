"""Which webhook event a change causes, and what its payload says.

Hides the shapes of GitHub's events and their GUIDs. A payload is taken at the moment of
the change: later changes do not alter what was sent.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import orjson

from syncsvc.simulator import app_payloads, commit_payloads, content_payloads, payloads
from syncsvc.simulator.content import Commit, Issue, PullRequest
from syncsvc.simulator.records import Account, Event, Installation, Repository, packed
from syncsvc.simulator.state import State


class Telling(State):
    """The part of a world that tells hooks what happened."""

    def actor(self) -> Account:
        """The user who does things: the first user of the world, else its first account."""
        people = [a for a in self.accounts.values() if a.type == "User"]
        return (people or list(self.accounts.values()))[0]

    def tell_repository(
        self,
        action: str | None,
        repository: Repository,
        *,
        event: str = "repository",
        changes: dict[str, Any] | None = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        """Tell of something that happened to a repository; `more` joins the payload.

        It reaches the App where an installation covers the repository and is not suspended,
        and the hooks of the repository's organization.
        """
        if self.quiet:
            return
        owner = self.accounts[repository.owner_id]
        installation = self.installation_of(owner)
        if installation is not None and (
            installation.suspended_at is not None or not self.covers(installation, repository)
        ):
            installation = None
        payload: dict[str, Any] = {} if action is None else {"action": action}
        if changes is not None:
            payload["changes"] = changes
        payload["repository"] = payloads.repository(repository, owner, self.api_url)
        payload |= more or {}
        if owner.type == "Organization":
            payload["organization"] = payloads.simple_organization(owner, self.api_url)
        payload["sender"] = payloads.simple_user(self.actor(), self.api_url)
        if installation is not None:
            payload["installation"] = {"id": installation.id, "node_id": installation.node_id}
        self._tell(event, action, payload, installation, repository_id=repository.id, owner=owner)

    def tell_push(
        self,
        repository: Repository,
        before: str,
        new: Sequence[Commit],
        *,
        forced: bool = False,
    ) -> None:
        """Tell of commits pushed to the default branch (`push`)."""
        if self.quiet:
            return
        more = commit_payloads.push(
            repository,
            self.accounts[repository.owner_id],
            self.content(repository),
            self.actor(),
            before=before,
            new=new,
            forced=forced,
            api=self.api_url,
        )
        self.tell_repository(None, repository, event="push", more=more)

    def tell_item(self, action: str, item: Issue | PullRequest, **more: Any) -> None:
        """Tell of something that happened to an issue or a pull request; `more` joins in."""
        if self.quiet:
            return
        repository = self.repositories[item.repository_id]
        place = self.place(repository)
        if isinstance(item, PullRequest):
            shown = {
                "number": item.number,
                "pull_request": content_payloads.full_pull_request(item, place),
            }
            self.tell_repository(action, repository, event="pull_request", more=shown | more)
        else:
            shown = {"issue": content_payloads.full_issue(item, place)}
            self.tell_repository(action, repository, event="issues", more=shown | more)

    def place(self, repository: Repository) -> content_payloads.Place:
        """The repository as a place in which webhooks show something."""
        owner = self.accounts[repository.owner_id]
        shown = orjson.dumps(payloads.repository(repository, owner, self.api_url))
        name = self.full_name(repository)
        return content_payloads.Place(name, self.api_url, orjson.Fragment(shown), owner)

    def tell_installation(
        self,
        action: str,
        installation: Installation,
        *,
        repositories: Iterable[Repository] | None = None,
    ) -> None:
        """Tell the App about its own installation (it need not subscribe to hear of it)."""
        if self.quiet:
            return
        payload: dict[str, Any] = {
            "action": action,
            "installation": self._installation(installation, action),
        }
        if repositories is not None:
            payload["repositories"] = self._short(repositories)
        self._tell_app("installation", payload, installation)

    def tell_selection(
        self,
        action: str,
        installation: Installation,
        *,
        added: Iterable[Repository] = (),
        removed: Iterable[Repository] = (),
    ) -> None:
        """Tell the App which repositories it gained or lost (`installation_repositories`)."""
        if self.quiet:
            return
        payload = {
            "action": action,
            "installation": self._installation(installation, action),
            "repository_selection": installation.selection,
            "repositories_added": self._short(added),
            "repositories_removed": self._short(removed),
            "requester": None,
        }
        self._tell_app("installation_repositories", payload, installation)

    def tell_renamed_account(self, account: Account, old_login: str) -> None:
        """Tell of an account's new login: `organization` renamed and `installation_target`."""
        if self.quiet:
            return
        installation = self.installation_of(account)
        changes = {"login": {"from": old_login}}
        if account.type == "Organization":
            payload: dict[str, Any] = {
                "action": "renamed",
                "changes": changes,
                "organization": payloads.simple_organization(account, self.api_url),
                "sender": payloads.simple_user(self.actor(), self.api_url),
            }
            if installation is not None:
                payload["installation"] = {"id": installation.id, "node_id": installation.node_id}
            self._tell("organization", "renamed", payload, installation, owner=account)
        if installation is not None:
            target = {
                "action": "renamed",
                "account": payloads.simple_user(account, self.api_url),
                "changes": changes,
                "installation": {"id": installation.id, "node_id": installation.node_id},
                "target_type": account.type,
            }
            if account.type == "Organization":
                target["organization"] = payloads.simple_organization(account, self.api_url)
            self._tell_app("installation_target", target, installation)

    def _guid(self) -> str:
        """A GUID that no other event has, also after a restart: the time is in it."""
        self.told += 1
        return str(uuid5(NAMESPACE_URL, f"{self.seed} {self.time} {self.revision} {self.told}"))

    def _installation(self, installation: Installation, action: str) -> dict[str, Any]:
        account = self.accounts[installation.account_id]
        shown = app_payloads.installation(
            installation, account, self.app, self.actor(), self.api_url
        )
        if action not in {"suspend", "unsuspend"}:
            # GitHub's examples: these two carry times as text, all others as numbers.
            shown |= {"created_at": installation.created_at, "updated_at": installation.updated_at}
        return shown

    def _short(self, repositories: Iterable[Repository]) -> list[dict[str, Any]]:
        return [app_payloads.short_repository(r, self.full_name(r)) for r in repositories]

    def _tell_app(self, event: str, payload: dict[str, Any], installation: Installation) -> None:
        payload["sender"] = payloads.simple_user(self.actor(), self.api_url)
        self._tell(event, payload["action"], payload, installation)

    def _tell(
        self,
        event: str,
        action: str | None,
        payload: dict[str, Any],
        installation: Installation | None,
        *,
        repository_id: int | None = None,
        owner: Account | None = None,
    ) -> None:
        organization = owner.id if owner is not None and owner.type == "Organization" else None
        told = Event(
            guid=self._guid(),
            event=event,
            action=action,
            at=self.time,
            packed=packed(payload),
            installation_id=None if installation is None else installation.id,
            repository_id=repository_id,
            organization_id=organization,
        )
        self.events.append(told)
        if self.on_event is not None:
            self.on_event(told)
