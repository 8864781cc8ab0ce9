"""What can happen to issues, in GitHub's words, with the webhooks that follow.

Much of it can happen to pull requests too, which are issues. Hides what a change does to the
repository: its count of open issues moves, its `updated_at` does not.
"""

from collections.abc import Iterable
from typing import Any, Literal

from syncsvc.simulator import content_generate, content_payloads
from syncsvc.simulator.changes import change
from syncsvc.simulator.content import (
    LARGEST_BODY,
    REASONS,
    Content,
    Issue,
    Item,
    Label,
    PullRequest,
    Reason,
)
from syncsvc.simulator.payloads import repository as repository_payload
from syncsvc.simulator.records import Account, Repository, WorldError
from syncsvc.simulator.repository_changes import RepositoryChanges

UNSAID = "\0unsaid"
"""A body that is not to be changed; None is a body too."""


class IssueChanges(RepositoryChanges):
    """Changes to issues, and to what pull requests have in common with them."""

    deleted_issue_status: Literal[404, 410] = 410
    """What a deleted issue answers: both have been seen."""

    @change
    def open_issue(
        self,
        repo: int | str,
        title: str,
        *,
        body: str | None = None,
        author: str | None = None,
        labels: Iterable[str] = (),
        assignees: Iterable[str] = (),
    ) -> Issue:
        """A new issue of `author` (a login; without one, of the world's first user)."""
        repository = self.writable(repo)
        content = self.content(repository)
        values = self._described(
            content, title, body, author=author, labels=labels, assignees=assignees
        )
        number = content_generate.WIDE_START + self.contents.reserve(repository.id, 1)
        issue = Issue(
            repository_id=repository.id,
            number=content.last_number + 1,
            id=number,
            node_id=content_generate.issue_node_id(repository, number),
            **values,
        )
        self._opened(repository, content, issue)
        self.tell_item("opened", issue)
        return issue

    @change
    def edit_issue(
        self,
        repo: int | str,
        number: int,
        *,
        title: str | None = None,
        body: str | None = UNSAID,
    ) -> Issue:
        """Change title or body; a body of None removes it."""
        issue = self._issue(repo, number)
        self._edited(issue, title, body)
        return issue

    @change
    def close_issue(self, repo: int | str, number: int, reason: Reason = "completed") -> Issue:
        """Close an issue for a reason."""
        issue = self._issue(repo, number)
        if reason not in REASONS:
            raise WorldError(f"{reason!r} is no reason; choose one of {', '.join(REASONS)}.")
        self._closed(issue)
        issue.state_reason = reason
        self.tell_item("closed", issue)
        return issue

    @change
    def reopen_issue(self, repo: int | str, number: int) -> Issue:
        """Open a closed issue again."""
        issue = self._issue(repo, number)
        self._reopened(issue)
        issue.state_reason = "reopened"
        self.tell_item("reopened", issue)
        return issue

    @change
    def transfer_issue(self, repo: int | str, number: int, to: int | str) -> Issue:
        """Move an issue to another repository of the owner: there it has a new id and number."""
        issue = self._issue(repo, number)
        old, new = self.writable(issue.repository_id), self.writable(to)
        if old.owner_id != new.owner_id or old.id == new.id:
            raise WorldError("An issue moves to another repository of the same owner.")
        source, target = self.content(old), self.content(new)
        fresh = content_generate.WIDE_START + self.contents.reserve(new.id, 1)
        known = [target.labels[label.name] for label in issue.labels if label.name in target.labels]
        moved = Issue(
            repository_id=new.id,
            number=target.last_number + 1,
            id=fresh,
            node_id=content_generate.issue_node_id(new, fresh),
            title=issue.title,
            body=issue.body,
            author=issue.author,
            created_at=issue.created_at,
            updated_at=self._moment(issue),
            closed_at=issue.closed_at,
            closed_by=issue.closed_by,
            labels=tuple(known),
            assignees=issue.assignees,
            comments=issue.comments,
            state=issue.state,
            state_reason=issue.state_reason,
        )
        self._gone(old, source, issue)
        source.moved[number] = (new.id, moved.number)
        self._opened(new, target, moved)
        self._told_transfer_of(issue, moved, old, new)
        return moved

    @change
    def delete_issue(self, repo: int | str, number: int) -> Issue:
        """Delete an issue: it is in no listing any more, and no `since` tells of it."""
        issue = self._issue(repo, number)
        repository = self.repositories[issue.repository_id]
        content = self.content(repository)
        self._gone(repository, content, issue)
        content.deleted.add(number)
        self.tell_item("deleted", issue)
        return issue

    @change
    def label(self, repo: int | str, number: int, name: str) -> Item:
        """Put a label on an issue or a pull request; an unknown one is created."""
        item, content = self._item(repo, number), self._content_of(repo)
        label = self._label(content, name)
        if label not in item.labels:
            item.labels = (*item.labels, label)
            self._touch_item(item)
            shown = content_payloads.label(label, self.place(self.repository(repo)))
            self.tell_item("labeled", item, label=shown)
        return item

    @change
    def unlabel(self, repo: int | str, number: int, name: str) -> Item:
        """Take a label off."""
        item = self._item(repo, number)
        found = [label for label in item.labels if label.name == name]
        if not found:
            raise WorldError(f"#{number} has no label {name!r}.")
        item.labels = tuple(label for label in item.labels if label.name != name)
        self._touch_item(item)
        shown = content_payloads.label(found[0], self.place(self.repository(repo)))
        self.tell_item("unlabeled", item, label=shown)
        return item

    @change
    def assign(self, repo: int | str, number: int, login: str) -> Item:
        """Make somebody responsible."""
        item, person = self._item(repo, number), self.person(login)
        if person not in item.assignees:
            item.assignees = (*item.assignees, person)
            self._touch_item(item)
            self.tell_item("assigned", item, assignee=content_payloads.user(person, self.api_url))
        return item

    @change
    def unassign(self, repo: int | str, number: int, login: str) -> Item:
        """End somebody's responsibility."""
        item, person = self._item(repo, number), self.person(login)
        if person not in item.assignees:
            raise WorldError(f"{login} is not assigned to #{number}.")
        item.assignees = tuple(a for a in item.assignees if a is not person)
        self._touch_item(item)
        self.tell_item("unassigned", item, assignee=content_payloads.user(person, self.api_url))
        return item

    @change
    def comment(self, repo: int | str, number: int) -> Item:
        """Somebody says something: only the number of comments and `updated_at` move."""
        item = self._item(repo, number)
        item.comments += 1
        self._touch_item(item)
        return item

    def person(self, login: str) -> Account:
        """The user of this login: an account, or somebody who only writes issues and commits."""
        for account in self.contents.people:
            if account.login.lower() == login.lower():
                return account
        return self.account(login)

    # Helpers

    def _content_of(self, repo: int | str) -> Content:
        return self.content(self.repository(repo))

    def _item(self, repo: int | str, number: int) -> Issue | PullRequest:
        repository = self.writable(repo)
        item = self.content(repository).items.get(number)
        if item is None:
            raise WorldError(f"{self.full_name(repository)} has no issue #{number}.")
        return item

    def _issue(self, repo: int | str, number: int) -> Issue:
        item = self._item(repo, number)
        if not isinstance(item, Issue):
            raise WorldError(f"#{number} is a pull request.")
        return item

    def _described(
        self,
        content: Content,
        title: str,
        body: str | None,
        *,
        author: str | None,
        labels: Iterable[str],
        assignees: Iterable[str],
    ) -> dict[str, Any]:
        """What every new item has, checked."""
        self._check_words(title, body)
        people = tuple(self.person(login) for login in assignees)
        return {
            "title": title,
            "body": body,
            "author": self.actor() if author is None else self.person(author),
            "created_at": self.time,
            "updated_at": self.time,
            "labels": tuple(self._label(content, name) for name in labels),
            "assignees": people,
        }

    @staticmethod
    def _check_words(title: str | None, body: str | None) -> None:
        if title is not None and not 0 < len(title.strip()) <= 256:
            raise WorldError("A title has 1 to 256 characters.")
        if body is not None and len(body) > LARGEST_BODY:
            raise WorldError(f"A body has {LARGEST_BODY} characters at most.")

    @staticmethod
    def _label(content: Content, name: str) -> Label:
        if name not in content.labels:
            number = content.repository_id * 100 + 50 + len(content.labels)
            content.labels[name] = Label(number, name, "ededed", None, default=False)
        return content.labels[name]

    def _edited(self, item: Issue | PullRequest, title: str | None, body: str | None) -> None:
        wanted = None if body == UNSAID else body
        self._check_words(title, wanted)
        changes: dict[str, Any] = {}
        if title is not None and title != item.title:
            changes["title"], item.title = {"from": item.title}, title
        if body not in {UNSAID, item.body}:
            changes["body"], item.body = {"from": item.body or ""}, body
        if changes:
            self._touch_item(item)
            self.tell_item("edited", item, changes=changes)

    def _closed(self, item: Item) -> None:
        if item.state == "closed":
            raise WorldError(f"#{item.number} is closed already.")
        item.state, item.closed_by = "closed", self.actor()
        self._touch_item(item)
        item.closed_at = item.updated_at
        self._count(self.repositories[item.repository_id], -1)

    def _reopened(self, item: Item) -> None:
        if item.state == "open":
            raise WorldError(f"#{item.number} is open already.")
        item.state, item.closed_at, item.closed_by = "open", None, None
        self._touch_item(item)
        self._count(self.repositories[item.repository_id], 1)

    def _opened(self, repository: Repository, content: Content, item: Issue | PullRequest) -> None:
        content.last_number = item.number
        content.items[item.number] = item
        content.changed()
        self._count(repository, 1 if item.state == "open" else 0)

    def _gone(self, repository: Repository, content: Content, issue: Issue) -> None:
        del content.items[issue.number]
        content.changed()
        self._count(repository, -1 if issue.state == "open" else 0)

    def _count(self, repository: Repository, more: int) -> None:
        """The count of open issues moves without a trace in the repository's `updated_at`."""
        repository.open_issues = max(repository.open_issues + more, 0)
        repository.revision += 1

    def _touch_item(self, item: Item) -> None:
        item.updated_at = self._moment(item)
        self.content(self.repositories[item.repository_id]).changed()

    def _moment(self, item: Item) -> int:
        if self.ties:
            return max(self.time, item.updated_at)
        return max(self.time, item.updated_at + 1)

    def _told_transfer_of(
        self, issue: Issue, moved: Issue, old: Repository, new: Repository
    ) -> None:
        if self.quiet:
            return
        owner = self.accounts[new.owner_id]
        after = {
            "new_issue": content_payloads.issue(moved, self.place(new)),
            "new_repository": repository_payload(new, owner, self.api_url),
        }
        before = {
            "old_issue": content_payloads.issue(issue, self.place(old)),
            "old_repository": repository_payload(old, owner, self.api_url),
        }
        self.tell_item("transferred", issue, changes=after)
        self.tell_item("opened", moved, changes=before)
