"""What can happen to repositories, in GitHub's words, with the webhooks that follow.

Hides when `updated_at` moves and which event tells of what. Repositories are named by id
or by `owner/name`; every method raises WorldError with a sentence when GitHub would refuse.
"""

import re
from typing import Any

from syncsvc.simulator import content_generate
from syncsvc.simulator.changes import change
from syncsvc.simulator.content import Content
from syncsvc.simulator.events import Telling
from syncsvc.simulator.payloads import simple_user
from syncsvc.simulator.records import VISIBILITIES, Account, Repository, Visibility, WorldError
from syncsvc.simulator.vocabulary import LICENSES

NAME = re.compile(r"^(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$")

TEXT, NUMBER, FLAG, OPTIONAL_TEXT = (str,), (int,), (bool,), (str, type(None))
EDITABLE: dict[str, tuple[type, ...]] = {
    "description": OPTIONAL_TEXT,
    "homepage": OPTIONAL_TEXT,
    "language": OPTIONAL_TEXT,
    "license": OPTIONAL_TEXT,
    "default_branch": TEXT,
    "topics": (list, tuple),
    "stars": NUMBER,
    "forks": NUMBER,
    "open_issues": NUMBER,
    "size": NUMBER,
    "disabled": FLAG,
}
ANNOUNCED = ("description", "homepage", "default_branch", "topics")
"""Edits that send `repository` edited; the others change without a word, as on GitHub."""


