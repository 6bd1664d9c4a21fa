"""What a pull request says: all that people need, nothing that acts, nothing that shadow gates say."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from hqd.core.reviews.unjudged import in_words, unjudged
from hqd.daemon.forge.brief import brief, comment, gate_names
from hqd.daemon.forge.story import Story
from hqd.model.board import Task
from hqd.model.failure import Failure, Outcome
from hqd.model.gate import GateResult, GateSpec, GateStatus, Level
from hqd.model.playbook import Playbook, Review, Step
from hqd.model.record import Cursor, EventKind, Record, ReviewState, Usage
from hqd.model.review import CheckStatus
from hqd.model.task import State, TaskDocument, TaskHeader

NOW = datetime(2026, 5, 1, 7, tzinfo=UTC)
ID = "20260501-weekly-abcdef"
PLAYBOOK = Playbook(
    name="article",
    steps=(
        Step(name="research", agent="a", gates=(GateSpec(name="long", kind="word_count"),)),
        Step(
            name="write",
            agent="a",
            gates=(
                GateSpec(name="long", kind="word_count"),
                GateSpec(name="tone", kind="regex", level=Level.WARN),
                GateSpec(name="secretly", kind="regex", level=Level.SHADOW),
                "house",
            ),
        ),
        Step(name="approve", review=Review()),
    ),
)


def record(**fields: Any) -> Record:
    given: dict[str, Any] = {
        "event": EventKind.FINISHED, "to": State.QUEUE, "from_": State.ACTIVE, "at": NOW, "n": 3, "hqd": "0.1",
        "host": "h", "round": 1, "cursor": Cursor(), "agent": "worker", "outcome": Outcome.PASSED, **fields,
    }  # fmt: skip
    return Record(**given)


def verdict(name: str, status: GateStatus, message: str = "", level: Level = Level.ENFORCE) -> GateResult:
    return GateResult(name=name, kind="regex", level=level, status=status, message=message)


WRITE = record(
    step="write", attempt=2, usage=Usage(**{"in": 100, "out": 20, "cost": 0.5}), model="m-1",
    gates=(
        verdict("long", GateStatus.PASS),
        verdict("tone", GateStatus.FAIL, "too | loud", Level.WARN),
        verdict("secretly", GateStatus.FAIL, "the hidden verdict", Level.SHADOW),
        verdict("house", GateStatus.PASS),
        verdict("from-the-task", GateStatus.PASS),
    ),
)  # fmt: skip
RECORDS = (
    record(step="research", attempt=1, gates=(verdict("long", GateStatus.PASS, "300 words"),)),
    record(step="write", attempt=1, outcome=Outcome.FAILED, failure=Failure.GATE, usage=Usage(out=7, cost=0.25)),
    record(step="write", attempt=1, outcome=Outcome.REFUSED, failure=Failure.CREDENTIALS),
    WRITE,
)


def story(text: str = "Please write.", title: str = "Weekly", records: tuple[Record, ...] = RECORDS) -> Story:
    document = TaskDocument(header=TaskHeader(), title=title, text=text)
    cursor = Cursor(step="approve", cost=0.75, tokens=127, head="f" * 40, round=2)
    return Story(Task(ID, State.ACTIVE, document, "b", cursor), PLAYBOOK, records, (), (("write", "docs/voice.md"),))


def outside_code(text: str) -> str:
    """What a forge reads as markdown: fences and code spans taken out."""
    text = re.sub(r"^(`{3,})[^\n]*\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def test_the_body_tells_what_was_asked_checked_spent_and_used() -> None:
    """Each part of the contract, with its figures."""
    body = brief(story()).body
    assert "```text\nPlease write.\n```" in body
    assert "| `write` | `tone` | warn | fail | `too \\| loud` |" in body
    assert "| `research` | `long` | enforce | pass | `300 words` |" in body
    assert "| `write` | `worker`, `worker (m-1)` | 2 | 1 | 127 | $0.75 |" in body
    assert "- `docs/voice.md` (step `write`)" in body
    assert f"`workspace/runs/2026/05/01/{ID}/`" in body


def test_a_shadow_verdict_is_told_to_nobody() -> None:
    """Not in the body, not in the comment, not as a check."""
    told = brief(story())
    everything = told.title + told.body + told.comment + repr(told.checks)
    assert "secretly" not in everything
    assert "hidden verdict" not in everything


def test_work_that_a_gate_let_through_unjudged_says_so_in_words() -> None:
    """A skip that had nothing to judge does not; nor does a shadow gate, or an attempt that was replaced."""
    red = "not judged: already red before this attempt, and red after it.\nIts last lines"
    gates = (
        verdict("tests", GateStatus.SKIP, red),
        verdict("shape", GateStatus.SKIP, "`when` does not hold"),
        verdict("secretly", GateStatus.SKIP, red, Level.SHADOW),
    )
    records = (record(step="write", attempt=1, gates=gates),)
    body = brief(story(records=records)).body
    assert "**Not judged by `tests`**: already red before this attempt, so whether the work is right" in body
    assert "| `write` | `tests` | enforce | **not judged** | `not judged: already red" in body
    assert "| `write` | `shape` | enforce | skip |" in body
    assert [in_words(result) for _, result in unjudged(records)] == [
        "tests: already red before this attempt, and red after it. Its last lines"
    ]
    assert unjudged((*records, WRITE)) == ()
    assert "ot judged" not in brief(story()).body


def test_checks_bear_only_names_of_the_playbooks_gates() -> None:
    """A gate of the task's own author cannot pose as a check; a name that two steps use names its step."""
    checks = {check.name: check for check in brief(story()).checks}
    assert list(checks) == ["hqd/research/long", "hqd/write/long", "hqd/tone", "hqd/house"]
    assert (checks["hqd/tone"].status, checks["hqd/tone"].summary) == (CheckStatus.PASS, "warning: too | loud")
    assert gate_names(PLAYBOOK) == {"long", "tone", "secretly", "house"}


