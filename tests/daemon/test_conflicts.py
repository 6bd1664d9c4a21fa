"""Main moves while work is under review: in the HQ and in a target repository."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

from hqd.daemon.loop import Loop
from hqd.model.failure import ParkReason
from hqd.model.names import branch
from tests.daemon.forge_words import place, review_of, reviewed, said, up
from tests.daemon.headquarters import Headquarters, make, only, settle
from tests.daemon.target_repository import FIX, GREEN, PYTHON, RED, TASK, shop
from tests.forge_scene import commit
from tests.integration.branch_scenes import state_stream

LINES = [f"line {number}" for number in range(30)]
PLAYBOOK = """
name = "edit"
accepts = { tags = ["edit"] }
[[steps]]
name = "write"
agent = "worker"
prompt_text = "Write it."
deliver = "text.md"
overwrite = true
gates = [{ kind = "must_not_include", values = ["forbidden"], target = "file:text.md" }]
[[steps]]
name = "approve"
review = { land = "on_merge" }
"""
EDIT = "---\ntags: [edit]\n---\n# Edit the text\n"


def text(**changed: str) -> str:
    return "\n".join(changed.get(f"l{number}", line) for number, line in enumerate(LINES)) + "\n"


def desk(tmp_path: Path, *answers: str, playbook: str = PLAYBOOK) -> Headquarters:
    """An HQ with a text of thirty lines that an agent and people write on."""
    hq = make(tmp_path, edit=playbook)
    rows = [{"step": "write", "attempt": number + 1, "answer": answer} for number, answer in enumerate(answers)]
    hq.answers(*rows)
    hq.write("text.md", text())
    hq.commit("a text")
    return hq


def person(hq: Headquarters, content: str, message: str = "by hand") -> str:
    hq.write("text.md", content)
    hq.git("add", "text.md")
    hq.git("commit", "-qm", message, "--", "text.md")
    return hq.git("rev-parse", "HEAD")


def test_state_commits_alone_cause_no_update_and_no_gate_run(tmp_path: Path) -> None:
    hq = desk(tmp_path, text(l3="ours"))
    hq.drop("edit.md", EDIT)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        task = only(loop)
        before = (task.n, hq.git("rev-parse", branch(task.id)))
    old = hq.git("rev-parse", "main")
    stream = "".join(state_stream(500, "refs/heads/main", old))
    subprocess.run(
        ["git", "fast-import", "--quiet", "--force"], cwd=hq.root, env=hq.env, input=stream.encode(), check=True
    )
    hq.git("read-tree", "-m", "-u", old, "main")
    with hq.daemon() as loop:
        settle(loop, lambda: loop.live.tip == hq.git("rev-parse", "main"))
        for _ in range(3):
            loop._reviewed = 0.0
            loop.turn()
        task = only(loop)
        assert (task.n, hq.git("rev-parse", branch(task.id))) == before
        assert task.state.value == "review"


def test_a_review_is_brought_up_to_date_and_its_gates_run_again(tmp_path: Path) -> None:
    hq = desk(tmp_path, text(l3="ours"))
    hq.drop("edit.md", EDIT)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        task = only(loop)
        first = task.cursor.review
        theirs = person(hq, text(l25="theirs"))
        settle(loop, lambda: (now := only(loop).cursor.review) is not None and now.head != getattr(first, "head", None))
        task = only(loop)
        assert hq.git("show", f"{branch(task.id)}:text.md") + "\n" == text(l3="ours", l25="theirs")
        assert hq.git("rev-parse", branch(task.id)) == task.cursor.head
        assert theirs in hq.git("log", "-1", "--format=%P", branch(task.id)).split()
        records = hq.records(task.id)
        feedback = next(record for record in records if record.event.value == "feedback")
        assert feedback.message is not None
        assert "main has moved: 1 commit on the work's paths" in feedback.message
        opened = [record for record in records if record.event.value == "review_opened"]
        assert len(opened) == 2
        assert [(gate.kind, gate.status.value) for gate in opened[1].gates] == [("must_not_include", "pass")]
        assert hq.ask(loop, "approve", task.id).ok
        settle(loop, lambda: bool(hq.folder("done")))
    assert hq.git("show", "main:text.md") + "\n" == text(l3="ours", l25="theirs")


def test_a_merge_that_is_red_goes_to_the_agent_with_what_the_gates_say(tmp_path: Path) -> None:
    mended = text(l3="ours", l25="allowed")
    hq = desk(tmp_path, text(l3="ours"), mended)
    hq.drop("edit.md", EDIT)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        person(hq, text(l25="forbidden"))
        settle(loop, lambda: only(loop).cursor.attempts.get("write") == 2 and bool(hq.folder("review")))
        task = only(loop)
        red = next(record for record in hq.records(task.id) if record.failure is not None)
        assert (red.step, red.failure) == ("approve", "conflict")
        assert any("forbidden" in finding.text for finding in red.findings)
        assert hq.git("show", f"{branch(task.id)}:text.md") + "\n" == mended


def test_a_conflict_is_the_agents_to_resolve_with_both_sides_before_it(tmp_path: Path) -> None:
    both = text(l3="ours and theirs")
    hq = desk(tmp_path, text(l3="ours"), both)
    hq.drop("edit.md", EDIT)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        theirs = person(hq, text(l3="theirs"))
        settle(loop, lambda: only(loop).cursor.attempts.get("write") == 2 and bool(hq.folder("review")))
        task = only(loop)
        finding = next(record for record in hq.records(task.id) if record.failure is not None).findings
        assert "in conflict with the work in text.md" in finding[0].text
        assert "ours" in finding[1].text
        assert "theirs" in finding[1].text
        assert len(finding[1].text) < 1000
        assert hq.git("show", f"{branch(task.id)}:text.md") + "\n" == both
        head = hq.git("log", "-1", "--format=%P", branch(task.id)).split()
        assert (len(head), head[1]) == (2, theirs)
        assert task.cursor.merge is None
        assert hq.ask(loop, "approve", task.id).ok
        settle(loop, lambda: bool(hq.folder("done")))
    assert hq.git("show", "main:text.md") + "\n" == both
    assert "<<<<<<<" not in hq.git("log", "-p", "--format=", "main", "--", "text.md")


def test_markers_that_are_left_are_a_finding_and_in_the_end_a_humans(tmp_path: Path) -> None:
    marked = "<<<<<<< a\nours\n=======\ntheirs\n>>>>>>> b\n"
    hq = desk(tmp_path, text(l3="ours"), marked, marked + "x\n", marked + "y\n")
    hq.drop("edit.md", EDIT)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        person(hq, text(l3="theirs"))
        settle(loop, lambda: bool(hq.folder("blocked")))
        assert "conflict markers are left in text.md" in (only(loop).cursor.missing or "")
        assert hq.git("show", f"{branch(only(loop).id)}:text.md") + "\n" == text(l3="ours")


def test_an_approval_is_of_what_was_seen_and_says_so(tmp_path: Path) -> None:
    hq = desk(tmp_path, text(l3="ours"))
    hq.drop("edit.md", EDIT)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        task = only(loop)
        person(hq, text(l25="theirs"))
        reply = hq.ask(loop, "approve", task.id)
        assert not reply.ok
        assert "the review is brought up to date and checked again first" in reply.message
        settle(
            loop,
            lambda: len([e for e in hq.events(task.id) if e == "review_opened"]) == 2 and bool(hq.folder("review")),
        )
        assert hq.ask(loop, "approve", task.id).ok
        settle(loop, lambda: bool(hq.folder("done")))


def test_an_approval_that_main_has_overtaken_is_taken_back_in_so_many_words(tmp_path: Path) -> None:
    """The forge goes on showing it; the code is another one now."""
    with place(tmp_path, PLAYBOOK.replace('"edit"', '"article"')) as at:
        at.hq.answers({"answer": text(l3="ours")})
        at.hq.write("text.md", text())
        at.hq.commit()
        at.hq.git("push", "-q", "origin", "main")
        with at.hq.daemon() as loop:
            task = up(at, loop)
            at.forge.approve(1, by="tim")
            settle(loop, lambda: review_of(loop).approved)
            commit(at.bare, "main", {"text.md": text(l25="theirs")}, "main", "By hand")
            at.hq.ask(loop, "sync")
            seen = task.cursor.head or ""
            reviewed(at, loop, seen)
            assert not review_of(loop).approved
            settle(loop, lambda: bool(said(at, "Main has moved", seen[:12], "does not count")))
            settle(loop)
            assert len(said(at, "Main has moved")) == 1


def test_what_is_approved_when_main_has_just_moved_is_not_merged_as_it_was_seen(tmp_path: Path) -> None:
    """The approval is heard before main's commit is: hqd looks once more before it merges."""
    with place(tmp_path, PLAYBOOK.replace('"edit"', '"article"').replace("on_merge", "on_approval")) as at:
        at.hq.answers({"answer": text(l3="ours")})
        at.hq.write("text.md", text())
        at.hq.write("hqd.toml", (at.hq.root / "hqd.toml").read_text().replace("[hq]\n", '[hq]\nfetch = "1h"\n'))
        at.hq.commit()
        at.hq.git("push", "-q", "origin", "main")
        with at.hq.daemon() as loop:
            seen = up(at, loop).cursor.head
            settle(loop)
            commit(at.bare, "main", {"text.md": text(l25="theirs")}, "main", "By hand")
            at.forge.approve(1, by="tim")
            reviewed(at, loop, seen)
            assert at.pull.state == "open"
            at.forge.approve(1, by="tim")
            settle(loop, lambda: bool(at.hq.folder("done")))
        assert at.git("show", "main:text.md") == text(l3="ours", l25="theirs").strip()


