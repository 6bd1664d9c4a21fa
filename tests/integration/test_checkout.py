"""Telling a person's acts by files from what git did: the checkout over a real working tree."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from hqd.adapters.checkout import GitCheckout
from hqd.adapters.ledger import Writer
from hqd.adapters.sparse import Sparse
from hqd.core.batch import blob_id
from hqd.model.change import Act
from tests.integration.ledger_scenes import AT, Desk, consume, move, write


@pytest.fixture
def desk(hq_repo: Path) -> Iterator[Desk]:
    with Desk.open(hq_repo) as desk:
        desk.append(*(write(f"workspace/queue/{name}.md", f"# {name}\n") for name in "abc"))
        assert desk.look() == {}
        yield desk


def test_what_hqd_wrote_is_no_act(desk: Desk) -> None:
    desk.append(move("a", "queue", "active"))
    desk.append(move("a", "active", "blocked", 2), write("workspace/blocked/a.note.md", "why"))
    assert desk.look() == {}


def test_kinds_of_acts(desk: Desk) -> None:
    added = desk.put("workspace/inbox/new.md", "new")
    modified = desk.put("workspace/queue/a.md", "# a, edited")
    desk.path("workspace/queue/b.md").unlink()
    desk.put("workspace/PAUSED", "")
    desk.put("workspace/inbox/newsletter/.gitkeep", "")
    desk.put("workspace/inbox/newsletter/x.md", "x")
    desk.put("workspace/holds/h.md", "h")
    desk.put("playbooks/deep/er/p.toml", "name = 'p'")
    seen = desk.look()
    assert {path: (found.kind, found.file) for path, found in seen.items()} == {
        "workspace/inbox/new.md": ("added", "file"),
        "workspace/queue/a.md": ("modified", "file"),
        "workspace/queue/b.md": ("deleted", "missing"),
        "workspace/PAUSED": ("added", "file"),
        "workspace/inbox/newsletter": ("added", "folder"),
        "workspace/inbox/newsletter/.gitkeep": ("added", "file"),
        "workspace/inbox/newsletter/x.md": ("added", "file"),
        "workspace/holds/h.md": ("added", "file"),
        "playbooks/deep": ("added", "folder"),
        "playbooks/deep/er": ("added", "folder"),
        "playbooks/deep/er/p.toml": ("added", "file"),
    }
    assert (seen["workspace/inbox/new.md"].blob, seen["workspace/queue/a.md"].blob) == (added, modified)
    assert not any(found.staged for found in seen.values())


def test_what_is_elsewhere_is_none_of_hqds_business(desk: Desk) -> None:
    for path in ("notes.md", "content/x.md", "workspace/context/brand.md", "workspace/queue/folder/x.md"):
        desk.put(path, "x")
    assert set(desk.look()) == {"workspace/queue/folder"}
    assert desk.look()["workspace/queue/folder"].file == "folder"


def test_strange_things_are_named_and_never_opened(desk: Desk) -> None:
    inbox = desk.path("workspace/inbox")
    os.mkfifo(inbox / "fifo.md")
    (inbox / "link.md").symlink_to("/etc/hostname")
    (inbox / "dangling.md").symlink_to("nowhere")
    (inbox / "folder.md").mkdir()
    place = Path.cwd()
    os.chdir(inbox)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.md")
    os.chdir(place)
    with (inbox / "large.md").open("wb") as file:
        file.truncate(50 << 20)
    seen = desk.look()
    assert {path.rpartition("/")[2]: (found.file, found.blob) for path, found in seen.items()} == {
        "fifo.md": ("other", None),
        "socket.md": ("other", None),
        "link.md": ("link", None),
        "dangling.md": ("link", None),
        "folder.md": ("folder", None),
        "large.md": ("file", None),
    }
    assert seen["workspace/inbox/large.md"].size == 50 << 20
    for name in ("fifo.md", "link.md", "folder.md"):
        with pytest.raises(OSError):  # which one depends on the kind
            desk.checkout.read(f"workspace/inbox/{name}", 10)


def test_read_follows_no_linked_folder(desk: Desk, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.md").write_text("secret")
    desk.path("workspace/inbox/away").symlink_to(outside)
    assert desk.look()["workspace/inbox/away"].file == "link"
    with pytest.raises(OSError, match="no folder"):
        desk.checkout.read("workspace/inbox/away/x.md", 10)


def test_a_state_folder_that_became_a_link_hides_its_tasks_but_is_not_followed(desk: Desk, tmp_path: Path) -> None:
    desk.path("workspace/queue").rename(tmp_path / "moved")
    desk.path("workspace/queue").symlink_to(tmp_path / "moved")
    seen = desk.look()
    assert seen["workspace/queue"].file == "link"
    assert seen["workspace/queue/a.md"].kind == "deleted"


@pytest.mark.parametrize("name", ["sp ace.md", 'q"uo\\te.md', "new\nline.md", "emoji 🐙.md", "bad\udcff.md", "e" * 250])
def test_any_file_name_is_seen_and_consumed(desk: Desk, name: str) -> None:
    path = f"workspace/inbox/{name}"
    desk.put(path, "text")
    assert list(desk.look()) == [path]
    desk.append(consume(path, "text", "t-1"))
    assert desk.look() == {}
    assert not desk.path(path).exists()
    desk.assert_sound()


def test_a_staged_path_is_marked_however_its_file_looks(desk: Desk) -> None:
    desk.put("workspace/inbox/x.md", "x")
    desk.put("workspace/queue/a.md", "# a, staged\n")
    desk.git("add", "workspace")
    desk.git("rm", "-q", "--cached", "workspace/queue/b.md")
    desk.git("rm", "-q", "workspace/queue/c.md")
    seen = desk.look()
    assert {path: (found.kind, found.staged) for path, found in seen.items()} == {
        "workspace/inbox/x.md": ("added", True),
        "workspace/queue/a.md": ("modified", True),
        "workspace/queue/b.md": ("modified", True),
        "workspace/queue/c.md": ("deleted", True),
    }


def test_a_commit_of_everything_is_no_act(desk: Desk) -> None:
    """The person committed it: it is main's now, and main is read from git."""
    desk.put("workspace/queue/a.md", "# a, edited\n")
    desk.put("playbooks/p.toml", "name = 'p'\n")
    desk.path("workspace/queue/b.md").unlink()
    desk.git("add", "-A")
    desk.git("commit", "-qam", "mine")
    assert desk.look() == {}
    desk.append(move("a", "queue", "active"))
    assert desk.look() == {}
    desk.assert_sound()