class RepositoryChanges(Telling):
    """Changes to single repositories."""

    ties = False
    """True: two changes of one repository within a second share their `updated_at`."""
    deletion_events: tuple[str, ...] = ("repository", "installation_repositories")
    """Which events tell an App of a deletion: sources disagree, so a test can choose."""

    @change
    def create(
        self,
        /,
        owner: int | str,
        name: str,
        *,
        visibility: Visibility = "public",
        repository_id: int | None = None,
        selected: bool = False,
        **fields: Any,
    ) -> Repository:
        """A new repository; `selected` also adds it to an installation that was given a selection.

        `fields` are those of `edit`. The id may be chosen (above 32 bits, for instance).
        """
        account = self.account(owner)
        self._require_free(account, name)
        self._require_visibility(visibility)
        values = self._checked(fields)
        if repository_id in self.repositories:
            raise WorldError(f"Repository id {repository_id} is taken.")
        number = repository_id or self.next_id("wide", max(self.repositories, default=0))
        repository = Repository(number, account.id, name, self.time, self.time, self.time)
        repository.visibility = visibility
        for key, value in values.items():
            setattr(repository, key, value)
        self.add_repository(repository)
        labels = content_generate.new_labels(number, all_of_them=False)
        self.contents.put(repository, Content(number, labels))
        self.revision += 1
        installation = self.installation_of(account)
        if installation is not None and selected and installation.selection == "selected":
            installation.repository_ids.add(number)
            self.revision += 1
        self.tell_repository("created", repository)
        if installation is not None and self.covers(installation, repository):
            self.tell_selection("added", installation, added=[repository])
        return repository

    @change
    def delete(self, repo: int | str) -> Repository:
        """Delete a repository; redirects to it end too."""
        repository = self.repository(repo)
        installation = self.installation_of(self.accounts[repository.owner_id])
        seen = installation is not None and self.covers(installation, repository)
        if "repository" in self.deletion_events:
            self.tell_repository("deleted", repository)
        self.drop_repository(repository, leave_redirect=False)
        self.revision += 1
        if installation is not None and seen:
            installation.repository_ids.discard(repository.id)
            if "installation_repositories" in self.deletion_events:
                self.tell_selection("removed", installation, removed=[repository])
        return repository

    @change
    def rename(self, repo: int | str, name: str) -> Repository:
        """Give a repository another name; the old one redirects until somebody takes it."""
        repository = self.repository(repo)
        self._require_free(self.accounts[repository.owner_id], name, itself=repository)
        old = repository.name
        self._move(repository, name=name)
        self.tell_repository("renamed", repository, changes={"repository": {"name": {"from": old}}})
        return repository

    @change
    def swap_names(self, first: int | str, second: int | str) -> None:
        """Two repositories of one owner exchange their names, by way of a third name."""
        one, two = self.repository(first), self.repository(second)
        if one.owner_id != two.owner_id or one.id == two.id:
            raise WorldError("Names are swapped between two repositories of one owner.")
        one_name, two_name = one.name, two.name
        for repository, name in (
            (one, f"{one_name[:90]}-swapped"),
            (two, one_name),
            (one, two_name),
        ):
            self._require_free(self.accounts[repository.owner_id], name, itself=repository)
            old = repository.name
            self._move(repository, name=name)
            self.tell_repository(
                "renamed", repository, changes={"repository": {"name": {"from": old}}}
            )

    @change
    def transfer(self, repo: int | str, to: int | str, name: str | None = None) -> Repository:
        """Give a repository to another account, perhaps under a new name.

        The new owner's App hears `transferred` (with the new name) and then `renamed`; the old
        owner's hears only that an installation lost the repository.
        """
        repository = self.repository(repo)
        old_owner, new_owner = self.accounts[repository.owner_id], self.account(to)
        if old_owner.id == new_owner.id:
            raise WorldError(f"{self.full_name(repository)} belongs to {new_owner.login} already.")
        old_name, new_name = repository.name, name or repository.name
        self._require_free(new_owner, new_name)
        losing = self.installation_of(old_owner)
        lost = losing is not None and self.covers(losing, repository)
        self._move(repository, name=new_name, owner=new_owner)
        self._told_transfer(repository, old_owner)
        if new_name != old_name:
            self.tell_repository(
                "renamed", repository, changes={"repository": {"name": {"from": old_name}}}
            )
        if losing is not None and lost:
            losing.repository_ids.discard(repository.id)
            self.tell_selection("removed", losing, removed=[repository])
        return repository

    @change
    def archive(self, repo: int | str) -> Repository:
        """Make a repository read-only."""
        return self._set(repo, "archived", "archived", archived=True)

    @change
    def unarchive(self, repo: int | str) -> Repository:
        """End the read-only state."""
        return self._set(repo, "unarchived", "not archived", archived=False)

    @change
    def privatize(self, repo: int | str) -> Repository:
        """Make a repository private."""
        return self._set(repo, "privatized", "private", visibility="private")

    @change
    def publicize(self, repo: int | str) -> Repository:
        """Make a repository public; `repository` publicized and `public` tell of it."""
        repository = self._set(repo, "publicized", "public", visibility="public")
        self.tell_repository(None, repository, event="public")
        return repository

    @change
    def set_internal(self, repo: int | str) -> Repository:
        """Make a repository internal. GitHub has no webhook action for it."""
        if self.accounts[self.repository(repo).owner_id].type != "Organization":
            raise WorldError("Only an organization's repository can be internal.")
        return self._set(repo, None, "internal", visibility="internal")

    @change
    def edit(self, /, repo: int | str, **fields: Any) -> Repository:
        """Change fields (see EDITABLE); those of ANNOUNCED send `repository` edited."""
        repository = self.repository(repo)
        values = self._checked(fields)
        before = {key: getattr(repository, key) for key in values}
        if before == values:
            return repository
        self._edit_content(repository, values)
        for key, value in values.items():
            setattr(repository, key, value)
        self.touch(repository)
        told = {
            k: {"from": _json(before[k])}
            for k in ANNOUNCED
            if k in values and before[k] != values[k]
        }
        if told:
            self.tell_repository("edited", repository, changes=told)
        return repository

    @change
    def block(self, repo: int | str, reason: str = "dmca") -> Repository:
        """Block a repository: reading it answers 451 for `dmca`, 403 for any other reason.

        It is still listed.
        """
        repository = self.repository(repo)
        repository.blocked, repository.blocked_at = reason, self.time
        return repository

    @change
    def unblock(self, repo: int | str) -> Repository:
        """End a block."""
        repository = self.repository(repo)
        repository.blocked = None
        return repository

    # Helpers

    def writable(self, repo: int | str) -> Repository:
        """The repository, which must not be archived."""
        repository = self.repository(repo)
        if repository.archived:
            raise WorldError(f"{self.full_name(repository)} is archived and takes no changes.")
        return repository

    def touch(self, repository: Repository) -> None:
        """Move `updated_at`, so that each change has a second of its own unless ties are wanted."""
        moment = self.time
        if not self.ties and moment <= repository.updated_at:
            moment = repository.updated_at + 1
        repository.updated_at = max(moment, repository.updated_at)
        repository.revision += 1

    def _edit_content(self, repository: Repository, values: dict[str, Any]) -> None:
        """What an edit means for the content, before the fields are changed."""
        if not {"language", "default_branch"} & values.keys():
            return
        content = self.content(repository)
        if "language" in values:
            language = values["language"]
            most = max(content.languages.values(), default=0) + 1
            chosen = {} if language is None else {language: most}
            others = {k: v for k, v in content.languages.items() if k != language}
            content.languages = chosen | (others if chosen else {})
        branch = values.get("default_branch", repository.default_branch)
        if branch not in content.branches and repository.default_branch in content.branches:
            content.branches[branch] = list(content.branches[repository.default_branch])
        content.changed()

    def _move(self, repository: Repository, *, name: str, owner: Account | None = None) -> None:
        self.drop_repository(repository, leave_redirect=True)
        repository.name = name
        if owner is not None:
            repository.owner_id = owner.id
        self.add_repository(repository)
        self.touch(repository)
        self.revision += 1

    def _set(self, repo: int | str, action: str | None, state: str, **values: Any) -> Repository:
        repository = self.repository(repo)
        if all(getattr(repository, key) == value for key, value in values.items()):
            raise WorldError(f"{self.full_name(repository)} is {state} already.")
        for key, value in values.items():
            setattr(repository, key, value)
        self.touch(repository)
        if action is not None:
            self.tell_repository(action, repository)
        return repository

    def _told_transfer(self, repository: Repository, old_owner: Account) -> None:
        kind = "user" if old_owner.type == "User" else "organization"
        changes = {"owner": {"from": {kind: simple_user(old_owner, self.api_url)}}}
        self.tell_repository("transferred", repository, changes=changes)

    def _require_free(self, owner: Account, name: str, itself: Repository | None = None) -> None:
        if not NAME.match(name):
            raise WorldError(f"{name!r} is no name for a repository.")
        found = self.find_repository(owner.login, name)
        if found is not None and found is not itself:
            raise WorldError(f"The name {owner.login}/{name} is taken.")

    @staticmethod
    def _require_visibility(visibility: str) -> None:
        if visibility not in VISIBILITIES:
            raise WorldError(
                f"{visibility!r} is no visibility; choose one of {', '.join(VISIBILITIES)}."
            )

    @staticmethod
    def _checked(fields: dict[str, Any]) -> dict[str, Any]:
        for key, value in fields.items():
            if key not in EDITABLE:
                raise WorldError(
                    f"{key!r} cannot be edited; choose among {', '.join(sorted(EDITABLE))}."
                )
            wrong = not isinstance(value, EDITABLE[key])
            if wrong or (isinstance(value, bool) and EDITABLE[key] is NUMBER):
                raise WorldError(f"{value!r} is no value for {key}.")
        if fields.get("license") is not None and fields["license"] not in LICENSES:
            raise WorldError(f"{fields['license']!r} is no licence known here.")
        return {k: tuple(v) if k == "topics" else v for k, v in fields.items()}


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
