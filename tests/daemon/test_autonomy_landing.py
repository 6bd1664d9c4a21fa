"""Reviews that nobody is asked for, where work does not land in the HQ itself: target repositories and forges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hqd.cli.board.status import status
from hqd.cli.call import Call
from hqd.cli.history.report import Wish, report
from hqd.daemon.loop import Loop
from hqd.model.task import State
from hqd.testing.forge_state import Protection
from tests.daemon.headquarters import Headquarters, only, settle
from tests.daemon.target_repository import FIX, GREEN, shop
from tests.daemon.target_repository import TASK as MENDING
from tests.forge_hq import TASK, Forged, forged

UNSEEN = "sample = 0.000001"


@contextmanager
def unseen(root: Path, flavour: str = "github", share: str = UNSEEN, gates: str = "") -> Iterator[Forged]:
    """An HQ on a forge of whose articles people see next to none."""
    with forged(root, flavour=flavour) as at:
        path = at.hq.root / "playbooks/article.toml"
        path.write_text(path.read_text().replace('land = "on_merge"', f'land = "on_merge", {share}') + gates)
        at.hq.commit("a share of reviews")
        at.hq.git("push", "-q", "origin", "main")
        yield at


def lands(at: Forged, loop: Loop) -> None:
    def done() -> bool:
        if at.forge.pulls and at.pull.state == "closed" and loop.live.tasks:
            at.catch_up()
        return bool(at.hq.folder("done")) and not loop.outsides.busy

    settle(loop, done)


def reports(hq: Headquarters, capsys: pytest.CaptureFixture[str]) -> tuple[int, int, int]:
    capsys.readouterr()
    assert report(Call(hq.env, hq.root, None), Wish(form="json")) == 0
    row = json.loads(capsys.readouterr().out)["playbooks"][0]
    return row["skipped"], row["reviews"], row["clean"]["n"]


@pytest.mark.parametrize("flavour", ["gitlab", "gitea"])  # github: the tests below
def test_on_a_forge_unseen_work_is_a_pull_request_that_hqd_merges_and_nobody_is_asked(
    flavour: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with unseen(tmp_path, flavour) as at, at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        lands(at, loop)
        task = at.hq.folder("done")[0][:-3]
        assert (at.pull.merged_by, at.pull.reviewers, at.pull.draft) == ("hqd-bot", [], False)
        assert at.git("show", f"main:content/{task[9:-7]}.md") == "three good words"
        (told,) = [said.body for said in at.forge.comments if task in said.body]
        opened = next(each for each in at.hq.records(task) if each.event.value == "review_opened")
        assert opened.review is not None
        assert (opened.sample, opened.review.sample) == (0.000001, 0.000001)
        assert "skipped by sample" in (opened.message or "")
        assert "landed" in told
        assert reports(at.hq, capsys) == (1, 0, 0), "time is earned back; nobody has judged it"


def test_what_the_forge_wants_first_is_waited_for_across_a_restart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with unseen(tmp_path) as at:
        at.forge.protected["main"] = Protection(checks=("ci",))
        with at.hq.daemon() as loop:
            at.hq.drop("a.md", TASK)
            settle(loop, lambda: at.server.count("PUT", "/merge") >= 1)
            settle(loop, lambda: "ci" in (at.hq.records(only(loop).id)[-1].message or ""))
            assert at.pull.state == "open"
            assert any("nobody is asked for this review" in said.body for said in at.forge.comments)
            assert status(Call(at.hq.env, at.hq.root, None), as_json=False, everything=False, at=None) == 0
            assert "nobody is asked (review.sample)" in " ".join(capsys.readouterr().out.split())
        at.forge.set_status(at.pull.head, "ci", "success", by="tim")
        with at.hq.daemon() as again:
            lands(at, again)
        assert (list(at.forge.pulls), at.pull.merged_by, at.pull.reviewers) == ([1], "hqd-bot", [])


def test_checks_that_the_review_step_asks_for_are_waited_for(tmp_path: Path) -> None:
    gate = 'gates = [{ kind = "forge_checks", names = ["ci"] }]\n'
    with unseen(tmp_path, gates=gate) as at, at.hq.daemon() as loop:
        at.hq.drop("a.md", TASK)
        settle(loop, lambda: State.REVIEW in {task.state for task in loop.live.tasks.values()})
        settle(loop)
        assert at.server.count("PUT", "/merge") == 0
        at.forge.set_status(at.pull.head, "ci", "success", by="tim")
        lands(at, loop)


def test_a_persons_word_before_the_merge_is_heard_and_from_then_on_people_are_asked(tmp_path: Path) -> None:
    with unseen(tmp_path) as at:
        at.forge.protected["main"] = Protection(checks=("ci",))
        with at.hq.daemon() as loop:
            at.hq.drop("a.md", TASK)
            settle(loop, lambda: State.REVIEW in {task.state for task in loop.live.tasks.values()})
            task = only(loop).id
            at.hq.answers({"answer": "three better words"})
            assert at.hq.ask(loop, "request-changes", task, message="better words").ok
            settle(loop, lambda: at.hq.events(task).count("review_opened") == 2)
            review = only(loop).cursor.review
            assert review is not None
            assert review.sample is None
            assert at.pull.reviewers == ["tim"]
            at.forge.protected.clear()
            settle(loop)
            assert at.pull.state == "open"
            assert list(loop.live.restored) == ["article"], "an escape"


def test_unseen_work_of_a_target_repository_is_pushed_to_its_main(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hq, site = shop(tmp_path, playbook=FIX.replace('land = "on_merge"', f'land = "on_merge", {UNSEEN}'))
    hq.drop("mend.md", MENDING)
    with hq.daemon() as loop:
        settle(loop, lambda: bool(hq.folder("done")))
    assert site.show("calc.py") == GREEN.strip()
    assert site.branches() == ["main"]
    task = hq.folder("done")[0][:-3]
    assert hq.events(task)[-4:] == ["claimed", "finished", "landed", "done"]
    assert reports(hq, capsys) == (1, 0, 0)


def test_what_was_decided_lands_also_after_the_task_was_edited_while_its_remote_was_away(tmp_path: Path) -> None:
    """The push is tried again later; what happens to the task meanwhile does not make hqd forget it."""
    hq, site = shop(tmp_path, playbook=FIX.replace('land = "on_merge"', f'land = "on_merge", {UNSEEN}'))
    hq.drop("mend.md", MENDING)
    away = tmp_path / "away"
    with hq.daemon() as loop:
        settle(loop, lambda: loop.live.targets != {})
        site.hook(f"mv {site.remote} {away}; exit 1")
        settle(loop, lambda: away.exists())
        task = only(loop).id
        settle(loop, lambda: hq.events(task)[-1] == "finished")
        path = hq.root / f"workspace/queue/{task}.md"
        settle(loop, path.exists)
        path.write_text(path.read_text() + "\nPlease.\n")
        settle(loop, lambda: hq.events(task)[-1] == "edited")
        site.remote.mkdir(exist_ok=True)
        site.remote.rmdir()
        (away / "hooks/pre-receive").unlink()
        away.rename(site.remote)
        assert hq.ask(loop, "resume").ok
        settle(loop, lambda: bool(hq.folder("done")), seconds=40)
    assert site.show("calc.py") == GREEN.strip()
