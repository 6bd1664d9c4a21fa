"""A human's word by the command line: with a daemon, without one, and where nothing can be done now."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.command_line import CommandLine, Said, hq_on_answers
from tests.conftest import EMAIL, NAME


@pytest.fixture
def hqd(hq_repo: Path, tmp_path: Path) -> CommandLine:
    return hq_on_answers(hq_repo, tmp_path / "home")


@contextmanager
def daemon(hqd: CommandLine) -> Iterator[subprocess.Popen[bytes]]:
    """`hqd run`, up when the `with` begins."""
    log = hqd.home / "daemon.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "hqd", "run"], cwd=hqd.root, env=hqd.env(), stdout=out, stderr=out
        )
    try:
        for _count in range(600):
            if hqd.ok("status", "--json").json()["daemon"]["state"] is not None:
                break
            assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def run(hqd: CommandLine) -> Said:
    return hqd.ok("run", "--until-idle")


def test_every_word_on_the_road_of_a_task_without_a_daemon(hqd: CommandLine) -> None:
    """Sent back, approved and landed, retried and dropped, each in the person's name, in one commit at once."""
    hqd.ok("add", "--title", "Fruit")
    hqd.ok("add", "--title", "Root")
    run(hqd)
    assert "back to step write" in hqd.ok("request-changes", "fruit", "-m", "Riper.").out
    assert hqd.git("log", "-1", "--format=%an %ae") == f"{NAME} {EMAIL}"
    assert hqd.task("fruit")["state"] == "queue"
    run(hqd)
    assert hqd.task("fruit")["state"] == "review"
    approved = hqd.ok("approve", "fruit", "--json", real=True).json()
    assert (approved["word"], approved["outcome"], approved["state"]) == ("approve", "done", "done")
    assert approved["landed"] == hqd.git("log", "-1", "--first-parent", "--format=%H", "main", "--", "content/fruit.md")
    assert approved["message"] == f"{approved['task']}: approved; landed as {approved['landed'][:12]}"
    run(hqd)
    assert hqd.task("fruit")["state"] == "done"
    assert hqd.git("show", "main:content/fruit.md") == "A kiwi."
    assert hqd.task("root")["state"] == "blocked"
    retried = hqd.ok("retry", "root", "--json").json()
    assert retried == {
        "schema_version": 1, "task": hqd.task("root")["id"], "word": "retry", "outcome": "done",
        "message": f"{retried['task']}: round 2 begins", "state": "queue", "landed": None,
    }  # fmt: skip
    run(hqd)
    root = hqd.task("root")
    assert (root["attempt"] > 2, root["round"]) == (True, 2)
    assert "0 tasks back" in hqd.ok("retry", "--reason", "secret").out
    assert "1 task back in the queue" in hqd.ok("retry", "--reason", root["reason"]).out
    assert hqd.ok("drop", root["id"][:-2], "-m", "not needed", "--json").json()["state"] == "dropped"
    assert hqd.task("root")["state"] == "dropped"
    assert "Hqd-Via: cli" in hqd.git("log", "-1", "--format=%B")
    assert hqd.git("status", "--porcelain") == ""
    assert list((hqd.root / ".git/hqd/requests").glob("*")) == []


def test_an_answer_goes_to_the_agent_that_asked(hqd: CommandLine) -> None:
    hqd.ok("add", "--title", "asks")
    run(hqd)
    assert "answered" in hqd.ok("answer", "asks", "deep", "blue", "--json").json()["message"]
    told = hqd.ok("show", "asks", "--json").json()["records"][-1]
    assert (told["event"], "deep blue" in told["findings"][0]["text"]) == ("answered", True)


def test_a_word_that_does_not_fit_says_why_and_changes_nothing(hqd: CommandLine) -> None:
    hqd.ok("add", "--title", "Root")
    run(hqd)
    tip = hqd.git("rev-parse", "main")
    for words, said in (
        (("approve", "root"), "not in review/"),
        (("answer", "root", "x"), "asks nothing"),
        (("retry", "root", "--from", "nowhere"), "its steps: write, approve"),
        (("retry", "--reason", "bad_mood"), "ladder_exhausted"),
        (("retry",), "name a task"),
        (("resume", "nothing"), "no hold"),
        (("drop", "nobody"), "no open task"),
    ):
        refused = hqd(*words)
        assert refused.code == 2, words
        assert said in refused.err, words
        assert refused.out == ""
        error = hqd(*words, "--json").json()["error"]
        assert (error["exit_code"], error["message"] in refused.err, error["remedy"] in refused.err) == (2, True, True)
    assert hqd.git("rev-parse", "main") == tip


def test_a_running_daemon_answers_and_acts_at_once(hqd: CommandLine) -> None:
    with daemon(hqd) as process:
        hqd.ok("pause", "-m", "lunch")
        board = hqd.ok("status", "--json").json()
        assert board["paused"] is True
        assert board["daemon"]["alive"] is True
        assert board["daemon"]["pid"] == process.pid
        assert hqd.git("show", "main:workspace/PAUSED") == "lunch"
        hqd.ok("resume")
        hqd.ok("add", "--title", "Fruit")
        for _count in range(600):
            if any(each["state"] == "review" for each in hqd.ok("status", "--json").json()["tasks"]):
                break
        hqd.ok("approve", "fruit")
        assert hqd("run", "--until-idle").code == 75
    assert hqd.git("show", "main:content/fruit.md") == "A kiwi."


