"""`hqd lessons stats | review`: what lessons were worth, and which are to rise, which to go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hqd.cli import terminal
from hqd.cli.call import Call
from hqd.cli.lessons.book import Shelf, now, shelf
from hqd.cli.lessons.propose import proposal
from hqd.cli.lessons.rule import rules
from hqd.cli.words import look
from hqd.codec import layout
from hqd.codec.lesson import read_lesson
from hqd.core.context.tokens import estimate_tokens
from hqd.core.lessons.worth import Advice, Seen, Worth, advise, crowded_topics, worth
from hqd.errors import EXIT_OK, Expected, Misconfigured
from hqd.model.corpus import Case, PastEvent
from hqd.model.gate import LESSON_GATE, GateStatus
from hqd.model.lesson import Lesson, LessonStatus


@dataclass(slots=True)
class Traces:
    """What records say of lessons. `seen`: attempts that their gates looked at; `told`: prompts with their texts."""

    seen: dict[str, list[Seen]] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    cost: float = 0.0
    spent: int = 0

    @property
    def token_usd(self) -> float:
        """Dollars for one token, on average of this history."""
        return self.cost / self.spent if self.spent else 0.0


def stats(call: Call, *, as_json: bool) -> int:
    """Counts and intervals for each lesson, from records alone."""
    with shelf(call) as found:
        traces = traces_of(found)
        rows = [_worth(lesson, traces) for lesson in sorted(found.book.values(), key=lambda each: each.id)]
        crowded = crowded_topics(found.book.values())
        if as_json:
            terminal.data(
                {
                    "lessons": [{"id": each.lesson, **each.facts()} for each in rows],
                    "topics": {topic: list(ids) for topic, ids in crowded.items()},
                }
            )
            return EXIT_OK
        heads = ("id", "exposures", "hits", "saves", "false", "escapes", "again, per exposure", "tokens", "net")
        terminal.rows(heads, [_row(each) for each in rows])
        if not rows:
            terminal.say("the lesson book is empty")
        for topic, ids in crowded.items():
            terminal.say(f"{', '.join(ids)} are about {topic}: write one rule into the playbook, and retire them")
    return EXIT_OK


def review(call: Call, *, dry_run: bool, as_json: bool) -> int:
    """Proposes promotion and retirement where the numbers say so: a branch for each, for a person to merge."""
    with shelf(call) as found:
        traces, moment = traces_of(found), now()
        settings, book = found.settings.lessons, list(found.book.values())
        rows: list[tuple[Advice, str]] = []
        for path, lesson in sorted(found.book.items()):
            if not lesson.in_force:
                continue
            seen = traces.seen.get(lesson.id, [])
            still = _still(found, lesson, seen)
            advice = advise(lesson, seen, book, settings, still, moment.timestamp(), moment.date())
            rows.append((advice, _act(found, path, lesson, advice, dry_run=dry_run)))
        proposed = rules(book)
        if any(done.startswith(layout.LESSON_BRANCH) for _advice, done in rows):
            look(found.repo, call.env)
        if as_json:
            told = [
                {
                    "id": advice.lesson,
                    "propose": advice.status.value if advice.status is not None else None,
                    "why": list(advice.why),
                    "done": done,
                }
                for advice, done in rows
            ]
            topics = {each.topic: list(each.lessons) for each in proposed}
            terminal.data({"lessons": told, "topics": topics, "rules": {each.topic: each.facts() for each in proposed}})
            return EXIT_OK
        for advice, done in rows:
            what = f"-> {advice.status.value}" if advice.status is not None else "stays"
            terminal.say(f"{advice.lesson} {what}: {'; '.join(advice.why)}" + (f" [{done}]" if done else ""))
        for each in proposed:
            each.say()
        if not rows:
            terminal.say("no lesson is in force")
    return EXIT_OK


def _act(found: Shelf, path: str, lesson: Lesson, advice: Advice, *, dry_run: bool) -> str:
    if advice.status is None or dry_run:
        return ""
    if lesson.id in found.proposed:
        return f"{layout.LESSON_BRANCH}{lesson.id} waits already"
    try:
        return proposal(found, path, lesson, advice.status, advice.why).branch
    except Expected as fault:
        return f"not proposed: {fault.message}"


def traces_of(found: Shelf) -> Traces:
    """One walk over all attempts. Raises Misconfigured where there is no history."""
    lab = found.lab
    if lab is None:
        raise Misconfigured("this clone has no main to read history from", remedy="fetch it")
    cases = {(case.task, case.n): case for case in lab.corpus.cases}
    blobs: dict[str, Lesson | None] = {}
    traces = Traces()
    for claim, end in lab.laboratory.archive.past(None).attempts():
        traces.cost += end.cost
        traces.spent += end.tokens
        if LESSON_GATE in end.rest:
            _looked(traces, end, cases.get((end.task, end.n)))
        pinned = (claim or end).pinned
        for blob in pinned.lessons if pinned is not None else ():
            if blob not in blobs:
                blobs[blob] = _lesson(found, blob)
            lesson = blobs[blob]
            if lesson is not None and _told(lesson, end):
                tokens = estimate_tokens(lesson.context.text) if lesson.context is not None else 0
                traces.told[lesson.id] = traces.told.get(lesson.id, 0) + 1
                traces.tokens[lesson.id] = traces.tokens.get(lesson.id, 0) + tokens
    return traces


def _looked(traces: Traces, end: PastEvent, case: Case | None) -> None:
    gates = end.gates
    stopping = [each.name for each in gates if each.stops]
    for each in gates:
        if each.name.startswith(LESSON_GATE):
            alone = stopping == [each.name] and each.status is GateStatus.FAIL
            shown = " ".join([each.message, *(one.excerpt for one in each.evidence)])
            seen = Seen(end.task, each.level, each.status, alone, end.cost, end.at, case, shown)
            traces.seen.setdefault(each.name.removeprefix(LESSON_GATE), []).append(seen)


def _lesson(found: Shelf, blob: str) -> Lesson | None:
    from hqd.adapters.history import GitHistory

    try:
        return read_lesson(GitHistory(found.repo).blob(blob), layout.LESSONS, named=False)[0]
    except KeyError:
        return None


def _told(lesson: Lesson, end: PastEvent) -> bool:
    """Whether its text was for this attempt, as far as the record tells: status, step, agent."""
    if lesson.context is None or lesson.status not in (LessonStatus.WARN, LessonStatus.ENFORCE):
        return False
    steps = lesson.scope.steps or ((lesson.born_at,) if lesson.born_at is not None else ())
    agents = lesson.scope.agents
    return end.agent is not None and (not steps or end.step in steps) and (not agents or end.agent in agents)


def _worth(lesson: Lesson, traces: Traces) -> Worth:
    told, tokens = traces.told.get(lesson.id, 0), traces.tokens.get(lesson.id, 0)
    return worth(lesson, traces.seen.get(lesson.id, []), told, tokens, traces.token_usd)


def _still(found: Shelf, lesson: Lesson, seen: list[Seen]) -> Mapping[str, bool]:
    """For outputs that people turned down: whether the gate fires on what they took instead."""
    if lesson.gate is None:
        return {}
    pairs = {
        each.case.blob: each.case.corrected
        for each in seen
        if each.case is not None and each.case.corrected is not None and each.fired
    }
    texts = found.desk.texts([blob for blob in pairs.values() if blob is not None])
    verdicts = {bad: found.desk.verdict(lesson.gate, texts[good]) for bad, good in pairs.items() if good in texts}
    return {bad: not green for bad, green in verdicts.items() if green is not None}


def _row(each: Worth) -> list[str]:
    saves = f"{each.saves}" + (f" ({each.candidates} candidates)" if each.candidates else "")
    net = "" if each.net_usd is None else f"${each.net_usd:.2f}"
    return [
        each.lesson,
        str(each.exposures),
        str(each.hits),
        saves,
        str(each.false_positives),
        str(each.escapes),
        str(each.recurrence),
        str(each.tokens),
        net,
    ]
