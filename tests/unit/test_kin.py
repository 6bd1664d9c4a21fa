"""Looking up ended tasks: by every kind of name, and without walking where nothing is asked."""

from __future__ import annotations

from datetime import UTC, datetime

from hqd.codec import layout
from hqd.codec.record import write_record
from hqd.codec.task import read_task
from hqd.daemon.book import Book
from hqd.daemon.kin import Kin
from hqd.model.board import Task
from hqd.model.change import Entry
from hqd.model.record import Cursor, EventKind, Record
from hqd.model.task import State

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class CountingTree:
    """Files by path; says how often a folder was listed."""

    commit = "c" * 40

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.listed = 0

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def entry(self, path: str) -> Entry | None:
        if path in self.files:
            return Entry(path.rsplit("/", 1)[-1], "100644", f"blob:{path}")
        return (
            Entry(path, "040000", f"tree:{path}") if any(each.startswith(path + "/") for each in self.files) else None
        )

    def entries(self, folder: str) -> tuple[Entry, ...]:
        self.listed += 1
        names = sorted({each[len(folder) + 1 :].split("/")[0] for each in self.files if each.startswith(folder + "/")})
        return tuple(entry for name in names if (entry := self._named(f"{folder}/{name}", name)) is not None)

    def _named(self, path: str, name: str) -> Entry | None:
        found = self.entry(path)
        return Entry(name, found.mode, found.id) if found is not None else None


def ended(task: str, state: State = State.DONE, text: str = "# T\n") -> dict[str, bytes]:
    record = Record(
        event=EventKind.DONE if state is State.DONE else EventKind.DROPPED,
        to=state,
        at=AT,
        n=4,
        hqd="0",
        host="h",
        round=1,
        cursor=Cursor(since=AT),
    )
    path = layout.task_path(task, state, AT)
    return {layout.record_path(task, 4, record.event.value): write_record(record), path: text.encode()}


def waiting(*needs: str, task: str = "20261121-after-aaaaaa") -> dict[str, Task]:
    document = read_task(f"---\nneeds: [{', '.join(needs)}]\n---\n".encode(), "x.md").document
    assert document is not None
    return {task: Task(task, State.QUEUE, document, "b", Cursor())}


def test_every_kind_of_name_finds_the_ended_task() -> None:
    one, two = "20261118-report-111111", "20261119-report-222222"
    files = {**ended(one), **ended(two), **ended("20261119-other-333333", text="---\naliases: [A-1]\n---\n")}
    for name, ids in {
        "report": [two],
        one: [one],
        "20261118-rep": [one],
        "A-1": ["20261119-other-333333"],
        "20261119": ["20261119-other-333333", two],
    }.items():
        assert sorted(Kin(Book()).of(waiting(name), CountingTree(files)).closed) == ids, name


def test_a_name_is_looked_for_once_while_it_is_needed() -> None:
    tree, kin = CountingTree(ended("20261118-report-111111", State.DROPPED)), Kin(Book())
    assert kin.of(waiting("report"), tree).closed["20261118-report-111111"].state is State.DROPPED
    before = tree.listed
    for _turn in range(10):
        assert len(kin.of(waiting("report"), tree).closed) == 1
    assert tree.listed == before


def test_an_open_task_of_that_name_makes_it_be_looked_for_anew_when_it_has_ended() -> None:
    tree, kin = CountingTree(ended("20261118-report-111111")), Kin(Book())
    assert list(kin.of(waiting("report"), tree).closed) == ["20261118-report-111111"]
    assert kin.of({**waiting("report"), **waiting(task="20261121-report-444444")}, tree).closed == {}
    tree.files |= ended("20261121-report-444444")
    assert list(kin.of(waiting("report"), tree).closed) == ["20261121-report-444444"]


def test_what_is_nowhere_comes_with_the_slugs_that_there_are() -> None:
    found = Kin(Book()).of(waiting("reprot"), CountingTree(ended("20261118-report-111111")))
    assert (found.closed, found.slugs) == ({}, {"report"})


def test_without_needs_children_and_parents_nothing_is_read() -> None:
    tree = CountingTree(ended("20261118-report-111111"))
    assert Kin(Book()).of(waiting(), tree).closed == {}
    assert tree.listed == 0
