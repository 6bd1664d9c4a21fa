"""Work on target repositories: begun at their main, reviewed on their branches, landed by push."""

from __future__ import annotations

from pathlib import Path

from hqd.model.failure import Failure, ParkReason
from tests.daemon.headquarters import only, settle
from tests.daemon.target_repository import FIX, GREEN, MEND, PYTHON, RED, TASK, TESTS, shop, site


def test_a_task_is_worked_on_reviewed_and_landed_in_its_repository(tmp_path: Path) -> None:
    hq, site = shop(tmp_path)
    base = site.tip()
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        task = only(loop)
        assert (task.cursor.repo, task.cursor.base) == ("site", base)
        assert site.branches() == [f"hqd/{task.id}", "main"]
        assert site.show("calc.py", f"hqd/{task.id}") == GREEN.strip()
        assert site.tip() == base
        assert f"hqd/{task.id}" not in hq.git("branch", "--all")
        reply = hq.ask(loop, "approve", task.id)
        assert reply.ok, reply.message
        settle(loop)
    assert hq.folder("done") == [f"{task.id}.md"]
    assert site.show("calc.py") == GREEN.strip()
    assert site.git("log", "-1", "--format=%an", "main", where=site.remote) == "Ada"
    landed = next(record for record in hq.records(task.id) if record.event.value == "landed")
    assert landed.landed == site.tip()
    assert hq.clean() == ""


def test_a_persons_own_merge_and_push_lands_it(tmp_path: Path) -> None:
    hq, site = shop(tmp_path)
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        task = only(loop)
        site.git("fetch", "--quiet", "origin")
        site.git("merge", "--quiet", "--squash", f"origin/hqd/{task.id}")
        landing = site.commit({}, "Mend it, squashed")
        settle(loop, lambda: bool(hq.folder("done")))
    record = next(record for record in hq.records(task.id) if record.event.value == "landed")
    assert (record.landed, record.by) == (landing, "git")


def test_a_repository_that_cannot_be_reached_is_held_and_no_task_fails(tmp_path: Path) -> None:
    hq, site = shop(tmp_path)
    away = site.remote.rename(tmp_path / "away.git")
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: "repo-site" in loop.live.holds)
        hold = loop.live.holds["repo-site"]
        assert (hold.on, hold.reason) == ("repo:site", "missing")
        assert str(site.remote) in hold.missing
        assert hq.events(only(loop).id) == ["accepted"]
        settle(loop)  # idle: only the remote could move anything
        away.rename(site.remote)
        settle(loop, lambda: bool(hq.folder("review")), seconds=40)
        assert loop.live.holds == {}
    assert [record.failure for record in hq.records(hq.folder("review")[0][:-3]) if record.failure] == []


def test_a_branch_that_is_not_there_is_named(tmp_path: Path) -> None:
    hq, _ = shop(tmp_path, more='branch = "trunk"\n')
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: "repo-site" in loop.live.holds)
        assert "has no branch trunk; set [repos.site] branch" in loop.live.holds["repo-site"].missing


def test_an_unknown_repository_is_a_persons_mistake_and_the_nearest_is_named(tmp_path: Path) -> None:
    hq, _ = shop(tmp_path)
    hq.drop("mend.md", TASK.replace("tags: [fix]", "tags: [fix]\nrepo: sites"))
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("blocked")))
        cursor = only(loop).cursor
        assert cursor.reason is ParkReason.BAD_TASK
        assert "'sites': hqd.toml has no such repository; did you mean site?" in (cursor.missing or "")


def test_a_remote_that_refuses_the_push_is_heard_in_its_own_words(tmp_path: Path) -> None:
    hq, site = shop(tmp_path)
    site.hook("grep -q refs/heads/main && { echo 'main takes pull requests only' >&2; exit 1; }; exit 0")
    before = site.tip()
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        reply = hq.ask(loop, "approve", only(loop).id)
        assert not reply.ok
        assert "main takes pull requests only" in reply.message
        settle(loop, lambda: bool(hq.folder("blocked")))
        cursor = only(loop).cursor
        assert cursor.reason is ParkReason.LANDING
        assert "main takes pull requests only" in (cursor.missing or "")
    assert site.tip() == before