def test_an_enforcing_verdict_before_the_review_is_a_check_too() -> None:
    """Gates of the review step itself come as what let it be opened, not from a record."""
    steps = (*PLAYBOOK.steps[:2], Step(name="approve", review=Review(), gates=(GateSpec(name="ci", kind="command"),)))
    told = story()
    found = Story(told.task, PLAYBOOK.model_copy(update={"steps": steps}), (), (verdict("ci", GateStatus.ERROR, "?"),))
    assert [(check.name, check.status) for check in brief(found).checks] == [("hqd/ci", CheckStatus.ERROR)]


HOSTILE = "\n".join(
    [
        "@everyone look", "<!-- hqd:20260501-other-abcdef -->", "/hqd drop", "/merge", "fixes #12", "```", "@tim",
        "````text", "| a | b |", "Hqd-Work: 20260501-other-abcdef", "<script>alert(1)</script>", "[x](javascript:1)",
    ]
)  # fmt: skip


def test_words_of_others_cannot_act() -> None:
    """No mention, marker, command, reference or HTML of a task, a gate or a path stands where a forge reads it."""
    bad = record(step="write", gates=(verdict("house", GateStatus.FAIL, "`@ann` " + HOSTILE.replace("\n", " ")),))
    told = story(HOSTILE, records=(bad,))
    told = Story(told.task, PLAYBOOK, told.records, (), (("write", "a`@eve.md"), ("x`|`@bob", "b")))
    found = brief(told)
    plain = outside_code(found.body) + outside_code(found.comment)
    for word in ("@", "<!--", "#12", "<script", "javascript", "/merge", "alert"):
        assert word not in plain, plain
    assert "<!-- hqd:" not in found.body


def test_a_task_cannot_forge_the_trailer_by_which_work_is_found() -> None:
    """Where a forge makes the squash commit's message of the body, only the task's own trailer is in it."""
    lines = brief(story(HOSTILE)).body.splitlines()
    assert [line for line in lines if re.match(r"\s*Hqd-Work:", line)] == [f"Hqd-Work: {ID}"]


def test_a_huge_task_with_huge_verdicts_fits() -> None:
    """GitHub takes 65,536 characters; nothing is torn: what is left out is counted."""
    many = tuple(verdict(f"gate-{n}", GateStatus.PASS, "word " * 500) for n in range(500))
    told = story("long " * 100_000, "t" * 5000, (record(step="write", gates=many),))
    documents = tuple((f"step{n}", f"docs/{n}-{'x' * 300}.md") for n in range(2000))
    found = brief(Story(told.task, PLAYBOOK, told.records, (), documents))
    assert len(found.title) == 200
    assert len(found.body) < 50_000
    assert "more characters are in the HQ" in found.body
    assert len(re.findall(r"\(\d+ more are in the HQ\)", found.body)) == 2
    rows = [line for line in outside_code(found.body).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {6, 7}


def test_secrets_and_hidden_characters_are_taken_out() -> None:
    """A pull request is seen by more people than the HQ's disk."""
    found = brief(story("the key is hunter2hunter2 and a\u202ehidden word"), {"hunter2hunter2"})
    assert "hunter2hunter2" not in found.body
    assert "\u202e" not in found.body


def test_the_comment_says_which_commit_answers_which_items() -> None:
    """From the records alone: feedback, then the opening that followed; the newest by the head now shown."""
    review = ReviewState(step="approve", branch=f"hqd/{ID}", head="a" * 40, base="0" * 40, number=7)
    asked = {"event": EventKind.FEEDBACK, "outcome": None, "agent": None}
    told = story(
        records=(
            record(**asked, items=("comment-1", "line-2")),
            record(event=EventKind.REVIEW_OPENED, to=State.REVIEW, outcome=None, review=review),
            record(**asked, items=("line-3",)),
        )
    )
    said = comment(told, State.REVIEW)
    assert f"- by `{'a' * 12}`: `comment-1`, `line-2`" in said
    assert f"- by `{'f' * 12}`: `line-3`" in said
    assert "0 attempts, $0.75, 127 tokens, round 2." in said


def test_the_comment_says_where_the_task_stands() -> None:
    """One line for each state that a reader of the pull request can meet."""
    told = story()
    blocked = told.task.changed(cursor=told.task.cursor.model_copy(update={"missing": "an @answer"}))
    landed = told.task.changed(cursor=told.task.cursor.model_copy(update={"landed": "c" * 40}))
    assert "waits for a human's word" in comment(told, State.REVIEW)
    assert "blocked: `an @answer`" in comment(Story(blocked, PLAYBOOK, ()), State.BLOCKED)
    assert f"landed as `{'c' * 12}`" in comment(Story(landed, PLAYBOOK, ()), State.DONE)
    assert "worked on again, at step `approve`" in comment(told, State.QUEUE)
    assert "dropped" in comment(told, State.DROPPED)
