"""The HQ with a remote: main follows origin, is pushed, and what hqd did is decided again where others were first."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqd.daemon.loop import Loop
from hqd.daemon.origin import line as origin_line
from hqd.model.task import State
from tests.daemon.headquarters import only, settle
from tests.daemon.origins import FAST, Scene, scene

HOLD = "workspace/holds/origin.md"
SLOW = FAST.replace('push = "50ms"', 'push = "1h"').replace('fetch = "200ms"', 'fetch = "1h"')


def sync(found: Scene, loop: Loop) -> str:
    return found.hq.ask(loop, "sync").message


def test_state_is_pushed_in_batches_and_main_there_is_main_here(tmp_path: Path) -> None:
    found = scene(tmp_path)
    with found.hq.daemon() as loop:
        for n in range(5):
            found.hq.drop(f"t{n}.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 5 and found.in_line())
    assert found.there("log", "--format=%s", "main").count("accepted -> ") == 5
    assert found.there("fsck", "--strict", "--no-dangling") == ""
    assert found.hq.git("rev-parse", "refs/remotes/origin/main") == found.tip


def test_a_task_that_is_pushed_is_worked_on(tmp_path: Path) -> None:
    found = scene(tmp_path)
    with found.hq.daemon() as loop:
        settle(loop)
        found.push("workspace/inbox/from-afar.md", "# From afar\n\nDo it.\n")
        settle(loop, lambda: len(found.hq.folder("done")) == 1 and found.in_line())
    assert found.hq.clean() == ""
    assert found.there("ls-tree", "-r", "--name-only", "main", "workspace/inbox/") == "workspace/inbox/.gitkeep"


def test_a_task_of_a_merged_pull_request_is_worked_on(tmp_path: Path) -> None:
    found = scene(tmp_path)
    with found.hq.daemon() as loop:
        found.hq.drop("own.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1 and found.in_line())
        found.other.git("pull", "-q", "origin", "main")
        found.other.git("switch", "-qc", "idea")
        found.other.write("workspace/inbox/merged.md", "# Merged\n\nDo it.\n")
        found.other.commit("an idea")
        found.other.git("switch", "-q", "main")
        found.other.git("merge", "-q", "--no-ff", "--no-edit", "idea")
        found.other.git("push", "-q", "origin", "main")
        settle(loop, lambda: len(found.hq.folder("done")) == 2 and found.in_line())


def test_a_playbook_that_is_pushed_is_in_force_and_a_persons_work_stays(tmp_path: Path) -> None:
    found = scene(tmp_path)
    with found.hq.daemon() as loop:
        settle(loop)
        found.hq.write("notes/mine.txt", "not committed")
        found.hq.git("add", "--sparse", "notes/mine.txt")
        found.push("playbooks/strict.toml", 'name = "strict"\n[[steps]]\nname = "work"\nagent = "worker"\n')
        settle(loop, lambda: "strict" in loop.parts.rulebook.current.playbooks)
    assert found.hq.git("diff", "--cached", "--name-only") == "notes/mine.txt"


def test_what_a_person_has_not_committed_keeps_main_back_until_they_do(tmp_path: Path) -> None:
    found = scene(tmp_path)
    with found.hq.daemon() as loop:
        settle(loop)
        mine = (found.hq.root / "playbooks/general.toml").read_text() + "# mine\n"
        found.hq.write("playbooks/general.toml", mine)
        found.push("playbooks/general.toml", mine.replace("# mine", "# theirs"))
        settle(loop, lambda: any("playbooks/general.toml" in note for note in found.hq.shown.notes))
        found.hq.drop("meanwhile.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
        assert (found.hq.root / "playbooks/general.toml").read_text() == mine
        found.hq.git("checkout", "--", "playbooks/general.toml")
        settle(loop, found.in_line)
    assert "# theirs" in (found.hq.root / "playbooks/general.toml").read_text()


def test_own_unpushed_transitions_are_decided_again_on_what_others_pushed(tmp_path: Path) -> None:
    found = scene(tmp_path, SLOW)
    with found.hq.daemon() as loop:
        settle(loop, lambda: not loop.outsides.busy)
        found.hq.drop("first.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
        theirs = found.push("docs/theirs.md", "words")
        before = found.hq.git("rev-parse", "main")
        events = found.hq.events(found.hq.folder("done")[0][:-3])
        sync(found, loop)
        settle(loop, found.in_line)
        assert found.hq.git("merge-base", "main", theirs) == theirs
        assert found.hq.git("rev-list", "--merges", "main") == "", "nothing is merged"
        assert found.hq.events(found.hq.folder("done")[0][:-3]) == events
        assert found.hq.clean() == ""
        assert found.hq.git("rev-parse", "main") != before
        settle(loop, lambda: not found.hq.git("for-each-ref", "refs/hqd/unpushed"))
        found.hq.drop("second.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 2)


def test_what_no_longer_fits_is_left_out_said_and_kept(tmp_path: Path) -> None:
    found = scene(tmp_path, SLOW)
    with found.hq.daemon() as loop:
        found.hq.answers({"answer": "x"})
        found.hq.drop("short.md")
        settle(loop, lambda: len(found.hq.folder("blocked")) == 1)
        sync(found, loop)
        task = only(loop)
        found.hq.answers({"answer": "three good words"})
        found.hq.ask(loop, "retry", task.id)
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
        found.other.git("pull", "-q", "origin", "main")
        found.other.git("mv", f"workspace/blocked/{task.id}.md", f"workspace/dropped/{task.id}.md")
        found.other.commit("not wanted any more")
        found.other.git("push", "-q", "origin", "main")
        said = sync(found, loop)
        settle(loop)
        sync(found, loop)
        settle(loop, found.in_line)
        assert "left out" in said
        assert any("left out" in note and "resumed" in note for note in found.hq.shown.notes)
    assert found.hq.folder("done") == []
    assert len(found.hq.folder("dropped")) == 1
    kept = found.hq.git("log", "--format=%s", "--glob=refs/hqd/unpushed", "--not", "main").splitlines()
    assert "hqd: short: done -> done" in kept, "what was left out can still be read"


def test_an_edit_by_others_counts_from_the_next_attempt(tmp_path: Path) -> None:
    found = scene(tmp_path, SLOW)
    with found.hq.daemon() as loop:
        found.hq.answers({"answer": "x"})
        found.hq.drop("edited.md", "# Edited\n\nold words\n")
        settle(loop, lambda: len(found.hq.folder("blocked")) == 1)
        sync(found, loop)
        task = only(loop)
        found.hq.answers({"answer": "x"}, {"answer": "y"})
        found.hq.ask(loop, "retry", task.id)
        settle(loop, lambda: len(found.hq.folder("blocked")) == 1 and loop.idle)
        records = len(found.hq.records(task.id))
        found.push(f"workspace/blocked/{task.id}.md", "# Edited\n\nnew words\n")
        sync(found, loop)
        settle(loop)
        assert "new words" in only(loop).document.text
        assert len(found.hq.records(task.id)) == records + 1
        assert found.hq.events(task.id)[-1] == "edited"


def test_a_persons_unpushed_commit_makes_one_merge(tmp_path: Path) -> None:
    found = scene(tmp_path, SLOW)
    with found.hq.daemon() as loop:
        found.hq.drop("first.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
        found.hq.write("docs/mine.md", "mine")
        found.hq.git("add", "--sparse", "docs/mine.md")
        found.hq.git("commit", "-qm", "by hand")
        mine = found.hq.git("rev-parse", "main")
        theirs = found.push("docs/theirs.md", "theirs")
        sync(found, loop)
        settle(loop, found.in_line)
    merges = found.hq.git("rev-list", "--merges", "main").splitlines()
    assert len(merges) == 1
    assert found.hq.git("rev-parse", f"{merges[0]}^1", f"{merges[0]}^2").splitlines() == [mine, theirs]
    assert (found.hq.root / "docs/theirs.md").read_text() == "theirs"


def test_a_conflict_is_a_hold_that_names_the_paths_and_work_goes_on(tmp_path: Path) -> None:
    found = scene(tmp_path, SLOW)
    with found.hq.daemon() as loop:
        settle(loop, lambda: not loop.outsides.busy)
        found.hq.write("docs/both.md", "mine")
        found.hq.git("add", "--sparse", "docs/both.md")
        found.hq.git("commit", "-qm", "by hand")
        found.push("docs/both.md", "theirs")
        sync(found, loop)
        settle(loop, lambda: (found.hq.root / HOLD).exists())
        assert "docs/both.md" in (found.hq.root / HOLD).read_text()
        found.hq.drop("meanwhile.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
        settle(loop)  # idle: only a person could move anything
        assert "docs/both.md" in sync(found, loop)
        found.hq.git("pull", "-q", "--no-rebase", "-X", "ours", "origin", "main")
        sync(found, loop)
        settle(loop, lambda: not (found.hq.root / HOLD).exists())
        sync(found, loop)
        settle(loop, found.in_line)


def test_a_refusing_server_is_a_hold_work_goes_on_and_nothing_is_replayed(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.hook("echo 'main is protected' >&2\nexit 1\n")
    with found.hq.daemon() as loop:
        found.hq.drop("first.md")
        settle(loop, lambda: (found.hq.root / HOLD).exists())
        text = (found.hq.root / HOLD).read_text()
        assert "main is protected" in text
        assert "[repos.NAME]" in text
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
        commits = found.hq.git("rev-list", "--count", "main")
        found.hook(None)
        sync(found, loop)
        settle(loop, lambda: found.in_line() and not (found.hq.root / HOLD).exists())
    assert int(found.hq.git("rev-list", "--count", "main")) == int(commits) + 1, "one commit: the hold was lifted"


def test_a_person_who_lifts_the_hold_has_origin_asked_at_once(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.hook("exit 1\n")
    with found.hq.daemon() as loop:
        found.hq.drop("first.md")
        settle(loop, lambda: (found.hq.root / HOLD).exists() and len(found.hq.folder("done")) == 1)
        found.hook(None)
        assert found.hq.ask(loop, "resume", name="origin").ok
        settle(loop, found.in_line)
        assert not (found.hq.root / HOLD).exists()


def test_a_remote_that_is_down_delays_pushes_and_nothing_else(tmp_path: Path) -> None:
    found = scene(tmp_path)
    with found.hq.daemon() as loop:
        settle(loop, lambda: not loop.outsides.busy)
        found.shut(down=True)
        found.hq.drop("first.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
        settle(loop, lambda: any("origin" in note for note in found.hq.shown.notes))
        told = found.hq.ask(loop, "sync")
        assert (told.ok, told.code) == (False, 75)
        found.shut(down=False)
        assert found.hq.ask(loop, "sync").ok
        settle(loop, found.in_line)
        assert found.hq.shown.notes[-1] == "origin is there again"


def test_a_lock_that_a_killed_push_left_there_is_told_and_goes_on_when_it_is_gone(tmp_path: Path) -> None:
    found = scene(tmp_path)
    lock = found.bare / "refs/heads/main.lock"
    with found.hq.daemon() as loop:
        settle(loop, lambda: not loop.outsides.busy)
        lock.touch()
        found.hq.drop("first.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
        told = found.hq.ask(loop, "sync")
        assert not told.ok
        assert "lock" in told.message
        lock.unlink()
        assert found.hq.ask(loop, "sync").ok
        settle(loop, found.in_line)


def test_records_that_a_force_push_lost_hold_the_hq_until_they_are_back(tmp_path: Path) -> None:
    found = scene(tmp_path)
    start = found.tip
    with found.hq.daemon() as loop:
        found.hq.drop("first.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1 and found.in_line())
        settle(loop)  # hqd knows that it is in line: else it takes the old tip for what it has not pushed yet
        whole = found.tip
        found.there("update-ref", "refs/heads/main", start)
        settle(loop, lambda: "origin-rewritten" in loop.live.local_holds)
        found.hq.drop("second.md")
        settle(loop)
        assert len(found.hq.folder("done")) == len(found.hq.folder("queue")) == 1, "nothing new is begun"
        assert found.tip == start, "nothing is pushed over it"
        told = found.hq.ask(loop, "sync")
        assert (told.ok, told.code) == (False, 75)
        assert "hold origin-rewritten: main of " in told.message
        assert "`hqd adopt`" in told.message
        assert found.hq.ask(loop, "resume").ok
        assert not found.hq.ask(loop, "resume", name="origin-rewritten").ok
        assert "origin-rewritten" in loop.live.local_holds
        found.there("update-ref", "refs/heads/main", whole)
        settle(loop, lambda: len(found.hq.folder("done")) == 2 and found.in_line())
        assert found.hq.ask(loop, "sync").ok, "the hold is gone, and its word with it"


def test_a_force_push_that_a_person_adopts_is_followed(tmp_path: Path) -> None:
    found = scene(tmp_path)
    start = found.tip
    with found.hq.daemon() as loop:
        found.hq.drop("first.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1 and found.in_line())
        settle(loop)
        found.there("update-ref", "refs/heads/main", start)
        settle(loop, lambda: "origin-rewritten" in loop.live.local_holds)
        assert found.hq.ask(loop, "adopt").ok
        settle(loop, lambda: found.hq.git("rev-parse", "main") == start)
        assert loop.live.local_holds == {}
        found.hq.drop("second.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1 and found.in_line())


def test_a_hold_of_an_earlier_run_is_adopted_by_the_first_word_after_the_start(tmp_path: Path) -> None:
    found = scene(tmp_path)
    start = found.tip
    with found.hq.daemon() as loop:
        found.hq.drop("first.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1 and found.in_line())
        settle(loop)
        found.there("update-ref", "refs/heads/main", start)
        settle(loop, lambda: "origin-rewritten" in loop.live.local_holds)
    with found.hq.daemon() as loop:
        told = found.hq.ask(loop, "adopt")
        assert told.ok
        assert told.message.startswith(f"adopted {start[:12]}")
        settle(loop, lambda: found.hq.git("rev-parse", "main") == start)


def test_an_amended_commit_of_a_person_is_followed_without_a_word(tmp_path: Path) -> None:
    found = scene(tmp_path)
    with found.hq.daemon() as loop:
        found.hq.drop("first.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1 and found.in_line())
        found.push("docs/a.md", "a")
        settle(loop, found.in_line)
        found.other.write("docs/a.md", "better")
        found.other.git("commit", "-qa", "--amend", "-m", "better")
        found.other.git("push", "-q", "--force", "origin", "main")
        settle(loop, lambda: (found.hq.root / "docs/a.md").read_text() == "better" and found.in_line())
        assert loop.live.local_holds == {}


def test_without_an_origin_nothing_of_this_runs(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.hq.git("remote", "remove", "origin")
    with found.hq.daemon() as loop:
        found.hq.drop("first.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
        assert "origin.git" not in sync(found, loop)
    assert found.hq.git("for-each-ref", "refs/hqd/remote", "refs/hqd/agreed") == ""


def test_the_last_words_of_a_daemon_are_pushed(tmp_path: Path) -> None:
    found = scene(tmp_path, SLOW)
    with found.hq.daemon() as loop:
        settle(loop, lambda: not loop.outsides.busy)
        found.hq.drop("first.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
        assert not found.in_line()
    assert found.in_line()


def test_work_on_a_branch_goes_on_after_main_was_decided_again(tmp_path: Path) -> None:
    """Its base was a commit that main has left: the branch is made again on what origin has."""
    found = scene(tmp_path, SLOW)
    with found.hq.daemon() as loop:
        settle(loop, lambda: not loop.outsides.busy)
        found.hq.drop("article.md", "---\ntags: [article]\n---\n# An article\n\nWrite.\n")
        settle(loop, lambda: only(loop).state is State.REVIEW if loop.live.tasks else False)
        theirs = found.push("docs/theirs.md", "words")
        old = found.hq.git("rev-parse", "main")
        sync(found, loop)
        settle(loop, found.in_line)
        task = only(loop)
        branch = f"hqd/{task.id}"
        assert found.hq.git("merge-base", branch, theirs) != old
        assert found.hq.git("diff", "--name-only", f"main...{branch}") == "content/article.md"
        assert found.hq.git("rev-parse", branch) == task.cursor.head == task.cursor.review.head  # type: ignore[union-attr]
        assert found.hq.ask(loop, "approve", task.id).ok
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
        sync(found, loop)
        settle(loop, found.in_line)
    assert (found.hq.root / "content/article.md").exists()
    assert found.hq.git("log", "--format=%H", "main").count(old) == 0


def test_work_that_was_under_way_comes_home_to_what_origin_has(tmp_path: Path) -> None:
    slow = SLOW.replace('answers = "answers.jsonl"', 'answers = "answers.jsonl"\ndelay = "1500ms"', 1)
    found = scene(tmp_path, slow)
    with found.hq.daemon() as loop:
        settle(loop, lambda: not loop.outsides.busy)
        found.hq.drop("article.md", "---\ntags: [article]\n---\n# An article\n\nWrite.\n")
        settle(loop, lambda: bool(loop.runner.running))
        old = found.hq.git("rev-parse", "main")
        found.push("docs/theirs.md", "words")
        sync(found, loop)
        assert loop.runner.running, "the attempt goes on under its claim"
        settle(loop, lambda: bool(loop.live.tasks) and only(loop).state is State.REVIEW)
        branch = f"hqd/{only(loop).id}"
        assert old not in found.hq.git("rev-list", branch).splitlines()
        assert found.hq.git("diff", "--name-only", f"main...{branch}") == "content/article.md"
    assert [r.outcome.value for r in found.hq.records(branch[4:]) if r.outcome is not None] == ["passed"]


def test_a_landing_that_was_not_pushed_is_merged_again(tmp_path: Path) -> None:
    found = scene(tmp_path, SLOW)
    with found.hq.daemon() as loop:
        settle(loop, lambda: not loop.outsides.busy)
        found.hq.drop("article.md", "---\ntags: [article]\n---\n# An article\n\nWrite.\n")
        settle(loop, lambda: bool(loop.live.tasks) and only(loop).state is State.REVIEW)
        task = only(loop).id
        assert found.hq.ask(loop, "approve", task).ok
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
        found.push("docs/theirs.md", "words")
        sync(found, loop)
        settle(loop, found.in_line)
    assert found.there("show", "main:content/article.md").startswith("three good words")
    landed = [record.landed for record in found.hq.records(task) if record.event.value == "landed"]
    assert len(landed) == 1
    assert landed[0] in found.hq.git("rev-list", "main").splitlines()
    assert found.there("show", "-s", "--format=%(trailers:key=Hqd-Work,valueonly)", str(landed[0])) == task


def test_a_push_that_takes_long_is_told_while_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin_line, "SLOW", 0.3)
    found = scene(tmp_path)
    with found.hq.daemon() as loop:
        settle(loop)
        go = tmp_path / "go"
        found.hook(f"n=0; until [ -e {go} ] || [ $n -gt 600 ]; do sleep 0.05; n=$((n+1)); done\n")
        found.hq.drop("task.md")
        said = found.hq.root / ".git/hqd/origin.json"
        words = f"a push to {found.bare} has been under way since"
        settle(loop, lambda: len(found.hq.folder("done")) == 1 and words in said.read_text())
        assert any("a push to" in note and "it is waited for" in note for note in found.hq.shown.notes)
        go.touch()
        settle(loop, lambda: found.in_line() and words not in said.read_text())


def test_an_origin_with_a_history_of_its_own_is_a_hold_that_says_what_to_do(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.other.git("switch", "-q", "--orphan", "fresh")
    found.other.git("commit", "-q", "--allow-empty", "-m", "Initial commit")
    found.other.git("push", "-q", "--force", "origin", "fresh:main")
    with found.hq.daemon() as loop:
        settle(loop)
        hold = loop.live.holds["origin"]
        assert hold.reason == "unrelated"
        assert "push main to an empty repository, or clone that one" in hold.missing
        found.hq.drop("meanwhile.md")
        settle(loop, lambda: len(found.hq.folder("done")) == 1)
    assert found.there("log", "--format=%s", "main") == "Initial commit"
