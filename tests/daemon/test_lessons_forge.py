"""Proposals of lessons on a forge: one pull request each, brought up to date, closed where a person declines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hqd.cli import main
from hqd.codec.lesson import write_lesson
from hqd.model.gate import GateSpec
from hqd.model.lesson import Lesson, LessonEvidence, LessonStatus, Scope
from hqd.testing.forge_server import TOKEN
from tests.daemon.headquarters import Headquarters, settle
from tests.forge_hq import forged


def lesson(hq: Headquarters) -> None:
    """A recording whose texts lie beside it; committed and pushed."""
    hq.write("lessons/cases/bad.md", "Get your money back, @tim.\n```\n<!-- hidden -->\n")
    hq.write("lessons/cases/good.md", "Write to us.\n")
    made = Lesson(
        id="L-0001",
        status=LessonStatus.RECORDED,
        scope=Scope(playbooks=("article",)),
        born_at="write",
        gate=GateSpec(name="g", kind="must_not_include", params={"values": ["money back"]}),
        evidence=(LessonEvidence(path="lessons/cases/bad.md", corrected_path="lessons/cases/good.md"),),
        account="# No promises",
    )
    hq.write("lessons/L-0001-no-promises.md", write_lesson(made).decode())
    hq.commit("a recording")
    hq.git("push", "-q", "origin", "main")


@pytest.mark.parametrize("flavour", ["github", "gitlab", "gitea"])
def test_a_proposal_is_one_pull_request_and_its_merge_there_puts_the_lesson_in_shadow(
    flavour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HQD_SECRET_FORGE", TOKEN)
    with forged(tmp_path, flavour=flavour) as at:
        lesson(at.hq)
        words = ["--hq", str(at.hq.root), "lessons", "propose", "L-0001", "--json"]
        assert main(words) == 0
        (done,) = json.loads(capsys.readouterr().out)["proposed"]
        pull = at.pull
        assert (pull.branch, pull.base, pull.draft) == ("hqd/lesson-L-0001", "main", False)
        assert pull.title == "Let in lesson L-0001 (shadow): No promises"
        assert pull.head == done["commit"]
        assert "Nothing is in force before a person merges this." in pull.body
        assert "````text\nGet your money back" in pull.body  # a fence that the text cannot close
        assert str(pull.number) in done["url"]
        assert main(words) == 0  # again, with news: the same pull request
        assert at.pull.head == json.loads(capsys.readouterr().out)["proposed"][0]["commit"]
        assert main(["--hq", str(at.hq.root), "lessons", "accept", "L-0001"]) == 2
        assert "merge it there" in capsys.readouterr().err
        with at.hq.daemon() as loop:
            assert loop.parts.rulebook.current.lessons == ()
            at.git("update-ref", "refs/heads/main", at.pull.head)
            at.catch_up()
            settle(loop, lambda: [each.status.value for each in loop.parts.rulebook.current.lessons] == ["shadow"])


def test_a_declined_proposal_is_closed_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HQD_SECRET_FORGE", TOKEN)
    with forged(tmp_path) as at:
        lesson(at.hq)
        assert main(["--hq", str(at.hq.root), "lessons", "propose", "L-0001"]) == 0
        assert main(["--hq", str(at.hq.root), "lessons", "decline", "L-0001", "-m", "Too narrow"]) == 0
        assert at.pull.state == "closed"
        assert any("Declined: Too narrow" in said.body for said in at.forge.comments)
        assert at.git("branch", "--list", "hqd/lesson-*") == ""