def test_work_that_lands_by_itself_is_looked_at_together_with_main_first(tmp_path: Path) -> None:
    playbook = PLAYBOOK.split('[[steps]]\nname = "approve"', maxsplit=1)[0].replace("accepts", 'land = "auto"\naccepts')
    code = f"import pathlib, time\\nend = time.time() + 10\\nwhile not pathlib.Path('{tmp_path / 'go'}').exists() and "
    code += "time.time() < end: time.sleep(0.02)"
    wait = f'gates_before = [{{ kind = "command", argv = ["{PYTHON}", "-c", "{code}"] }}]\n'
    playbook = playbook.replace("deliver =", f"{wait}deliver =")
    hq = desk(tmp_path, text(l3="ours"), text(l3="ours", l25="allowed"), playbook=playbook)
    hq.drop("edit.md", EDIT)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(loop.runner.running))
        person(hq, text(l25="forbidden"))
        (tmp_path / "go").touch()
        settle(loop, lambda: bool(hq.folder("done")))
    task = hq.folder("done")[0][:-3]
    routed = next(record for record in hq.records(task) if record.event.value == "routed")
    assert routed.route == "landing#main"
    assert "forbidden" in " ".join(finding.text for finding in routed.findings)
    assert hq.git("show", "main:text.md") + "\n" == text(l3="ours", l25="allowed")


