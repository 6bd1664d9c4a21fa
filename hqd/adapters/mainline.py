"""`daemon.mainline.Mainline` over git: what of main is not pushed, and the commits that main is moved to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from hqd.adapters.branches.contents import tree_changes as files_changed
from hqd.adapters.branches.merges import merge
from hqd.adapters.git import DURABLE
from hqd.adapters.ledger.fastimport import COMMITTER
from hqd.adapters.ledger.ledger import GitLedger
from hqd.adapters.ledger.recover import tree_changes
from hqd.adapters.objects import RawTree
from hqd.adapters.repository import GitRepository
from hqd.codec import layout
from hqd.errors import Conflict
from hqd.model.change import Transition
from hqd.model.record import Person
from hqd.model.upstream import Unpushed

NAME = "origin"
SAID = "origin.json"
"""In .git/hqd: what the daemon last said of origin, for `status`."""
AGREED = "refs/hqd/agreed/origin"
KEPT = "refs/hqd/unpushed/"
_FIELDS = "%H%x1f%P%x1f%cn%x1f%ce%x1f%an%x1f%ae%x1f%aI%x1f%B"
_STATE = layout.WORKSPACE.encode()


class GitMainline:
    """Beside one ledger, which alone moves main."""

    def __init__(self, ledger: GitLedger, repository: GitRepository) -> None:
        self._ledger = ledger
        self._repo = repository
        self._git = repository.git

    @property
    def tip(self) -> str:
        return self._repo.tip()

    def agreed(self) -> str | None:
        return self._repo.resolve(AGREED)

    def agree(self, tip: str) -> None:
        if self.agreed() != tip:
            self._git.quick(*DURABLE, "update-ref", AGREED, tip)

    def descends(self, old: str, new: str) -> bool:
        return old == new or self._git.quick("merge-base", "--is-ancestor", old, new, codes=(0, 1, 128)).code == 0

    def meet(self, one: str, other: str) -> str | None:
        return self._git.quick("merge-base", one, other, codes=(0, 1)).text or None

    def unpushed(self, since: str, tip: str) -> tuple[Unpushed, ...]:
        out = self._git.quick(
            "log", "--first-parent", "--reverse", "-z", "--no-show-signature", f"--format={_FIELDS}", f"{since}..{tip}"
        ).out
        rows = (row.decode("utf-8", "surrogateescape").split("\x1f", 7) for row in out.split(b"\0") if row)
        return tuple(self._unpushed(row) for row in rows)

    def _unpushed(self, row: list[str]) -> Unpushed:
        commit, parents, committer, address, author, email, at, message = row
        objects = self._repo.objects
        line = tuple(parents.split())
        before = objects.root(line[0]) if line else None
        changes = tree_changes(objects, before, objects.root(commit))
        return Unpushed(
            commit=commit,
            parents=line,
            ours=(committer, address) == (COMMITTER.name, COMMITTER.email),
            author=None if (author, email) == (COMMITTER.name, COMMITTER.email) else Person(name=author, email=email),
            at=datetime.fromisoformat(at),
            message=message,
            changes=tuple((change.path, change.old, change.new) for change in changes),
        )

    def build(self, base: str, transitions: Sequence[Transition]) -> tuple[str, ...]:
        return self._ledger.build(base, transitions)

    def advance(self, base: str, to: str, seen: str) -> None:
        self._ledger.advance(base, to, seen)

    def merged(self, ours: str, theirs: str) -> tuple[tuple[str, str, str], ...]:
        result = merge(self._git, ours, theirs)
        if not result.clean:
            raise Conflict(result.conflicts)
        changes = files_changed(self._git, ours, result.tree)
        return tuple((mode, blob, path) for mode, blob, path in changes if path is not None)

    def same_work(self, one: str, other: str) -> bool:
        return _work(self._tree(one)) == _work(self._tree(other))

    def graft(self, head: str, old: str, moved: Mapping[str, str]) -> str | None:
        become = dict(moved)
        lines = self._git.quick("rev-list", "--topo-order", "--reverse", "--parents", head, f"^{old}").text.splitlines()
        for line in lines:
            commit, *parents = line.split()
            if parents and not any(each in become for each in parents):
                continue  # it stands on what has not moved
            tree = self._regrown(commit, parents[0], become) if parents else self._repo.objects.root(commit)
            if tree is None:
                return None
            become[commit] = self._again(commit, tree, [become.get(each, each) for each in parents])
        return become.get(head, head)

    def _regrown(self, commit: str, parent: str, become: Mapping[str, str]) -> str | None:
        """The tree of `commit` on what its parent has become; None: a conflict."""
        new = become.get(parent, parent)
        if self.same_work(parent, new):
            return self._with_state(self._tree(commit), self._tree(new))
        base, ours, theirs = (self._bare(each) for each in (parent, new, commit))
        start = self._commit(base, [])
        result = merge(self._git, self._commit(ours, [start]), self._commit(theirs, [start]))
        return self._with_state(self._repo.objects.tree(result.tree), self._tree(new)) if result.clean else None

    def _tree(self, commit: str) -> RawTree:
        objects = self._repo.objects
        return objects.tree(objects.root(commit))

    def _bare(self, commit: str) -> str:
        """The tree of a commit without workspace/."""
        return self._made(_work(self._tree(commit)))

    def _with_state(self, work: RawTree, state: RawTree) -> str:
        kept = {_STATE: state[_STATE]} if _STATE in state else {}
        return self._made({**_work(work), **kept})

    def _made(self, tree: RawTree) -> str:
        lines = []
        for name, (mode, oid) in tree.items():
            kind = {b"40000": b"tree", b"160000": b"commit"}.get(mode, b"blob")
            lines.append(b"%s %s %s\t%s\0" % (mode.rjust(6, b"0"), kind, oid.hex().encode(), name))
        return self._git.quick(*DURABLE, "mktree", "-z", "--missing", stdin=b"".join(lines)).text

    def _commit(self, tree: str, parents: Sequence[str]) -> str:
        who = f"{COMMITTER.name} <{COMMITTER.email}> 0 +0000"
        lines = [f"tree {tree}", *(f"parent {each}" for each in parents), f"author {who}", f"committer {who}", "", ""]
        return self._write("\n".join(lines).encode())

    def _again(self, commit: str, tree: str, parents: Sequence[str]) -> str:
        """The commit with another tree and other parents; who made it, when and why stay, a signature cannot."""
        raw = self._git.quick("cat-file", "commit", commit).out
        head, _, message = raw.partition(b"\n\n")
        kept = [line for line in head.split(b"\n") if line.startswith((b"author ", b"committer ", b"encoding "))]
        first = [f"tree {tree}".encode(), *(f"parent {each}".encode() for each in parents)]
        return self._write(b"\n".join([*first, *kept]) + b"\n\n" + message)

    def _write(self, body: bytes) -> str:
        return self._git.quick(*DURABLE, "hash-object", "-t", "commit", "-w", "--stdin", stdin=body).text

    def keep(self, tip: str) -> None:
        self._git.quick(*DURABLE, "update-ref", f"{KEPT}{tip}", tip)

    def let_go(self) -> None:
        refs = self._git.quick("for-each-ref", "--format=%(refname)", KEPT).text.splitlines()
        if refs:
            self._git.quick(
                *DURABLE, "update-ref", "--stdin", stdin="".join(f"delete {ref}\n" for ref in refs).encode()
            )


def _work(tree: RawTree) -> RawTree:
    return {name: entry for name, entry in tree.items() if name != _STATE}
