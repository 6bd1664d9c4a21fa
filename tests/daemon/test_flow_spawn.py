"""`spawn` steps through the daemon: children made, waited for, dropped, made anew, paid for by their parent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hqd.model.board import Task
from hqd.model.names import slug_of
from tests.daemon.headquarters import Headquarters, Loop, make, settle

PARENT = """
name = "report"
accepts = { tags = ["report"] }
[[steps]]
name = "plan"
agent = "worker"
output = { parts = "list[str]" }
[[steps]]
name = "parts"
spawn = { each = "outputs.plan.parts", playbook = "part", title = "Part {{ item }}", body = "Write on {{ item }}." }
[[steps]]
name = "merge"
agent = "worker"
prompt_text = "{% for part in children.parts %}{{ part.title }} is {{ part.state }}: {{ part.output }}\\n{% endfor %}"
"""
PART = """
name = "part"
[[steps]]
name = "write"
agent = "strong"
on_fail = ["human"]
gates = [{ kind = "word_count", min = 3 }]
"""
MERGED = {"step": "merge", "answer": "all of it merged"}


def reports(
    tmp_path: Path, parts: list[str], *rows: dict[str, object], spawn: str = "", settings: str = ""
) -> Headquarters:
    parent = PARENT.replace('." }', f'."{spawn} }}')
    hq = make(tmp_path, report=parent, part=PART)
    hq.write("hqd.toml", (hq.root / "hqd.toml").read_text() + settings)
    hq.answers({"step": "plan", "answer": json.dumps({"parts": parts})}, *rows, MERGED, {"answer": "three good words"})
    hq.commit()
    hq.drop("yearly.md", "---\ntags: [report]\n---\n# Yearly\n")
    return hq


def parent_of(loop: Loop) -> Task:
    return next(task for task in loop.live.tasks.values() if task.cursor.parent is None)


def children_of(loop: Loop) -> dict[str, Task]:
    return {task.document.title: task for task in loop.live.tasks.values() if task.cursor.parent is not None}


def ended(hq: Headquarters, slug: str) -> str:
    (found,) = [name[:-3] for name in (*hq.folder("done"), *hq.folder("dropped")) if slug_of(name[:-3]) == slug]
    return found


def test_children_are_made_and_what_they_come_to_is_merged(tmp_path: Path) -> None:
    hq = reports(tmp_path, ["north", "south"])
    with hq.daemon() as loop:
        settle(loop)
    assert not loop.live.tasks
    yearly = ended(hq, "yearly")
    merge = next(record for record in hq.records(yearly) if record.step == "merge" and record.prompt)
    prompt = hq.git("show", f"main:{merge.prompt}")
    assert "Part north is done: three good words" in prompt
    assert "Part south is done: three good words" in prompt
    accepted = hq.records(ended(hq, "part-north"))[0]
    assert (accepted.event.value, accepted.parent, accepted.source) == ("accepted", yearly, None)
    assert "Write on north." in next((hq.root / "workspace/done").rglob(f"{ended(hq, 'part-north')}.md")).read_text()
    assert hq.clean() == ""


def test_claim_children_and_end_are_commits_of_one_batch(tmp_path: Path) -> None:
    hq = reports(tmp_path, ["north", "south"])
    with hq.daemon() as loop:
        settle(loop)
    spawned = next(record for record in hq.records(ended(hq, "yearly")) if record.children)
    assert [slug_of(child) for child in spawned.children] == ["part-north", "part-south"]
    subjects = hq.git("log", "--format=%s", "--reverse").splitlines()
    begin = next(place for place, subject in enumerate(subjects) if "yearly: parts claimed" in subject)
    assert [subject.split(":")[1].strip() for subject in subjects[begin + 1 : begin + 4]] == [
        "part-north",
        "part-south",
        "yearly",
    ]


def test_a_blocked_child_is_shown_at_its_parent_and_its_retry_is_enough(tmp_path: Path) -> None:
    hq = reports(tmp_path, ["north", "south"], {"agent": "strong", "attempt": 1, "answer": "no"})
    with hq.daemon() as loop:
        settle(loop)
        parent, children = parent_of(loop), children_of(loop)
        assert parent.state.value == "queue"
        assert {child.state.value for child in children.values()} == {"blocked"}
        assert "0 of 2 done" in waits(loop, parent)
        assert "part-north (blocked: gate_failed" in waits(loop, parent)
        for child in children.values():
            assert hq.ask(loop, "retry", child.id).ok
        settle(loop)
    assert ended(hq, "yearly")
    assert hq.records(ended(hq, "yearly"))[-1].round == 1


def waits(loop: Loop, task: Task) -> str:
    from hqd.core.flow import next_move
    from hqd.model.board import Slots

    move = next_move(task, loop._board(Slots(), loop.parts.clock.now()), loop.parts.clock.now())
    return getattr(move, "missing", "")


def test_a_dropped_child_is_a_finding_and_a_retry_of_the_parent_makes_it_anew(tmp_path: Path) -> None:
    hq = reports(tmp_path, ["north", "south"], {"agent": "strong", "attempt": 1, "answer": "no"})
    with hq.daemon() as loop:
        settle(loop)
        first = children_of(loop)
        assert hq.ask(loop, "drop", first["Part north"].id, message="not wanted").ok
        settle(loop)
        parent = parent_of(loop)
        assert (parent.state.value, parent.cursor.reason.value) == ("blocked", "child_blocked")
        assert "not wanted" in parent.cursor.missing
        hq.answers({"agent": "strong", "answer": "three good words"}, MERGED)
        assert hq.ask(loop, "retry", parent.id).ok
        settle(loop, lambda: len(children_of(loop)) == 1)
        assert hq.ask(loop, "retry", first["Part south"].id).ok
        settle(loop)
    ids = [record.children for record in hq.records(ended(hq, "yearly")) if record.children]
    assert ids[0][1] == ids[1][1] == first["Part south"].id
    assert ids[0][0] != ids[1][0]
    assert not loop.live.tasks


def test_any_is_enough_where_it_is_said(tmp_path: Path) -> None:
    rows = ({"agent": "strong", "task": "none", "answer": "x"},)
    hq = reports(tmp_path, ["north", "south"], *rows, spawn=', need = "any"')
    text = (hq.root / "playbooks/part.toml").read_text()
    hq.write(
        "playbooks/part.toml", text.replace('agent = "strong"', 'ask = { question = "Well?" }').replace("gates", "#")
    )
    hq.write("playbooks/part.toml", (hq.root / "playbooks/part.toml").read_text().replace('on_fail = ["human"]', ""))
    hq.commit()
    with hq.daemon() as loop:
        settle(loop)
        children = children_of(loop)
        assert hq.ask(loop, "answer", children["Part north"].id, text="yes").ok
        settle(loop)
        assert list(children_of(loop)) == ["Part south"]
        assert ended(hq, "yearly")


def test_children_of_a_dropped_parent_go_with_it(tmp_path: Path) -> None:
    hq = reports(tmp_path, ["north", "south"], {"agent": "strong", "answer": "no"})
    with hq.daemon() as loop:
        settle(loop)
        assert hq.ask(loop, "drop", parent_of(loop).id).ok
        settle(loop)
        assert not loop.live.tasks
    child = hq.records(ended(hq, "part-north"))[-1]
    assert child.event.value == "dropped"
    assert "its parent" in child.message


@pytest.mark.parametrize(
    ("parts", "spawn", "said"),
    [
        ([str(number) for number in range(10_000)], "", "has 10000 items, and max = 12"),
        (["a"], ", need = 3", "needs 3 children"),
    ],
)
def test_a_list_that_cannot_be_is_a_clear_park(tmp_path: Path, parts: list[str], spawn: str, said: str) -> None:
    hq = reports(tmp_path, parts, spawn=spawn)
    with hq.daemon() as loop:
        settle(loop)
        parent = parent_of(loop)
        assert (parent.state.value, parent.cursor.reason.value) == ("blocked", "spawn")
        assert said in parent.cursor.missing
        assert not children_of(loop)


def test_what_is_no_list_is_a_clear_park(tmp_path: Path) -> None:
    hq = reports(tmp_path, ["a"])
    text = (hq.root / "playbooks/report.toml").read_text()
    hq.write("playbooks/report.toml", text.replace('"outputs.plan.parts"', '"task.title"'))
    hq.commit()
    with hq.daemon() as loop:
        settle(loop)
        assert "is no list but a text" in parent_of(loop).cursor.missing


def test_an_empty_list_passes_at_once(tmp_path: Path) -> None:
    hq = reports(tmp_path, [])
    with hq.daemon() as loop:
        settle(loop)
    assert ended(hq, "yearly")


def test_a_playbook_that_spawns_itself_ends(tmp_path: Path) -> None:
    own = """
