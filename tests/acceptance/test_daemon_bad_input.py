"""Bad input: a clear word about the file in what hqd says, nothing lost, and the daemon goes on."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from hqd.core.batch import blob_id
from tests.acceptance.conftest import Shop
from tests.acceptance.oracle import all_records
from tests.acceptance.processes import drop, in_state, run, start, stop, task_of, tree, until
from tests.daemon.headquarters import SETTINGS as BASE
from tests.daemon.headquarters import Headquarters, make

SETTINGS = BASE
PLAYBOOKS = {
    "slow": """
name = "slow"
[[steps]]
name = "work"
agent = "strong"
[[steps]]
name = "again"
agent = "worker"
""",
}
ANSWERS = [{"step": "work", "agent": "strong", "answer": "slow but sure words", "delay": "700ms"}, {"answer": "a b c"}]

BOMB = "---\na: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
) + "---\n# Bomb\n"  # fmt: skip

PARKED: dict[str, tuple[bytes, str]] = {
    "bad-yaml": (b"---\ntitle: [never closed\ntags: x\n---\n# Bad\n", ".md:3: "),
    "alias-bomb": (BOMB.encode(), "alias"),
    "deep-nesting": (b"---\ninputs: " + b"[" * 5000 + b"]" * 5000 + b"\n---\n# Deep\n", "deep"),
    "wrong-types": (b"---\npriority: very\ntags: {a: 1}\n---\n# Types\n", ".md:2: priority: "),
    "not-utf8": (b"# Caf\xe9\n\nDo it.\n", "UTF-8"),
    "nul-bytes": (b"# Nul\n\nbefore\0after\n", "NUL"),
    "unknown-playbook": (b"---\nplaybook: nowhere\n---\n# Lost\n", "nowhere"),
}
"""Accepted, because nothing that a person dropped may be lost; then parked, with what is wrong."""


def put(shop: Shop, name: str, data: bytes) -> Path:
    """A whole file in the inbox, as `mv` brings it."""
    outside = shop.hq.root.parent / f"outside-{time.monotonic_ns()}"
    outside.write_bytes(data)
    target = shop.hq.root / "workspace/inbox" / name
    outside.replace(target)
    return target


@pytest.mark.parametrize("name", PARKED)
def test_a_task_that_cannot_be_used_is_parked_with_what_is_wrong(shop: Shop, name: str) -> None:
    data, word = PARKED[name]
    put(shop, f"{name}.md", data)
    shop.journal.append(name)
    task = shop.reaches(name, "blocked")
    note = shop.hq.git("show", f"main:workspace/blocked/{task}.note.md")
    assert word in note, note
    kept = shop.hq.git("rev-parse", f"main:workspace/blocked/{task}.md")
    assert kept == blob_id(data), "not one byte is changed"
    shop.still_works(f"after-{name}")


NAMES = {
    "with spaces.md": "with-spaces",
    'it\'s "quoted".md': "it-s-quoted",
    "new\nline.md": "new-line",
    "tab\tand\\backslash.md": "tab-and-backslash",
    "🎉 party 🎉.md": "party",
    "ümläut.md": "ml-ut",
    "dots..in..it.md": "dots-in-it",
    "-rf.md": "rf",
    "$(touch pwned).md": "touch-pwned",
    "a" * 252 + ".md": "a" * 60,
    "UPPER.MD": "upper",
}


def test_names_of_all_kinds_become_tasks(shop: Shop) -> None:
    for name in NAMES:
        put(shop, name, b"# A task\n\nDo it.\n")
    shop.journal.extend(NAMES.values())
    for slug in NAMES.values():
        shop.reaches(slug, "done")
    assert not [path for path in tree(shop.hq) if path.startswith("workspace/inbox") and not path.endswith(".gitkeep")]
    assert not (shop.hq.root / "pwned").exists()


def test_a_name_that_is_not_utf8_is_reported_and_stays(shop: Shop) -> None:
    target = os.fsencode(shop.hq.root / "workspace/inbox") + b"/caf\xe9.md"
    with open(target, "wb") as file:  # noqa: PTH123 - a name that no Path should have to carry
        file.write(b"# Caf\n")
    shop.daemon.problem("caf", "UTF-8", "rename")
    assert os.path.exists(target)  # noqa: PTH110
    os.unlink(target)  # noqa: PTH108
    shop.still_works("after-latin-1")


def test_a_file_of_50_mb_is_reported_and_never_read_into_git(shop: Shop) -> None:
    target = shop.hq.root / "workspace/inbox/large.md"
    with target.open("wb") as file:
        file.write(b"# Large\n")
        file.truncate(50_000_000)
    shop.daemon.problem("inbox/large.md", "50000000", "max_bytes", "workspace/files/")
    shop.still_works("after-large")
    target.unlink()
    until(lambda: not shop.daemon.problems(), "the problem is gone with the file")


def test_what_is_no_file_is_reported_and_left_alone(shop: Shop, outside: Path) -> None:
    inbox = shop.hq.root / "workspace/inbox"
    (outside / "secret.md").write_text("# Not yours\n")
    (inbox / "link.md").symlink_to(outside / "secret.md")
    (inbox / "loop.md").symlink_to("loop.md")
    os.mkfifo(inbox / "pipe.md")
    (inbox / "folder.md").mkdir()
    (inbox / "folder.md/inner").mkdir()
    (inbox / "folder.md/inner/deep.md").write_text("# Too deep\n")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(inbox / "socket.md"))
        for name, word in {
            "link": "symbolic link",
            "loop": "symbolic link",
            "pipe": "no regular file",
            "folder": "a folder",
            "socket": "no regular file",
        }.items():
            shop.daemon.problem(f"inbox/{name}.md", word, "plain markdown file")
    shop.still_works("after-oddities")
    assert (inbox / "link.md").is_symlink()
    for name in ("link", "loop", "pipe", "socket"):
        (inbox / f"{name}.md").unlink()
    (inbox / "folder.md/inner/deep.md").unlink()
    (inbox / "folder.md/inner").rmdir()
    (inbox / "folder.md").rmdir()


def test_a_file_that_nobody_may_read_is_reported(shop: Shop) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    target = put(shop, "closed.md", b"# Closed\n")
    target.chmod(0)
    shop.daemon.problem("inbox/closed.md", "cannot be read")
    target.unlink()


def test_files_that_are_nobodys_task_are_left_alone(shop: Shop) -> None:
    inbox = shop.hq.root / "workspace/inbox"
    names = [".hidden.md", "_later.md", "Untitled 1.md", "notes.txt", "x.md~", ".x.md.swp", "empty.md", "blank.md"]
    for name in names:
        (inbox / name).write_text("" if name == "empty.md" else "  \n" if name == "blank.md" else "# Mine\n")
    (inbox / "draft.md").write_text("---\ndraft: true\n---\n# Draft\n")
    shop.still_works("after-drafts")
    time.sleep(0.3)  # twice the settle time
    shop.still_works("after-drafts-2")
    for name in (*names, "draft.md"):
        (inbox / name).unlink()


def test_a_half_written_file_is_taken_when_it_is_whole(shop: Shop) -> None:
    target = shop.hq.root / "workspace/inbox/growing.md"
    with target.open("w") as file:
        for part in range(8):
            file.write(f"line {part} of the text\n")
            file.flush()
            os.fsync(file.fileno())
            time.sleep(0.05)  # always less than the settle time
    shop.journal.append("growing")
    task = shop.reaches("growing", "done")
    (path,) = [path for path in tree(shop.hq) if path.endswith(f"{task}.md")]
    assert shop.hq.git("show", f"main:{path}").count("line") == 8


def test_an_editor_that_saves_again_after_acceptance_edits_the_task(shop: Shop) -> None:
    shop.drop("slow/saved.md", "# Saved\n\nfirst text\n")
    task = shop.reaches("saved", "active")
    (shop.hq.root / "workspace/inbox/slow/saved.md").write_text("# Saved\n\nsecond text\n")
    shop.reaches("saved", "done")
    story = [record.event.value for record in all_records(shop.hq)[task]]
    assert story.count("accepted") == 1
    assert "edited" in story
    (path,) = [path for path in tree(shop.hq) if path.endswith(f"/{task}.md")]
    assert "second text" in shop.hq.git("show", f"main:{path}")
    assert not (shop.hq.root / "workspace/inbox/slow/saved.md").exists()


def test_two_files_of_one_name_are_two_tasks(shop: Shop) -> None:
    drop(shop.hq, "twin.md", "# One\n")
    drop(shop.hq, "slow/twin.md", "# Two\n")
    shop.journal.extend(["twin", "twin"])

    def both() -> bool:
        found = [path for path in tree(shop.hq) if "-twin-" in path and path.startswith("workspace/done")]
        return len([path for path in found if not path.endswith(".result.md")]) == 2

    until(both, "both are done")


def test_a_key_in_a_dropped_file_is_never_committed(shop: Shop) -> None:
    key = "sk-ant-api03-" + "Ab1" * 31 + "AA"
    target = put(shop, "leak.md", f"# Leak\n\nUse {key} please.\n".encode())
    problem = shop.daemon.problem("inbox/leak.md", "secret")
    assert problem["line"] == 3
    assert target.exists()
    shop.still_works("after-leak")
    held = subprocess.run(
        ["git", "log", "-p", "--all", f"-S{key}", "--format=%H"], cwd=shop.hq.root, capture_output=True, check=True
    )
    assert held.stdout == b""
    target.unlink()


# -- tasks that a person touches while their step runs ------------------------------------------------------------


def at_work(shop: Shop, name: str) -> tuple[str, Path]:
    """A task whose step is being worked on, and its file."""
    shop.drop(f"slow/{name}.md", f"# {name}\n\nDo it.\n")
    task = shop.reaches(name, "active")
    path = shop.hq.root / f"workspace/active/{task}.md"
    until(path.exists, "its file is written out")
    return task, path


def test_an_edit_while_a_step_runs_counts_from_the_next_attempt(shop: Shop) -> None:
    task, path = at_work(shop, "edited")
    path.write_text("# edited\n\nAnd do it well.\n")
    shop.reaches("edited", "done")
    story = all_records(shop.hq)[task]
    assert "edited" in [record.event.value for record in story]
    prompts = [shop.hq.git("show", f"main:{record.prompt}") for record in story if record.prompt]
    assert "do it well" not in prompts[0]


def test_a_file_deleted_while_its_step_runs_cancels_the_task(shop: Shop) -> None:
    task, path = at_work(shop, "deleted")
    path.unlink()
    shop.reaches("deleted", "dropped")
    assert all_records(shop.hq)[task][-1].via is not None
    shop.still_works("after-deleted")


def test_a_file_moved_to_dropped_while_its_step_runs_cancels_the_task(shop: Shop) -> None:
    _task, path = at_work(shop, "cancelled")
    path.rename(shop.hq.root / "workspace/dropped" / path.name)
    shop.reaches("cancelled", "dropped")
    until(lambda: shop.hq.clean() == "", "the file is where main has it")


def test_a_senseless_move_while_its_step_runs_is_undone(shop: Shop) -> None:
    _task, path = at_work(shop, "astray")
    path.rename(shop.hq.root / "workspace/review" / path.name)
    shop.reaches("astray", "done")
    until(lambda: shop.hq.clean() == "", "the move is undone")


def test_a_copy_of_a_running_task_is_no_second_task(shop: Shop) -> None:
    task, path = at_work(shop, "copied")
    copy = shop.hq.root / "workspace/queue" / path.name
    copy.write_bytes(path.read_bytes())
    shop.daemon.problem(f"queue/{task}.md", "second copy", "remove it")
    shop.daemon.problem(f"queue/{task}.md", "stands there")
    shop.still_works("beside-the-copied")
    assert task_of(shop.hq, "copied") == ("active", task), "its way is blocked"
    reply = shop.daemon.ask("approve", "copied")
    assert not reply.ok
    copy.unlink()
    shop.reaches("copied", "done")
    until(lambda: shop.hq.clean() == "", "nothing is left")


def test_a_committed_move_and_a_committed_deletion_count_too(shop: Shop) -> None:
    """The same acts by git: `git mv` and `git rm`, committed while the steps run."""
    moved, _path = at_work(shop, "moved-by-git")
    removed, _path = at_work(shop, "removed-by-git")
    _commit_retrying(shop.hq, f"workspace/active/{removed}.md")
    shop.reaches("moved-by-git", "done")
    until(lambda: task_of(shop.hq, "removed-by-git") in (("dropped", removed), ("done", removed)), "it has ended")
    assert moved


@pytest.mark.parametrize("way", ["git mv", "hqd retry"])
def test_words_in_a_note_that_asks_nothing_do_not_stop_a_retry(shop: Shop, way: str) -> None:
    name = "note-" + way.replace(" ", "-")
    put(shop, f"{name}.md", b"---\npriority: very\n---\n# Note\n")
    shop.journal.append(name)
    task = shop.reaches(name, "blocked")
    note = shop.hq.root / f"workspace/blocked/{task}.note.md"
    until(note.exists, "the note is there")
    note.write_text(note.read_text() + f"\nwords of a person about {name}\n")
    shop.daemon.problem(f"{task}.note.md", "asks nothing")
    if way == "hqd retry":
        assert shop.daemon.ask("retry", name).ok
    else:
        until(lambda: _moved_by_commit(shop.hq, task), "the move is committed")
    until(lambda: "resumed" in [record.event.value for record in all_records(shop.hq)[task]], "a new round begins")
    kept = [path.read_text() for path in (shop.hq.root / ".git/hqd/taken").iterdir()]
    assert any(f"words of a person about {name}" in text for text in kept), "set aside, not lost"


def _moved_by_commit(hq: Headquarters, task: str) -> bool:
    hq.git("mv", f"workspace/blocked/{task}.md", f"workspace/queue/{task}.md", check=False)
    hq.git("commit", "-qm", "again", check=False)
    return "again" in hq.git("log", "-5", "--format=%s", "main").split("\n")


def _commit_retrying(hq: Headquarters, path: str) -> None:
    def tried() -> bool:
        if path not in tree(hq):
            return True
        hq.git("rm", "-q", "--", path, check=False)
        hq.git("commit", "-qm", "not this one", "--", path, check=False)
        return path not in tree(hq)

    until(tried, f"{path} is removed by a commit")


# -- playbooks ----------------------------------------------------------------------------------------------------

BROKEN = {
    "missing agent": ('agent = "worker"', 'agent = "nobody"', "nobody"),
    "unknown route step": (
        "gates =", 'routes = [{ when = "attempt > 5", to = "nowhere", max = 1 }]\ngates =', "nowhere",
    ),
    "loop without bound": ("gates =", 'routes = [{ when = "attempt < 5", to = "work" }]\ngates =', "max"),
    "bad expression": ("gates =", 'when = "task.title ||| 3"\ngates =', "when"),
    "no TOML": ('name = "work"', "name = work", "general.toml"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_playbook_leaves_the_last_good_one_in_force(shop: Shop, fault: str) -> None:
    old, new, word = BROKEN[fault]
    path = shop.hq.root / "playbooks/general.toml"
    good = path.read_text()
    assert old in good
    path.write_text(good.replace(old, new, 1))
    _commit(shop.hq, f"break: {fault}")
    try:
        problem = shop.daemon.problem("playbooks/general.toml")
        assert problem["line"] > 0, problem
        assert word in f"{problem['key']} {problem['message']} {problem['remedy']} {problem['path']}", problem
        shop.still_works(f"last-good-{fault.replace(' ', '-')}")
    finally:
        path.write_text(good)
        _commit(shop.hq, f"mend: {fault}")
    until(lambda: not [each for each in shop.daemon.problems() if "general" in each["path"]], "it is mended")


def _commit(hq: Headquarters, message: str) -> None:
    def tried() -> bool:
        hq.git("commit", "-qm", message, "--", "playbooks", check=False)
        return hq.git("diff", "--name-only", "HEAD", "--", "playbooks") == ""

    until(tried, message)


# -- the repository itself ----------------------------------------------------------------------------------------


def test_without_a_git_identity_everything_works(tmp_path: Path) -> None:
    hq = make(tmp_path)
    hq.git("config", "--unset", "user.name")
    hq.git("config", "--unset", "user.email")
    for name in list(hq.env):
        if name.startswith(("GIT_AUTHOR", "GIT_COMMITTER")) or name in ("USER", "LOGNAME", "EMAIL"):
            del hq.env[name]
    with run(hq) as daemon:
        drop(hq, "hello.md")
        in_state(hq, "hello", "done", daemon=daemon)
    assert "someone" in hq.git("log", "--format=%an", "main")


def test_a_repository_without_a_commit_is_a_clear_error(tmp_path: Path) -> None:
    hq = make(tmp_path)
    bare = Headquarters(tmp_path / "fresh", hq.env)
    bare.root.mkdir()
    bare.git("init", "-qb", "main")
    bare.write("hqd.toml", BASE)
    daemon = start(bare)
    try:
        assert daemon.wait() not in (0, None)
    finally:
        stop(daemon)
    said = daemon.output().strip().splitlines()[-1]
    assert "commit" in said, said


def test_rules_broken_from_the_start_are_a_clear_error_with_the_line(tmp_path: Path) -> None:
    hq = make(tmp_path, BASE.replace("format = 1", "format = 1\n[limits]\nconcurrency = 0"))
    daemon = start(hq)
    try:
        assert daemon.wait() not in (0, None)
    finally:
        stop(daemon)
    assert "hqd.toml:4" in daemon.output(), daemon.output()
