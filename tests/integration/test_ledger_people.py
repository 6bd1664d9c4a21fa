"""The ledger beside people who stage, edit, commit and switch in the same working tree."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hqd.adapters.ledger.direct import DirectWriting
from hqd.core.batch import blob_id
from hqd.errors import PathsInUse, RepositoryBusy, StaleHead
from hqd.model.change import Act, Transition
from tests.integration.ledger_scenes import AT, Desk, move, write


@pytest.fixture
def desk(hq_repo: Path) -> Iterator[Desk]:
    with Desk.open(hq_repo) as desk:
        desk.append(*(write(f"workspace/queue/{name}.md", f"# {name}\n") for name in "abc"))
        yield desk


def test_staged_unstaged_and_untracked_work_elsewhere_stays(desk: Desk) -> None:
    desk.put("notes.md", "untracked")
    desk.put("staged.md", "staged")
    desk.put("hqd.toml", "format = 1\n# edited\n")
    desk.put("workspace/queue/c.md", "# c, edited\n")
    desk.git("add", "staged.md")
    before = desk.status()
    desk.append(move("a", "queue", "active"), move("b", "queue", "active"))
    assert desk.status() == before
    assert desk.git("diff", "--cached", "--name-only") == "staged.md\n"
    assert desk.git("show", "--stat", "--format=", "HEAD").count("|") == 2
    assert (desk.path("hqd.toml").read_text(), desk.path("notes.md").read_text()) == (
        "format = 1\n# edited\n",
        "untracked",
    )


def test_a_staged_path_is_in_use(desk: Desk) -> None:
    desk.put("workspace/queue/a.md", "# a, staged\n")
    desk.git("add", "workspace/queue/a.md")
    desk.put("workspace/queue/a.md", "# a\n")
    with pytest.raises(PathsInUse):
        desk.append(move("a", "queue", "active"))
    assert desk.git("diff", "--cached", "--name-only") == "workspace/queue/a.md\n"


def test_a_staged_target_and_an_intention_to_add_are_in_use(desk: Desk) -> None:
    for how in (["add"], ["add", "-N"]):
        desk.put("workspace/active/a.md", "mine\n")
        desk.git(*how, "workspace/active/a.md")
        with pytest.raises(PathsInUse):
            desk.append(move("a", "queue", "active"))
        desk.git("rm", "-q", "--cached", "workspace/active/a.md")
        desk.path("workspace/active/a.md").unlink()


def test_a_path_taken_out_of_the_index_is_in_use(desk: Desk) -> None:
    desk.git("rm", "-q", "--cached", "workspace/queue/a.md")
    with pytest.raises(PathsInUse):
        desk.append(move("a", "queue", "active"))


def test_a_file_with_new_dates_but_old_content_is_no_edit(desk: Desk) -> None:
    os.utime(desk.path("workspace/queue/a.md"), (1, 1))
    shutil.copy2(desk.path("workspace/queue/b.md"), desk.path("copy"))
    desk.path("copy").replace(desk.path("workspace/queue/b.md"))
    desk.append(move("a", "queue", "active"), move("b", "queue", "active"))
    desk.assert_sound()


def test_an_edit_of_the_same_size_in_the_same_moment_is_seen(desk: Desk) -> None:
    """The trap of racy dates: the file is saved within the clock tick in which git wrote the index."""
    for n in range(20):
        desk.append(write("workspace/queue/d.md", f"# {n:04}\n"))
        desk.put("workspace/queue/d.md", f"# {n:04}"[:-1] + "x\n")
        with pytest.raises(PathsInUse):
            desk.append(write("workspace/queue/d.md", "# lost\n"))
        desk.git("checkout", "-q", "--", "workspace/queue/d.md")


def test_a_folder_or_link_in_the_way_is_in_use_and_nothing_is_written_through_it(desk: Desk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.rmtree(desk.path("workspace/active"))
    desk.path("workspace/active").symlink_to(outside)
    with pytest.raises(PathsInUse):
        desk.append(move("a", "queue", "active"))
    assert list(outside.iterdir()) == []
    desk.path("workspace/active").unlink()
    desk.path("workspace/active/a.md").mkdir(parents=True)
    with pytest.raises(PathsInUse):
        desk.append(move("a", "queue", "active"))


def test_an_act_below_a_linked_folder_is_refused(desk: Desk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.md").write_text("secret")
    desk.path("workspace/inbox/away").symlink_to(outside)
    act = Act("workspace/inbox/away/x.md", blob_id(b"secret"))
    with pytest.raises(PathsInUse):
        desk.append(write("workspace/queue/x.md", "secret", acts=(act,)))
    assert (outside / "x.md").read_text() == "secret"


def test_a_held_index_lock_is_given_way_to_and_left_alone(desk: Desk) -> None:
    lock = desk.root / ".git/index.lock"
    lock.write_bytes(b"")
    packs = len(list((desk.root / ".git/objects/pack").glob("*.pack")))
    with pytest.raises(RepositoryBusy) as refused:
        desk.append(move("a", "queue", "active"))
    assert refused.value.cause == "index_lock"
    assert lock.exists()
    assert len(list((desk.root / ".git/objects/pack").glob("*.pack"))) == packs, "work was done for nothing"
    lock.unlink()
    desk.append(move("a", "queue", "active"))
    desk.assert_sound()


def test_a_short_hold_of_the_index_lock_is_waited_for(desk: Desk) -> None:
    lock = desk.root / ".git/index.lock"
    lock.write_bytes(b"")
    timer = threading.Timer(0.1, lock.unlink)
    timer.start()
    desk.append(move("a", "queue", "active"))
    timer.join()
    desk.assert_sound()


@pytest.mark.parametrize(
    ("cause", "marker"),
    [
        ("merge", "MERGE_HEAD"),
        ("cherry_pick", "CHERRY_PICK_HEAD"),
        ("revert", "REVERT_HEAD"),
        ("bisect", "BISECT_LOG"),
        ("rebase", "rebase-merge/onto"),
        ("rebase", "rebase-apply/next"),
    ],
)
def test_an_operation_in_progress_pauses_the_ledger(desk: Desk, cause: str, marker: str) -> None:
    target = desk.root / ".git" / marker
    target.parent.mkdir(exist_ok=True)
    target.write_text("x\n")
    with pytest.raises(RepositoryBusy) as refused:
        desk.append(move("a", "queue", "active"))
    assert refused.value.cause == cause
    assert desk.checkout.look().busy == cause


def test_another_branch_pauses_the_ledger_and_keeps_its_files(desk: Desk) -> None:
    desk.git("switch", "-qc", "other")
    with pytest.raises(RepositoryBusy) as refused:
        desk.append(move("a", "queue", "active"))
    assert refused.value.cause == "branch"
    assert desk.status() == ""
    desk.git("checkout", "-q", "--detach")
    with pytest.raises(RepositoryBusy):
        desk.append(move("a", "queue", "active"))
    desk.git("switch", "-q", "main")
    desk.append(move("a", "queue", "active"))
    desk.assert_sound()


def test_a_person_who_commits_first_wins(desk: Desk) -> None:
    base = desk.repo.tip()
    desk.put("notes.md", "x")
    desk.git("add", "notes.md")
    desk.git("commit", "-qm", "mine")
    with pytest.raises(StaleHead):
        desk.ledger.append(base, [move("a", "queue", "active")])
    desk.append(move("a", "queue", "active"))
    assert desk.git("log", "--format=%s", "-2") == "hqd: a: queue -> active\nmine\n"
    desk.assert_sound()


def test_main_moved_between_the_check_and_the_swap_is_stale(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the compare-and-swap decides: the moved ref is found by git itself."""
    base = desk.repo.tip()
    other = desk.git("commit-tree", "-p", base, "-m", "rival", f"{base}^{{tree}}").strip()
    begin = desk.writer.journal.begin

    def rival_first(move: Any) -> None:
        begin(move)
        desk.git("update-ref", "refs/heads/main", other)

    monkeypatch.setattr(desk.writer.journal, "begin", rival_first)
    with pytest.raises(StaleHead):
        desk.append(move("a", "queue", "active"))
    monkeypatch.undo()
    assert desk.repo.tip() == other
    desk.append(move("a", "queue", "active"))
    desk.assert_sound()


