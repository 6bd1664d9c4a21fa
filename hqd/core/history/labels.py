"""Labels: what people said of outputs, by their acts and by what they later did to the work. Pure.

Law: only a person's act makes a label. It covers the outputs that the person had before them, and no other: those
whose files were on the branch under review, or, where nothing was delivered, the last text before the review. A
request for changes that names an earlier step covers that step's output too. What a gate or an agent reviewer stopped
is `gated`; what nobody saw is `unknown`. A later word overrides an earlier one; a revert or an edit of the delivered
lines counts within some days of the landing, by committers' dates, in the order of the line.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hqd.model.corpus import Change, Label, Past, PastEvent, Verdict
from hqd.model.failure import Failure, ParkReason

STOPPED = frozenset(
    each.value
    for each in (Failure.GATE, Failure.MALFORMED, Failure.EMPTY, Failure.TRUNCATED, Failure.POLICY, Failure.SECRET)
)
"""Failures by which hqd itself stopped an output that it had in hand."""

_DAY = 86_400.0
_WORDS = 500


class NotYet(Exception):
    """What a task's labels depend on is still to be looked up: they are told again when it is there."""


def _nothing_more() -> None:
    raise LookupError("labels ask for what nobody looks up")


@dataclass(frozen=True, slots=True)
class Contents:
    """What labels must know of files. `at`: the blob at a path of a commit, None where there is none or the commit is
    not here. `touched`: lines changed from blob to blob as `core.touched` counts them (base, main, ours, theirs,
    insertions), or None where one of them is not here.

    Both may raise NotYet; `look_up` then finds out, for many tasks in one go, everything that was asked so far.
    """

    at: Callable[[str, str], str | None]
    touched: Callable[[str | None, str | None, str, str | None, bool], int | None]
    look_up: Callable[[], None] = _nothing_more


class Labelled(NamedTuple):
    """One output of one finished attempt, its verdict, and whether a person had it before them."""

    event: PastEvent
    verdict: Verdict
    seen: bool
    red: tuple[str, ...] = ()  # names of gates that failed on it
    enforced: tuple[str, ...] = ()  # versions of gates that could have stopped it
    probability: float = 1.0  # with which it came before a person


@dataclass(slots=True)
class _Output:
    event: PastEvent
    files: tuple[str, ...]
    base: str | None
    head: str | None
    typed: bool
    verdict: Verdict
    gates: Sequence[Mapping[str, Any]] = ()
    shown: bool = False
    probability: float = 1.0

    def say(self, label: Label, source: str, reason: str, event: PastEvent) -> None:
        words = " ".join(reason.split())[:_WORDS]
        self.verdict = Verdict(label, source, words, event.order, event.at, event.by)

    def labelled(self) -> Labelled:
        red = tuple(str(gate.get("name")) for gate in self.gates if gate.get("status") == "fail")
        enforced = tuple(str(gate.get("version")) for gate in self.gates if gate.get("level") == "enforce")
        return Labelled(self.event, self.verdict, self.shown, red, enforced, self.probability)


class Files:
    """What stood at a path of main when, beside workspace/. `landings`: commits that brought some task's work."""

    def __init__(self, changes: Sequence[Change], landings: Container[str]) -> None:
        self.landings = landings  # commits that brought some task's work, with or without a trailer
        self.by_path: dict[str, list[tuple[Change, str | None, str | None]]] = {}
        self.by_id: dict[str, Change] = {}
        for change in changes:
            self.by_id[change.commit] = change
            for path, before, after in change.files:
                self.by_path.setdefault(path, []).append((change, before, after))

    def landing(self, path: str, order: int) -> tuple[str | None, str | None] | None:
        """(before, after) of the last change of a path at `order` or before; None: it was never there."""
        found = None
        for change, before, after in self.by_path.get(path, ()):
            if change.order > order:
                break
            found = before, after
        return found

    def later(self, paths: Iterable[str], order: int) -> list[Change]:
        found = {
            change.order: change
            for path in paths
            for change, _before, _after in self.by_path.get(path, ())
            if change.order > order
        }
        return [found[place] for place in sorted(found)]


def label(past: Past, contents: Contents, days: float) -> list[Labelled]:
    """Every output of a finished attempt of an agent, in order, with what is known of it at the tip of `past`."""
    files = Files(past.changes, landings(past.events))
    return in_order(label_tasks(past.tasks().values(), files, contents, days))


def landings(events: Iterable[PastEvent]) -> set[str]:
    """The commits by which tasks' work came to main."""
    return {str(each.details.get("landed")) for each in events if each.event == "landed"}


def in_order(found: list[Labelled]) -> list[Labelled]:
    return sorted(found, key=lambda each: (each.event.order, each.event.task, each.event.n))


def label_tasks(tasks: Iterable[Sequence[PastEvent]], files: Files, contents: Contents, days: float) -> list[Labelled]:
    """The outputs of some tasks, each given by its events in order."""
    found: list[_Output] = []
    waiting = list(tasks)
    while waiting:
        later: list[Sequence[PastEvent]] = []
        for events in waiting:
            try:
                found += _Story(files, contents, days).tell(events)
            except NotYet:
                later.append(events)
        if later:
            contents.look_up()
        waiting = later
    return [output.labelled() for output in found]


