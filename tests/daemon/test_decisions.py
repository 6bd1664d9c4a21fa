"""Decisions by the real daemon: recorded by an agent, filed with accepted work, and held against later tasks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hqd import bootstrap
from hqd.cli.apply import apply
from hqd.cli.board.show import show
from hqd.cli.board.status import status
from hqd.cli.call import Call
from hqd.cli.check import check
from hqd.codec.decision import read_decision
from hqd.model.decision import Decision
from hqd.model.failure import Failure, ParkReason
from hqd.model.gate import GateStatus
from tests.daemon.headquarters import GENERAL, SETTINGS, Headquarters, make, only, settle
from tests.daemon.test_context import manifests, prompt, rebuilt

PICKED = SETTINGS.replace(
    'answers = "answers.jsonl"',
    'answers = "answers.jsonl"\npick = "row.match is not defined or row.match == task.slug"',
)
SETTLES = """The units are settled now.

## Decisions

### Lengths are in metres
- topic: units
- tags: [units]
- check: { kind = "must_not_include", values = ["feet"] }
- why: Our readers are European.

Every length is given in metres.
"""
LAX = GENERAL.replace("[[steps]]", 'on_fail = ["human"]\n[[steps]]')


def decisions(hq: Headquarters) -> list[Decision]:
    """The decisions on main, by path."""
    names = hq.git("ls-tree", "--name-only", "main", "workspace/decisions/").splitlines()
    found = []
    for name in names:
        if name.endswith(".md"):
            decision, problems = read_decision((hq.git("show", f"main:{name}") + "\n").encode(), name)
            assert decision is not None, problems
            found.append(decision)
    return found


def work(hq: Headquarters, *names: str) -> None:
    """Drops tasks and lets the daemon go idle."""
    for name in names:
        hq.drop(name, f"# Task {name}\n\nWrite about {name}.\n")
    with hq.daemon() as loop:
        settle(loop)


def task_of(hq: Headquarters, slug: str) -> str:
    """The id of a task, wherever it is."""
    found = [path.name for path in (hq.root / "workspace").rglob(f"*-{slug}-*.md")]
    return next(name[:-3] for name in found if not name.endswith((".note.md", ".result.md")))


@pytest.fixture
def hq(tmp_path: Path) -> Headquarters:
    made = make(tmp_path, settings=PICKED, general=LAX)
    made.answers({"answer": SETTLES, "match": "three"}, {"answer": "It is 300 feet long.", "match": "forty-seven"},
                 {"answer": "It is 90 metres long."})  # fmt: skip
    made.commit()
    return made


def test_a_later_task_that_contradicts_a_decision_is_stopped_and_told_which_commit(hq: Headquarters) -> None:
    work(hq, "three.md")
    three = task_of(hq, "three")
    (decision,) = decisions(hq)
    assert (decision.task, decision.step, decision.topic, decision.playbooks) == (three, "work", "units", ("general",))
    assert decision.decision == "Every length is given in metres."
    assert decision.commit is not None
    assert hq.git("merge-base", "--is-ancestor", decision.commit, "main") == ""
    work(hq, "forty-seven.md", "forty-eight.md")
    (commit,) = hq.git("log", "--format=%H", "main", "--", "workspace/decisions/D-*").split()
    last = hq.records(task_of(hq, "forty-seven"))[-2]
    (gate,) = [result for result in last.gates if result.name == f"decision:{decision.id}"]
    assert (last.failure, gate.status) == (Failure.GATE, GateStatus.FAIL)
    assert three in gate.message
    assert commit[:12] in gate.message
    assert "given in metres" in last.findings[0].text
    assert hq.records(task_of(hq, "forty-eight"))[-1].event.value == "done"
    (accepted,) = hq.git("log", "--format=%(trailers:key=Hqd-Event,valueonly)", "-1", commit).split()
    assert accepted == "done"
    assert hq.clean() == ""


MEASURES = """
import json, os, pathlib, sys
print("fetched: ## Decisions\\n\\n## Decisions\\n\\n- Whoever is quoted here decides nothing")
said = {"decisions": [{"title": "Metres", "decision": "Lengths are in metres.", "topic": "units", "steps": ["measure"],
                       "check": {"kind": "must_not_include", "values": sys.argv[1:]}}, "Nothing is measured twice."],
        "usage": {"cost_usd": 0.25}}
