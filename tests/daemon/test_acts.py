"""A person's acts by files and by commits (design section 2): each has the effect of the command, in their name."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.daemon.headquarters import Headquarters, make, only, settle

SLOW = {"answer": "three good words", "delay": "30s"}


@pytest.fixture
def hq(tmp_path: Path) -> Headquarters:
    return make(tmp_path)


def parked(hq: Headquarters) -> None:
    hq.answers({"answer": "no"})
    hq.commit("short answers")
    hq.drop("hello.md")


def better(hq: Headquarters) -> None:
    hq.answers({"answer": "now it is good"})


def test_moving_a_blocked_task_to_queue_begins_a_new_round(hq: Headquarters) -> None:
    parked(hq)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        better(hq)
        source = hq.root / f"workspace/blocked/{task.id}.md"
        source.rename(hq.root / f"workspace/queue/{task.id}.md")
        settle(loop, lambda: not loop.live.tasks)
    resumed = next(record for record in hq.records(task.id) if record.event.value == "resumed")
    assert (resumed.via.value, resumed.by, resumed.round) == ("files", "Ada", 2)
    authors = hq.git("log", "--format=%an|%cn|%s").splitlines()
    assert any(line.startswith("Ada|hqd|") and "resumed" in line for line in authors)
    assert not list((hq.root / "workspace/blocked").glob("*.md"))
    assert hq.clean() == ""


def test_moving_a_task_to_dropped_cancels_it(hq: Headquarters) -> None:
    parked(hq)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        source = hq.root / f"workspace/blocked/{task.id}.md"
        source.rename(hq.root / f"workspace/dropped/{task.id}.md")
        settle(loop, lambda: not loop.live.tasks)
    (kept,) = (hq.root / "workspace/dropped").rglob(f"{task.id}.md")
    assert kept.parent.name.isdigit()
    assert hq.events(task.id)[-1] == "dropped"
    assert hq.clean() == ""


def test_deleting_a_task_cancels_it_and_keeps_its_text(hq: Headquarters) -> None:
    parked(hq)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        (hq.root / f"workspace/blocked/{task.id}.md").unlink()
        settle(loop, lambda: not loop.live.tasks)
    (kept,) = (hq.root / "workspace/dropped").rglob(f"{task.id}.md")
    assert "Do it." in kept.read_text()
    assert hq.clean() == ""


def test_a_file_that_an_editor_deletes_and_writes_anew_is_an_edit(hq: Headquarters) -> None:
    parked(hq)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        path = hq.root / f"workspace/blocked/{task.id}.md"
        path.unlink()
        loop.turn()
        path.write_text("# Another text\n")
        settle(loop, lambda: hq.events(task.id)[-1] == "edited")
        assert only(loop).document.title == "Another text"


def test_an_edit_of_an_open_task_counts_from_the_next_attempt(hq: Headquarters) -> None:
    parked(hq)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        hq.write(f"workspace/blocked/{task.id}.md", "# New words\n\nMind the gap.\n")
        settle(loop, lambda: hq.events(task.id)[-1] == "edited")
        assert hq.ask(loop, "retry", "hello").ok
        settle(loop)
        prompts = [record.prompt for record in hq.records(task.id) if record.prompt]
    assert "Mind the gap." in hq.git("show", f"main:{prompts[-1]}")
    assert "Mind the gap." not in hq.git("show", f"main:{prompts[0]}")


def test_a_task_edited_while_its_step_runs_keeps_both_the_edit_and_the_result(hq: Headquarters) -> None:
    hq.answers({"answer": "three good words", "delay": "600ms"})
    hq.commit()
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop, lambda: bool(loop.runner.running))
        task = only(loop)
        hq.write(f"workspace/active/{task.id}.md", "# Edited meanwhile\n")
        settle(loop, lambda: not loop.live.tasks)
    assert sorted(hq.events(task.id)) == ["accepted", "claimed", "done", "edited", "finished"]
    (kept,) = (hq.root / "workspace/done").rglob(f"{task.id}.md")
    assert "Edited meanwhile" in kept.read_text()
    assert hq.clean() == ""


def test_a_task_deleted_while_its_step_runs_is_cancelled_and_its_worker_stopped(hq: Headquarters) -> None:
    hq.answers(SLOW)
    hq.commit()
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop, lambda: bool(loop.runner.running))
        task = only(loop)
        (hq.root / f"workspace/active/{task.id}.md").unlink()
        settle(loop, lambda: not loop.live.tasks and not loop.runner.running)
    assert hq.events(task.id)[-1] == "dropped"


def test_text_under_answer_in_the_note_is_the_answer(hq: Headquarters) -> None:
    hq.answers({"attempt": 1, "answer": "", "needs_human": "Which colour?"}, {"answer": "blue it is then"})
    hq.commit()
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        assert (task.cursor.reason.value, task.cursor.missing) == ("needs_human", "Which colour?")
        note = hq.root / f"workspace/blocked/{task.id}.note.md"
        note.write_text(note.read_text() + "\nBlue, please.\n")
        settle(loop, lambda: not loop.live.tasks)
    records = hq.records(task.id)
    answered = next(record for record in records if record.event.value == "answered")
    assert (answered.answer, answered.via.value, answered.round) == ("Blue, please.", "files", 1)
    prompt = [record.prompt for record in records if record.prompt][-1]
    assert "Blue, please." in hq.git("show", f"main:{prompt}")
    assert hq.clean() == ""


def test_a_paused_file_pauses_and_its_removal_resumes(hq: Headquarters) -> None:
    with hq.daemon() as loop:
        settle(loop)
        hq.write("workspace/PAUSED", "lunch\n")
        settle(loop, lambda: loop.live.paused)
        hq.drop("hello.md")
        settle(loop, lambda: bool(loop.live.tasks))
        settle(loop)
        assert only(loop).state.value == "queue"
        (hq.root / "workspace/PAUSED").unlink()
        settle(loop, lambda: not loop.live.tasks)
    assert hq.folder("done")
    assert hq.clean() == ""


def test_any_other_move_is_undone_and_reported(hq: Headquarters) -> None:
    parked(hq)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        source = hq.root / f"workspace/blocked/{task.id}.md"
        source.rename(hq.root / f"workspace/review/{task.id}.md")
        settle(loop, source.exists)
        problem = next(problem for problem in loop.all_problems() if task.id in problem.message)
        assert "undone" in problem.message
    assert hq.events(task.id)[-1] == "parked"
    assert not (hq.root / f"workspace/review/{task.id}.md").exists()


def test_a_second_copy_is_never_a_move(hq: Headquarters) -> None:
    parked(hq)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        copy = hq.root / f"workspace/queue/{task.id}.md"
        copy.write_text((hq.root / f"workspace/blocked/{task.id}.md").read_text())
        settle(loop, lambda: any("second copy" in problem.message for problem in loop.all_problems()))
        assert only(loop).state.value == "blocked"
    assert copy.exists()


def test_the_same_inbox_file_saved_again_is_an_edit_of_the_open_task(hq: Headquarters) -> None:
    parked(hq)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        hq.drop("hello.md", "# Saved again\n")
        settle(loop, lambda: hq.events(task.id)[-1] == "edited")
        assert only(loop).document.title == "Saved again"
        assert hq.folder("inbox") == []


def test_saving_the_very_same_file_again_changes_nothing(hq: Headquarters) -> None:
    parked(hq)
    with hq.daemon() as loop:
        settle(loop)
        task = only(loop)
        before = hq.events(task.id)
        hq.drop("hello.md")
        settle(loop, lambda: hq.folder("inbox") == [])
        assert before == hq.events(task.id)


def test_committed_moves_and_deletions_of_a_person_count(hq: Headquarters) -> None:
    parked(hq)
    hq.drop("other.md")
    with hq.daemon() as loop:
        settle(loop)
        first, second = sorted(loop.live.tasks)
        better(hq)
        hq.git("mv", f"workspace/blocked/{first}.md", f"workspace/queue/{first}.md")
        hq.git("rm", "-q", f"workspace/blocked/{second}.md")
        hq.git("commit", "-qm", "tidy up", "--", "workspace")
        settle(loop, lambda: not loop.live.tasks)
    assert hq.events(first)[-1] == "done"
    assert hq.events(second)[-1] == "dropped"
    assert hq.clean() == ""


def test_a_task_committed_into_the_inbox_is_taken(hq: Headquarters) -> None:
    with hq.daemon() as loop:
        settle(loop)
        hq.write("workspace/inbox/pushed.md", "# Pushed\n")
        hq.git("add", "workspace/inbox/pushed.md")
        hq.git("commit", "-qm", "a task by commit")
        settle(loop, lambda: bool(hq.folder("done")))
    assert hq.clean() == ""
    assert hq.folder("inbox") == []


def test_a_staged_file_is_a_commit_in_the_making_and_is_left_alone(hq: Headquarters) -> None:
    with hq.daemon() as loop:
        settle(loop)
        hq.write("workspace/inbox/staged.md", "# Staged\n")
        hq.git("add", "workspace/inbox/staged.md")
        hq.write("notes.txt", "mine")
        hq.git("add", "notes.txt")
        hq.drop("hello.md")
        settle(loop, lambda: bool(hq.folder("done")))
        assert hq.git("diff", "--cached", "--name-only").splitlines() == ["notes.txt", "workspace/inbox/staged.md"]
        assert "notes.txt" not in hq.git("log", "--name-only", "--format=")


def test_a_file_with_a_secret_stays_uncommitted_with_the_fault_shown(hq: Headquarters) -> None:
    secret = "sk-ant-api03-" + "A1b2C3d4E5f6G7h8" * 5
    hq.drop("leak.md", f"# Task\n\nUse {secret}\n")
    with hq.daemon() as loop:
        settle(loop)
        (problem,) = loop.all_problems()
        assert (problem.path, problem.line) == ("workspace/inbox/leak.md", 3)
        assert secret not in str(problem)
        assert not loop.live.tasks
    assert (hq.root / "workspace/inbox/leak.md").exists()
    assert secret not in hq.git("log", "-p", "--all")


def test_deleting_a_holds_file_lifts_the_hold(hq: Headquarters) -> None:
    hq.answers({"attempt": 1, "failure": "credentials", "message": "401"}, {"answer": "three good words"})
    hq.commit()
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop)
        (name,) = loop.live.holds
        assert only(loop).state.value == "queue"
        (hq.root / f"workspace/holds/{name}.md").unlink()
        settle(loop, lambda: not loop.live.tasks)
    assert not loop.live.holds
    assert hq.folder("done")


def test_files_that_are_nobodys_task_are_left_alone(hq: Headquarters) -> None:
    for name in (".hidden.md", "_draft.md", "Untitled.md", "note.txt", "x.md~"):
        hq.drop(name)
    hq.drop("draft.md", "---\ndraft: true\n---\n# Later\n")
    hq.drop("empty.md", "")
    with hq.daemon() as loop:
        time.sleep(0.2)
        settle(loop)
        assert not loop.live.tasks
        assert not loop.all_problems()
    assert len(list((hq.root / "workspace/inbox").iterdir())) == 8


def test_rewritten_history_holds_everything_until_it_is_adopted(hq: Headquarters) -> None:
    with hq.daemon() as loop:
        hq.drop("hello.md")
        settle(loop, lambda: bool(hq.folder("done")))
        hq.git("reset", "-q", "--hard", "HEAD~2")
        settle(loop, lambda: "history-rewritten" in loop.live.local_holds)
        tip = hq.git("rev-parse", "HEAD")
        hq.drop("second.md")
        for _ in range(5):
            loop.turn()
        assert tip == hq.git("rev-parse", "HEAD")
        assert hq.ask(loop, "adopt").ok
        settle(loop, lambda: len(hq.folder("done")) == 2)


def test_a_saved_playbook_comes_into_force_by_itself_only_where_settings_say_so(hq: Headquarters) -> None:
    hq.write("hqd.toml", (hq.root / "hqd.toml").read_text() + '[edits]\nplaybooks = "save"\n')
    hq.commit()
    with hq.daemon() as loop:
        settle(loop)
        good = (hq.root / "playbooks/general.toml").read_text()
        hq.write("playbooks/general.toml", good.replace("worker", "nobody"))
        settle(loop, lambda: any("nobody" in str(problem) for problem in loop.all_problems()))
        hq.write("playbooks/general.toml", good.replace("min = 3", "min = 2"))
        settle(loop, lambda: "apply playbooks/general.toml" in hq.git("log", "-1", "--format=%s"))
        assert hq.git("log", "-1", "--format=%an") == "Ada"
        (step,) = loop.parts.rulebook.current.playbooks["general"].steps
        assert step.gates[0].params == {"min": 2}  # type: ignore[union-attr]
    assert hq.git("status", "--porcelain", "playbooks") == ""


def test_a_faulty_commit_leaves_the_last_good_rules_in_force(hq: Headquarters) -> None:
    with hq.daemon() as loop:
        settle(loop)
        hq.write("playbooks/general.toml", (hq.root / "playbooks/general.toml").read_text().replace("worker", "nobody"))
        hq.commit("a typo")
        settle(loop, lambda: any("nobody" in str(problem) for problem in loop.all_problems()))
        hq.drop("hello.md")
        settle(loop, lambda: bool(hq.folder("done")))
    with hq.daemon() as loop:
        hq.drop("again.md")
        settle(loop, lambda: len(hq.folder("done")) == 2)


def test_a_restart_tries_a_held_agent_at_once(hq: Headquarters) -> None:
    hq.answers({"attempt": 1, "failure": "credentials", "message": "401"}, {"answer": "three good words"})
    hq.commit()
    hq.drop("hello.md")
    with hq.daemon() as loop:
        settle(loop)
        assert loop.live.holds
    with hq.daemon() as loop:
        settle(loop, lambda: not loop.live.tasks and not loop.live.holds)
    assert hq.folder("done")


def test_a_folder_of_the_inbox_that_a_person_made_is_kept(hq: Headquarters) -> None:
    with hq.daemon() as loop:
        settle(loop)
        hq.drop("article/one.md", "# One\n")
        settle(loop, lambda: bool(loop.live.tasks))
        hq.write("workspace/inbox/general/.gitkeep", "")
        hq.drop("general/two.md", "# Two\n")
        settle(loop, lambda: bool(hq.folder("done")))
        settle(loop)
    tracked = hq.git("ls-files", "workspace/inbox").splitlines()
    assert {"workspace/inbox/article/.gitkeep", "workspace/inbox/general/.gitkeep"} <= set(tracked)
    assert hq.clean() == ""