def test_a_merge_that_brings_an_inbox_file_is_no_act(desk: Desk) -> None:
    desk.git("switch", "-qc", "side")
    desk.put("workspace/inbox/x.md", "x")
    desk.git("add", "-A")
    desk.git("commit", "-qm", "drop x")
    assert desk.checkout.look().busy == "branch"
    desk.git("switch", "-q", "main")
    desk.git("merge", "-q", "side")
    assert desk.look() == {}
    assert desk.ledger.snapshot().read("workspace/inbox/x.md") == b"x"
    desk.append(move("a", "queue", "active"))
    desk.git("switch", "-q", "side")
    desk.git("switch", "-q", "main")
    assert desk.look() == {}


def test_a_pull_is_no_act(desk: Desk, tmp_path: Path) -> None:
    other = tmp_path / "other"
    desk.git("clone", "-q", str(desk.root), str(other))
    (other / "workspace/inbox/x.md").parent.mkdir(exist_ok=True)
    (other / "workspace/inbox/x.md").write_text("x")
    desk.git("-C", str(other), "add", "-A")
    desk.git("-C", str(other), "-c", "user.name=o", "-c", "user.email=o@o", "commit", "-qm", "drop x")
    desk.git("pull", "-q", "--ff-only", str(other), "main")
    assert desk.look() == {}
    assert desk.path("workspace/inbox/x.md").exists()


def test_other_branch_and_back_with_an_edit_carried_along(desk: Desk) -> None:
    desk.put("workspace/queue/a.md", "# carried\n")
    desk.git("switch", "-qc", "other")
    desk.git("switch", "-q", "main")
    assert set(desk.look()) == {"workspace/queue/a.md"}


def test_reset_hard_is_no_act_and_lost_records_tell_of_it(desk: Desk) -> None:
    desk.append(move("a", "queue", "active"))
    desk.append(move("a", "active", "blocked", 2))
    old = desk.repo.tip()
    assert desk.ledger.last_seen() == old
    desk.git("reset", "-q", "--hard", "HEAD~2")
    assert desk.look() == {}
    assert desk.path("workspace/queue/a.md").exists()
    lost = desk.history.lost_records(old, desk.repo.tip())
    assert [path.rpartition("/")[2] for path in lost] == ["001-claimed.toml", "002-claimed.toml"]
    assert desk.ledger.last_seen() == old
    desk.ledger.mark_seen(desk.repo.tip())
    desk.append(move("a", "queue", "active"))
    desk.assert_sound()


