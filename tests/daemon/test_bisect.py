"""`hqd bisect` over what a real daemon has written down: an edit of a prompt that made it worse is found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hqd.cli.call import Call
from hqd.cli.history.bisect import bisect
from hqd.errors import Usage
from tests.daemon.headquarters import Headquarters, make, settle

PLAYBOOK = """
name = "general"
on_fail = [{ retry = 1 }, "human"]
[[steps]]
name = "work"
agent = "worker"
prompt = "work.md"
gates = [{ name = "len", kind = "word_count", min = 3 }]
"""
PICK = 'answers = "answers.jsonl"\npick = "row.title in task.title and row.attempt == attempt"'


@pytest.fixture(scope="module")
def hq(tmp_path_factory: pytest.TempPathFactory) -> Headquarters:
    """12 tasks that pass at once; the prompt is edited; 12 of which 10 fail first; then the gate asks for 4 words."""
    hq = make(tmp_path_factory.mktemp("bisect"), general=PLAYBOOK)
    hq.write("playbooks/work.md", "Do {{ task.title }} well")
    hq.write("hqd.toml", (hq.root / "hqd.toml").read_text().replace('answers = "answers.jsonl"', PICK))
    rows: list[dict[str, Any]] = [{"title": "good", "attempt": 1, "answer": "four words of work"}]
    rows += [{"title": "bad", "attempt": n, "answer": text} for n, text in ((1, "poor"), (2, "four words of work"))]
    hq.answers(*rows)
    hq.commit("rules")

    def batch(name: str, titles: list[str], done: int) -> None:
        for place, title in enumerate(titles):
            hq.drop(f"{name}{place}.md", f"# {title} {place}\n")
        settle(loop, lambda: len(hq.folder("done")) == done)

    with hq.daemon() as loop:
        batch("a", ["good"] * 12, 12)
        hq.write("playbooks/work.md", "Do {{ task.title }}")
        hq.commit("shorten the prompt")
        batch("b", ["good"] * 2 + ["bad"] * 10, 24)
        hq.write("playbooks/general.toml", PLAYBOOK.replace("min = 3", "min = 4"))
        hq.commit("ask for more")
        batch("c", ["good"] * 2, 26)
    return hq


def run(hq: Headquarters, capsys: pytest.CaptureFixture[str], metric: str = "first_pass") -> dict[str, Any]:
    assert bisect(Call(hq.env, hq.root, None), "general", step=None, metric=metric, as_json=True) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_edit_that_made_it_worse_is_named_and_the_newest_one_has_too_little_to_say(
    hq: Headquarters, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(hq, capsys)
    assert [(row["hits"], row["n"]) for row in found["versions"]] == [(12, 12), (2, 12), (2, 2)]
    assert [row["said"] for row in found["compared"]] == ["worse", "not enough"]
    worse = found["compared"][0]
    assert worse["difference"] == pytest.approx(-10 / 12, abs=1e-6)
    assert worse["interval"][1] < 0
    assert found["left_out"] == {}
    subject = hq.git("log", "-1", "--format=%s", found["versions"][1]["first_used"])
    assert "work" in subject


def test_all_versions_are_judged_by_the_newest_gates(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> None:
    hq.write("playbooks/general.toml", PLAYBOOK.replace("min = 3", "min = 5"))
    hq.git("commit", "-qm", "ask for five", "--", "playbooks")
    try:
        found = run(hq, capsys)
        assert [(row["hits"], row["n"]) for row in found["versions"]] == [(0, 12), (0, 12), (0, 2)]
    finally:
        hq.git("revert", "--no-edit", "HEAD")


def test_nothing_is_said_where_nobody_has_decided_anything(
    hq: Headquarters, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(hq, capsys, "clean")
    assert (found["versions"], found["compared"]) == ([], [])
    assert bisect(Call(hq.env, hq.root, None), "playbooks/general.toml", step=None, metric="clean", as_json=False) == 0
    told = capsys.readouterr().out
    assert "general: clean by version, as people judged it" in told
    assert "nothing to compare yet: people have decided none of its tasks" in told
    assert bisect(Call(hq.env, hq.root, None), "general", step="work", metric="first_pass", as_json=False) == 0
    told = capsys.readouterr().out
    assert "worse: -83 %" in told
    assert "not enough (12 and 2 cases)" in told
    with pytest.raises(Usage, match="no playbook nobody"):
        bisect(Call(hq.env, hq.root, None), "nobody", step=None, metric="clean", as_json=True)
    with pytest.raises(Usage, match="no agent step"):
        bisect(Call(hq.env, hq.root, None), "general", step="wrok", metric="clean", as_json=True)
