"""Task branches, reviews and landing: git's side of a pull request (port Branches)."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hqd.adapters.branches import contents, delivery, walk
from hqd.adapters.branches.landings import Landings, Review
from hqd.adapters.branches.leftovers import marked
from hqd.adapters.branches.merges import merge, scratch, unchanged_by
from hqd.adapters.branches.updates import Updates
from hqd.adapters.git import DURABLE, GitFailed, trouble
from hqd.adapters.remote import FETCHED
from hqd.adapters.repository import GitRepository
from hqd.codec import layout
from hqd.core.reviews.landing import moved, works
from hqd.errors import BranchMoved, Conflict, Expected, RepositoryBusy
from hqd.model.gate import Changed, Files
from hqd.model.record import Person


@dataclass(frozen=True, slots=True)
class Law:
    """What is special about a repository. Nothing is delivered to `protected` (folders end in a slash) nor to what
    `globs` cover; `state`: it is an HQ, whose workspace/ is no work."""

    protected: tuple[str, ...] = layout.PROTECTED
    globs: tuple[str, ...] = ()
    state: bool = True


class GitBranches:
    """The branches of one HQ, or of the mirror of a target repository.

    `identity` (name, address) signs the commits that hqd makes on them.
    """

    def __init__(
        self,
        repository: GitRepository,
        identity: tuple[str, str] = ("hqd", "hqd@localhost"),
        law: Law = Law(),
    ) -> None:
        self._repository = repository
        self._git = repository.git
        self._law = law
        self._beside = walk.BESIDE_STATE if law.state else walk.EVERYTHING
        name, email = identity
        self._identity = {
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": email,
            "GIT_COMMITTER_NAME": name,
            "GIT_COMMITTER_EMAIL": email,
        }
        self._looking, self._pointing = threading.Lock(), threading.Lock()
        self.updates = Updates(
            repository.git, self._beside, self._identity, self.main, self._checked_out, self._fetched
        )
        self._landings = Landings(repository.git, self._beside)

    def point(self, task: str, head: str, expected: str | None = None) -> None:
        with self._pointing:
            self._point(task, head, expected)

    def _point(self, task: str, head: str, expected: str | None) -> None:
        tip, kept = self.tip(task), self._repository.resolve(layout.review_ref(task))
        built_on = kept if expected is None else expected
        if tip not in (None, built_on, head):
            raise BranchMoved(task, built_on, tip or "")
        self._refuse_checked_out(task)
        try:
            self._update([(_branch_ref(task), head, tip), (layout.review_ref(task), head, kept)])
        except GitFailed as failed:
            now = self.tip(task)
            if now == head and tip != head:
                # another process of hqd's was first: a command, or what a killed daemon had just started
                self._point(task, head, expected)
                return
            if now is not None and now != tip:
                raise BranchMoved(task, tip, now) from failed
            raise Expected(
                f"git refuses to set {layout.branch(task)}: {failed.stderr.strip()}",
                remedy="a branch named hqd, or a stale lock, may stand in the way",
            ) from failed

    def main(self) -> str | None:
        return self._repository.resolve(self._repository.ref)

    def _fetched(self) -> list[str]:
        """Main as a remote was last seen to have it, which a person may have merged before it is main here."""
        names = f"{FETCHED}*/{self._repository.branch}"
        return walk.lines(self._git, "for-each-ref", "--format=%(objectname)", names)

    def tip(self, task: str) -> str | None:
        return self._repository.resolve(_branch_ref(task))

    def kept(self, task: str) -> str | None:
        return self._repository.resolve(layout.review_ref(task))

    def commit_files(
        self, task: str, base: str, files: Mapping[str, bytes], message: str, overwrite: bool = False
    ) -> str:
        return delivery.commit_files(
            self._git,
            task,
            base,
            files,
            message,
            main=self._repository.resolve(self._repository.ref),
            protected=self._law.protected,
            globs=self._law.globs,
            overwrite=overwrite,
            identity=self._identity,
        )

    def changed(self, base: str, head: str) -> tuple[Changed, ...]:
        return contents.changed(self._git, base, head)

    def diff(self, base: str, head: str, limit: int) -> tuple[str, bool]:
        return contents.diff(self._git, base, head, limit)

    def files(self, commit: str) -> Files:
        return contents.CommitFiles(self._git, commit)

    def landed(
        self, reviews: Mapping[str, tuple[str, str]], since: str | None = None, until: str | None = None
    ) -> Mapping[str, str]:
        tip = until or self._repository.resolve(self._repository.ref)
        if tip is None:
            return {}
        with self._looking:
            return self._landings.find((Review(task, base, head) for task, (base, head) in reviews.items()), since, tip)

    def drift(self, head: str, since: str, until: str | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        tip = until or self._repository.resolve(self._repository.ref)
        if tip is None:
            return (), ()
        fork = next(iter(walk.lines(self._git, "merge-base", tip, head)), None)
        walked = walk.steps(self._git, since, tip, self._beside)
        pairs = [(head, fork), *((commit, parent) for commit, parent, _ in walked)]
        work, *edits = walk.differences(self._git, pairs, self._beside)
        with scratch(self._git) as env:
            conflicts = merge(self._git, tip, head, env).conflicts
        return moved(work.keys(), walk.steps_of(walked, edits)), conflicts

    def staged(self) -> tuple[str, ...]:
        if not self._law.state or not walk.lines(self._git, "rev-parse", "--verify", "--quiet", "HEAD"):
            return ()
        out = self._git.quick("diff-index", "--cached", "--name-only", "-z", "HEAD", "--", *walk.BESIDE_STATE).out
        return tuple(path for path in walk.text(out).split("\0") if path)

    def merge(self, task: str, head: str, onto: str) -> tuple[tuple[str, str, str | None], ...]:
        result = merge(self._git, onto, head)
        if not result.clean:
            raise Conflict(result.conflicts)
        changes = contents.tree_changes(self._git, onto, result.tree)
        self._refuse_state(task, changes)
        return changes

    def _refuse_state(self, task: str, changes: Sequence[tuple[str, str, str | None]]) -> None:
        state = [path for _, _, path in changes if (path or "").startswith(f"{layout.WORKSPACE}/")]
        if state and self._law.state:
            raise Expected(
                f"{layout.branch(task)} changes {state[0]}: the state of tasks is never landed from a branch",
                remedy=f"take {layout.WORKSPACE}/ out of the branch",
            )

    def join(self, task: str, head: str, onto: str, message: str, author: Person | None = None) -> str:
        result = merge(self._git, onto, head)
        if not result.clean:
            raise Conflict(result.conflicts)
        self._refuse_state(task, contents.tree_changes(self._git, onto, result.tree))
        who = {"GIT_AUTHOR_NAME": author.name, "GIT_AUTHOR_EMAIL": author.email} if author is not None else {}
        made = self._git.quick(
            *DURABLE, "commit-tree", result.tree, "-p", onto, "-p", head, "-F", "-",
            stdin=walk.raw(message), env={**self._identity, **who},
        )  # fmt: skip
        return made.text

    def remove(self, task: str, proven_in: str) -> bool:
        tip, kept = self.tip(task), self._repository.resolve(layout.review_ref(task))
        if tip is None:
            return True
        if not self._proven(task, tip, kept, proven_in) or self._checked_out(task) is not None:
            return False
        try:
            self._update([(_branch_ref(task), None, tip), (layout.review_ref(task), tip, kept)])
        except GitFailed:
            if self.tip(task) == tip:
                raise
            return False  # a person was there first
        return True

    def _proven(self, task: str, tip: str, kept: str | None, proven_in: str) -> bool:
        if walk.is_ancestor(self._git, tip, proven_in) or unchanged_by(self._git, [(proven_in, tip)]):
            return True
        message = self._git.quick("log", "-1", "--no-show-signature", "--format=%B", proven_in).out
        return tip == kept and task in works(walk.text(message))

    def _update(self, changes: Sequence[tuple[str, str | None, str | None]]) -> None:
        """All of (ref, new commit or None to delete, old commit or None for absent), or none of them."""
        lines = ["start"]
        for ref, new, old in changes:
            if new is None:
                lines.append(f"delete {ref} {old}")
            else:
                lines.append(f"update {ref} {new} {old}" if old else f"create {ref} {new}")
        lines += ["prepare", "commit"]
        try:
            with marked(self._repository.private):
                self._git.quick(*DURABLE, "update-ref", "--stdin", stdin=walk.raw("\n".join(lines) + "\n"))
        except GitFailed as failed:
            raise trouble(failed.stderr) or failed from failed

    def _checked_out(self, task: str) -> str | None:
        """The folder of the working tree that has the task's branch checked out."""
        folder = ""
        for field in walk.text(self._git.quick("worktree", "list", "--porcelain", "-z").out).split("\0"):
            if field.startswith("worktree "):
                folder = field.removeprefix("worktree ")
            elif field == f"branch {_branch_ref(task)}":
                return folder
        return None

    def _refuse_checked_out(self, task: str) -> None:
        folder = self._checked_out(task)
        if folder is not None:
            raise RepositoryBusy(
                "branch", f"{layout.branch(task)} is checked out in {folder}", remedy="switch to another branch there"
            )


def _branch_ref(task: str) -> str:
    return f"refs/heads/{layout.branch(task)}"
