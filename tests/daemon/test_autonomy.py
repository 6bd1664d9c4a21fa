"""Earned autonomy on its whole road: proposed, accepted, reviews skipped, ended by an escape, taken up again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hqd.cli.board.status import status
from hqd.cli.call import Call
from hqd.cli.history.autonomy import report_autonomy
from hqd.cli.history.replay import replay
from hqd.cli.history.report import Wish, report
from hqd.model.record import Record
from tests.daemon.headquarters import REVIEWED, Headquarters, make, settle

AUTO = 'review = { land = "on_merge", sample = "auto", risk = 0.5 }'
ARTICLE = REVIEWED.replace('review = { land = "on_merge" }', AUTO)
RESTORED = "workspace/autonomy/article.toml"


def drop(hq: Headquarters, name: str) -> None:
    hq.drop(f"{name}.md", f"---\ntags: [article]\n---\n# Piece {name}\n")


def told(hq: Headquarters, capsys: pytest.CaptureFixture[str], *, propose: bool = False) -> dict[str, Any]:
    assert report_autonomy(Call(hq.env, hq.root, None), propose=propose, as_json=True) == 0
    (row,) = json.loads(capsys.readouterr().out)["playbooks"]
    found: dict[str, Any] = row
    return found


def with_share(hq: Headquarters, share: str) -> None:
    hq.write("playbooks/article.toml", ARTICLE.replace('sample = "auto"', f"sample = {share}"))
    hq.git("commit", "-qm", f"ask for {share}", "--", "playbooks")


def restored(hq: Headquarters) -> str:
    return hq.git("show", f"main:{RESTORED}", check=False)


def last(hq: Headquarters, name: str) -> list[Record]:
    path = next(path for state in ("done", "review") for path in hq.folder(state) if f"-{name}-" in path)
    return hq.records(path.removesuffix(".md"))


def test_a_clean_record_is_proposed_as_a_number_that_a_person_merges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hq = make(tmp_path, article=ARTICLE)
    assert told(hq, capsys, propose=True)["next"] is None
    with hq.daemon() as loop:
        for name in ("one", "two", "three", "four"):
            drop(hq, name)
        settle(loop, lambda: len(hq.folder("review")) == 4)
        for name in ("one", "two", "three", "four"):
            assert hq.ask(loop, "approve", name).ok
        settle(loop, lambda: len(hq.folder("done")) == 4)
    found = told(hq, capsys, propose=True)
    assert (found["next"], found["changed"]["hits"], found["changed"]["n"]) == (0.5, 0, 4)
    assert found["proposed"] == "git merge hqd/autonomy-article"
    assert told(hq, capsys, propose=True)["proposed"] is None, "the same is proposed once"
    message = hq.git("log", "-1", "--format=%B", "hqd/autonomy-article")
    assert "0 of 4" in message
    assert "skipped by sample" in message
    assert hq.git("diff", "--stat", "main", "hqd/autonomy-article").startswith("playbooks/article.toml")
    hq.git("merge", "-q", "--no-edit", "hqd/autonomy-article")
    assert "sample = 0.5, risk = 0.5" in hq.git("show", "main:playbooks/article.toml")
    found = told(hq, capsys, propose=True)
    assert (found["share"], found["changed"]["n"], found["next"]) == (0.5, 0, None), "each share is earned anew"
    assert hq.git("branch", "--list", "hqd/autonomy-*") == "", "what is merged is tidied up"


def test_a_skipped_review_lands_by_itself_and_a_revert_brings_full_review_back_until_a_person_says_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hq = make(tmp_path, article=ARTICLE)
    with_share(hq, "0.000001")
    with hq.daemon() as loop:
        drop(hq, "unseen")
        settle(loop, lambda: len(hq.folder("done")) == 1)
    claim, end, landed = last(hq, "unseen")[3:6]
    assert [each.event.value for each in (claim, end, landed)] == ["claimed", "finished", "landed"]
    assert (claim.sample, end.sample, landed.via) == (0.000001, 0.000001, None)
    assert "skipped by sample" in (end.message or "")
    assert hq.git("show", "main:content/unseen.md") == "three good words"
    assert report(Call(hq.env, hq.root, None), Wish(form="json")) == 0
    row = json.loads(capsys.readouterr().out)["playbooks"][0]
    assert (row["skipped"], row["reviews"], row["clean"]["n"]) == (1, 0, 0)
    replay(Call(hq.env, hq.root, None), hq.root / "playbooks/article.toml", since=None, as_json=True)
    decisions = json.loads(capsys.readouterr().out)["decisions"]
    assert (decisions["same"], decisions["different"], decisions["outside"]) == (4, 0, 0)

    merge = hq.git("log", "--format=%H", "-1", "--grep=Hqd-Work")
    hq.git("revert", "--no-edit", "-m", "1", merge)
    assert [each["why"].split(":")[0] for each in told(hq, capsys)["escapes"]] == ["rejected (reverted)"]
    with hq.daemon() as loop:
        settle(loop, lambda: bool(restored(hq)))
        assert "rejected (reverted)" in restored(hq)
        drop(hq, "watched")
        settle(loop, lambda: len(hq.folder("review")) == 1)
        assert status(Call(hq.env, hq.root, None), as_json=False, everything=False, at=None) == 0
        assert "full review restored (1)" in capsys.readouterr().out
    hq.git("rm", "-qf", "--sparse", RESTORED)
    hq.git("commit", "-qm", "mended")
    with hq.daemon() as loop:
        drop(hq, "again")
        settle(loop, lambda: len(hq.folder("done")) == 2)
        settle(loop)
        assert restored(hq) == "", "the old escape does not come back"


def test_a_lesson_of_a_wrong_acceptance_is_an_escape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hq = make(tmp_path, article=ARTICLE)
    with_share(hq, "0.2")
    lesson = "---\nid: L-0001\nstatus: recorded\nclass: wrong_acceptance\nscope: {playbooks: [article]}\n---\nWrong.\n"
    hq.write("lessons/L-0001-wrong.md", lesson)
    hq.commit("by hand")
    assert told(hq, capsys)["escapes"] == [{"task": "L-0001", "why": "lesson L-0001: Wrong."}]
    with_share(hq, "0.5")
    assert told(hq, capsys)["escapes"] == [], "it was known when the share was changed"


def test_a_rejection_restores_full_review_at_once_and_a_new_share_lifts_it(tmp_path: Path) -> None:
    hq = make(tmp_path, article=ARTICLE)
    with_share(hq, "0.999999")
    with hq.daemon() as loop:
        drop(hq, "seen")
        settle(loop, lambda: len(hq.folder("review")) == 1)
        assert hq.ask(loop, "reject", "seen", message="no").ok
        settle(loop, lambda: bool(restored(hq)))
        assert "Ada turned it down" in restored(hq)
        assert list(loop.live.restored) == ["article"]
    with_share(hq, "0.000001")
    with hq.daemon() as loop:
        settle(loop, lambda: not restored(hq))
        drop(hq, "unseen")
        settle(loop, lambda: len(hq.folder("done")) == 1)


def test_where_no_playbook_wants_a_share_history_is_not_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[tuple[str, ...]] = []

    def asking(_root: Path, _env: object, words: tuple[str, ...]) -> Any:
        return lambda _stop: looks.append(words) or {}

    monkeypatch.setattr("hqd.bootstrap.outsides.asking", asking)
    hq = make(tmp_path)
    with hq.daemon() as loop:
        settle(loop)
        assert looks == []
        with_share(hq, "0.5")
        settle(loop, lambda: bool(looks))
        assert looks == [("report", "autonomy", "--propose", "--json")]