name = "general"
[[steps]]
name = "more"
spawn = { each = "['x']", playbook = "general", title = "Again", body = "Again." }
"""
    hq = make(tmp_path, general=own)
    hq.drop("first.md")
    with hq.daemon() as loop:
        settle(loop)
        states = sorted(task.state.value for task in loop.live.tasks.values())
    assert states == ["blocked", "queue", "queue", "queue", "queue"]


def test_a_parent_pays_for_its_children(tmp_path: Path) -> None:
    dear = {"agent": "strong", "answer": "three good words", "usage": {"cost_usd": 0.7}}
    limits = "[limits]\ncost_usd_per_task = 1.0\nconcurrency = 1\n"
    hq = reports(tmp_path, ["north", "south", "west"], dear, settings=limits)
    with hq.daemon() as loop:
        settle(loop)
        (west,) = children_of(loop).values()
        assert (west.state.value, west.cursor.reason.value) == ("blocked", "budget")
        assert "$1.40 of $1.00" in west.cursor.missing
        assert hq.ask(loop, "retry", west.id).ok
        settle(loop)
        parent = parent_of(loop)
        assert parent.cursor.reason.value == "budget"
        assert hq.ask(loop, "retry", parent.id).ok
        settle(loop)
    assert ended(hq, "yearly")
