"""The bare git repository behind the fake forge: tips, and merges in every style, by real git."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Ended(Protocol):
    """How a git call ended."""

    @property
    def code(self) -> int: ...

    @property
    def text(self) -> str: ...


class RunsGit(Protocol):
    """Runs git inside one bare repository; `hqd.adapters.git.Git.quick` does."""

    def __call__(
        self,
        *args: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        codes: Sequence[int] = (0,),
    ) -> Ended: ...


_HEADS = "refs/heads/"


class ForgeRepository:
    """Branches and merges. Commits are made in the name of who pressed the button.

    What follows from commit ids alone is asked of git once. Branches are those last read: `read_again` before a look
    at what others have pushed meanwhile.
    """

    def __init__(self, git: RunsGit) -> None:
        self._git = git
        self._known: dict[tuple[str, ...], Ended] = {}
        self._tips: dict[str, str] | None = None

    def _fixed(self, *args: str, codes: Sequence[int] = (0,)) -> Ended:
        """For calls that name commits by their ids: their answers never change."""
        if args not in self._known:
            self._known[args] = self._git(*args, codes=codes)
        return self._known[args]

    def read_again(self) -> None:
        self._tips = None

    def tip(self, branch: str) -> str | None:
        return self.tips().get(branch)

    def tips(self) -> dict[str, str]:
        """All branches."""
        if self._tips is None:
            lines = self._git("for-each-ref", "--format=%(objectname) %(refname)", _HEADS).text.splitlines()
            self._tips = {ref.removeprefix(_HEADS): sha for sha, ref in (line.split(" ", 1) for line in lines)}
        return self._tips

    def keep(self, number: int, commit: str) -> None:
        """refs/pull/N/head, as forges keep it when the branch is gone."""
        self._git("update-ref", f"refs/pull/{number}/head", commit)

    def delete(self, branch: str) -> None:
        self._git("update-ref", "-d", _HEADS + branch)
        self.read_again()

    def has(self, commit: str) -> bool:
        return self._git("cat-file", "-e", f"{commit}^{{commit}}", codes=(0, 1, 128)).code == 0

    def contains(self, tip: str, commit: str) -> bool:
        """Whether `commit` is `tip` or among its ancestors."""
        return self._fixed("merge-base", "--is-ancestor", commit, tip, codes=(0, 1)).code == 0

    def ahead(self, base: str, head: str) -> tuple[str, ...]:
        """Commits of `head` that `base` lacks, oldest first."""
        return tuple(self._fixed("rev-list", "--reverse", "--topo-order", f"{base}..{head}").text.split())

    def changed(self, base: str, head: str) -> int:
        """How many files `head` changes."""
        return len(self._fixed("diff", "--name-only", f"{base}...{head}", codes=(0, 128)).text.splitlines())

    def merged_tree(self, base: str, head: str) -> str | None:
        """The tree of a merge; None where it conflicts."""
        done = self._fixed("merge-tree", "--write-tree", "--no-messages", base, head, codes=(0, 1))
        return done.text.splitlines()[0] if done.code == 0 else None

    def merge(self, style: str, onto: str, head: str, message: str, who: str) -> str | None:
        """Lands `head` on branch `onto`; the new tip, None on conflict. Styles: merge, squash, rebase."""
        base = self.tip(onto)
        tree = self.merged_tree(base, head) if base is not None else None
        if base is None or tree is None:
            return None
        if style == "rebase":
            made = self._rebased(base, head, who)
        else:
            made = self._commit(tree, (base, head) if style == "merge" else (base,), message, who)
        if made is not None:
            self._git("update-ref", _HEADS + onto, made, base)
            self.read_again()
        return made

    def _rebased(self, base: str, head: str, who: str) -> str | None:
        """Each commit of the branch anew on top of `base`, as `git rebase` would: merges are left out."""
        tip = base
        for commit in self.ahead(base, head):
            parents = self._git("rev-list", "--parents", "-n1", commit).text.split()[1:]
            if len(parents) != 1:
                continue
            before = self._commit(f"{parents[0]}^{{tree}}", (), "before", who)
            ours = self._commit(f"{tip}^{{tree}}", (before,), "ours", who)
            theirs = self._commit(f"{commit}^{{tree}}", (before,), "theirs", who)
            tree = self.merged_tree(ours, theirs)
            if tree is None:
                return None
            message = self._git("log", "-1", "--format=%B", commit).text.rstrip("\n")
            tip = self._commit(tree, (tip,), message, who)
        return tip

    def _commit(self, tree: str, parents: Sequence[str], message: str, who: str) -> str:
        found = self._git("rev-parse", "--verify", tree).text
        named = {"NAME": who, "EMAIL": f"{who}@forge.example"}
        person = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in named.items()}
        options = [part for parent in parents for part in ("-p", parent)]
        return self._git("commit-tree", found, *options, stdin=message.encode() + b"\n", env=person).text