def test_what_a_person_does_to_the_branch_on_the_remote_wins(tmp_path: Path) -> None:
    hq, site = shop(tmp_path)
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        name = f"hqd/{only(loop).id}"
        site.git("switch", "--quiet", "--create", name)
        theirs = site.commit({"calc.py": GREEN + "# mine\n"}, "Mine", push=False)
        site.git("push", "--quiet", "--force", "origin", f"HEAD:{name}")
        settle(loop, lambda: (review := only(loop).cursor.review) is not None and review.head == theirs)
        site.git("push", "--quiet", "origin", "--delete", name)
        settle(loop, lambda: bool(hq.folder("blocked")))
        assert only(loop).cursor.reason is ParkReason.REVIEW_REJECTED
        assert name not in site.branches()
    mirror = hq.root / ".git/hqd/repos/site.git"
    assert theirs in hq.git("--git-dir", str(mirror), "for-each-ref", "--format=%(objectname)", "refs/hqd")


def test_protected_paths_are_a_breach(tmp_path: Path) -> None:
    code = MEND + "; pathlib.Path('ci').mkdir(); pathlib.Path('ci/run').write_text('true')"
    hq, site = shop(tmp_path, more='protected = ["CI/**"]\n', mender=code)
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("blocked")))
        cursor = only(loop).cursor
        assert cursor.reason is ParkReason.POLICY
        assert "ci/run" in (cursor.missing or "")
        assert len(cursor.attempts) == 1
    assert site.branches() == ["main"]


def test_a_setup_that_fails_holds_the_repository_and_names_the_command(tmp_path: Path) -> None:
    flag = tmp_path / "registry"
    code = f"import pathlib, sys; sys.exit(0 if pathlib.Path({str(flag)!r}).exists() else 'no registry')"
    hq, _ = shop(tmp_path, more=f'setup = ["{PYTHON}", "-c", "{code}"]\n')
    hq.drop("mend.md", TASK)
    hq.drop("again.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: "repo-site" in loop.live.holds)
        hold = loop.live.holds["repo-site"]
        assert hold.reason == "setup"
        assert "setup of site failed" in hold.missing
        assert "no registry" in hold.missing
        settle(loop)
        assert hq.folder("blocked") == []
        flag.touch()
        assert hq.ask(loop, "resume", name="repo-site").ok
        settle(loop, lambda: len(hq.folder("review")) == 2, seconds=40)


def test_a_setup_that_hangs_ends_with_its_task_and_with_hqd(tmp_path: Path) -> None:
    """Neither a drop nor a stop waits for it; stopped with hqd it is no failure of the repository's."""
    began = tmp_path / "began"
    code = f"import pathlib, time; pathlib.Path({str(began)!r}).touch(); time.sleep(600)"
    hq, _ = shop(tmp_path, more=f'setup = ["{PYTHON}", "-c", "{code}"]\n')
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, began.exists)
        assert hq.ask(loop, "drop", only(loop).id).ok
        settle(loop, lambda: not loop.runner.running, seconds=10)
        began.unlink()
        hq.drop("again.md", TASK)
        settle(loop, began.exists)
        loop.stopping = True
        loop.runner.stop_all()
        settle(loop, lambda: not loop.runner.running, seconds=10)
        assert only(loop).cursor.failure is Failure.INTERRUPTED
        assert loop.live.holds == {}


