"""Bringing task branches up to date with a main that has moved in the sense of the design: commits that touch the
branch's paths, or a conflict. State commits of an HQ are never looked at, so they never cause anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hqd.adapters.branches import walk
from hqd.adapters.branches.merges import Merge as Merged
from hqd.adapters.branches.merges import merge, scratch
from hqd.adapters.git import DURABLE, Git
from hqd.adapters.working_copy import WORK_REFS
from hqd.core.reviews.landing import Edit
from hqd.model.drift import Drift, Side, Updated
from hqd.model.names import branch
from hqd.model.record import Merge

_SAID = 3  # how often one and the same drift is told, where nothing came of it
_SHOWN = 5  # paths
_TEXT = 3_000  # characters of one path
_AROUND = 3  # lines


@dataclass(frozen=True, slots=True)
class _Looked:
    """`tip`: main up to which nothing has moved for `head`; `paths`: what its work touches."""

    head: str
    tip: str
    paths: frozenset[str]


class Updates:
    """Port Updating. `beside`: the pathspec of what is work; `identity`: git's variables of who signs; `main` tells
    main's tip, `fetched` where remotes had it last, `busy` the folder in which a task's branch is checked out. Safe
    for many threads."""

    def __init__(
        self,
        git: Git,
        beside: Sequence[str],
        identity: Mapping[str, str],
        main: Callable[[], str | None],
        busy: Callable[[str], str | None],
        fetched: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._git, self._beside, self._identity, self._main, self._busy = git, beside, identity, main, busy
        self._fetched = fetched
        self._lock = threading.Lock()
        self._looked: dict[str, _Looked] = {}
        self._told: dict[str, tuple[str, str, int]] = {}

    def drifted(self, reviews: Mapping[str, tuple[str, str]]) -> Mapping[str, Drift]:
        tip = self._main()
        if tip is None:
            return {}
        with self._lock:
            found = self._drifted(reviews, tip)
        return {task: drift for task, drift in found.items() if self._busy(task) is None}

    def _drifted(self, reviews: Mapping[str, tuple[str, str]], tip: str) -> dict[str, Drift]:
        """What is new on main costs a few git calls for all reviews together; where nothing but state is, one."""
        self._looked = {task: known for task, known in self._looked.items() if task in reviews}
        new = [task for task, (_, head) in reviews.items() if self._head(task) != head]
        line = self._learn({task: reviews[task] for task in new}, tip)
        todo = [task for task in reviews if task in self._looked and self._looked[task].tip != tip]
        if not todo:
            return {}
        suspects = self._suspects(todo, line, tip)
        found = {}
        for task in todo:
            drift = self._drift(*reviews[task], tip) if task in suspects else None
            known = self._looked[task]
            if drift is None:
                self._looked[task] = _Looked(known.head, tip, known.paths)
            elif self._tell(task, known.head, tip):
                found[task] = drift
        return found

    def drift(self, base: str, head: str, main: str | None = None) -> Drift | None:
        tip = main or self._main()
        return self._drift(base, head, tip) if tip is not None else None

    def newest(self, task: str, head: str) -> str:
        tip = next(iter(walk.lines(self._git, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch(task)}")), None)
        return tip if tip is not None and walk.is_ancestor(self._git, head, tip) else head

    def _drift(self, base: str, head: str, tip: str) -> Drift | None:
        fork = next(iter(walk.lines(self._git, "merge-base", tip, head)), None)
        if fork is None or head == fork:
            return None
        rewritten = not walk.is_ancestor(self._git, base, tip) if walk.known(self._git, [base]) else False
        walked = walk.steps(self._git, fork, tip, self._beside)
        if not walked and not rewritten:
            return None
        pairs = [(head, fork), *((commit, parent) for commit, parent, _ in walked)]
        work, *edits = walk.differences(self._git, pairs, self._beside)
        touching = [row[0] for row, edit in zip(walked, edits, strict=True) if not work.keys().isdisjoint(edit)]
        start = base if rewritten else fork
        with scratch(self._git) as env:
            conflicts = self._merge(head, tip, start if rewritten else None, env).conflicts
        if not (touching or conflicts or rewritten):
            return None
        onto = walked[-1][0] if walked else tip
        return Drift(tip, onto, start, tuple(touching), conflicts, rewritten)

    def base(self, base: str, head: str, *, seen: bool = False) -> str:
        tips = [tip for tip in (self._main(), *(self._fetched() if seen else ())) if tip is not None]
        fork = next(iter(walk.lines(self._git, "merge-base", head, *tips)), None) if tips else None
        return fork if fork not in (None, head) and walk.is_ancestor(self._git, base, fork) else base

    def beside(self, head: str, known: Sequence[str], theirs: str) -> tuple[str, Drift | None]:
        if walk.is_ancestor(self._git, head, theirs):
            return theirs, None
        start = next((commit for commit in known if walk.is_ancestor(self._git, commit, head)), known[-1])
        if walk.is_ancestor(self._git, theirs, head) and not walk.is_ancestor(self._git, theirs, start):
            return head, None  # it was brought together with them before
        forced = not walk.is_ancestor(self._git, start, theirs)
        return head, Drift(theirs, theirs, start, (theirs,), rewritten=forced, people=True)

    def bring_up(self, task: str, head: str, drift: Drift, *, rebase: bool, message: str) -> Updated:
        anew = rebase or drift.rewritten
        onto = drift.tip if drift.conflicts and not drift.commits else drift.onto
        result = self._merge(head, onto, drift.start if anew else None)
        if drift.people and result.tree == self._git.quick("rev-parse", f"{onto}^{{tree}}").text:
            return Updated(head=onto, onto=onto)  # they have all of it, in other commits
        parents = [onto] if anew else [head, onto]
        if anew:
            text = walk.text(self._git.quick("log", "-1", "--no-show-signature", "--format=%B", head).out).strip()
            message = f"{text}\n" if f"Hqd-Work: {task}" in text else f"{text}\n\nHqd-Work: {task}\n"
        commit = self._commit(result.tree, parents, message)
        if result.clean:
            return Updated(head=commit, onto=onto, moved=anew)
        self._git.quick(*DURABLE, "update-ref", f"{WORK_REFS}/{task}/{commit[:12]}", commit)
        sides = tuple(self._side(path, commit, head, onto) for path in result.conflicts[:_SHOWN])
        return Updated(
            onto=onto, moved=anew, merge=Merge(commit=commit, onto=onto, paths=result.conflicts), sides=sides
        )

    def settle(self, merge: Merge, head: str, message: str) -> tuple[str, tuple[str, ...]]:
        parents = self._git.quick("rev-list", "--parents", "-1", merge.commit).text.split()[1:]
        tree = self._git.quick("rev-parse", f"{head}^{{tree}}").text
        left = tuple(path for path in merge.paths if _marked(self._read(head, path)))
        return self._commit(tree, parents, message), left

    def _merge(self, head: str, onto: str, start: str | None, env: Mapping[str, str] | None = None) -> Merged:
        """Of `onto` into `head`; with `start`, of what came after it to `head` onto `onto`."""
        if start is None:
            return merge(self._git, head, onto, env)
        tree = self._git.quick("rev-parse", f"{onto}^{{tree}}").text
        as_if = self._commit(tree, [start], "", env)  # a main that went on from there: git finds no other base
        return merge(self._git, as_if, head, env)

    def _commit(self, tree: str, parents: Sequence[str], message: str, env: Mapping[str, str] | None = None) -> str:
        words = [word for parent in parents for word in ("-p", parent)]
        who = {**self._identity, **(env or {})}
        return self._git.quick(*DURABLE, "commit-tree", tree, *words, "-F", "-", stdin=walk.raw(message), env=who).text

    def _head(self, task: str) -> str | None:
        known = self._looked.get(task)
        return known.head if known is not None else None

    def _learn(self, reviews: Mapping[str, tuple[str, str]], tip: str) -> tuple[str, ...]:
        """Reads where branches leave main and what they touch; main's line from before the oldest of them."""
        here = walk.known(self._git, [commit for pair in reviews.values() for commit in pair])
        asked = {task: pair for task, pair in reviews.items() if here.issuperset(pair)}
        if not asked:
            return ()
        line = walk.line_from(self._git, {base for base, _ in asked.values()}, tip)
        strands = walk.strands(self._git, [head for _, head in asked.values()], line)
        forks = {task: strands[head].fork or base for task, (base, head) in asked.items()}
        works = walk.differences(self._git, [(head, forks[task]) for task, (_, head) in asked.items()], self._beside)
        for (task, (base, head)), work in zip(asked.items(), works, strict=True):
            since = forks[task] if base in line else base  # main may have been rewritten before anybody looked
            self._looked[task] = _Looked(head, since, frozenset(work))
        return line

    def _suspects(self, tasks: Sequence[str], line: Sequence[str], tip: str) -> set[str]:
        """Those for which main may have moved: its new commits touch their paths, or took something away, or main is
        not a continuation of what was looked at."""
        sinces = {self._looked[task].tip for task in tasks}
        if not sinces <= set(line):
            line = walk.line_from(self._git, sinces, tip)
        places = {commit: place for place, commit in enumerate(line)}
        lost = {task for task in tasks if self._looked[task].tip not in places}
        rest = [task for task in tasks if task not in lost]
        if not rest:
            return lost
        oldest = max(places[self._looked[task].tip] for task in rest)
        walked = walk.steps(self._git, line[oldest], tip, self._beside)
        if not walked:
            return lost
        edits = walk.differences(self._git, [(commit, parent) for commit, parent, _ in walked], self._beside)
        steps = [(places.get(row[0], -1), edit) for row, edit in zip(walked, edits, strict=True)]
        for task in rest:
            known = self._looked[task]
            newer = [edit for place, edit in steps if place < places[known.tip]]
            if any(_meets(edit, known.paths) for edit in newer):
                lost.add(task)
        return lost

    def _tell(self, task: str, head: str, tip: str) -> bool:
        """Whether it is to be told: a drift that nothing came of is not told for ever."""
        before = self._told.get(task)
        times = before[2] + 1 if before is not None and before[:2] == (head, tip) else 1
        self._told[task] = (head, tip, times)
        return times <= _SAID

    def _read(self, commit: str, path: str) -> str | None:
        done = self._git.quick("cat-file", "blob", f"{commit}:{path}", codes=(0, 128))
        return done.out.decode("utf-8", "replace") if done.code == 0 else None

    def _side(self, path: str, commit: str, head: str, onto: str) -> Side:
        text = self._read(commit, path)
        ours, theirs = self._read(head, path), self._read(onto, path)
        if text is not None and _marked(text):
            return Side(path, _hunks(text)[:_TEXT])
        what = {(True, False): "the other side has deleted it", (False, True): "the work has deleted it"}
        there = (ours is not None, theirs is not None)
        return Side(path, what.get(there, "git cannot merge it: it is binary, or of another kind on each side"))


