"""Random events and random human acts against the tree: after each, folder, records and cursor agree.

The daemon's loop runs in this process, on real git; a failing seed replays.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hqd.codec import layout
from hqd.daemon.loop import Loop
from hqd.model.names import slug_of
from hqd.model.task import State
from tests.acceptance.oracle import judge
from tests.daemon.headquarters import SETTINGS, Headquarters, make, settle

GENERAL = """
name = "general"
[[steps]]
name = "shape"
gates = [{ kind = "non_empty", target = "task" }]
[[steps]]
name = "work"
agent = "worker"
gates = [{ kind = "word_count", min = 3 }]
on_fail = [{ retry = 1 }, { fresh = 1 }, { agent = "strong" }, "human"]
routes = [{ when = "attempt % 4 == 3", to = "work", max = 1 }]
[[steps]]
name = "polish"
agent = "strong"
"""
ARTICLE = """
name = "article"
accepts = { tags = ["article"] }
[[steps]]
name = "write"
agent = "worker"
deliver = "content/{{ task.slug }}.md"
gates = [{ kind = "word_count", min = 3 }]
[[steps]]
name = "approve"
review = { land = "on_merge", on_changes = "write" }
"""
ANSWERS = [
    {"agent": "worker", "attempt": 1, "step": "work", "answer": "short"},
    {"agent": "worker", "attempt": 2, "step": "work", "answer": "no"},
    {"agent": "worker", "attempt": 3, "step": "work", "answer": "third time a charm"},
    {"agent": "worker", "attempt": 5, "step": "work", "needs_human": "Which one?"},
    {"agent": "strong", "step": "work", "attempt": 4, "answer": "bad"},
    {"answer": "three good words"},
]


@dataclass
class World:
    """An HQ, its loop, a person with a die."""

    hq: Headquarters
    loop: Loop
    chance: random.Random
    journal: list[str] = field(default_factory=list)
    number: int = 0

    def name(self) -> str:
        self.number += 1
        return f"t{self.number}"

    def some(self, *states: State) -> str | None:
        """An open task in one of these states."""
        fits = [task.id for task in self.loop.live.tasks.values() if task.state in states]
        return self.chance.choice(sorted(fits)) if fits else None

    def path(self, task: str) -> Path:
        return self.hq.root / layout.task_path(task, self.loop.live.tasks[task].state)

    def git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.hq.root, env=self.hq.env, check=True, capture_output=True)

    # -- acts ---------------------------------------------------------------------------------------------

    def drop(self) -> None:
        for _ in range(self.chance.randint(1, 3)):
            name = self.name()
            tags = "---\ntags: [article]\n---\n" if self.chance.random() < 0.4 else ""
            folder = self.chance.choice(["", "", "general/"]) if not tags else ""
            self.hq.drop(f"{folder}{name}.md", f"{tags}# {name}\n\nDo it.\n")
            self.journal.append(name)

    def drop_by_commit(self) -> None:
        name = self.name()
        self.hq.drop(f"{name}.md", f"# {name}\n\nBy git.\n")
        self.git("add", "workspace/inbox")
        self.git("commit", "-qm", f"drop {name}", "--", "workspace/inbox")
        self.journal.append(name)

    def edit(self) -> None:
        task = self.some(State.QUEUE, State.REVIEW, State.BLOCKED)
        if task:
            with self.path(task).open("a") as file:
                file.write(f"\nand {self.chance.random()}\n")

    def edit_by_commit(self) -> None:
        task = self.some(State.REVIEW, State.BLOCKED)
        if task:
            self.edit_file(self.path(task))
            self.git("commit", "-qam", "an edit")

    def edit_file(self, path: Path) -> None:
        path.write_text(path.read_text() + f"\nmore {self.chance.random()}\n")

    def retry_by_move(self) -> None:
        task = self.some(State.BLOCKED)
        if task:
            self.path(task).rename(self.hq.root / f"workspace/queue/{task}.md")

    def retry_by_commit(self) -> None:
        task = self.some(State.BLOCKED)
        if task:
            self.git("mv", f"workspace/blocked/{task}.md", f"workspace/queue/{task}.md")
            self.git("commit", "-qm", "again")

    def cancel_by_move(self) -> None:
        task = self.some(State.BLOCKED, State.REVIEW)
        if task and self.chance.random() < 0.4:
            self.path(task).rename(self.hq.root / f"workspace/dropped/{task}.md")

    def cancel_by_deletion(self) -> None:
        task = self.some(State.BLOCKED, State.REVIEW)
        if task and self.chance.random() < 0.4:
            self.path(task).unlink()

    def senseless_move(self) -> None:
        task = self.some(State.REVIEW)
        if task:
            self.path(task).rename(self.hq.root / f"workspace/blocked/{task}.md")

    def answer_in_the_note(self) -> None:
        task = self.some(State.BLOCKED)
        if task:
            note = self.hq.root / f"workspace/blocked/{task}.note.md"
            note.write_text(note.read_text() + "\nthe second one\n")

    def word(self) -> None:
        words: list[tuple[str, State, dict[str, str]]] = [
            ("retry", State.BLOCKED, {}),
            ("retry", State.BLOCKED, {"from": "work"}),
            ("drop", State.BLOCKED, {}),
            ("answer", State.BLOCKED, {"text": "the first"}),
            ("approve", State.REVIEW, {}),
            ("approve", State.REVIEW, {}),
            ("request-changes", State.REVIEW, {"message": "louder"}),
            ("reject", State.REVIEW, {"message": "no"}),
        ]
        word, state, fields = self.chance.choice(words)
        task = self.some(state)
        if task:
            self.hq.ask(self.loop, word, task, **fields)

    def merge_by_hand(self) -> None:
        task = self.some(State.REVIEW)
        if task:
            way = self.chance.choice([["--no-ff", "-m", "merged"], ["--squash"]])
            self.git("merge", "-q", *way, f"hqd/{task}")
            if way == ["--squash"]:
                self.git("commit", "-qm", "squashed")

    def own_work(self) -> None:
        self.hq.write(f"notes/{self.name()}.md", "mine\n")
        if self.chance.random() < 0.5:
            self.loop.turn()
            self.git("add", "--sparse", "notes")
            self.git("commit", "-qm", "notes", "--", "notes")

    def stash(self) -> None:
        self.hq.write("README.md", f"{self.chance.random()}\n")
        self.git("add", "README.md")
        self.git("stash", "push", "-q")
        self.loop.turn()
        self.git("stash", "pop", "-q", "--index")
        self.git("commit", "-qm", "readme", "--", "README.md")

    def away_and_back(self) -> None:
        self.git("checkout", "-q", "-B", "side")
        self.loop.turn()
        assert self.loop.live.busy == "branch"
        self.git("checkout", "-q", "main")

    def pause(self) -> None:
        self.hq.ask(self.loop, "pause")
        self.drop()
        self.loop.turn()
        self.hq.ask(self.loop, "resume")


ACTS: list[tuple[int, Callable[[World], None]]] = [
    (5, World.drop),
    (1, World.drop_by_commit),
    (2, World.edit),
    (1, World.edit_by_commit),
    (2, World.retry_by_move),
    (2, World.retry_by_commit),
    (1, World.cancel_by_move),
    (1, World.cancel_by_deletion),
    (1, World.senseless_move),
    (1, World.answer_in_the_note),
    (6, World.word),
    (2, World.merge_by_hand),
    (1, World.own_work),
    (1, World.stash),
    (1, World.away_and_back),
    (1, World.pause),
]


def live_through(tmp_path: Path, seed: int, acts: int) -> None:
    """So many random acts, with a daemon that is restarted now and then; judged after each."""
    chance = random.Random(seed)
    hq = make(tmp_path, SETTINGS, general=GENERAL, article=ARTICLE)
    hq.answers(*ANSWERS)
    hq.commit()
    journal: list[str] = []
    done, story = 0, []
    while done < acts:
        with hq.daemon() as loop:
            world = World(hq, loop, chance, journal, number=1000 * done)
            for _ in range(min(chance.randint(4, 10), acts - done)):
                done += 1
                (act,) = chance.choices([each for _, each in ACTS], [weight for weight, _ in ACTS])
                story.append(act.__name__)
                act(world)
                settle(loop)
                records = judge(hq, journal, clean=False)
                _board_is_the_tree(loop, {task: each[-1].n for task, each in records.items()})
    assert {slug_of(task) for task in records} == set(journal), story


def _board_is_the_tree(loop: Loop, newest: dict[str, int]) -> None:
    """What the daemon keeps in memory is what a fresh reading of main gives."""
    reading = loop.book.read(loop.parts.ledger.snapshot())
    assert loop.live.tasks.keys() == reading.tasks.keys()
    for task, known in loop.live.tasks.items():
        read = reading.tasks[task]
        assert (known.state, known.n, known.blob, known.cursor) == (read.state, read.n, read.blob, read.cursor), task
        assert known.n == newest[task]


@pytest.mark.parametrize("seed", range(2))
def test_random_acts_keep_folder_records_and_cursor_in_step(tmp_path: Path, seed: int) -> None:
    live_through(tmp_path, seed, acts=16)


@pytest.mark.crash
@pytest.mark.parametrize("seed", range(100, 120))
def test_many_random_acts(tmp_path: Path, seed: int) -> None:
    live_through(tmp_path, seed, acts=60)