def test_packed_refs_are_understood(desk: Desk) -> None:
    desk.git("pack-refs", "--all", "--prune")
    assert not (desk.root / ".git/refs/heads/main").exists()
    desk.append(move("a", "queue", "active"))
    desk.append(move("b", "queue", "active"))
    desk.assert_sound()


def test_a_held_ref_lock_is_reported_and_left_alone(desk: Desk) -> None:
    lock = desk.root / ".git/refs/heads/main.lock"
    lock.write_bytes(b"")
    with pytest.raises(RepositoryBusy) as refused:
        desk.append(move("a", "queue", "active"))
    assert refused.value.cause == "ref_lock"
    assert lock.exists()
    lock.unlink()
    desk.append(move("a", "queue", "active"))
    desk.assert_sound()


@pytest.mark.parametrize("way", ["direct", "git"])
@pytest.mark.parametrize("change", ["write", "move"])
def test_a_save_between_check_and_write_is_kept_and_reported(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, way: str, change: str
) -> None:
    """Main has moved already: the person's text stays, based on the older tree, and shows as their edit."""
    if way == "git":
        monkeypatch.setattr(DirectWriting, "write", lambda *_: None)
    begin = desk.writer.journal.begin
    desk.put("staged.md", "staged")
    desk.git("add", "staged.md")

    def save_meanwhile(journal_entry: Any) -> None:
        begin(journal_entry)
        desk.put("workspace/queue/a.md", "# saved in this very moment\n")

    monkeypatch.setattr(desk.writer.journal, "begin", save_meanwhile)
    mine = write("workspace/queue/a.md", "# by hqd\n") if change == "write" else move("a", "queue", "active")
    desk.append(mine, move("b", "queue", "active"))
    monkeypatch.undo()
    texts = {place: desk.path(f"workspace/{place}/a.md") for place in ("queue", "active")}
    saved = [place for place, path in texts.items() if path.exists() and "very moment" in path.read_text()]
    assert len(saved) == 1
    assert desk.git("diff", "--cached", "--name-only") == "staged.md\n"
    assert desk.path("workspace/active/b.md").exists()
    assert not desk.path("workspace/queue/b.md").exists()
    assert f"workspace/{saved[0]}/a.md" in desk.look()
    assert not (desk.root / ".git/index.lock").exists()
    if change == "write":
        assert desk.ledger.take_left_alone() == ("workspace/queue/a.md",)