def test_reset_soft_leaves_everything_staged(desk: Desk) -> None:
    desk.append(move("a", "queue", "active"))
    desk.git("reset", "-q", "--soft", "HEAD~1")
    seen = desk.look()
    assert set(seen) == {"workspace/queue/a.md", "workspace/active/a.md"}
    assert all(found.staged for found in seen.values())


def test_main_moved_under_the_files_shows_no_act(desk: Desk) -> None:
    """`git update-ref` or a push into this repository: index and files are still those of the old tree."""
    desk.append(move("a", "queue", "active"))
    tip = desk.repo.tip()
    desk.git("update-ref", "refs/heads/main", "HEAD~1")
    seen = desk.look()
    assert all(found.staged for found in seen.values())
    desk.git("update-ref", "refs/heads/main", tip)
    assert desk.look() == {}


def test_stash_and_pop_give_back_the_same_acts(desk: Desk) -> None:
    desk.put("workspace/queue/a.md", "# a, edited\n")
    desk.put("workspace/inbox/x.md", "x")
    before = desk.look()
    desk.git("stash", "-q", "--include-untracked")
    assert desk.look() == {}
    desk.append(move("b", "queue", "active"))
    desk.git("stash", "pop", "-q")
    after = desk.look()
    assert {path: found.blob for path, found in after.items()} == {path: found.blob for path, found in before.items()}
    assert not any(found.staged for found in after.values())


def test_a_held_index_lock_counts_as_busy(desk: Desk) -> None:
    quick = GitCheckout(desk.repo, desk.writer, sleep=lambda _: None)
    (desk.root / ".git/index.lock").write_bytes(b"")
    assert quick.look().busy == "index_lock"
    (desk.root / ".git/index.lock").unlink()
    assert quick.look().busy is None


def test_a_git_that_ran_during_the_look_makes_it_look_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that swaps files under the look must not come out as a person's acts."""
    desk.git("branch", "empty")
    desk.append(move("a", "queue", "active"))
    scanned = GitCheckout._walk
    looks = []

    def walk(self: GitCheckout, base: object) -> Iterator[tuple[str, os.stat_result]]:
        looks.append(1)
        if len(looks) == 1:
            desk.git("reset", "-q", "--hard", "empty")
        return scanned(self, base)  # type: ignore[arg-type]

    monkeypatch.setattr(GitCheckout, "_walk", walk)
    assert desk.look() == {}
    assert len(looks) == 2


def test_age_and_wholeness_tell_a_half_written_file(desk: Desk) -> None:
    place = desk.path("workspace/inbox/x.md")
    place.parent.mkdir(exist_ok=True)
    with place.open("w") as file:
        file.write("half")
        file.flush()
        (found,) = desk.look().values()
        assert not found.whole
        assert found.age < 5
    os.utime(place, ns=(time.time_ns() - 60 * 10**9,) * 2)
    assert desk.look()["workspace/inbox/x.md"].age >= 59
    draft = desk.root / "draft.md"
    draft.write_text("whole")
    os.utime(draft, ns=(time.time_ns() - 10**9,) * 2)
    draft.rename(desk.path("workspace/inbox/y.md"))
    assert desk.look()["workspace/inbox/y.md"].whole


def test_two_saves_of_the_same_size_in_one_clock_tick_are_both_seen(desk: Desk) -> None:
    for n in range(50):
        text = f"{n:04}"
        blob = desk.put("workspace/inbox/x.md", text)
        assert desk.look()["workspace/inbox/x.md"].blob == blob


def test_a_second_look_reads_no_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.append(*(write(f"workspace/queue/t{n}.md", f"{n}\n") for n in range(50)))
    desk.put("workspace/queue/t1.md", "edited, and read once\n")
    for path in desk.path("workspace/queue").iterdir():
        os.utime(path, ns=(10**18, 10**18))
    monkeypatch.setattr(desk.checkout, "_clock", lambda: time.time() + 60)  # the dates are no longer young
    first = desk.look()

    def no_reading(*_: object) -> None:
        raise AssertionError("a file was read")

    monkeypatch.setattr(type(desk.writer.files), "_read", no_reading)
    assert set(desk.look()) == set(first) == {"workspace/queue/t1.md"}


def test_an_observer_without_the_right_to_write_sees_the_same(desk: Desk) -> None:
    desk.put("workspace/inbox/x.md", "x")
    observer = GitCheckout(desk.repo)
    assert [(found.path, found.blob) for found in observer.look().differences] == [
        ("workspace/inbox/x.md", blob_id(b"x"))
    ]
    with pytest.raises(ValueError, match="writer"):
        observer.restore([Act("workspace/inbox/x.md", None)])


