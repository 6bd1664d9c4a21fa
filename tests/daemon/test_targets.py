"""Work on target repositories: begun at their main, reviewed on their branches, landed by push."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.headquarters import only, settle
from tests.daemon.target_repository import GREEN, TASK, shop


def test_a_task_is_worked_on_reviewed_and_landed_in_its_repository(tmp_path: Path) -> None:
    hq, site = shop(tmp_path)
    base = site.tip()
    hq.drop("mend.md", TASK)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("review")))
        task = only(loop)
        assert (task.cursor.repo, task.cursor.base) == ("site", base)
        assert site.branches() == [f"hqd/{task.id}", "main"]
        assert site.show("calc.py", f"hqd/{task.id}") == GREEN.strip()
        assert site.tip() == base
        assert f"hqd/{task.id}" not in hq.git("branch", "--all")
        reply = hq.ask(loop, "approve", task.id)
        assert reply.ok, reply.message
        settle(loop)
    assert hq.folder("done") == [f"{task.id}.md"]
    assert site.show("calc.py") == GREEN.strip()
    assert site.git("log", "-1", "--format=%an", "main", where=site.remote) == "Ada"
    landed = next(record for record in hq.records(task.id) if record.event.value == "landed")
    assert landed.landed == site.tip()
    assert hq.clean() == ""