def test_a_submodule_that_the_setup_fills_is_no_work_and_an_empty_one_is_said(tmp_path: Path) -> None:
    setup = 'setup = ["git", "-c", "protocol.file.allow=always", "submodule", "update", "--init"]\n'
    hq, here = shop(tmp_path, more=setup, mender=f"{MEND}; assert pathlib.Path('vendor/lib/lib.py').exists()")
    (tmp_path / "lib").mkdir()
    lib = site(tmp_path / "lib", hq.env, {"lib.py": "x = 1\n"})
    here.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(lib.remote), "vendor/lib")
    here.commit({".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        changed = here.git("diff", "--name-only", f"main..hqd/{only(loop).id}", where=here.remote)
    assert changed == "calc.py"
    said = [note for note in hq.shown.notes if note.startswith("site:")]
    assert "submodules stay empty (vendor/lib)" in said[0]
    assert "pointers" in said[1]


def test_agents_work_at_once_each_in_its_own_copy_and_groups_bound_them(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    code = (
        "import os, pathlib, time\n"
        f"pathlib.Path({str(here)!r}, os.environ['HQD_TASK']).touch(); end = time.time() + 10\n"
        f"while len(os.listdir({str(here)!r})) < 2 and time.time() < end: time.sleep(0.02)\n"
        f"pathlib.Path('seen-' + os.environ['HQD_TASK'][9:14]).write_text(str(len(os.listdir({str(here)!r}))))\n" + MEND
    )
    hq, site = shop(tmp_path, mender=code)
    hq.drop("one-a.md", TASK)
    hq.drop("two-b.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: len(hq.folder("review")) == 2, seconds=40)
        slots = [
            len(site.git("ls-tree", "--name-only", f"hqd/{task}", where=site.remote).split())
            for task in loop.live.tasks
        ]
        assert slots == [4, 4]  # what was there, and one file each: nobody sees the other's
        seen = [site.show(f"seen-{task[9:14]}", f"hqd/{task}") for task in loop.live.tasks]
    assert seen == ["2", "2"]


def test_a_concurrency_group_by_repository_lets_one_in_at_a_time(tmp_path: Path) -> None:
    playbook = FIX.replace('repo = "site"', 'repo = "site"\nconcurrency = { group = "{{ task.repo }}", max = 1 }')
    hq, _ = shop(tmp_path, playbook=playbook)
    for name in ("one", "two"):
        hq.drop(f"{name}.md", TASK)
    most = 0
    with hq.daemon() as loop:

        def done() -> bool:
            nonlocal most
            most = max(most, len(loop.runner.running))
            assert not loop.runner.running or set(loop.runner.groups()) == {"site"}
            return len(hq.folder("review")) == 2

        settle(loop, done, seconds=40)
    assert most == 1


def test_work_that_lands_by_itself_is_pushed_and_what_is_red_on_main_does_not_count(tmp_path: Path) -> None:
    gates = f'gates = [{{ kind = "command", argv = ["{PYTHON}", "old_test.py"], compare = "base" }}]\n'
    playbook = FIX.split("gates =", maxsplit=1)[0].replace('repo = "site"', 'repo = "site"\nland = "auto"') + gates
    hq, site = shop(tmp_path, playbook=playbook)
    link = {"calc.py": RED, "test_calc.py": TESTS, "old_test.py": "raise SystemExit('red for years')\n"}
    (site.clone / "link").symlink_to("/etc/passwd")
    site.commit(dict(link), "A link, and a test that is red")
    site.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor/lib")
    site.git("commit", "--quiet", "-m", "A submodule")
    site.git("push", "--quiet", "origin", "main")
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("done")))
    assert site.show("calc.py") == GREEN.strip()
    listing = site.git("ls-tree", "-r", "main", where=site.remote)
    assert f"160000 commit {'1' * 40}\tvendor/lib" in listing
    assert "120000" in listing
    task = hq.folder("done")[0][:-3]
    passed = next(record for record in hq.records(task) if record.outcome is not None and record.step == "mend")
    assert [(gate.name, gate.status.value) for gate in passed.gates] == [("command", "skip")]
    assert passed.work is not None
    assert passed.work.files == ("calc.py",)
