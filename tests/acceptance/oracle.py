"""What must be true of an HQ after anything whatever: read from git alone, against a journal kept outside of it."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from hqd.codec import layout
from hqd.codec.message import trailers
from hqd.codec.record import read_record
from hqd.core.evolve import evolve
from hqd.core.transitions import TRANSITIONS
from hqd.daemon.book import new_task
from hqd.model.names import slug_of
from hqd.model.record import Event, Record
from hqd.model.task import State, TaskDocument, TaskHeader
from tests.acceptance.processes import places, tree
from tests.daemon.headquarters import Headquarters

NOTHING = TaskDocument(header=TaskHeader(), title="", text="")


def judge(hq: Headquarters, accepted: Collection[str], *, clean: bool = True) -> dict[str, list[Record]]:
    """Fails where anything was lost, doubled or left behind; the records of every task.

    `accepted`: the slugs of all inputs. `clean`: nobody has work of his own in the working tree.
    """
    records = all_records(hq)
    one_place_for_each(hq, accepted)
    one_result_for_each_attempt(hq)
    for task, story in records.items():
        legal(task, story)
    where = {task: state for state, task in places(hq)}
    for task, story in records.items():
        assert where.get(task) == story[-1].to.value, f"{task}: in {where.get(task)}, its record says {story[-1].to}"
    outputs_are_as_recorded(hq, records)
    assert hq.git("fsck", "--strict", "--no-dangling") == ""
    if clean:
        assert hq.clean() == "", hq.clean()
    assert locks(hq) == []
    return records


def one_place_for_each(hq: Headquarters, accepted: Collection[str]) -> None:
    found = Counter(slug_of(task) for _state, task in places(hq))
    assert found == Counter(accepted), (found - Counter(accepted), Counter(accepted) - found)


def one_result_for_each_attempt(hq: Headquarters) -> None:
    """At most one claim and one result commit for each (task, step, attempt), and no result without its claim."""
    claims: Counter[tuple[str, str, str]] = Counter()
    results: Counter[tuple[str, str, str]] = Counter()
    for message in messages(hq):
        words = trailers(message)
        if "Hqd-Attempt" not in words:
            continue
        key = (words["Hqd-Task"], words["Hqd-Step"], words["Hqd-Attempt"])
        if words["Hqd-Event"] == "claimed":
            claims[key] += 1
        if "Hqd-Outcome" in words:
            results[key] += 1
    doubled = [key for found in (claims, results) for key, count in found.items() if count > 1]
    assert not doubled, doubled
    assert not results.keys() - claims.keys(), results.keys() - claims.keys()


def legal(task: str, story: list[Record]) -> None:
    """Numbered one by one, each move in the table, and the fold of the events gives each record's cursor."""
    assert [record.n for record in story] == list(range(1, len(story) + 1)), (task, [r.n for r in story])
    state, folded = State.INBOX, new_task(task, NOTHING, "", story[0].source)
    for record in story:
        assert record.from_ is state, (task, record.n, record.from_, state)
        assert record.to in TRANSITIONS[record.event][state], (task, record.n)
        folded = evolve(folded, Event.model_validate({name: getattr(record, name) for name in Event.model_fields}))
        assert folded.cursor == record.cursor, (task, record.n, difference(folded.cursor, record.cursor))
        assert record.round == record.cursor.round
        state = record.to


def difference(one: object, other: object) -> dict[str, tuple[object, object]]:
    left, right = dict(one), dict(other)  # type: ignore[call-overload]
    return {name: (left[name], right[name]) for name in left if left[name] != right[name]}


def outputs_are_as_recorded(hq: Headquarters, records: dict[str, list[Record]]) -> None:
    blobs = tree(hq)
    for story in records.values():
        for record in story:
            if record.output is not None and record.output_blob is not None:
                assert blobs.get(record.output) == record.output_blob, record.output


def all_records(hq: Headquarters) -> dict[str, list[Record]]:
    """Every record on main, by task, in order."""
    paths = [path for path in tree(hq) if path.startswith(layout.RUNS) and layout.record_number(Path(path).name)]
    asked = "".join(f"main:{path}\n" for path in paths)
    told = subprocess.run(
        ["git", "cat-file", "--batch"], cwd=hq.root, env=hq.env, input=asked.encode(), capture_output=True, check=True
    ).stdout
    found: dict[str, list[Record]] = {}
    for path, data in zip(paths, _blobs(told), strict=True):
        found.setdefault(Path(path).parent.name, []).append(read_record(data, path))
    return {task: sorted(story, key=lambda record: record.n) for task, story in found.items()}


def _blobs(told: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(told):
        end = told.index(b"\n", at)
        size = int(told[at:end].rsplit(b" ", 1)[1])
        yield told[end + 1 : end + 1 + size]
        at = end + 2 + size


def messages(hq: Headquarters) -> list[str]:
    return [text for text in hq.git("log", "--format=%B%x00", "main").split("\0") if text.strip()]


def locks(hq: Headquarters) -> list[str]:
    """Lock files that nobody can still hold. hqd's own .git/hqd/lock is a file that stays."""
    return [str(path) for path in (hq.root / ".git").rglob("*.lock")]
