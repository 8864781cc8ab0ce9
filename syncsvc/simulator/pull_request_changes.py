"""What can happen to pull requests, in GitHub's words, with the webhooks that follow.

Hides what a merge is: a commit on the base branch and the end of the pull request.
"""

from collections.abc import Iterable

from syncsvc.simulator import content_generate
from syncsvc.simulator.changes import change
from syncsvc.simulator.commit_changes import CommitChanges
from syncsvc.simulator.content import PullRequest
from syncsvc.simulator.issue_changes import UNSAID, IssueChanges
from syncsvc.simulator.records import WorldError


class PullRequestChanges(IssueChanges, CommitChanges):
    """Changes to pull requests."""

    @change
    def open_pull_request(
        self,
        repo: int | str,
        title: str,
        *,
        head: str = "topic",
        base: str | None = None,
        body: str | None = None,
        author: str | None = None,
        draft: bool = False,
        labels: Iterable[str] = (),
        assignees: Iterable[str] = (),
    ) -> PullRequest:
        """A new pull request from branch `head` to `base` (the default branch)."""
        repository = self.writable(repo)
        content, target = self.content(repository), base or repository.default_branch
        onto = content.branches.get(target)
        if not onto:
            raise WorldError(f"{self.full_name(repository)} has no branch {target!r}.")
        values = self._described(
            content, title, body, author=author, labels=labels, assignees=assignees
        )
        share = self.contents.reserve(repository.id, 1)
        number = content_generate.WIDE_START + share
        pull = PullRequest(
            repository_id=repository.id,
            number=content.last_number + 1,
            id=number,
            pull_id=number - content_generate.PULLS_BELOW,
            node_id=content_generate.pull_node_id(
                repository, number - content_generate.PULLS_BELOW
            ),
            issue_node_id=content_generate.issue_node_id(repository, number),
            base_ref=target,
            base_sha=onto[-1].sha,
            head_ref=head,
            head_sha=self._new_sha(),
            draft=draft,
            **values,
        )
        self._opened(repository, content, pull)
        self.tell_item("opened", pull)
        return pull

    @change
    def edit_pull_request(
        self,
        repo: int | str,
        number: int,
        *,
        title: str | None = None,
        body: str | None = UNSAID,
    ) -> PullRequest:
        """Change title or body; a body of None removes it."""
        pull = self._pull(repo, number)
        self._edited(pull, title, body)
        return pull

    @change
    def close_pull_request(self, repo: int | str, number: int) -> PullRequest:
        """Close a pull request without merging it."""
        pull = self._pull(repo, number)
        self._closed(pull)
        self.tell_item("closed", pull)
        return pull

    @change
    def reopen_pull_request(self, repo: int | str, number: int) -> PullRequest:
        """Open a closed pull request again; a merged one stays closed."""
        pull = self._pull(repo, number)
        if pull.merged_at is not None:
            raise WorldError(f"#{number} is merged.")
        self._reopened(pull)
        self.tell_item("reopened", pull)
        return pull

    @change
    def merge_pull_request(self, repo: int | str, number: int) -> PullRequest:
        """Merge: a commit on the base branch, and the pull request is closed."""
        pull = self._pull(repo, number)
        if pull.draft:
            raise WorldError(f"#{number} is a draft.")
        repository = self.repositories[pull.repository_id]
        content = self.content(repository)
        onto = content.branches.get(pull.base_ref)
        if not onto:
            raise WorldError(f"{self.full_name(repository)} has no branch {pull.base_ref!r}.")
        self._closed(pull)
        before = onto[-1].sha
        self._moved(repository)
        made = self._commit(
            repository,
            content,
            before,
            repository.pushed_at,
            message=f"Merge pull request #{number} from {pull.head_ref}\n\n{pull.title}",
            author=self.actor(),
        )
        content.branches[pull.base_ref] = [*onto, made]
        pull.merged_at, pull.merged_by, pull.merge_commit = pull.closed_at, self.actor(), made
        content.changed()
        self.tell_item("closed", pull)
        if pull.base_ref == repository.default_branch:
            self.tell_push(repository, before, [made])
        return pull

    @change
    def draft_pull_request(self, repo: int | str, number: int) -> PullRequest:
        """Say that it is not ready."""
        return self._drafted(repo, number, draft=True)

    @change
    def ready_pull_request(self, repo: int | str, number: int) -> PullRequest:
        """Say that it is ready for review."""
        return self._drafted(repo, number, draft=False)

    @change
    def synchronize_pull_request(self, repo: int | str, number: int) -> PullRequest:
        """Push to its head branch."""
        pull = self._pull(repo, number)
        if pull.state != "open":
            raise WorldError(f"#{number} is closed.")
        before, pull.head_sha = pull.head_sha, self._new_sha()
        self._touch_item(pull)
        self.tell_item("synchronize", pull, before=before, after=pull.head_sha)
        return pull

    # Helpers

    def _pull(self, repo: int | str, number: int) -> PullRequest:
        item = self._item(repo, number)
        if not isinstance(item, PullRequest):
            raise WorldError(f"#{number} is no pull request.")
        return item

    def _drafted(self, repo: int | str, number: int, *, draft: bool) -> PullRequest:
        pull = self._pull(repo, number)
        if pull.state != "open":
            raise WorldError(f"#{number} is closed.")
        if pull.draft == draft:
            raise WorldError(f"#{number} is {'a draft' if draft else 'ready'} already.")
        pull.draft = draft
        self._touch_item(pull)
        self.tell_item("converted_to_draft" if draft else "ready_for_review", pull)
        return pull

    def _new_sha(self) -> str:
        return f"{self.random.getrandbits(160):040x}"
