"""The main road, in one process with real git: dropped, worked, gated, retried, reviewed, landed, done."""

from __future__ import annotations

import time
from pathlib import Path

from tests.daemon.headquarters import REVIEWED, SETTINGS, make, only, settle


def test_a_dropped_file_ends_in_done_with_its_result_beside_it(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop)
    (name,) = hq.folder("done")
    task = name[:-3]
    assert hq.events(task) == ["accepted", "claimed", "finished", "done"]
    (result,) = (hq.root / "workspace/done").rglob("*.result.md")
    assert "three good words" in result.read_text()
    assert hq.clean() == ""
    assert hq.folder("inbox") == []


def test_a_failed_gate_leads_to_a_retry_with_its_finding_in_the_prompt(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.answers({"attempt": 1, "answer": "short"}, {"answer": "long enough this time"})
    hq.commit()
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop)
    task = hq.folder("done")[0][:-3]
    records = hq.records(task)
    failed, passed = [record for record in records if record.outcome is not None]
    assert (failed.outcome.value, failed.failure.value) == ("failed", "gate")
    prompt = hq.git("show", f"main:{passed.prompt}")
    assert failed.gates[0].message in prompt
    assert "short" in prompt


def test_an_exhausted_ladder_parks_with_reason_and_note(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.answers({"answer": "no"}, {"agent": "strong", "answer": "no"})
    hq.commit()
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
    assert task.state.value == "blocked"
    note = (hq.root / f"workspace/blocked/{task.id}.note.md").read_text()
    assert task.cursor.reason.value in note
    assert "1 word" in note, note


def test_review_approval_lands_the_work_on_main(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("piece.md", "---\ntags: [article]\n---\n# Piece\n")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        assert task.state.value == "review"
        reply = hq.ask(loop, "approve", "piece")
        assert reply.ok, reply.message
        settle(loop)
    assert (hq.root / "content/piece.md").read_text() == "three good words"
    assert hq.events(task.id)[-3:] == ["review_opened", "landed", "done"]
    assert "Hqd-Work: " + task.id in hq.git("log", "--format=%B")
    assert hq.clean() == ""


def test_requested_changes_go_back_to_the_agent_with_the_words(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.answers({"attempt": 1, "answer": "first draft of it"}, {"answer": "second draft of it"})
    hq.commit()
    hq.drop("piece.md", "---\ntags: [article]\n---\n# Piece\n")
    with hq.daemon() as loop:
        settle(loop)
        reply = hq.ask(loop, "request-changes", "piece", message="Say it louder.")
        assert reply.ok, reply.message
        settle(loop)
        task = only(loop)
        assert task.state.value == "review"
        prompt = [record.prompt for record in hq.records(task.id) if record.prompt][-1]
        assert "Say it louder." in hq.git("show", f"main:{prompt}")
        hq.ask(loop, "approve", "piece")
        settle(loop)
    assert (hq.root / "content/piece.md").read_text() == "second draft of it"


def test_a_rejected_review_is_parked_with_the_words(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("piece.md", "---\ntags: [article]\n---\n# Piece\n")
    with hq.daemon() as loop:
        settle(loop)
        assert hq.ask(loop, "reject", "piece", message="Not this.").ok
        settle(loop)
        task = only(loop)
    assert (task.state.value, task.cursor.reason.value) == ("blocked", "review_rejected")
    assert "Not this." in (hq.root / f"workspace/blocked/{task.id}.note.md").read_text()
    assert not (hq.root / "content").exists()


def test_a_squash_merge_by_a_person_is_noticed_as_landed(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("piece.md", "---\ntags: [article]\n---\n# Piece\n")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        hq.git("merge", "--squash", f"hqd/{task.id}")
        hq.git("commit", "-qm", "squashed by hand")
        settle(loop, lambda: not loop.live.tasks)
    assert hq.events(task.id)[-2:] == ["landed", "done"]


def test_land_auto_merges_without_a_review(tmp_path: Path) -> None:
    auto = REVIEWED.split('[[steps]]\nname = "approve"')[0].replace(
        'name = "article"', 'name = "article"\nland = "auto"'
    )
    hq = make(tmp_path, article=auto)
    hq.drop("piece.md", "---\ntags: [article]\n---\n# Piece\n")
    with hq.daemon() as loop:
        settle(loop)
    assert (hq.root / "content/piece.md").exists()
    assert hq.events(hq.folder("done")[0][:-3])[-2:] == ["landed", "done"]


def test_approval_of_land_never_only_lets_the_flow_go_on(tmp_path: Path) -> None:
    hq = make(tmp_path, article=REVIEWED.replace("on_merge", "never"))
    hq.drop("piece.md", "---\ntags: [article]\n---\n# Piece\n")
    with hq.daemon() as loop:
        settle(loop)
        assert hq.ask(loop, "approve", "piece").ok
        settle(loop)
    assert hq.folder("done")
    assert not (hq.root / "content").exists()


def test_a_vanished_branch_is_a_rejection_only_after_the_grace(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.drop("piece.md", "---\ntags: [article]\n---\n# Piece\n")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        hq.git("branch", "-D", f"hqd/{task.id}")
        settle(loop, lambda: only(loop).state.value == "blocked")
        assert only(loop).cursor.reason.value == "review_rejected"
        hq.git("merge", "-q", "--no-ff", "-m", "after all", f"refs/hqd/review/{task.id}")
        settle(loop, lambda: not loop.live.tasks)
    assert hq.events(task.id)[-2:] == ["landed", "done"]


def test_another_agent_is_a_rung_and_a_swap_is_one_line(tmp_path: Path) -> None:
    ladder = """
name = "general"
[[steps]]
name = "work"
agent = "worker"
on_fail = [{ retry = 1 }, { agent = "strong" }, "human"]
gates = [{ kind = "word_count", min = 3 }]
"""
    hq = make(tmp_path, settings=SETTINGS, general=ladder)
    hq.answers({"agent": "strong", "answer": "the strong one says this"}, {"answer": "no"})
    hq.commit()
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop)
    agents = [r.agent for r in hq.records(hq.folder("done")[0][:-3]) if r.event.value == "claimed"]
    assert agents == ["worker", "worker", "strong"]


def test_swapping_a_tasks_provider_is_one_line_and_gates_and_cursor_hold(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.answers({"answer": "no"})
    hq.commit()
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop)
        tried = only(loop).cursor.attempts["work"]
        replaced = SETTINGS.replace(
            'provider = "replay"\nanswers = "answers.jsonl"',
            'provider = "command"\nargv = ["echo", "three good words"]',
            1,
        )
        hq.write("hqd.toml", replaced)
        hq.git("commit", "-qam", "another provider")
        assert hq.ask(loop, "retry", "hello").ok
        settle(loop)
    records = [record for record in hq.records(hq.folder("done")[0][:-3]) if record.outcome is not None]
    assert [record.attempt for record in records] == list(range(1, tried + 2))
    assert [result.status.value for result in records[-1].gates] == ["pass"]
    assert records[0].cursor.pin != records[-1].cursor.pin


def test_a_review_of_what_no_branch_holds_waits_for_a_word_however_long(tmp_path: Path) -> None:
    playbook = """
name = "article"
accepts = { tags = ["article"] }
[[steps]]
name = "write"
agent = "worker"
[[steps]]
name = "approve"
review = { land = "never" }
"""
    hq = make(tmp_path, article=playbook)
    hq.drop("piece.md", "---\ntags: [article]\n---\n# Piece\n")
    with hq.daemon() as loop:
        settle(loop)
        opened = only(loop).n
        time.sleep(0.5)  # past the branch's grace and the poll of reviews
        loop._reviewed = 0.0
        loop.turn()
        assert (only(loop).state.value, only(loop).n) == ("review", opened)
        assert hq.ask(loop, "approve", "piece").ok
        settle(loop)
    assert hq.folder("done")


def test_a_tip_mark_that_a_crash_left_behind_makes_no_persons_act_of_hqds_own_work(tmp_path: Path) -> None:
    """hqd died after main had moved and before it noted the new tip: the task that ended then was not cancelled."""
    hq = make(tmp_path)
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop)
        accepted = hq.git("log", "--format=%H", "--grep=Hqd-Event: accepted")
        loop.parts.see_tip(accepted)
    task = hq.folder("done")[0][:-3]
    events = hq.events(task)
    with hq.daemon() as loop:
        settle(loop)
    assert events == hq.events(task)
    assert hq.folder("dropped") == []