pathlib.Path(os.environ["HQD_OUTPUT"]).write_text(json.dumps(said))
"""


def test_a_program_settles_what_it_says_by_its_file_and_not_what_it_prints(hq: Headquarters) -> None:
    """Its own word is kept with its output and cost; a decision that names a run step is held against its output."""
    argv = f'["{sys.executable}", "bin/measure.py", "{{{{ task.slug }}}}", "fetched"]'
    hq.write("playbooks/general.toml", f'name = "general"\n[[steps]]\nname = "measure"\nrun = {{ argv = {argv} }}\n')
    hq.write("bin/measure.py", MEASURES)
    hq.commit()
    work(hq, "three.md")
    three = task_of(hq, "three")
    assert [(each.decision, each.task, each.step) for each in decisions(hq)] == [
        ("Lengths are in metres.", three, "measure"), ("Nothing is measured twice.", three, "measure"),
    ]  # fmt: skip
    finished = next(record for record in hq.records(three) if record.outcome is not None)
    assert hq.git("show", f"main:{finished.output}").startswith("fetched: ## Decisions")
    assert finished.usage is not None
    assert finished.usage.cost == 0.25
    work(hq, "four.md")
    stopped = hq.records(task_of(hq, "four"))[-2]
    assert (stopped.failure, "Lengths are in metres" in stopped.findings[0].text) == (Failure.GATE, True)


@pytest.mark.parametrize(
    ("said", "reason", "told"),
    [
        ('{"decisions": [{"title": "X", "check": {"kind": "nothing_like_it"}}]}', "ladder_exhausted", "no gate kind"),
        ('{"needs_human": "Which harbour?"}', "needs_human", "Which harbour?"),
        ("[]", "ladder_exhausted", "HQD_OUTPUT does not hold a JSON object"),
    ],
)
def test_what_a_program_says_by_its_file_is_heard_as_an_agents_word(
    hq: Headquarters, said: str, reason: str, told: str
) -> None:
    argv = """['sh', '-c', 'printf %s "$SAID" > "$HQD_OUTPUT"']"""
    step = f"run = {{ argv = {argv}, env = {{ SAID = {json.dumps(said)} }} }}"
    hq.write("playbooks/general.toml", f'name = "general"\non_fail = ["human"]\n[[steps]]\nname = "act"\n{step}\n')
    hq.commit()
    work(hq, "three.md")
    parked = hq.records(task_of(hq, "three"))[-1]
    assert (parked.reason and parked.reason.value, told in (parked.missing or "")) == (reason, True), parked.missing


def test_rejected_work_leaves_no_decision(hq: Headquarters) -> None:
    hq.answers({"answer": SETTLES + "too many words here", "match": "three"})
    hq.write("playbooks/general.toml", LAX.replace("min = 3", "max = 3"))
    hq.commit()
    work(hq, "three.md")
    assert task_of(hq, "three") + ".md" in hq.folder("blocked")
    assert decisions(hq) == []


REVIEWED = """
name = "general"
[[steps]]
name = "write"
agent = "worker"
deliver = "content/{{ task.slug }}.md"
[[steps]]
name = "approve"
review = { land = "on_merge" }
"""


@pytest.mark.parametrize("word", ["approve", "reject"])
def test_with_a_review_decisions_are_filed_when_the_work_lands(hq: Headquarters, word: str) -> None:
    hq.write("playbooks/general.toml", REVIEWED)
    hq.commit()
    hq.drop("three.md")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        assert task.state.value == "review"
        assert decisions(hq) == []
        fields = {"text": "no"} if word == "reject" else {}
        assert hq.ask(loop, word, task.id, **fields).ok
        settle(loop)
    if word == "reject":
        assert decisions(hq) == []
        return
    (decision,) = decisions(hq)
    landed = next(record for record in hq.records(task.id) if record.event.value == "landed")
    assert decision.commit == landed.landed
    (commit,) = hq.git("log", "--format=%H", "main", "--", "workspace/decisions/D-*").split()
    assert "Hqd-Event: landed" in hq.git("show", "-s", "--format=%B", commit)


def other(said: str, **more: Any) -> dict[str, Any]:
    return {
        "answer": "Some words on it.",
        "decisions": [{"title": "Units", "topic": "Units", "decision": said, **more}],
    }


def test_what_contradicts_a_decision_is_parked_with_both_texts_until_a_person_chooses(hq: Headquarters) -> None:
    hq.answers({"answer": SETTLES, "match": "three"}, other("Every length is given in feet."))
    hq.commit()
    work(hq, "three.md")
    hq.drop("four.md")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        assert task.cursor.reason is ParkReason.DECISION
        note = hq.git("show", f"main:workspace/blocked/{task.id}.note.md")
        assert "given in feet" in note
        assert "given in metres" in note
        assert "## Answer" not in note, "an edit decides here, and an answer is refused"
        assert "by an edit, as it says above. Then `hqd retry four`" in note
        (first,) = decisions(hq)
        text = (hq.root / f"workspace/blocked/{task.id}.md").read_text()
        hq.write(f"workspace/blocked/{task.id}.md", f"---\nsupersedes: {first.id}\n---\n{text}")
        settle(loop, lambda: only(loop).document.header.extra == {"supersedes": first.id})
        assert hq.ask(loop, "retry", task.id).ok
        settle(loop)
        assert not loop.live.tasks
        assert [each.decision for each in loop.live.settled.decisions] == ["Every length is given in feet."]
    events = hq.events(task.id)
    assert events.count("finished") == 1, "nothing is done again"
    assert events[-1] == "done"
    assert {each.decision for each in decisions(hq)} == {
        "Every length is given in metres.", "Every length is given in feet."
    }  # fmt: skip


def test_two_tasks_that_end_together_do_not_both_settle_one_topic(hq: Headquarters) -> None:
    hq.answers({**other("In metres."), "match": "one"}, {**other("In feet."), "match": "two"})
    hq.commit()
    hq.drop("one.md")
    hq.drop("two.md")
    with hq.daemon() as loop:
        settle(loop)
        assert only(loop).cursor.reason is ParkReason.DECISION
    assert len(decisions(hq)) == 1


def test_a_task_that_contradicts_itself_is_parked_or_told_before_anything_is_filed(hq: Headquarters) -> None:
    """Two steps: a person says which decides anew. One answer: the agent mends it."""
    first = '[[steps]]\nname = "plan"\nagent = "worker"\n[[steps]]'
    hq.write("playbooks/general.toml", LAX.replace("[[steps]]", first, 1))
    by_step = "row.match == ('work' if outputs.plan is defined else 'plan')"
    hq.write("hqd.toml", PICKED.replace("row.match is not defined or row.match == task.slug", by_step))
    rows: list[dict[str, Any]] = [{**other("In metres."), "match": "plan"}, {**other("In feet."), "match": "work"}]
    hq.answers(*rows)
    hq.commit()
    hq.drop("four.md")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        assert task.cursor.reason is ParkReason.DECISION
        note = hq.git("show", f"main:workspace/blocked/{task.id}.note.md")
        assert "step plan decided: In metres. But step work of the same task says: In feet." in note
        rows[1]["decisions"].append({"title": "More", "topic": "units", "decision": "In miles."})
        hq.answers(*rows)
        assert hq.ask(loop, "retry", task.id, **{"from": "work"}).ok
        settle(loop)
        failed = next(each for each in reversed(hq.records(task.id)) if each.outcome is not None)
        assert failed.failure is Failure.MALFORMED
        assert "More: contradicts Units, on the same topic 'Units': record one of them" in failed.findings[0].text
        hq.answers(rows[0], {"answer": "Some words on it.", "match": "work"})
        assert hq.ask(loop, "retry", task.id).ok
        settle(loop)
    assert [each.decision for each in decisions(hq)] == ["In metres."]


@pytest.mark.parametrize(
    ("decision", "told"),
    [
        ({"check": {"kind": "nonsense"}}, "there is no gate kind 'nonsense'"),
        ({"check": {"kind": "must_include", "valuez": ["x"]}}, "valuez"),
        ({"check": {"kind": "command", "argv": ["true"]}}, "only a person may write such a check"),
        ({"supersedes": ["D-none"]}, "there is no decision D-none"),
        ({"chek": {"kind": "must_include"}}, "did you mean check?"),
    ],
)
def test_a_decision_that_cannot_be_used_is_a_finding_for_the_agent(
    hq: Headquarters, decision: dict[str, Any], told: str
) -> None:
    hq.answers(other("In metres.", **decision))
    hq.commit()
    work(hq, "one.md")
    failed = hq.records(task_of(hq, "one"))[-2]
    assert failed.failure is Failure.MALFORMED
    assert told in failed.findings[0].text
    assert decisions(hq) == []


def test_a_persons_decision_counts_and_one_that_cannot_run_is_named_and_stops_nobody(hq: Headquarters) -> None:
    hq.write("workspace/decisions/tone.md", "---\ntopic: tone\ncheck: {kind: must_include, values: [please]}\n---\n"
             "# We are polite\n\nEvery text says please.\n")  # fmt: skip
    hq.write("workspace/decisions/broken.md", "---\ntopic: x\ncheck: {kind: nonsense}\n---\n# Broken\n\nNo.\n")
    hq.write("workspace/decisions/untidy.md", "---\nchek: 1\n---\n# Untidy\n\nNo.\n")
    hq.commit()
    hq.answers({"answer": "It is done, please look.", "match": "one"}, {"answer": "It is done now."})
    hq.commit()
    hq.drop("one.md")
    hq.drop("two.md")
    with hq.daemon() as loop:
        settle(loop)
        problems = {problem.path: problem.message for problem in loop.all_problems()}
    assert "this check cannot run" in problems["workspace/decisions/broken.md"]
    assert "unknown key" in problems["workspace/decisions/untidy.md"]
    assert hq.records(task_of(hq, "one"))[-1].event.value == "done"
    failed = hq.records(task_of(hq, "two"))[-2]
    assert [result.name for result in failed.gates if result.stops] == ["decision:tone"]
    assert "(We are polite; a person, commit " in failed.findings[0].text


def test_decisions_are_sent_newest_topic_first_and_never_two_answers_to_one_question(hq: Headquarters) -> None:
    rule = 'context = [{ decisions = { tags = ["voice"] } }]\n'
    hq.write("playbooks/general.toml", LAX.replace('agent = "worker"\n', 'agent = "worker"\n' + rule))
    folder = "workspace/decisions"
    for name, header, text in (
        ("old", "topic: tone\ntags: [voice]\nat: 2026-01-01", "# Formal\n\nWe are formal."),
        (
            "new",
            "topic: Tone\ntags: [voice]\nat: 2026-02-01",
            "# Friendly\n\nWe are friendly.\n\n## Why\n\nIt works.",
        ),
        ("first", "topic: names\ntags: [voice]", "# Names\n\nFirst names."),
        ("second", "topic: names\ntags: [voice]\nsupersedes: [first]", "# Names\n\nFamily names."),
        ("gone", "tags: [voice]\nstatus: withdrawn", "# Gone\n\nNothing."),
        ("other", "tags: [money]", "# Price\n\nIt is dear."),
    ):
        hq.write(f"{folder}/{name}.md", f"---\n{header}\n---\n{text}\n")
    hq.answers({"answer": "three good words"})
    hq.commit()
    work(hq, "one.md")
    task = task_of(hq, "one")
    (manifest,) = manifests(hq, task)
    said = {each["source"].rsplit("/", 1)[-1]: (each["status"], each["why"]) for each in manifest["sources"]}
    assert {name: status for name, (status, _why) in said.items()} == {
        "new.md": "kept", "second.md": "kept", "old.md": "dropped", "first.md": "dropped", "gone.md": "dropped"
    }  # fmt: skip
    assert "answers the same question (tone), and is newer" in said["old.md"][1]
    assert said["first.md"][1] == "superseded by second"
    assert said["gone.md"][1] == "it is withdrawn"
    sent = next(prompt(hq, record) for record in hq.records(task) if record.prompt)
    assert "We are friendly.\n\nWhy: It works." in sent
    assert "formal" not in sent
    assert rebuilt(hq, task) == 1


def test_check_and_show_name_decisions(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> None:
    """By file, line and key; beside the task that settled them."""
    work(hq, "three.md")
    task, (decision,) = task_of(hq, "three"), decisions(hq)
    hq.write("workspace/decisions/feet.md", "---\ntitle: Feet\ntopic: UNITS\n---\nIn feet.\n")
    hq.write("workspace/decisions/loose.md", "---\ncheck: {kind: nonsense}\n---\n# Loose\n")
    call = Call(hq.env, hq.root)
    assert check(call, (), as_json=False, schema_folder=None) == 1
    said = capsys.readouterr().out
    assert "topic: contradicts feet on the topic 'units'" in said
    assert "workspace/decisions/loose.md: check: this check cannot run: kind: there is no gate kind" in said
    assert "workspace/decisions/loose.md:1: topic: warning: no topic" in said
    assert show(call, task, as_json=True, attempt=None, file=None, step=None) == 0
    (row,) = json.loads(capsys.readouterr().out)["decisions"]
    assert (row["id"], row["in_force"]) == (decision.id, True)


def test_a_board_whose_decisions_were_checked_and_fit_does_not_load_all_gates_again(
    hq: Headquarters, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A faulty one is looked at anew each time, and what was remembered does not outlive an edit."""
    looked: list[int] = []
    registry = bootstrap.gate_registry

    def counted(*args: Any) -> Any:
        looked.append(1)
        return registry(*args)

    monkeypatch.setattr(bootstrap, "gate_registry", counted)

    def board() -> tuple[int, list[str]]:
        looked.clear()
        assert status(Call(hq.env, hq.root), as_json=True, everything=False, at=None) == 0
        problems = json.loads(capsys.readouterr().out)["problems"]
        return len(looked), [each["message"] for each in problems]

    hq.write(
        "workspace/decisions/feet.md", "---\ntopic: x\ncheck: {kind: must_include, values: [feet]}\n---\n# In feet\n"
    )
    hq.commit()
    board()
    assert board() == (0, [])
    hq.write("workspace/decisions/feet.md", "---\ntopic: x\ncheck: {kind: nonsense}\n---\n# In feet\n")
    hq.commit()
    for _time in range(2):
        times, (said,) = board()
        assert (times, "this check cannot run" in said) == (1, True)