@dataclass(slots=True)
class _Story:
    """One task, event by event."""

    files: Files
    contents: Contents
    days: float
    outputs: list[_Output] = field(default_factory=list)
    current: dict[str, _Output] = field(default_factory=dict)  # step -> its accepted output, not stale
    shown: tuple[_Output, ...] = ()
    audited: _Output | None = None  # stopped by gates, and before people all the same

    def tell(self, events: Sequence[PastEvent]) -> list[_Output]:
        for event in events:
            act = _ACTS.get(event.event)
            if act is not None:
                act(self, event)
        if events and events[-1].event in ("done", "dropped"):
            for output in self.outputs:
                if output.verdict.source == "open":
                    why = "no person said a word of it" if output.shown else "no person had it before them"
                    output.say(Label.UNKNOWN, "unreviewed", why, events[-1])
        return self.outputs

    def finished(self, event: PastEvent) -> None:
        if event.agent is None or event.output_blob is None or event.step is None:
            return
        said = event.details
        work = said.get("work") or {}
        open_ = Verdict(Label.UNKNOWN, "open", "nobody has said anything yet", event.order, event.at)
        output = _Output(
            event,
            tuple(work.get("files", ())),
            work.get("base"),
            work.get("head"),
            bool(said.get("output_data")),
            open_,
            said.get("gates", ()),
        )
        self.outputs.append(output)
        if event.outcome == "passed":
            self._supersede([event.step], event)
            self.current[event.step] = output
        elif event.failure in STOPPED:
            output.say(Label.GATED, "gate", _stopped_by(said) or str(said.get("message", event.failure)), event)
            if event.to == "review":
                output.probability, self.audited = float(said.get("audit") or 1.0), output
        else:
            output.say(Label.UNKNOWN, event.failure or "failed", str(said.get("message", "")), event)

    def routed(self, event: PastEvent) -> None:
        """Sent back by a route, which follows a gate or an agent's judgement."""
        said = event.details
        target = self.current.get(event.step or "")
        if target is not None and not target.verdict.label.decided:
            words = "; ".join(str(each.get("text", "")) for each in said.get("findings", ()))
            target.say(Label.GATED, "route", words or str(said.get("route", "")), event)
        self._supersede(said.get("items", ()), event)

    def resumed(self, event: PastEvent) -> None:
        self._supersede(event.details.get("items", ()), event)

    def review_opened(self, event: PastEvent) -> None:
        self.shown = _before_the_person(self.current.values())
        for output in self.shown:
            output.shown = (event.details.get("review") or {}).get("sample") is None

    def feedback(self, event: PastEvent) -> None:
        said = event.details
        if event.to == "review":
            review = said.get("review") or {}
            if review and (review.get("sample") is None or review.get("approvers")):
                self._saw()  # also where nobody was asked for it: a person has spoken
            return
        if said.get("label") is not None:
            self._judge_audited(str(said["label"]), event)
            return
        if event.outcome == "passed":
            self._all(Label.ACCEPTED, "approved", str(said.get("message") or f"{event.by} approved it"), event)
            return
        findings = said.get("findings", ())
        words = "; ".join(str(each.get("text", "")) for each in findings)
        if event.human:
            self._all(Label.REJECTED, "requested_changes", words, event)
            for named in {str(each.get("step")) for each in findings} & self.current.keys():
                self.current[named].say(Label.REJECTED, "requested_changes", words, event)
        else:
            for output in self.shown:
                output.say(Label.GATED, "agent_review", words, event)
        self._supersede(said.get("children", ()), event)

    def _judge_audited(self, word: str, event: PastEvent) -> None:
        """A word on an output that gates have stopped, by somebody who did not see that they had."""
        output, self.audited = self.audited, None
        if output is not None:
            reason = "; ".join(str(each.get("text", "")) for each in event.details.get("findings", ()))
            output.say(Label(word), "audit", reason or f"{event.by} would have {word} it", event)
            output.shown = True

    def parked(self, event: PastEvent) -> None:
        if event.reason == ParkReason.REVIEW_REJECTED.value and event.human:
            source = "branch_gone" if event.via == "git" else "rejected"
            self._all(Label.REJECTED, source, str(event.details.get("missing", "")), event)

    def dropped(self, event: PastEvent) -> None:
        if event.was == "review" and event.human and self.audited is None:
            self._all(Label.REJECTED, "dropped", str(event.details.get("message") or "dropped in review"), event)

    def landed(self, event: PastEvent) -> None:
        delivered = [output for output in self.current.values() if output.files] or list(self.shown)
        commit = str(event.details.get("landed", ""))
        change = self.files.by_id.get(commit)
        order = change.order if change is not None else event.order
        for output in delivered:
            if event.human and output.shown:
                how = {"cli": "approved", "forge": "merged", "git": "merged"}.get(event.via or "", "landed")
                output.say(Label.ACCEPTED, how, f"landed as {commit[:12]}", event)
            elif not output.verdict.label.decided:
                output.say(Label.UNKNOWN, "landed_unreviewed", f"landed as {commit[:12]}, seen by nobody", event)
            if output.verdict.label is Label.ACCEPTED:
                self._compare(output, order, event)
            if output.files:
                self._watch(output, commit, order, change.at if change is not None else event.at)
        self.current = {}
        self.shown = ()

    def _saw(self) -> None:
        for output in self.shown:
            output.shown = True

    def _all(self, label: Label, source: str, reason: str, event: PastEvent) -> None:
        self._saw()
        for output in self.shown:
            output.say(label, source, reason, event)

    def _supersede(self, steps: Iterable[str], event: PastEvent) -> None:
        for step in steps:
            old = self.current.pop(step, None)
            if old is not None and old.verdict.source == "open":
                old.say(Label.UNKNOWN, "superseded", f"done anew after record {event.n}", event)

    def _compare(self, output: _Output, order: int, event: PastEvent) -> None:
        """What landed, beside what was delivered: a person may have changed it on the branch or in the merge."""
        size, became = 0, None
        for path in output.files:
            stood = self.files.landing(path, order)
            if stood is None or stood[1] == output.event.output_blob:
                continue
            ours = self._delivered(output, path)
            if ours is None or ours == stood[1]:
                continue
            lines = self.contents.touched(self._base(output, path), stood[0], ours, stood[1], True) or 0
            size, became = size + lines, stood[1] if lines and ours == output.event.output_blob else became
        if size:
            output.say(Label.EDITED, "edited_at_landing", f"{size} lines differ from what was delivered", event)
            output.verdict = output.verdict._replace(size=size, became=became)

    def _delivered(self, output: _Output, path: str) -> str | None:
        found = self.contents.at(output.head, path) if output.head else None
        return found or (output.event.output_blob if len(output.files) == 1 else None)

    def _base(self, output: _Output, path: str) -> str | None:
        return self.contents.at(output.base, path) if output.base else None

    def _watch(self, output: _Output, commit: str, order: int, since: float) -> None:
        """Reverts and edits of the delivered lines, in the line's order, within some days of the landing."""
        landing = {path: self.files.landing(path, order) for path in output.files}
        stood = {path: found for path, found in landing.items() if found is not None and found[1] is not None}
        first = output.verdict
        for change in self.files.later(stood, order):
            if change.at > since + self.days * _DAY:
                return
            if change.work is not None or change.commit in self.files.landings:
                return  # an agent's later work took its place
            output.verdict = self._word_of(change, commit, stood, output.verdict, first)

    def _word_of(
        self,
        change: Change,
        commit: str,
        stood: Mapping[str, tuple[str | None, str | None]],
        verdict: Verdict,
        first: Verdict,
    ) -> Verdict:
        """What a person's later change of the delivered files says of them."""
        now = {path: after for path, _before, after in change.files if path in stood}

        def said(label: Label, source: str, size: int = 0, became: str | None = None) -> Verdict:
            reason = change.subject[:_WORDS]
            return Verdict(label, source, reason, change.order, change.at, change.author, size, became)

        if any(commit.startswith(each) for each in change.reverts):
            return said(Label.REJECTED, "reverted")
        if now.keys() == stood.keys() and all(after == stood[path][0] for path, after in now.items()):
            return said(Label.REJECTED, "put_back")
        if all(after == stood[path][1] for path, after in now.items()):
            return first._replace(source="restored", order=change.order, at=change.at)
        size = 0
        for path, after in now.items():
            before, ours = stood[path]
            size += self.contents.touched(before, before, ours, after, False) or 0 if ours is not None else 0
        became = next(iter(now.values())) if len(stood) == 1 else None
        return said(Label.EDITED, "edited_later", size, became) if size else verdict


def _before_the_person(current: Iterable[_Output]) -> tuple[_Output, ...]:
    """The outputs under review: of each delivered path the last, else the last text, else the last typed output."""
    inside = sorted(current, key=lambda output: output.event.order)
    last = {path: output for output in inside for path in output.files}
    if last:
        return tuple(output for output in inside if any(each is output for each in last.values()))
    texts = [output for output in inside if not output.typed] or inside
    return tuple(texts[-1:])


def _stopped_by(said: Mapping[str, Any]) -> str:
    red = [each for each in said.get("gates", ()) if each.get("status") in ("fail", "error")]
    return "; ".join(f"{each.get('name')}: {each.get('message', '')}" for each in red if each.get("level") == "enforce")


_ACTS: dict[str, Callable[[_Story, PastEvent], None]] = {
    "finished": _Story.finished,
    "routed": _Story.routed,
    "resumed": _Story.resumed,
    "review_opened": _Story.review_opened,
    "feedback": _Story.feedback,
    "parked": _Story.parked,
    "dropped": _Story.dropped,
    "landed": _Story.landed,
}
