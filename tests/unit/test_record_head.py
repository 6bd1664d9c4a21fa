"""The fast reading of records says what the full one says."""

from __future__ import annotations

import json
import random
import tomllib
from datetime import UTC, datetime

import pytest

from hqd.codec.record import UnreadableRecord, write_record
from hqd.codec.record_head import read_head
from hqd.codec.record_heads import Head, Heads
from hqd.model.failure import Failure, Outcome
from hqd.model.gate import Evidence, GateResult, GateStatus
from hqd.model.record import Cursor, EventKind, Finding, Pin, Record, ReviewState, Usage, Work
from hqd.model.task import State

AT = datetime(2026, 11, 22, 12, 0, 0, 123000, tzinfo=UTC)
TEXTS = [
    "plain",
    'say "x"',
    "back\\slash",
    "two\nlines",
    "é…😀",
    "[cursor]",
    "a = 1",
    "{ b = 2 },",
    "tab\tbell\x07",
    "",
]


def record(rng: random.Random) -> Record:
    def text() -> str:
        return rng.choice(TEXTS) + rng.choice(TEXTS)

    evidence = tuple(Evidence(line=n, excerpt=text()) for n in range(rng.randrange(3)))
    gate = GateResult(name="g", kind="k", status=GateStatus.FAIL, message=text(), evidence=evidence, version="v")
    return Record(
        event=EventKind.FINISHED, to=State.QUEUE, at=AT, step="write", attempt=rng.randrange(9), agent=text() or "a",
        outcome=Outcome.FAILED, failure=Failure.GATE, message=text(),
        findings=tuple(Finding(source="gate:g", text=text()) for _ in range(rng.randrange(3))),
        usage=Usage(**{"in": 3, "cost": 0.25}) if rng.random() < 0.5 else None, gates=(gate,) * rng.randrange(3),
        work=Work(base="b", files=(text(), "x")) if rng.random() < 0.5 else None,
        review=ReviewState(step="s", branch="b", head="h", base="b", opened=AT) if rng.random() < 0.3 else None,
        decisions=({"a": 1, "b": {"c": [1, 2]}},) if rng.random() < 0.3 else (),
        pin=Pin(playbooks="1" * 40, settings="2" * 40, lessons=("3" * 40,)),
        n=4, hqd="0", host="h", **{"from": State.ACTIVE}, round=1, cursor=Cursor(playbook=text()),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_a_head_is_the_whole_record_without_its_cursor(seed: int) -> None:
    data = write_record(record(random.Random(seed)))
    known, rest = read_head(data, {"event", "at", "n", "step", "agent"})
    expected = tomllib.loads(data.decode())
    del expected["cursor"]
    found = {**known, **json.loads(rest)}
    assert json.loads(json.dumps(expected, default=str)) == found
    assert {"event", "at", "n", "step", "agent"} == known.keys()


def test_a_record_that_a_person_has_rewritten_in_other_toml_is_read_all_the_same() -> None:
    data = b"n = 0x4\nevent = 'finished'\nat = 2026-11-22T12:00:00Z\nusage = { in = 3 }\n[cursor]\nround = 1\n"
    known, rest = read_head(data, {"n", "event"})
    assert (known["n"], known["event"], json.loads(rest)["usage"]["in"]) == (4, "finished", 3)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"not a record", b"[cursor", b'event = "x\n'])
def test_what_is_no_record_is_named(data: bytes) -> None:
    with pytest.raises(UnreadableRecord, match=r"x\.toml"):
        read_head(data, (), "x.toml")


APART = {"event": str, "at": str, "n": int, "step": str, "agent": str, "attempt": int}


def known(head: Head) -> dict[str, object]:
    return {name: value for name, value in zip(APART, head.apart, strict=True) if value is not None}


def test_heads_read_one_after_another_say_what_each_says_by_itself() -> None:
    """400 records of many shapes, in a row: some are matched by patterns that others have made."""
    rng, reader, matched = random.Random(7), Heads(APART), 0
    for _ in range(400):
        data = write_record(record(rng))
        found = reader.read(data, "finished", "x.toml")
        matched += found.typed
        assert read_head(data, APART) == (known(found), found.rest)
        assert not found.typed or all(type(value) is APART[key] for key, value in known(found).items())
        assert found == reader.within(b"n = 0\n" + data + data, 6, 6 + len(data), "finished", "x.toml")
    assert matched > 30


@pytest.mark.parametrize(
    "line",
    [
        'agent = "a\\u0041"', "n = 4.0", "n = 04", 'wall = "x', "wall = 1_000", "wall = inf", "wall = 0x10",
        "wall = 'x'", 'n = 5\nn = 6', "[usage]\nin = 1\n[usage]\nin = 2", 'agent = """a"""',
        "at = 2026-11-22", 'message = "\\U0001F600"', "findings = [{ a = 1, b = { c = 2 } }]", "s = {}", "s = []",
    ],
)  # fmt: skip
def test_an_unusual_line_after_many_usual_ones_is_read_as_by_itself(line: str) -> None:
    reader = Heads(APART)
    usual = b'event = "finished"\nat = 2026-11-22 12:00:00+00:00\nhost = "h"\nhqd = "0"\n%s\n[cursor]\nround = 1\n'
    for other in ('agent = "a"', "n = 4", 'wall = "x"', "wall = 1", 'message = "m"', 's = ["a"]'):
        reader.read(usual % other.encode(), "finished", "x.toml")
    data = usual % line.encode()
    try:
        expected = read_head(data, APART, "x.toml")
    except UnreadableRecord:
        with pytest.raises(UnreadableRecord, match=r"x\.toml"):
            reader.read(data, "finished", "x.toml")
        return
    found = reader.read(data, "finished", "x.toml")
    assert expected == (known(found), found.rest)