def test_an_edit_of_a_decision_or_a_document_is_named_until_it_is_applied(
    hq: Headquarters, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a park asks a person to write into a decision is not in force by itself, and says so."""
    hq.write("workspace/decisions/feet.md", "# Feet\n\nIn feet.\n")
    hq.write("workspace/context/old.md", "Old.\n")
    hq.commit()
    hq.write("workspace/decisions/feet.md", "---\nstatus: withdrawn\n---\n# Feet\n\nIn feet.\n")
    hq.write("workspace/context/brand voice.md", "We whisper.\n")
    hq.write("workspace/context/.draft.md.swp", "no document")
    (hq.root / "workspace/context/old.md").unlink()
    call = Call(hq.env, hq.root)
    assert status(call, as_json=True, everything=False, at=None) == 0
    problems = json.loads(capsys.readouterr().out)["problems"]
    edited = {each["path"]: each["message"] for each in problems if "not on main" in each["message"]}
    assert {path: " ".join(text.split()[-8:-5]) for path, text in edited.items()} == {
        "workspace/decisions/feet.md": "modified in the",
        "workspace/context/brand voice.md": "added in the",
        "workspace/context/old.md": "deleted in the",
    }, edited
    assert apply(call, message=None, dry_run=False) == 0
    assert hq.git("show", "main:workspace/context/brand voice.md") == "We whisper."
    assert "withdrawn" in hq.git("show", "main:workspace/decisions/feet.md")
    assert hq.git("ls-tree", "--name-only", "main", "workspace/context/old.md") == ""
    assert status(call, as_json=True, everything=False, at=None) == 0
    assert "not on main" not in capsys.readouterr().out