def _meets(step: Mapping[str, Edit], paths: frozenset[str]) -> bool:
    """Whether a commit may matter to a branch with these paths: the same files, a folder where the other has a file,
    or files gone or moved away, which only a merge can tell about."""
    if not paths.isdisjoint(step) or any(edit.after is None for edit in step.values()):
        return True
    return not _above(step).isdisjoint(paths) or not _above(paths).isdisjoint(step)


def _above(paths: Iterable[str]) -> set[str]:
    return {path[:place] for path in paths for place, char in enumerate(path) if char == "/"}


def _marked(text: str | None) -> bool:
    lines = (text or "").split("\n")
    return any(line.startswith("<<<<<<< ") for line in lines) or any(line.startswith(">>>>>>> ") for line in lines)


def _hunks(text: str) -> str:
    """The parts between markers, with some lines around."""
    lines = text.split("\n")
    keep: set[int] = set()
    inside = False
    for number, line in enumerate(lines):
        inside = inside or line.startswith("<<<<<<< ")
        if inside:
            keep.update(range(max(0, number - _AROUND), number + _AROUND + 1))
        inside = inside and not line.startswith(">>>>>>> ")
    kept = sorted(number for number in keep if number < len(lines))
    out: list[str] = []
    for place, number in enumerate(kept):
        if place and number != kept[place - 1] + 1:
            out.append("…")
        out.append(lines[number])
    return "\n".join(out)
