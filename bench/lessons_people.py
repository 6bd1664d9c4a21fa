"""What agents write and what people do with it, in a made-up town: every fault and every opinion is known.

Faults: `todo` and `refund` leave a mark in the text, `tone` leaves none; `guarantee` is a word that means nothing. A
person who sees a fault nearly always acts on it, in one of the many ways that hqd knows; what one thought of each
output that one saw is the truth that labels are measured by.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hqd.core.batch import blob_id
from hqd.model.board import Task
from hqd.model.failure import Failure, Outcome, ParkReason
from hqd.model.gate import GateResult, GateStatus
from hqd.model.names import branch, slug_of
from hqd.model.record import Claim, Event, EventKind, Finding, Pin, ReviewState, Usage, Via, Work
from hqd.model.task import State

if TYPE_CHECKING:
    from bench.lessons_history import Writer

DAY = 86_400.0
LABEL_DAYS = 14
AGENTS = {"swift": 1.0, "steady": 0.6, "rough": 1.6}  # how often they err, relatively
FAULTS = {"todo": 0.10, "refund": 0.06, "tone": 0.10}
MARKS = {"todo": "TODO: check the figures.", "refund": "Everyone gets a full refund.", "guarantee": "No guarantee."}
WORDS = {"todo": "take the TODO out", "refund": "no word of a refund", "tone": "this is not how we speak"}
VAGUE = "please do this once more"
PEOPLE = ("Ada", "Ben", "Cem")
TALK = (
    "harbour", "bread", "morning", "street", "market", "river", "paper", "letter", "window", "garden", "winter",
    "music", "bridge", "station", "lamp", "stone", "kitchen", "table", "glass", "cloud", "summer", "engine", "corner",
)  # fmt: skip
KINDS = (("article", 45), ("brief", 25), ("patch", 10), ("memo", 8), ("note", 12))
SHORT = 0.71  # of attempts at articles, briefs and notes: stopped by the gate


@dataclass
class Output:
    """One output: its text, its faults, and the record that holds it."""

    text: str
    faults: frozenset[str]
    n: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    head: str = ""


class Town:
    """Everybody and their work. Stories are generators that yield the seconds until they go on."""

    def __init__(self, writer: Writer, pin: Pin, rng: random.Random) -> None:
        self.writer = writer
        self.pin = pin
        self.rng = rng
        self.now = datetime.min.replace(tzinfo=UTC)
        self.coming: list[tuple[float, Iterator[float]]] = []
        self.truth: dict[tuple[str, int], str] = {}
        self.faults: dict[tuple[str, int], frozenset[str]] = {}
        self.attempts = 0
        self.parents: list[str] = []
        self.begun: dict[str, str] = {}  # task -> the commit that its attempt began from
        self.pages: dict[str, dict[str, bytes]] = {}  # task -> the pages there

    # -- a task's road ------------------------------------------------------------------------------------------

    def task(self, number: int) -> Iterator[float]:
        task, playbook = self._accept(number)
        yield self._soon()
        if playbook == "brief":
            task, _research = yield from self._attempts(task, "research", playbook)
        ended = False
        while not ended:
            task, output = yield from self._attempts(task, "write", playbook)
            if playbook == "note":
                break
            task = yield from self._review(task, output)
            yield self.rng.uniform(600, 2 * DAY)
            task, ended = yield from self._word(task, output, playbook)
        if task.state is State.QUEUE:
            self._say(task, EventKind.DONE, State.DONE)

    def _accept(self, number: int) -> tuple[Task, str]:
        from bench.lessons_history import new_task

        rng = self.rng
        playbook = rng.choices([name for name, _ in KINDS], [weight for _, weight in KINDS])[0]
        source, parent = f"workspace/inbox/t{number}.md", None
        if rng.random() < 0.10:
            source = f"schedule:{playbook}-{rng.randrange(12)}@{self.now.isoformat(timespec='minutes')}"
        elif self.parents and rng.random() < 0.10:
            parent = rng.choice(self.parents[-50:])
        text = f"# Task {number}\n\nWrite about the {rng.choice(TALK)} and the {rng.choice(TALK)}, number {number}.\n"
        event = self._event(EventKind.ACCEPTED, State.QUEUE, source=source, playbook=playbook, parent=parent)
        digits = f"{rng.randrange(1 << 24):06x}"
        task = new_task(self.writer, f"t{number}.md", text.encode(), self.now, digits, event)
        self.parents.append(task.id)
        return task, playbook

    def _attempts(self, task: Task, step: str, playbook: str) -> Iterator[Any]:
        """Tries until the gate lets one pass; (task, output) is what the story goes on with."""
        agent = self.rng.choice(list(AGENTS))
        gated = playbook not in ("patch", "memo")
        for attempt in range(1, 50):
            mode = "first" if attempt == 1 else "retry"
            task = self._claim(task, step, playbook, agent, mode)
            yield self.rng.uniform(20, 900)
            short = gated and attempt < 8 and self.rng.random() < SHORT
            output = self._write(task, step, playbook, agent, short=short)
            task = self._finish(task, step, agent, output, gated=gated, short=short)
            yield self._soon()
            if not short:
                return task, output
        raise AssertionError("an agent never ends")

    def _write(self, task: Task, step: str, playbook: str, agent: str, *, short: bool) -> Output:
        rng = self.rng
        faults = frozenset(name for name, rate in FAULTS.items() if rng.random() < rate * AGENTS[agent])
        if task.cursor.findings and rng.random() < 0.85:
            faults = frozenset()  # told what is wrong, agents mostly mend it
        words = [rng.choice(TALK) for _ in range(20 if short else rng.randrange(80, 140))]
        lines = [" ".join(words[place : place + 10]) + "." for place in range(0, len(words), 10)]
        marks = [*sorted(faults & MARKS.keys()), *(["guarantee"] if rng.random() < 0.1 else [])]
        for mark in marks:
            lines.insert(rng.randrange(len(lines) + 1), MARKS[mark])
        output = Output(f"# About {task.id[-6:]}\n\n" + "\n".join(lines) + "\n", faults)
        if playbook == "patch":
            path = f"docs/page-{rng.randrange(40)}.md"
            place = rng.randrange(60)
            page = self.pages[task.id][path].decode().splitlines()
            page[place] = " ".join(words[:10]) + "".join(f" {MARKS[mark]}" for mark in marks)
            output.files = {path: "\n".join(page).encode() + b"\n"}
            output.text = f"Changed line {place}: {page[place]}\n"
        elif step == "write" and playbook in ("article", "brief"):
            output.files = {f"content/{slug_of(task.id)}-{task.id[-6:]}.md": output.text.encode()}
        return output

    def _claim(self, task: Task, step: str, playbook: str, agent: str | None, mode: str) -> Task:
        attempt = task.cursor.attempts.get(step, 0) + 1
        self.begun[task.id] = self.writer.tip
        if playbook == "patch" and agent is not None:
            self.pages[task.id] = {path: data for path, data in self.writer.main.items() if path.startswith("docs/")}
        claim = Claim(nonce=f"{self.rng.randrange(1 << 32):08x}", host="bench", until=self.now)
        event = self._event(
            EventKind.CLAIMED, State.ACTIVE, step=step, attempt=attempt, agent=agent, mode=mode, playbook=playbook,
            pin=self.pin, snapshot=self.writer.tip, claim=claim, model=f"{agent}-1" if agent else None,
            work=Work(base=self.writer.tip),
        )  # fmt: skip
        return self.writer.event(task, event)

    def _finish(self, task: Task, step: str, agent: str, output: Output, *, gated: bool, short: bool) -> Task:
        data = output.text.encode()
        n = task.n + 1
        output.n = n
        work = None
        if output.files and not short:
            base = self.begun[task.id]
            output.head = self.writer.work(task.id, base, output.files, self.now)
            work = Work(base=base, head=output.head, files=tuple(output.files))
        status = GateStatus.FAIL if short else GateStatus.PASS
        gates = (GateResult(name="word_count", kind="word_count", status=status, message="", version="bench"),)
        cost = round(self.rng.uniform(0.002, 0.02), 4)
        event = self._event(
            EventKind.FINISHED, State.QUEUE, step=step, attempt=task.cursor.attempts[step], agent=agent,
            model=f"{agent}-1", outcome=Outcome.FAILED if short else Outcome.PASSED,
            failure=Failure.GATE if short else None, message="20 words found; at least 60" if short else None,
            findings=(Finding(source="gate:word_count", text="too short"),) if short else (),
            output=f"{_runs(task)}/{n:03d}-output.md", output_blob=blob_id(data),
            prompt=f"{_runs(task)}/{n:03d}-prompt.md", prompt_hash=f"{self.rng.randrange(1 << 64):016x}",
            usage=Usage(**{"in": 900, "out": 300, "cost": cost}), gates=gates if gated else (), work=work,
            wall=round(self.rng.uniform(5, 90), 1), fingerprint=f"{self.rng.randrange(1 << 32):08x}",
        )  # fmt: skip
        self.attempts += 1
        self.faults[task.id, n] = output.faults
        prompt = f"Write.\n\n{task.document.text}\n".encode()
        return self.writer.event(task, event, files={"output.md": data, "prompt.md": prompt})

    def _review(self, task: Task, output: Output) -> Iterator[Any]:
        task = self._claim(task, "approve", str(task.cursor.playbook), None, "first")
        yield self._soon()
        base = task.cursor.base or self.writer.tip
        head = output.head or base
        review = ReviewState(step="approve", branch=branch(task.id), head=head, base=base, opened=self.now)
        event = self._event(EventKind.REVIEW_OPENED, State.REVIEW, step="approve", review=review)
        return self.writer.event(task, event)

    # -- people -------------------------------------------------------------------------------------------------

    def _word(self, task: Task, output: Output, playbook: str) -> Iterator[Any]:
        """What a person does with an output under review; (task, whether its road ends)."""
        rng = self.rng
        bad = output.faults if rng.random() < 0.96 else frozenset()  # people overlook things
        if not bad and rng.random() < 0.03:
            bad = frozenset({"tone"})  # and have moods
        key = (task.id, output.n)
        if not bad or (output.files and playbook != "memo" and rng.random() < 0.25):
            return (yield from self._take(task, output, playbook, bad))
        self.truth[key] = "rejected"
        words = "; ".join(WORDS[each] for each in sorted(bad)) if rng.random() < 0.7 else VAGUE
        return (yield from self._refuse(task, playbook, words))

    def _take(self, task: Task, output: Output, playbook: str, bad: frozenset[str]) -> Iterator[Any]:
        """Lands it, mended where it is bad."""
        rng, who = self.rng, self.rng.choice(PEOPLE)
        key = (task.id, output.n)
        self.truth[key] = "edited" if bad else "accepted"
        if playbook == "memo":
            event = self._event(
                EventKind.FEEDBACK, State.QUEUE, step="approve", outcome=Outcome.PASSED, by=who, via=Via.CLI
            )
            return self.writer.event(task, event, author=who), True
        before = {path: self.writer.main.get(path) for path in output.files}
        files = {path: self._mended(path, output, bad) for path in output.files}
        title = f"About {task.id}"
        if not bad and rng.random() < 0.6:
            message = f"Merge {branch(task.id)}: {title}\n\nHqd-Work: {task.id}\n"
            commit, via = self.writer.merge(files, output.head, message, self.now, who), Via.CLI
        else:
            commit, via = self.writer.commit(files, f"{title}\n", self.now, who), Via.GIT
        by = who if via is Via.CLI else "git"
        event = self._event(EventKind.LANDED, State.QUEUE, step="approve", landed=commit, by=by, via=via)
        task = self.writer.event(task, event, author=who)
        self.coming.append((rng.uniform(0.1, 10) * DAY, self._later(key, files, before, commit, output)))
        yield self._soon()
        return task, True

    def _mended(self, path: str, output: Output, bad: frozenset[str]) -> bytes:
        """The file as it lands: on a page that others edit too, only our line; where bad, mended by a person."""
        marks = [MARKS[fault] for fault in bad if MARKS.get(fault, "\0") in output.text]
        if not path.startswith("docs/"):
            text = output.files[path].decode()
            for mark in marks:
                text = text.replace(f"{mark}\n", "")
            return (_reworded(text) if bad and not marks else text).encode()
        place, line = _changed_line(output.text)
        for mark in marks:
            line = line.replace(f" {mark}", "")
        page = self.writer.main[path].decode().splitlines()
        page[place] = f"In other words: {line[:20]}" if bad and not marks else line
        return "\n".join(page).encode() + b"\n"

    def _refuse(self, task: Task, playbook: str, words: str) -> Iterator[Any]:
        rng, who = self.rng, self.rng.choice(PEOPLE)
        way = rng.random()
        finding = Finding(source=f"human:{who}", text=words, step="approve")
        if way < 0.65:
            event = self._event(
                EventKind.FEEDBACK, State.QUEUE, step="write", findings=(finding,), children=("write",), by=who,
                via=rng.choice((Via.CLI, Via.FORGE)),
            )  # fmt: skip
            return self.writer.event(task, event, author=who), False
        if way < 0.80:
            event = self._event(EventKind.DROPPED, State.DROPPED, message=words, by=who, via=Via.FILES)
            return self.writer.event(task, event, author=who), True
        via = Via.GIT if way > 0.95 else Via.CLI
        event = self._event(
            EventKind.PARKED, State.BLOCKED, step="approve", reason=ParkReason.REVIEW_REJECTED,
            missing=f"{who} rejected it: {words}", findings=(finding,), by=who if via is Via.CLI else "git", via=via,
        )  # fmt: skip
        task = self.writer.event(task, event, author=who)
        yield rng.uniform(600, DAY)
        if rng.random() < 0.5:
            event = self._event(EventKind.DROPPED, State.DROPPED, by=who, via=Via.CLI)
            return self.writer.event(task, event, author=who), True
        event = self._event(EventKind.RESUMED, State.QUEUE, step="write", items=("write",), by=who, via=Via.CLI)
        return self.writer.event(task, event, author=who), False

    def _later(
        self, key: tuple[str, int], landed: dict[str, bytes], before: dict[str, bytes | None], commit: str,
        output: Output,
    ) -> Iterator[float]:  # fmt: skip
        """What becomes of landed work: mostly nothing."""
        rng, who = self.rng, self.rng.choice(PEOPLE)
        chance = rng.random()
        if any(self.writer.main.get(path) != data for path, data in landed.items()):
            return  # somebody else has been here
        path, data = next(iter(landed.items()))
        if chance < 0.03 or (output.faults and chance < 0.4):
            message = f'Revert "About {key[0]}"\n\nThis reverts commit {commit}.\n'
            self.writer.commit(before, message if rng.random() < 0.7 else "Take it back\n", self.now, who)
            self.truth[key] = "rejected"
            if rng.random() < 0.1:
                yield rng.uniform(0.1, 2) * DAY
                if all(self.writer.main.get(path) == old for path, old in before.items()):
                    self.writer.commit(dict(landed), "Put it in again after all\n", self.now, who)
                    self.truth[key] = "edited" if output.faults and _differs(landed, output) else "accepted"
        elif chance < 0.06:
            lines = data.decode().splitlines()
            place = _own_line(path, output, lines)
            lines[place] = f"A person wrote this line {rng.randrange(1 << 30)}."
            self.writer.commit({path: "\n".join(lines).encode() + b"\n"}, "Better words\n", self.now, who)
            self.truth[key] = "edited"
        elif chance < 0.12:
            self.writer.commit({path: data + b"See also the next page.\n"}, "A pointer\n", self.now, who)
        elif chance < 0.15:
            yield LABEL_DAYS * DAY
            if all(self.writer.main.get(path) == data for path, data in landed.items()):
                self.writer.commit(before, "Out of date by now\n", self.now, who)

    # -- small things -------------------------------------------------------------------------------------------

    def _say(self, task: Task, kind: EventKind, to: State) -> Task:
        return self.writer.event(task, self._event(kind, to))

    def _event(self, kind: EventKind, to: State, **fields: Any) -> Event:
        return Event(event=kind, to=to, at=self.now, **fields)

    def _soon(self) -> float:
        return self.rng.uniform(5, 120)


def _runs(task: Task) -> str:
    from hqd.codec.layout import runs_folder

    return runs_folder(task.id)


def _changed_line(text: str) -> tuple[int, str]:
    head, _, line = text.partition(": ")
    return int(head.removeprefix("Changed line ")), line.rstrip("\n")


def _own_line(path: str, output: Output, lines: list[str]) -> int:
    return _changed_line(output.text)[0] if path.startswith("docs/") else min(3, len(lines) - 1)


def _reworded(text: str) -> str:
    """A person's other words for one line of ours."""
    lines = text.splitlines()
    lines[2] = "In the words of a person."
    return "\n".join(lines) + "\n"


def _differs(landed: dict[str, bytes], output: Output) -> bool:
    return any(data != output.files[path] for path, data in landed.items())
