"""status, show, log and why beside real work: one HQ whose tasks have run, looked at from all sides."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.acceptance.command_line import CommandLine, hq_on_answers

EVIL = "Red \x1b[31m\x07 [bold]not bold[/bold]"


@pytest.fixture(scope="module")
def hqd(tmp_path_factory: pytest.TempPathFactory, isolated_environment: None) -> CommandLine:
    """Fruit waits for a review after one failed attempt; root and asks are blocked; later waits for its date."""
    folder = tmp_path_factory.mktemp("board")
    root = folder / "hq"
    for state in ("inbox", "queue", "active", "review", "blocked", "done", "dropped", "runs", "holds"):
        (root / "workspace" / state).mkdir(parents=True)
        (root / "workspace" / state / ".gitkeep").touch()
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", root], check=True)
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        subprocess.run(["git", "-C", root, "config", key, value], check=True)
    line = hq_on_answers(root, folder / "home")
    line.ok("add", "--title", "Fruit", "--text", "Name one.")
    line.ok("add", "--title", "Root", "--tag", "veg")
    line.ok("add", "--title", "asks")
    line.write("../later.md", "---\nnot_before: 2099-01-01\n---\n# Later\n")
    line.ok("add", str(folder / "later.md"))
    ended = line("run", "--until-idle")
    assert ended.code == 0, ended
    return line


def test_the_board_says_for_every_task_where_it_is_and_what_is_missing(hqd: CommandLine) -> None:
    board = hqd.ok("status", "--json", real=True).json()
    tasks = {each["slug"]: each for each in board["tasks"]}
    assert {slug: each["state"] for slug, each in tasks.items()} == {
        "fruit": "review",
        "root": "blocked",
        "asks": "blocked",
        "later": "queue",
    }
    fruit = tasks["fruit"]
    fixed = {"id", "slug", "title", "state", "playbook", "step", "attempt", "round", "reason", "missing", "cost_usd"}
    assert fixed | {"branch", "review"} <= set(fruit)
    assert (fruit["playbook"], fruit["step"], fruit["round"], fruit["cost_usd"]) == ("general", "approve", 1, 0.03)
    assert fruit["branch"] == f"hqd/{fruit['id']}"
    assert fruit["review"]["branch"] == fruit["branch"]
    assert (tasks["root"]["reason"], tasks["root"]["attempt"]) == ("ladder_exhausted", 2)
    assert "kiwi" in tasks["root"]["missing"]
    assert (tasks["asks"]["reason"], tasks["asks"]["missing"]) == ("needs_human", "Which colour?")
    assert "2099-01-01" in tasks["later"]["missing"]
    assert board["daemon"]["alive"] is False
    assert (board["holds"], board["problems"]) == ([], [])


def test_the_board_for_people_has_the_same(hqd: CommandLine) -> None:
    said = hqd.ok("status").out
    assert "no daemon runs" in said
    for words in ("blocked (2)", "review (1)", "ladder_exhausted", "Which colour?", "not before 2099-01-01"):
        assert words in said
    assert said.index("blocked (2)") < said.index("review (1)") < said.index("queue (1)")


def test_the_board_at_an_earlier_commit_is_the_board_of_then(hqd: CommandLine) -> None:
    first = hqd.git("log", "--format=%H", "--grep=^Hqd-Event: accepted", "main").splitlines()[-1]
    then = hqd.ok("status", "--at", first, "--json").json()
    assert [each["state"] for each in then["tasks"]] == ["queue"]
    made = datetime.fromtimestamp(int(hqd.git("show", "-s", "--format=%ct", first)), UTC)
    assert datetime.fromisoformat(then["at"]) == made, "dates and ages are told as they were"
    assert f"as of {made:%Y-%m-%d %H:%M} UTC" in hqd.ok("status", "--at", first).out
    unknown = hqd("status", "--at", "no-such-commit")
    assert (unknown.code, "no commit" in unknown.err) == (2, True)
    assert hqd("status", "--at", "--output=x").code == 2


def test_show_has_every_attempt_with_gates_context_and_commit(hqd: CommandLine) -> None:
    task = hqd.ok("show", "fruit", "--json").json()
    records = task["records"]
    assert [each["n"] for each in records] == list(range(1, len(records) + 1))
    first, second = (each for each in records if each["event"] == "finished" and each["step"] == "write")
    assert (first["outcome"], first["failure"], first["attempt"]) == ("failed", "gate", 1)
    assert (second["outcome"], second["failure"], second["tokens"]) == ("passed", None, 120)
    assert first["gates"][0]["status"] == "fail"
    assert set(first["gates"][0]) == {"name", "kind", "level", "status", "score", "message"}
    assert first["context"][0]["source"] == "playbooks/general.toml"
    assert hqd.git("show", f"{first['commit']}:{first['output']}") == "An apple."
    claims = [each for each in records if each["event"] == "claimed"]
    assert claims
    assert all("outcome" not in each for each in claims)
    for each in records:
        assert f"Hqd-Event: {each['event']}" in hqd.git("log", "-1", "--format=%B", each["commit"])


def test_show_prints_one_file_of_one_attempt_as_it_is(hqd: CommandLine) -> None:
    assert hqd.ok("show", "fruit", "--attempt", "1", "--output").out == "An apple."
    assert hqd.ok("show", "fruit", "--output", "--step", "write").out == "A kiwi."
    assert "Write about Fruit." in hqd.ok("show", "fruit", "--attempt", "1", "--prompt").out
    assert hqd("show", "fruit", "--attempt", "9", "--output").code == 2
    missed = hqd("show", "fruit", "--attempt", "9", "--json")
    assert (missed.code, missed.json()["error"]["remedy"]) == (2, "there is: 1, 2")
    assert hqd("show", "fruit", "--output", "--prompt").code == 2


def test_show_for_people_has_text_records_and_red_gates(hqd: CommandLine) -> None:
    said = hqd.ok("show", "fruit").out
    for words in ("Name one.", "review_opened", "must_include", "005-output.md"):
        assert words in said


def test_a_task_is_named_by_id_beginning_or_slug(hqd: CommandLine) -> None:
    task = hqd.task("fruit")["id"]
    for name in (task, task[:-3], "fruit"):
        assert hqd.ok("why", name, "--json").json()["id"] == task
    several = hqd("why", task[:6])
    assert several.code == 2
    assert "fits 4 tasks" in several.err
    assert hqd("why", "nobody").code == 2


def test_why_tells_the_story_and_the_command_that_helps(hqd: CommandLine) -> None:
    said = hqd.ok("why", "root").out
    assert len(said.splitlines()) <= 12
    for words in ("blocked/", "ladder_exhausted", "a human", "attempt 1", "attempt 2", "round 2", "hqd retry root"):
        assert words in said
    assert "hqd answer asks" in hqd.ok("why", "asks").out
    assert "hqd approve fruit" in hqd.ok("why", "fruit").out
    assert "not before 2099-01-01" in hqd.ok("why", "later").out


def test_log_reads_like_a_ledger_newest_first(hqd: CommandLine) -> None:
    events = hqd.ok("log", "fruit", "-n", "0", "--json").json()["events"]
    assert [each["event"] for each in events][:2] == ["review_opened", "claimed"]
    assert events[-1]["event"] == "accepted"
    assert {each["task"] for each in events} == {hqd.task("fruit")["id"]}
    result = next(each for each in events if each["outcome"] == "failed")
    assert (result["step"], result["attempt"], result["cost_usd"]) == ("write", 1, 0.01)
    assert result["gates"] == "must_include=fail"
    assert len(hqd.ok("log", "-n", "3").out.splitlines()) == 4


def test_it_works_from_any_folder_of_the_hq_and_by_option_and_variable(hqd: CommandLine) -> None:
    inside, outside = hqd.root / "workspace/inbox", hqd.home
    board = hqd.ok("status", "--json", cwd=inside).json()
    again = hqd.ok("--hq", str(hqd.root), "status", "--json", cwd=outside).json()
    assert {**board, "at": None} == {**again, "at": None}  # asked in another second, perhaps
    assert hqd.ok("status", cwd=outside, HQD_HQ=str(hqd.root)).code == 0
    nowhere = hqd("status", cwd=outside)
    assert (nowhere.code, nowhere.out) == (78, "")
    assert "hqd init" in nowhere.err
    assert hqd("--hq", "no-such-folder", "status").code == 2


def test_looking_changes_nothing(hqd: CommandLine) -> None:
    before = (hqd.git("rev-parse", "main"), hqd.git("status", "--porcelain"))
    for words in (("status", "--all"), ("show", "root"), ("why", "root"), ("log",)):
        hqd.ok(*words)
    assert (hqd.git("rev-parse", "main"), hqd.git("status", "--porcelain")) == before


def test_a_title_cannot_steer_the_terminal(hqd: CommandLine, tmp_path: Path) -> None:
    answer = tmp_path / "evil.md"
    answer.write_text(f"---\nsuspend: true\n---\n# {EVIL}\n\ntext \x1b]0;owned\x07\n", "utf-8")
    hqd.ok("add", str(answer))
    hqd.ok("run", "--until-idle")
    for words in (("status",), ("show", "evil"), ("why", "evil"), ("log", "evil")):
        said = hqd.ok(*words)
        assert "\x1b" not in said.out + said.err
        assert "\x07" not in said.out + said.err
    assert "[bold]not bold[/bold]" in hqd.ok("show", "evil").out
    hqd.ok("drop", "evil")


def test_a_record_that_cannot_be_read_hides_its_task_alone(hqd: CommandLine, tmp_path: Path) -> None:
    """The others are on the board, and what is wrong stands there with its path. Looked at on a clone."""
    target = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", hqd.root, target], check=True)
    clone = CommandLine(target, hqd.home)
    clone.git("config", "user.name", "Ada")
    clone.git("config", "user.email", "ada@example.org")
    newest = clone.git("ls-files", "workspace/runs/*root*/*.toml").splitlines()[-1]
    clone.commit(newest, "broken\n")
    board = clone.ok("status", "--json").json()
    assert {each["slug"] for each in board["tasks"]} >= {"fruit", "asks", "later"}
    assert any(newest in each["message"] and each["remedy"] for each in board["problems"])
    assert newest in clone.ok("show", "root").out


def test_a_pipe_that_is_closed_early_is_no_fault(hqd: CommandLine) -> None:
    command = f"{sys.executable} -m hqd log -n 0 --json | head -c 10"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=hqd.root, env=hqd.env(), check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""


def test_help_version_and_wrong_words(hqd: CommandLine) -> None:
    assert hqd.ok().out == hqd.ok("--help").out
    assert hqd.ok("--version").out.startswith("hqd ")
    wrong = hqd("nonsense", real=True)
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.startswith("hqd: ")
    missing = hqd("show")
    assert missing.code == 2
    assert "hqd show --help" in missing.err


def test_history_is_counted_and_tried_by_commands(hqd: CommandLine) -> None:
    counted = hqd.ok("report", "--format", "json").json()
    assert counted["schema_version"] == 1
    assert counted["outcomes"]["first_pass"]["hits"] == 0
    assert counted["outcomes"]["first_pass"]["n"] == 3  # fruit, root and asks; what waits for its date was not tried
    assert counted["outcomes"]["tasks"] >= 4
    page = hqd.ok("report", "--format", "html").out
    assert page.startswith("<!doctype html>")
    assert hqd("report", "--format", "pdf").code == 2
    assert hqd.ok("report", "recovery", "--json").json()["rungs"]
    assert "no playbook has" in hqd.ok("report", "autonomy").out
    own = hqd.ok("replay", "--playbook", "playbooks/general.toml", "--json").json()
    assert (own["decisions"]["different"], own["saved"]["attempts"]) == (0, [0, 0])
    assert hqd("replay", "--playbook", "nowhere.toml").code == 2
    assert hqd("replay", "--playbook", "playbooks/general.toml", "--from", "--output=x").code == 2
    assert "0 of" in hqd.ok("bisect", "general").out
    assert hqd("bisect", "nobody").code == 2