def test_restore_leaves_a_staged_path_alone(desk: Desk) -> None:
    blob = desk.put("workspace/queue/a.md", "# staged\n")
    desk.git("add", "workspace/queue/a.md")
    desk.checkout.restore([Act("workspace/queue/a.md", blob)])
    assert desk.path("workspace/queue/a.md").read_text() == "# staged\n"


@pytest.mark.parametrize("mode", ["index", "cone"])
def test_sparse_keeps_records_and_old_months_off_the_disk(desk: Desk, mode: str) -> None:
    old, now = "workspace/done/2026/03/01/old.md", "workspace/done/2026/11/01/new.md"
    desk.append(write(old, "old"), write(now, "new"), write("workspace/runs/2026/11/22/t/001-x.toml", "x"))
    sparse = Sparse(desk.writer)
    assert sparse.apply(mode, date(2026, 11, 22))  # type: ignore[arg-type]
    assert not sparse.apply(mode, date(2026, 11, 22))  # type: ignore[arg-type]
    assert not desk.path(old).exists()
    assert not desk.path("workspace/runs").exists()
    assert desk.path(now).read_text() == "new"
    assert desk.ledger.snapshot().read(old) == b"old"
    desk.append(move("a", "queue", "active"), write("workspace/done/2026/11/22/z.md", "z"))
    assert not desk.path("workspace/runs").exists()
    assert desk.path("workspace/done/2026/11/22/z.md").exists()
    desk.append(write("content/x.md", "landed"))
    assert sparse.apply(mode, date(2026, 11, 22))  # type: ignore[arg-type]
    assert desk.path("content/x.md").read_text() == "landed"
    assert desk.look() == {}
    desk.assert_sound()
    assert sparse.apply("off", AT.date())
    assert desk.path(old).read_text() == "old"
    assert not sparse.apply("off", AT.date())
    desk.assert_sound()


def test_a_new_month_comes_into_the_cone_and_an_old_one_leaves(desk: Desk) -> None:
    sparse = Sparse(desk.writer)
    sparse.apply("index", date(2026, 11, 22))
    desk.append(write("workspace/done/2026/11/22/a.md", "a"))
    assert sparse.apply("index", date(2027, 2, 1))
    assert not desk.path("workspace/done/2026/11/22/a.md").exists()
    desk.append(write("workspace/done/2027/02/01/b.md", "b"))
    assert desk.path("workspace/done/2027/02/01/b.md").exists()
    desk.assert_sound()


def test_a_persons_new_top_folder_can_be_added_and_committed(desk: Desk) -> None:
    """git refuses `git add` outside the sparse checkout, so folders that appear on disk come into it."""
    sparse = Sparse(desk.writer)
    sparse.apply("index", date(2026, 11, 22))
    desk.put("content/x.md", "x")
    desk.put("workspace/extra/y.md", "y")
    assert sparse.apply("index", date(2026, 11, 22))
    desk.git("add", "content", "workspace/extra")
    desk.git("commit", "-qm", "mine")
    assert desk.path("content/x.md").exists()
    assert desk.look() == {}
    desk.append(move("a", "queue", "active"))
    desk.assert_sound()


def test_shrinking_the_cone_leaves_a_persons_edit_where_it_is(desk: Desk) -> None:
    desk.append(write("workspace/done/2026/03/01/old.md", "old"))
    desk.put("workspace/done/2026/03/01/old.md", "edited")
    Sparse(desk.writer).apply("index", date(2026, 11, 22))
    assert desk.path("workspace/done/2026/03/01/old.md").read_text() == "edited"
    desk.append(move("a", "queue", "active"))


def test_a_person_who_edits_in_a_sparse_month_is_not_overwritten(desk: Desk) -> None:
    Sparse(desk.writer).apply("index", date(2026, 11, 22))
    desk.put("workspace/runs/2026/11/22/mine.txt", "mine")
    desk.append(move("a", "queue", "active"))
    assert desk.path("workspace/runs/2026/11/22/mine.txt").read_text() == "mine"


def test_the_written_out_note_survives_a_restart(desk: Desk) -> None:
    desk.put("workspace/inbox/x.md", "x")
    root, blob = desk.root, blob_id(b"x")
    desk.close()
    with Desk.open(root) as again:
        assert again.look()["workspace/inbox/x.md"].blob == blob
        assert isinstance(again.writer, Writer)
