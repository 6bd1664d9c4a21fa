"""The contract of the ports Ledger, Tree, History and Checkout, over git and over the ledger in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hqd.adapters.checkout import GitCheckout
from hqd.adapters.history import GitHistory
from hqd.adapters.ledger import GitLedger, Writer
from hqd.adapters.repository import GitRepository
from hqd.core.batch import blob_id
from hqd.errors import PathsInUse, StaleHead
from hqd.model.change import Act, Transition
from hqd.model.record import Person
from hqd.ports import Checkout, History, Ledger
from hqd.testing.memory_ledger import MemoryLedger

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
START = {
    "hqd.toml": b"format = 1\n",
    "workspace/.gitattributes": b"** -text !filter !ident\n",
    "workspace/queue/.gitkeep": b"",
    "workspace/queue/a.md": b"# A\n",
    "workspace/queue/b.md": b"# B\r\nwith a foreign line end\n",
    "workspace/queue-2.md": b"sorts before queue/\n",
}
ODD_NAMES = ['with space "and" quotes.md', "new\nline.md", "tab\t\\back.md", "emoji 🐙.md", "b\udcffytes.md", "e" * 250]


@dataclass
class House:
    """What a test needs of either world; `write` and `remove` play a person who works on the files."""

    ledger: Ledger
    history: History
    checkout: Checkout
    world: Any

    def append(self, *transitions: Transition) -> tuple[str, ...]:
        return self.ledger.append(self.ledger.snapshot().commit, transitions)

    def write(self, path: str, data: bytes) -> None:
        if isinstance(self.world, MemoryLedger):
            self.world.files[path] = data
            return
        target = self.world / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def remove(self, path: str) -> None:
        if isinstance(self.world, MemoryLedger):
            del self.world.files[path]
        else:
            (self.world / path).unlink()

    def disk(self, path: str) -> bytes | None:
        if isinstance(self.world, MemoryLedger):
            return self.world.files.get(path)
        target = self.world / path
        return target.read_bytes() if target.is_file() else None


@pytest.fixture(params=["memory", "git"])
def house(request: pytest.FixtureRequest, tmp_path: Path, git: Any) -> Iterator[House]:
    if request.param == "memory":
        ledger = MemoryLedger(START)
        yield House(ledger, ledger.history, ledger.checkout, ledger)
        return
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "config", "user.name", "Person")
    git(tmp_path, "config", "user.email", "person@example.org")
    for path, data in START.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "Make an HQ")
    repo = GitRepository.open(tmp_path, dict(os.environ))
    writer = Writer(repo)
    git_ledger = GitLedger(writer)
    yield House(git_ledger, GitHistory(repo), GitCheckout(repo, writer, git_ledger.finish), tmp_path)
    git_ledger.close()
    writer.close()
    repo.close()


def change(message: str = "hqd: a: step passed -> next\n", **fields: Any) -> Transition:
    return Transition(message=message, at=AT, **fields)


def test_the_tree_is_read_as_committed(house: House) -> None:
    tree = house.ledger.snapshot()
    queue = tree.entry("workspace/queue")
    assert queue is not None
    assert queue.is_folder
    assert queue.mode == "040000"
    assert tree.read("workspace/queue/b.md") == START["workspace/queue/b.md"]
    assert tree.read("workspace/queue") is None
    assert tree.read("workspace/queue/none.md") is None
    assert tree.read("hqd.toml/below") is None
    assert tree.entry("none/at/all") is None
    assert tree.entries("none") == ()


def test_folders_are_listed_in_gits_order(house: House) -> None:
    names = [entry.name for entry in house.ledger.snapshot().entries("workspace")]
    assert names == [".gitattributes", "queue-2.md", "queue"]
    assert [entry.name for entry in house.ledger.snapshot().entries("")] == ["hqd.toml", "workspace"]


def test_one_commit_per_transition_in_the_order_given(house: House) -> None:
    before = house.ledger.snapshot().commit
    ids = house.append(
        change("one\n\nHqd-Event: claimed\n", renames=(("workspace/queue/a.md", "workspace/active/a.md"),)),
        change("two\n", renames=(("workspace/active/a.md", "workspace/done/2026/11/22/a.md"),)),
    )
    assert list(house.history.messages(before)) == [(ids[1], "two\n"), (ids[0], "one\n\nHqd-Event: claimed\n")]
    assert house.ledger.snapshot().commit == ids[1]
    assert house.history.tree(ids[0]).read("workspace/active/a.md") == b"# A\n"
    assert house.history.tree(ids[1]).entry("workspace/active") is None
    assert house.ledger.snapshot().read("workspace/done/2026/11/22/a.md") == b"# A\n"


def test_messages_are_bounded_by_count_and_by_paths(house: House) -> None:
    (first,) = house.append(change("first\n", writes=(("workspace/runs/x/1.toml", b"1"),)))
    (second,) = house.append(change("second\n", writes=(("workspace/runs/y/1.toml", b"1"),)))
    assert next(iter(house.history.messages(None)))[0] == second
    assert len(list(house.history.messages(None, limit=1))) == 1
    assert [commit for commit, _ in house.history.messages(None, ["workspace/runs/x"])] == [first]


def test_renames_come_before_deletes_and_deletes_before_writes(house: House) -> None:
    house.append(
        change(
            renames=(("workspace/queue/a.md", "workspace/queue/c.md"),),
            deletes=("workspace/queue/c.md",),
            writes=(("workspace/queue/c.md", b"new"), ("workspace/queue/a.md", b"again")),
        )
    )
    tree = house.ledger.snapshot()
    assert tree.read("workspace/queue/c.md") == b"new"
    assert tree.read("workspace/queue/a.md") == b"again"
    assert house.disk("workspace/queue/a.md") == b"again"


def test_links_place_objects_that_are_there_already(house: House) -> None:
    entry = house.ledger.snapshot().entry("workspace/queue/b.md")
    assert entry is not None
    house.append(change(links=(("100755", entry.id, "content/b.md"),)))
    placed = house.ledger.snapshot().entry("content/b.md")
    assert placed is not None
    assert (placed.mode, placed.id) == ("100755", entry.id)
    assert house.disk("content/b.md") == START["workspace/queue/b.md"]


def test_a_file_that_can_be_run_stays_so_when_it_is_written_again(house: House) -> None:
    entry = house.ledger.snapshot().entry("hqd.toml")
    assert entry is not None
    house.append(change(links=(("100755", entry.id, "tool.sh"),)))
    house.append(change(writes=(("tool.sh", b"#!/bin/sh\n"),)))
    written = house.ledger.snapshot().entry("tool.sh")
    assert written is not None
    assert written.mode == "100755"


def test_a_merge_has_a_second_parent_and_history_follows_the_first(house: House) -> None:
    start = house.ledger.snapshot().commit
    (side,) = house.append(change("side\n", writes=(("workspace/files/x", b"x"),)))
    (merged,) = house.append(change("merged\n", merge=start, writes=(("workspace/files/y", b"y"),)))
    assert [commit for commit, _ in house.history.messages(start)] == [merged, side]


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: ascii(name)[:20])
def test_any_file_name_survives_write_rename_and_delete(house: House, name: str) -> None:
    house.append(change(writes=((f"workspace/files/{name}", b"data"),)))
    assert [entry.name for entry in house.ledger.snapshot().entries("workspace/files")] == [name]
    house.append(change(renames=((f"workspace/files/{name}", f"workspace/context/{name}"),)))
    assert house.ledger.snapshot().read(f"workspace/context/{name}") == b"data"
    assert house.disk(f"workspace/context/{name}") == b"data"
    house.append(change(deletes=(f"workspace/context/{name}",)))
    assert house.ledger.snapshot().entry("workspace/context") is None
    assert house.disk(f"workspace/context/{name}") is None


def test_a_folder_moves_with_all_below_it(house: House) -> None:
    house.append(change(writes=(("workspace/files/f/1", b"1"), ("workspace/files/f/g/2", b"2"))))
    house.append(change(renames=(("workspace/files/f", "workspace/files/h"),)))
    tree = house.ledger.snapshot()
    assert (tree.read("workspace/files/h/1"), tree.read("workspace/files/h/g/2")) == (b"1", b"2")
    assert tree.entry("workspace/files/f") is None


def test_a_stale_base_is_refused_and_changes_nothing(house: House) -> None:
    base = house.ledger.snapshot().commit
    house.append(change(writes=(("workspace/files/x", b"x"),)))
    tip = house.ledger.snapshot().commit
    with pytest.raises(StaleHead) as refused:
        house.ledger.append(base, [change(writes=(("workspace/files/y", b"y"),))])
    assert (refused.value.expected, refused.value.found) == (base, tip)
    assert house.ledger.snapshot().commit == tip
    assert house.disk("workspace/files/y") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"renames": (("workspace/queue/none.md", "workspace/active/none.md"),)},
        {"deletes": ("workspace/queue/none.md",)},
        {"writes": (("workspace/queue/a.md/below", b"x"),)},
        {"writes": (("workspace/queue", b"x"),)},
        {"writes": (("../outside", b"x"),)},
        {"writes": (("/absolute", b"x"),)},
        {"writes": (("workspace/.GIT/config", b"x"),)},
        {"writes": (("workspace//double", b"x"),)},
        {"writes": (("workspace/nul\0", b"x"),)},
        {"writes": (("workspace/" + "n" * 256, b"x"),)},
    ],
)
def test_a_transition_that_cannot_be_is_refused_whole(house: House, fields: dict[str, Any]) -> None:
    before = house.ledger.snapshot().commit
    good = change(writes=(("workspace/files/x", b"x"),))
    with pytest.raises(ValueError, match=r"path|folder|file"):
        house.append(good, change(**fields))
    assert house.ledger.snapshot().commit == before
    assert house.disk("workspace/files/x") is None


def test_nothing_to_append_is_no_commit(house: House) -> None:
    before = house.ledger.snapshot().commit
    assert house.ledger.append("whatever", []) == ()
    assert house.ledger.snapshot().commit == before


def test_a_blob_is_read_by_id_and_an_unknown_one_is_a_key_error(house: House) -> None:
    assert house.history.blob(blob_id(b"# A\n")) == b"# A\n"
    with pytest.raises(KeyError):
        house.history.blob("0" * 40)
    with pytest.raises(KeyError):
        house.history.tree("f" * 40)


def test_an_edited_file_is_in_use_and_the_batch_is_refused_whole(house: House) -> None:
    house.write("workspace/queue/a.md", b"# A, edited\n")
    before = house.ledger.snapshot().commit
    with pytest.raises(PathsInUse) as refused:
        house.append(
            change(writes=(("workspace/files/x", b"x"),)),
            change(renames=(("workspace/queue/a.md", "workspace/active/a.md"),)),
        )
    assert refused.value.paths == ("workspace/queue/a.md",)
    assert house.ledger.snapshot().commit == before
    assert house.disk("workspace/queue/a.md") == b"# A, edited\n"
    assert house.disk("workspace/files/x") is None


def test_a_file_in_the_way_is_in_use(house: House) -> None:
    house.write("workspace/active/a.md", b"mine\n")
    with pytest.raises(PathsInUse) as refused:
        house.append(change(renames=(("workspace/queue/a.md", "workspace/active/a.md"),)))
    assert refused.value.paths == ("workspace/active/a.md",)
    assert house.disk("workspace/active/a.md") == b"mine\n"


def test_a_persons_other_work_stays_as_it_is(house: House) -> None:
    house.write("workspace/queue/b.md", b"edited\n")
    house.write("notes.txt", b"untracked\n")
    house.append(change(renames=(("workspace/queue/a.md", "workspace/active/a.md"),)))
    assert house.disk("workspace/queue/b.md") == b"edited\n"
    assert house.disk("notes.txt") == b"untracked\n"
    assert house.ledger.snapshot().read("workspace/queue/b.md") == START["workspace/queue/b.md"]
    assert [found.path for found in house.checkout.look().differences] == ["workspace/queue/b.md"]


def test_an_inbox_file_is_consumed_by_its_act(house: House) -> None:
    data = b"# Do this\n"
    house.write("workspace/inbox/x.md", data)
    (found,) = house.checkout.look().differences
    assert (found.path, found.kind, found.file, found.blob) == ("workspace/inbox/x.md", "added", "file", blob_id(data))
    house.append(change(writes=(("workspace/queue/x-1.md", data),), acts=(Act("workspace/inbox/x.md", blob_id(data)),)))
    assert house.disk("workspace/inbox/x.md") is None
    assert house.disk("workspace/queue/x-1.md") == data
    assert house.checkout.look().differences == ()


def test_an_act_that_is_no_longer_true_is_refused(house: House) -> None:
    house.write("workspace/inbox/x.md", b"first")
    act = Act("workspace/inbox/x.md", blob_id(b"first"))
    house.write("workspace/inbox/x.md", b"second")
    before = house.ledger.snapshot().commit
    with pytest.raises(PathsInUse):
        house.append(change(writes=(("workspace/queue/x.md", b"first"),), acts=(act,)))
    assert house.disk("workspace/inbox/x.md") == b"second"
    assert house.ledger.snapshot().commit == before


def test_a_persons_move_is_committed_by_its_two_acts(house: House) -> None:
    house.remove("workspace/queue/a.md")
    house.write("workspace/dropped/a.md", b"# A\n")
    old, new = "workspace/queue/a.md", "workspace/dropped/a.md"
    house.append(change(renames=((old, new),), acts=(Act(old, None), Act(new, blob_id(b"# A\n")))))
    assert house.disk(new) == b"# A\n"
    assert house.disk(old) is None
    assert house.ledger.snapshot().read(new) == b"# A\n"
    assert house.checkout.look().differences == ()


def test_an_edit_is_committed_or_overruled_by_its_act(house: House) -> None:
    house.write("workspace/queue/a.md", b"edited")
    act = Act("workspace/queue/a.md", blob_id(b"edited"))
    house.append(change(writes=(("workspace/queue/a.md", b"edited"),), acts=(act,)))
    assert house.disk("workspace/queue/a.md") == b"edited"
    house.write("workspace/queue/a.md", b"edited again")
    act = Act("workspace/queue/a.md", blob_id(b"edited again"))
    house.append(change(writes=(("workspace/queue/a.md", b"redacted"),), acts=(act,)))
    assert house.disk("workspace/queue/a.md") == b"redacted"
    assert house.checkout.look().differences == ()


def test_a_deletion_taken_back_by_an_act_restores_the_file(house: House) -> None:
    house.remove("workspace/queue/a.md")
    house.append(change(writes=(("workspace/files/x", b""),), acts=(Act("workspace/queue/a.md", None),)))
    assert house.disk("workspace/queue/a.md") == b"# A\n"


def test_restore_undoes_what_is_still_as_given(house: House) -> None:
    house.remove("workspace/queue/a.md")
    house.write("workspace/review/a.md", b"# A\n")
    house.write("workspace/queue/b.md", b"changed meanwhile")
    house.checkout.restore(
        [
            Act("workspace/queue/a.md", None),
            Act("workspace/review/a.md", blob_id(b"# A\n")),
            Act("workspace/queue/b.md", blob_id(b"as it was when looked at")),
        ]
    )
    assert house.disk("workspace/queue/a.md") == b"# A\n"
    assert house.disk("workspace/review/a.md") is None
    assert house.disk("workspace/queue/b.md") == b"changed meanwhile"
    assert [found.path for found in house.checkout.look().differences] == ["workspace/queue/b.md"]


def test_files_are_read_up_to_a_limit(house: House) -> None:
    assert house.checkout.read("workspace/queue/a.md", 2) == b"# A"
    assert house.checkout.read("workspace/queue/a.md", 100) == b"# A\n"
    with pytest.raises(OSError, match="none"):
        house.checkout.read("workspace/queue/none.md", 10)


def test_the_last_tip_seen_is_remembered(house: House) -> None:
    ledger: Any = house.ledger
    assert ledger.last_seen() is None
    (tip,) = house.append(change(writes=(("workspace/files/x", b""),)))
    assert ledger.last_seen() == tip


def test_lost_records_are_those_that_a_new_tip_lacks_or_changes(house: House) -> None:
    history: Any = house.history
    start = house.ledger.snapshot().commit
    (one,) = house.append(change(writes=(("workspace/runs/t/001-accepted.toml", b"1"),)))
    (two,) = house.append(change(writes=(("workspace/runs/t/002-claimed.toml", b"2"),)))
    (other,) = house.append(change(writes=(("workspace/runs/t/001-accepted.toml", b"altered"),)))
    assert history.lost_records(one, two) == ()
    assert history.lost_records(two, one) == ("workspace/runs/t/002-claimed.toml",)
    assert history.lost_records(two, other) == ("workspace/runs/t/001-accepted.toml",)
    assert len(history.lost_records(two, start)) == 2
    assert history.lost_records(start, two) == ()


def test_author_is_the_person_and_the_ids_of_both_worlds_agree(tmp_path: Path, git: Any) -> None:
    """The fake computes git's own ids: what holds for one holds for the other."""
    person = Person(name="Ann <x> Other", email="ann@example.org")
    memory = MemoryLedger({"hqd.toml": b"format = 1\n"})
    memory.append(memory.tip, [change(author=person, writes=(("workspace/files/é\n", b"x"),))])
    entry = memory.snapshot().entry("workspace")
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "workspace/files").mkdir(parents=True)
    (tmp_path / "workspace/files/é\n").write_bytes(b"x")
    git(tmp_path, "add", "-A")
    assert entry is not None
    assert git(tmp_path, "write-tree", "--prefix=workspace/").strip() == entry.id
