"""Reading all of history: labels that are right, an index that follows main, and what is missing named."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.lessons_history import Made, git, make
from hqd.adapters.archive import FILE, GitArchive
from hqd.adapters.repository import GitRepository
from hqd.model.corpus import Corpus


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("history") / "hq", tasks=60)


@pytest.fixture
def hq(made: Made, tmp_path: Path) -> Path:
    root = tmp_path / "hq"
    shutil.copytree(made.root, root, symlinks=True)
    return root


@contextmanager
def archive(root: Path) -> Iterator[GitArchive]:
    repository = GitRepository.open(root, dict(os.environ))
    try:
        yield GitArchive(repository)
    finally:
        repository.close()


def corpus(root: Path, revision: str | None = None) -> Corpus:
    with archive(root) as found:
        return found.corpus(revision)


def labels(found: Corpus) -> dict[tuple[str, int], str]:
    return {(each.task, each.n): each.label.value for each in found.cases}


def codes(found: Corpus) -> set[str]:
    return {remark.code for remark in found.remarks}


def test_every_output_that_a_person_saw_has_the_label_that_the_person_gave(made: Made, hq: Path) -> None:
    found = labels(corpus(hq))
    assert len(made.truth) > 40
    assert {key: found[key] for key in made.truth} == made.truth
    decided = {key for key, label in found.items() if label in ("accepted", "edited", "rejected")}
    assert decided == made.truth.keys()


def test_all_attempts_are_there_with_their_claims_and_texts(made: Made, hq: Path) -> None:
    with archive(hq) as found:
        past = found.past()
        attempts = list(past.attempts())
        texts = dict(found.texts([str(end.output_blob) for _claim, end in attempts]))
        assert len(attempts) == made.attempts
        assert len(past.events) == made.events
        assert all(claim is not None and claim.pin == end.pin for claim, end in attempts)
        assert all(text is not None and text.startswith((b"# About", b"Changed line")) for text in texts.values())
        record = found.record(attempts[0][1])
        assert (record.n, record.output_blob) == (attempts[0][1].n, attempts[0][1].output_blob)
    orders = [event.order for event in past.events]
    assert orders == sorted(orders)


def test_an_index_that_followed_main_step_by_step_is_as_one_made_at_once(hq: Path) -> None:
    whole = corpus(hq)
    (hq / ".hqd" / FILE).unlink()
    commits = git(hq, "rev-list", "--first-parent", "--reverse", "main").split()
    for part in (len(commits) // 3, len(commits) // 2, len(commits) - 1):
        git(hq, "update-ref", "refs/heads/main", commits[part])
        last = corpus(hq)
    assert last == whole


def test_as_of_a_commit_nothing_later_is_read(hq: Path) -> None:
    commits = git(hq, "rev-list", "--first-parent", "--reverse", "main").split()
    middle = len(commits) // 2
    whole = corpus(hq)
    before = corpus(hq, commits[middle])
    git(hq, "update-ref", "refs/heads/main", commits[middle])
    (hq / ".hqd" / FILE).unlink()
    assert before.cases == corpus(hq).cases
    assert 0 < len(before.cases) < len(whole.cases)
    assert max(case.known for case in before.cases) <= middle


def test_rewritten_history_is_read_anew_and_said(hq: Path) -> None:
    corpus(hq)
    commits = git(hq, "rev-list", "--first-parent", "--reverse", "main").split()
    middle = commits[len(commits) // 2]
    git(hq, "update-ref", "refs/heads/main", middle)
    git(hq, "symbolic-ref", "HEAD", "refs/heads/main")
    git(hq, "commit", "-q", "--allow-empty", "-m", "another line")
    found = corpus(hq)
    assert "rewritten" in codes(found)
    (hq / ".hqd" / FILE).unlink()
    assert found.cases == corpus(hq).cases


def test_a_shallow_clone_says_what_is_missing(made: Made, tmp_path: Path) -> None:
    root = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth", "40", f"file://{made.root}", root], check=True, timeout=60)
    found = corpus(root)
    assert "shallow" in codes(found)
    assert len(found.cases) == made.attempts
    assert "git fetch --unshallow" in next(each.message for each in found.remarks if each.code == "shallow")


def test_a_redacted_output_a_lost_one_and_a_broken_record_are_named(hq: Path) -> None:
    with archive(hq) as before:
        ends = [end for _claim, end in before.past().attempts()]
    git(hq, "reset", "-q", "--hard", "main")
    (hq / str(ends[0].output)).write_text("[redacted]\n")
    (hq / str(ends[1].output)).unlink()
    (hq / ends[2].record).write_text("nonsense\n")
    git(hq, "commit", "-qam", "mend a leak")
    followed = corpus(hq)
    (hq / ".hqd" / FILE).unlink()
    for found in (followed, corpus(hq)):
        places = {(each.code, each.where) for each in found.remarks}
        assert ("redacted", ends[0].output) in places
        assert ("missing_blob", ends[1].output) in places
        assert ("unreadable_record", ends[2].record) in places
        assert len(found.cases) == len(ends) - 1


def test_an_output_whose_object_is_gone_reads_as_none(hq: Path) -> None:
    with archive(hq) as found:
        assert dict(found.texts(["0" * 40, git(hq, "rev-parse", "main:hqd.toml")]))["0" * 40] is None


def test_a_damaged_index_is_made_anew(hq: Path) -> None:
    whole = corpus(hq)
    (hq / ".hqd" / FILE).write_bytes(b"no database at all, by no means" * 100)
    assert corpus(hq) == whole


@pytest.mark.parametrize("damage", ["corpora SET cases", "events SET packed"])
def test_a_value_damaged_inside_the_index_is_never_taken(hq: Path, damage: str) -> None:
    whole = corpus(hq)
    with contextlib.closing(sqlite3.connect(hq / ".hqd" / FILE)) as database, database:
        database.execute(f"UPDATE {damage} = CAST(substr({damage.split()[-1]}, 1, 9) || 'x' AS BLOB)")
    with archive(hq) as found:
        assert [each.task for each in found.past().events if each.event == "accepted"]
        assert found.corpus() == whole


def test_what_another_clone_did_counts_where_it_was_merged(hq: Path) -> None:
    """Its events are on the second parent: they come with the merge."""
    commits = git(hq, "rev-list", "--first-parent", "--reverse", "main").split()
    middle, whole = commits[len(commits) // 2], corpus(hq)
    git(hq, "update-ref", "refs/heads/other", "main")
    tree = git(hq, "rev-parse", "main^{tree}")
    merge = git(hq, "commit-tree", tree, "-p", middle, "-p", "other", "-m", "Merge another clone's work")
    git(hq, "update-ref", "refs/heads/main", merge)
    found = corpus(hq)
    assert {(case.task, case.n) for case in found.cases} == {(case.task, case.n) for case in whole.cases}
    assert not codes(found) & {"unplaced", "missing_record"}


def test_an_unknown_revision_is_a_key_error(hq: Path) -> None:
    with archive(hq) as found, pytest.raises(KeyError):
        found.corpus("no-such-commit")