def test_without_waiting_the_word_is_left_and_done(hqd: CommandLine) -> None:
    with daemon(hqd):
        left = hqd.ok("pause", "--no-wait", "--json").json()
        assert (left["outcome"], left["message"], left["task"]) == ("left", "said: pause", None)
        for _count in range(600):
            if hqd.ok("status", "--json").json()["paused"]:
                return
        raise AssertionError("the daemon did not hear it")


def test_what_cannot_be_done_now_ends_with_75_and_is_not_done_later(hqd: CommandLine) -> None:
    hqd.git("switch", "--quiet", "--create", "side")
    refused = hqd("pause", "--json")
    assert (refused.code, refused.json()["error"]["exit_code"]) == (75, 75)
    assert "side checked out" in refused.err
    hqd.git("switch", "--quiet", "main")
    run(hqd)
    assert hqd.ok("status", "--json").json()["paused"] is False


def test_without_a_git_identity_the_login_name_speaks(hqd: CommandLine) -> None:
    hqd.git("config", "--unset", "user.name")
    hqd.git("config", "--unset", "user.email")
    hqd.git("config", "user.useConfigOnly", "true")
    hqd.ok("pause", USER="grace")
    assert hqd.git("log", "-1", "--format=%an") == "grace"


def test_add_lays_down_whole_files_and_overwrites_nothing(hqd: CommandLine, tmp_path: Path) -> None:
    note = tmp_path / "note.md"
    note.write_text("# Note\n")
    first, second = (Path(hqd.ok("add", str(note)).out.strip()) for _count in range(2))
    assert (first.name, second.name) == ("note.md", "note-2.md")
    assert first.parent == hqd.root / "workspace/inbox"
    sent = Path(
        hqd.ok("add", "--title", "Sent", "--playbook", "general", "--text", "-", stdin="From a pipe.\n").out.strip()
    )
    assert sent.parent.name == "general"
    assert sent.read_text() == "# Sent\n\nFrom a pipe.\n"
    note.write_text("---\nplaybook: letter\ntag: a\n---\n# Note\n")
    answer = hqd.ok("add", str(note), "--title", "Tagged: yes", "--tag", "a", "--tag", "b", "--json").json()
    assert [(Path(each["path"]).name, each["playbook"]) for each in answer["tasks"]] == [
        ("note-3.md", "letter"), ("tagged-yes.md", None),
    ]  # fmt: skip
    assert [(each["path"], each["line"], each["key"]) for each in answer["noticed"]] == [("note.md", 3, "tag")]
    tagged = Path(answer["tasks"][1]["path"])
    assert tagged.read_text().startswith("---\ntags:")
    assert [path.name for path in (hqd.root / "workspace/inbox").iterdir() if path.name.endswith(".tmp")] == []


def test_add_takes_a_task_with_a_likely_typo_and_says_so_beside_the_answer(hqd: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "letter.md").write_text("---\nplaybok: letter\n---\n# Letter\n")
    added = hqd.ok("add", str(tmp_path / "letter.md"))
    assert Path(added.out.strip()).read_text() == (tmp_path / "letter.md").read_text()
    assert "letter.md:2: playbok: warning: likely a typo of playbook" in added.err
    hqd("run", "--until-idle")
    assert "playbok: warning: likely a typo of playbook" in hqd.ok("show", "letter").out


def test_add_refuses_what_hqd_would_refuse(hqd: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("key: sk-ant-api03-" + "aB3dE5gH7jK9" * 8 + "\n")
    (tmp_path / "latin.md").write_bytes(b"caf\xe9")
    (tmp_path / "empty.md").write_text("\n")
    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "large.md").write_bytes(b"x" * 1_000_001)
    (tmp_path / "_draft.md").write_text("x")
    (tmp_path / "header.md").write_text("---\ntags: {a: b}\n---\n# X\n")
    for name, said in (
        ("header.md", "header.md:2: tags: "),
        ("secret.md", "a secret"), ("latin.md", "not UTF-8"), ("empty.md", "is empty"), ("text.txt", "end in .md"),
        ("large.md", "too large"), ("_draft.md", "left alone"), ("nothing.md", "no such file"), (".", "is a folder"),
    ):  # fmt: skip
        refused = hqd("add", str(tmp_path / name), "--json")
        assert refused.code in (1, 2), name
        assert refused.json()["error"]["exit_code"] == refused.code
        assert said in refused.err, (name, refused.err)
    assert hqd("add").code == 2
    assert hqd("add", "--title", "X", "--playbook", "nope").code == 2
    assert [path.name for path in (hqd.root / "workspace/inbox").iterdir()] == [".gitkeep"]
