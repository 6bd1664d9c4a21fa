"""`hqd report recovery` over what a real daemon has written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hqd.cli.call import Call
from hqd.cli.history.report import report_recovery
from hqd.errors import Usage
from tests.daemon.headquarters import make, settle

LADDER = """
name = "general"
[[steps]]
name = "work"
agent = "worker"
on_fail = [{ retry = 1 }, { agent = "strong" }, "human"]
gates = [{ kind = "word_count", min = 3 }]
"""


def test_it_counts_each_rung_and_names_the_one_that_never_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hq = make(tmp_path, general=LADDER)
    usage = {"usage": {"input_tokens": 1, "output_tokens": 1, "cost_usd": 0.01}}
    hq.answers(
        {"agent": "strong", "answer": "the strong one knows", **usage},
        {"attempt": 1, "answer": "no", **usage},
        {"answer": "not yet", **usage},
    )
    hq.commit()
    for n in range(5):
        hq.drop(f"t{n}.md", f"# Task {n}\n")
    with hq.daemon() as loop:
        settle(loop, lambda: len(hq.folder("done")) == 5)
    call = Call(hq.env, hq.root, None)
    assert report_recovery(call, since=None, as_json=True) == 0
    rungs = {row["rung"]: row for row in json.loads(capsys.readouterr().out)["rungs"]}
    retry, strong = rungs["retry"], rungs["agent strong"]
    assert (retry["tried"], retry["accepted"], retry["cost_usd"], retry["never_helps"]) == (5, 0, 0.05, True)
    assert (strong["tried"], strong["accepted"], strong["never_helps"]) == (5, 5, False)
    assert report_recovery(call, since=None, as_json=False) == 0
    assert "retry after gate has never helped: 0 of 5, at most 43%" in " ".join(capsys.readouterr().out.split())
    assert report_recovery(call, since="2999-01-01", as_json=False) == 0
    assert "no failed attempt" in capsys.readouterr().out
    with pytest.raises(Usage, match="no day"):
        report_recovery(call, since="yesterday", as_json=False)