# ---- in a target repository

BOTH = "def add(a, b):\n    return b + a\n"
RESOLVES = f"""
import os, pathlib
calc = pathlib.Path("calc.py")
if "<<<<<<<" in calc.read_text():
    assert os.environ["HQD_ATTEMPT"] == "2"
    calc.write_text({BOTH!r})
    print("both sides")
else:
    calc.write_text({GREEN!r})
    print("mended")
"""


def test_a_conflict_in_a_target_repository_is_resolved_in_the_agents_copy(tmp_path: Path) -> None:
    hq, site = shop(tmp_path, mender=RESOLVES)
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        site.pull()
        theirs = site.commit({"calc.py": "def add(a, b):\n    return b - a\n"}, "Mine")
        settle(loop, lambda: only(loop).cursor.attempts.get("mend") == 2 and bool(hq.folder("review")), seconds=40)
        task = only(loop)
        assert site.show("calc.py", branch(task.id)) == BOTH.strip()
        assert site.git("log", "-1", "--format=%P", branch(task.id), where=site.remote).split()[1] == theirs
        assert hq.ask(loop, "approve", task.id).ok
        settle(loop, lambda: bool(hq.folder("done")))
    assert site.show("calc.py") == BOTH.strip()


def test_a_main_that_is_rewritten_brings_nothing_of_the_old_one_back(tmp_path: Path) -> None:
    hq, site = shop(tmp_path)
    site.commit({"key.txt": "a secret that has to go\n"}, "A mistake")
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        first = only(loop).cursor.head
        site.git("reset", "--quiet", "--hard", "HEAD~1")
        site.commit({"README.md": "Rewritten.\n"}, "Without the mistake", push=False)
        site.git("push", "--quiet", "--force", "origin", "main")
        settle(loop, lambda: only(loop).cursor.head != first and bool(hq.folder("review")), seconds=40)
        task = only(loop)
        assert task.cursor.base == site.tip()
        files = site.git("ls-tree", "--name-only", branch(task.id), where=site.remote).split()
        assert "key.txt" not in files
        assert site.show("calc.py", branch(task.id)) == GREEN.strip()
        assert hq.ask(loop, "approve", task.id).ok
        settle(loop, lambda: bool(hq.folder("done")))
    assert "A mistake" not in site.git("log", "--format=%s", "main", where=site.remote)
    assert site.show("calc.py") == GREEN.strip()


def test_a_branch_is_rebased_where_the_playbook_says_so(tmp_path: Path) -> None:
    playbook = FIX.replace('land = "on_merge"', 'land = "on_merge", update = "rebase"')
    hq, site = shop(tmp_path, playbook=playbook)
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        site.pull()
        theirs = site.commit({"calc.py": "# A calculator.\n\n\n" + RED}, "A line above")
        settle(loop, lambda: only(loop).cursor.base == theirs and bool(hq.folder("review")), seconds=40)
        task = only(loop)
        assert site.git("log", "--format=%P", "-1", branch(task.id), where=site.remote) == theirs
        assert site.show("calc.py", branch(task.id)) == ("# A calculator.\n\n\n" + GREEN).strip()


def test_a_conflict_that_no_agent_resolves_is_parked(tmp_path: Path) -> None:
    """Where there is no agent step to send it to, or each try conflicts again, a person decides."""
    hq, site = shop(tmp_path, mender=f"import pathlib; pathlib.Path('calc.py').write_text({GREEN!r}); print('mended')")
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        for number in range(5):
            tries = only(loop).cursor.attempts.get("mend", 0)
            site.pull()
            site.commit({"calc.py": f"def add(a, b):\n    return a - b - {number}\n"}, "Mine")
            settle(loop, partial(_answered, hq, loop, tries), seconds=40)
            if hq.folder("blocked"):
                break
        cursor = only(loop).cursor
        assert cursor.reason is ParkReason.CONFLICT
        assert "in conflict with the work in calc.py" in (cursor.missing or "")


def _answered(hq: Headquarters, loop: Loop, tries: int) -> bool:
    """The agent has tried once more and the review is open again; or a person is asked."""
    again = only(loop).cursor.attempts.get("mend", 0) > tries and bool(hq.folder("review"))
    return again or bool(hq.folder("blocked"))
