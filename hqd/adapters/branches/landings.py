"""Finds which open reviews have landed on main: git's evidence for `core/reviews/landing.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hqd.adapters.branches import walk
from hqd.adapters.branches.merges import unchanged_by
from hqd.adapters.git import Git
from hqd.core.reviews.landing import Branch, Edit, Holds, Step, Suspect, signed, suspects


@dataclass(frozen=True, slots=True)
class Review:
    """An open review: the task, main's commit when it began, the tip under review."""

    task: str
    base: str
    head: str


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read of one head, and main's commit up to which it was searched (None: from the beginning)."""

    head: str
    base: str
    messages: tuple[str, ...]
    fork: str | None
    work: Mapping[str, Edit]  # from the fork point
    empty: bool  # no difference from the review's base
    searched: str | None


class Landings:
    """Remembers, for as long as it lives, how far main was searched for which head; that is only a saving."""

    def __init__(self, git: Git, beside: Sequence[str] = walk.BESIDE_STATE) -> None:
        self._git = git
        self._beside = beside
        self._known: dict[str, _Known] = {}

    def find(self, reviews: Iterable[Review], since: str | None, tip: str) -> dict[str, str]:
        """task -> the commit of main's first-parent line that landed it."""
        asked = list(reviews)
        self._learn([review for review in asked if not self._is_known(review)], tip)
        groups: dict[str | None, list[str]] = {}
        for review in asked:
            if self._is_known(review):
                groups.setdefault(since or self._known[review.task].searched, []).append(review.task)
        landed: dict[str, str] = {}
        for start, tasks in groups.items():
            if start != tip:
                landed |= self._search({task: self._known[task] for task in tasks}, start, tip)
        for task in landed:
            del self._known[task]
        return landed

    def _is_known(self, review: Review) -> bool:
        known = self._known.get(review.task)
        return known is not None and (known.head, known.base) == (review.head, review.base)

    def _learn(self, reviews: Sequence[Review], tip: str) -> None:
        """Reads the branches whose objects are here; the others are not known, and asked for again next time."""
        here = walk.known(self._git, [commit for review in reviews for commit in (review.head, review.base)])
        reviews = [review for review in reviews if {review.head, review.base} <= here]
        if not reviews:
            return
        bases = {review.base for review in reviews}
        line = walk.line_from(self._git, bases, tip)
        start = line[-1] if bases <= set(line) else None
        strands = walk.strands(self._git, [review.head for review in reviews], line)
        pairs = [(review.head, strands[review.head].fork or review.base) for review in reviews]
        edits = walk.differences(self._git, [*pairs, *((review.head, review.base) for review in reviews)], self._beside)
        for number, review in enumerate(reviews):
            strand = strands[review.head]
            self._known[review.task] = _Known(
                head=review.head,
                base=review.base,
                messages=strand.messages,
                fork=strand.fork,
                work=edits[number],
                empty=not edits[number + len(reviews)],
                searched=start,
            )

    def _search(self, tasks: Mapping[str, _Known], start: str | None, tip: str) -> dict[str, str]:
        brought = walk.reached(self._git, {known.head for known in tasks.values()}, start, tip)
        landed = {
            task: brought[known.head] for task, known in tasks.items() if known.head in brought and not known.empty
        }
        left = {task: known for task, known in tasks.items() if known.head not in brought}
        walked = walk.steps(self._git, start, tip, self._beside) if left else ()
        if walked:
            landed |= self._scan(left, walked)
        for task, known in tasks.items():
            self._known[task] = replace(known, searched=tip)
        return landed

    def _scan(self, tasks: Mapping[str, _Known], walked: Sequence[walk.Walked]) -> dict[str, str]:
        origin = walked[0][1]  # beside workspace/ the same as where the search starts, also after main was rewritten
        forks = sorted({known.fork for known in tasks.values() if known.fork}) if origin else []
        edits = walk.differences(
            self._git,
            [*((commit, parent) for commit, parent, _ in walked), *((origin or "", fork) for fork in forks)],
            self._beside,
        )
        steps = walk.steps_of(walked, edits[: len(walked)])
        drifts = dict(zip(forks, edits[len(walked) :], strict=True))
        return self._decide([_branch(task, known, drifts) for task, known in tasks.items() if known.fork], steps)

    def _decide(self, branches: Sequence[Branch], steps: Sequence[Step]) -> dict[str, str]:
        suspected = {branch.task: list(suspects(branch, steps)) for branch in branches}
        holding = unchanged_by(
            self._git,
            sorted(
                {
                    (commit, branch.head)
                    for branch in branches
                    for suspect in suspected[branch.task]
                    for commit in _questions(suspect)
                }
            ),
        )
        found = {}
        for branch in branches:
            if not branch.work:
                continue
            evidence = [one.step for one in suspected[branch.task] if _brought(one, branch.head, holding)]
            for step in (*evidence, *signed(branch, steps)):
                # What the branch itself was built on cannot have landed it.
                if not walk.is_ancestor(self._git, step.commit, branch.head):
                    found[branch.task] = step.commit
                    break
        return found


def _branch(task: str, known: _Known, drifts: Mapping[str, Mapping[str, Edit]]) -> Branch:
    drift = drifts.get(known.fork or "", {})
    start = {path: drift[path].after if path in drift else edit.before for path, edit in known.work.items()}
    return Branch(task, known.head, known.work, start, known.messages)


def _questions(suspect: Suspect) -> list[str]:
    asked = [suspect.step.commit] if suspect.after is Holds.ASK else []
    if suspect.before is Holds.ASK and suspect.step.parent is not None:
        asked.append(suspect.step.parent)
    return asked


def _brought(suspect: Suspect, head: str, holding: frozenset[tuple[str, str]]) -> bool:
    """Whether the work is in this commit and was not in its first parent."""
    after = suspect.after is Holds.YES or (suspect.step.commit, head) in holding
    before = suspect.before is Holds.ASK and (suspect.step.parent, head) in holding
    return after and not before
