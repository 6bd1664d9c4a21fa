"""The full road with the real process: dropped, worked, stopped by a gate, retried, reviewed, approved, done."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.oracle import judge
from tests.acceptance.processes import attempts, drop, in_state, run
from tests.daemon.headquarters import make

ARTICLE = """
name = "article"
accepts = { tags = ["article"] }
[[steps]]
name = "write"
agent = "worker"
deliver = "content/{{ task.slug }}.md"
gates = [{ kind = "word_count", min = 4 }]
on_fail = [{ retry = 2 }, "human"]
[[steps]]
name = "approve"
review = { land = "on_merge" }
"""
TAGGED = "---\ntags: [article]\n---\n# Piece\n\nWrite it.\n"


def test_the_full_road_with_recorded_answers(tmp_path: Path) -> None:
    hq = make(tmp_path, article=ARTICLE)
    hq.answers({"attempt": 1, "answer": "too short"}, {"answer": "now it is long enough"})
    hq.commit()
    with run(hq) as daemon:
        drop(hq, "piece.md", TAGGED)
        task = in_state(hq, "piece", "review", daemon=daemon)
        reply = daemon.ask("approve", "piece")
        assert reply.ok, reply
        in_state(hq, "piece", "done", daemon=daemon)
    records = judge(hq, ["piece"])[task]
    assert [("failed", "gate"), ("passed", None)] == attempts(records)
    assert (hq.root / "content/piece.md").read_text() == "now it is long enough"
    assert ["review_opened", "landed", "done"] == [record.event.value for record in records][-3:]