@pytest.mark.parametrize("way", ["direct", "git"])
def test_an_edited_task_that_is_dropped_goes_by_its_act(desk: Desk, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Main had it, the person's file differs, and the new tree lacks it."""
    if way == "git":
        monkeypatch.setattr(DirectWriting, "write", lambda *_: None)
    blob = desk.put("workspace/queue/a.md", "# edited\n")
    desk.append(
        Transition(
            message="x\n", at=AT, deletes=("workspace/queue/a.md",),
            writes=(("workspace/active/a.md", b"# edited\n"),), acts=(Act("workspace/queue/a.md", blob),),
        )
    )  # fmt: skip
    assert not desk.path("workspace/queue/a.md").exists()
    assert desk.look() == {}
    desk.assert_sound()


def test_a_person_switches_branch_between_check_and_write(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """`git switch -c` takes no lock at all; the new branch's files are its own."""
    begin = desk.writer.journal.begin

    def switch_meanwhile(journal_entry: Any) -> None:
        begin(journal_entry)
        desk.git("symbolic-ref", "HEAD", "refs/heads/other")
        desk.git("update-ref", "refs/heads/other", desk.repo.tip())

    monkeypatch.setattr(desk.writer.journal, "begin", switch_meanwhile)
    desk.append(move("a", "queue", "active"))
    monkeypatch.undo()
    assert desk.status() == ""
    desk.git("switch", "-q", "main")
    assert desk.look() == {}
    desk.append(move("b", "queue", "active"))
    desk.assert_sound()


def test_persons_bytes_that_git_lacks_are_kept_aside(desk: Desk) -> None:
    blob = desk.put("workspace/review/stray.md", "only here")
    desk.checkout.restore([Act("workspace/review/stray.md", blob)])
    assert not desk.path("workspace/review/stray.md").exists()
    (kept,) = (desk.root / ".git/hqd/taken").iterdir()
    assert kept.read_text() == "only here"


def test_a_split_index_and_version_4_are_read(desk: Desk) -> None:
    desk.git("update-index", "--split-index")
    desk.put("workspace/queue/a.md", "# edited\n")
    with pytest.raises(PathsInUse):
        desk.append(move("a", "queue", "active"))
    desk.git("checkout", "-q", "--", "workspace/queue/a.md")
    desk.append(move("a", "queue", "active"))
    desk.git("update-index", "--index-version", "4")
    desk.put("workspace/queue/b.md", "# edited\n")
    with pytest.raises(PathsInUse):
        desk.append(move("b", "queue", "active"))
    desk.append(move("c", "queue", "active"))
    desk.git("checkout", "-q", "--", "workspace/queue/b.md")
    desk.assert_sound()


def test_line_end_conversion_outside_workspace_is_no_edit(desk: Desk) -> None:
    desk.git("config", "core.autocrlf", "true")
    desk.append(write("content/x.md", "one\ntwo\n"))
    assert desk.path("content/x.md").read_bytes() == b"one\r\ntwo\r\n"
    os.utime(desk.path("content/x.md"), (1, 1))
    desk.append(write("content/x.md", "three\n"))
    desk.assert_sound()


def test_a_rebuilt_hq_in_a_linked_worktree_works(desk: Desk, tmp_path: Path) -> None:
    desk.git("switch", "-qc", "parking")
    desk.close()
    linked = tmp_path / "linked"
    desk.git("worktree", "add", "-q", str(linked), "main")
    with Desk.open(linked) as other:
        other.append(move("a", "queue", "active"))
        assert other.path("workspace/active/a.md").exists()
        assert other.status() == ""


def test_many_people_and_one_ledger_lose_nothing(desk: Desk) -> None:
    """A person commits in a loop while the ledger appends: every commit of both is there at the end."""
    mine: list[str] = []
    done = threading.Event()

    def person() -> None:
        n = 0
        while not done.is_set() and n < 200:
            desk.put(f"content/{n}.md", f"{n}\n")
            desk.git("add", f"content/{n}.md", check=False)
            if "mine" in desk.git("commit", "-m", f"mine {n}", check=False):
                mine.append(f"mine {n}")
            n += 1

    thread = threading.Thread(target=person)
    thread.start()
    appended = 0
    try:
        for n in range(200):
            try:
                desk.append(write(f"workspace/files/{n}", "x"))
                appended += 1
            except (StaleHead, RepositoryBusy):
                continue
            if appended >= 25:
                break
    finally:
        done.set()
        thread.join()
    subjects = desk.git("log", "--format=%s").splitlines()
    assert appended >= 5
    assert len(mine) >= 3
    assert set(mine) <= set(subjects)
    assert sum(subject.startswith("hqd: write 'workspace/files") for subject in subjects) == appended
    desk.assert_sound()
