"""check, apply, gate, try and doctor on a real HQ."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.acceptance.command_line import GENERAL, CommandLine, hq_on_answers
from tests.conftest import EMAIL, NAME

FAULTY = GENERAL.replace('agent = "writer"', 'agent = "writr"').replace("values =", "valus =")


@pytest.fixture
def hqd(hq_repo: Path, tmp_path: Path) -> CommandLine:
    return hq_on_answers(hq_repo, tmp_path / "home")


def test_check_names_file_line_key_and_remedy(hqd: CommandLine) -> None:
    assert "no problems" in hqd.ok("check", real=True).out
    hqd.write("playbooks/general.toml", FAULTY)
    hqd.write("workspace/inbox/bad.md", "---\npriority: high\nplybook: general\n---\n# Bad\n")
    said = hqd("check")
    assert said.code == 1
    lines = said.out.splitlines()
    assert lines[0].startswith("playbooks/general.toml:4: steps.write.agent: there is no agent writr")
    assert "did you mean writer" in lines[0]
    assert any(line.startswith("playbooks/general.toml:7: steps.write.gates.must_include.valus: ") for line in lines)
    assert any(line.startswith("workspace/inbox/bad.md:2: priority: ") for line in lines)
    assert any(line.startswith("workspace/inbox/bad.md:3: plybook: warning: likely a typo") for line in lines)
    assert lines[:-1] == sorted(lines[:-1], key=lambda line: (line.split(":")[0], int(line.split(":")[1])))
    found = hqd("check", "--json").json()
    assert (found["ok"], {each["path"] for each in found["problems"]}) == (
        False,
        {"playbooks/general.toml", "workspace/inbox/bad.md"},
    )


def test_check_looks_only_at_what_is_named(hqd: CommandLine, tmp_path: Path) -> None:
    hqd.write("playbooks/general.toml", FAULTY)
    hqd.write("workspace/inbox/good.md", "# Good\n")
    assert hqd.ok("check", "workspace/inbox/good.md").out == "1 file: no problems\n"
    assert hqd("check", "playbooks").code == 1
    assert hqd("check", "hqd.toml").code == 0
    assert hqd("check", "nothing.md").code == 2


def test_check_works_outside_of_any_hq(hqd: CommandLine, tmp_path: Path) -> None:
    lone = tmp_path / "lone"
    lone.mkdir()
    (lone / "general.toml").write_text(GENERAL.replace('on_changes = "write"', 'on_changes = "wrte"'))
    (lone / "task.md").write_text("---\ntags: [a\n---\n# T\n")
    playbook = hqd("check", "general.toml", cwd=lone)
    assert playbook.code == 1
    assert "general.toml:10: steps.approve.review.on_changes: " in playbook.out
    task = hqd("check", "task.md", cwd=lone)
    assert (task.code, task.out.startswith("task.md:")) == (1, True)
    (lone / "general.toml").write_text(GENERAL)
    assert hqd.ok("check", "general.toml", cwd=lone).out == "1 file: no problems\n"


def test_check_writes_schemas_for_editors(hqd: CommandLine, tmp_path: Path) -> None:
    hqd.ok("check", "--schemas", str(tmp_path / "schemas"))
    playbook = json.loads((tmp_path / "schemas/playbook.schema.json").read_text())
    assert "steps" in playbook["properties"]


def test_what_is_edited_and_not_in_force_stands_on_the_board(hqd: CommandLine) -> None:
    hqd.write("playbooks/general.toml", FAULTY)
    hqd.write("playbooks/general/new.md", "A prompt.")
    problems = hqd.ok("status", "--json").json()["problems"]
    told = {(each["path"], each["level"]) for each in problems}
    assert ("playbooks/general/new.md", "not_in_force") in told
    assert ("playbooks/general.toml", "not_in_force") in told
    assert any(each["line"] == 4 and each["key"] == "steps.write.agent" and each["remedy"] for each in problems)


def test_apply_commits_exactly_the_edits_in_the_persons_name(hqd: CommandLine) -> None:
    hqd.write("notes.txt", "staged")
    hqd.git("add", "notes.txt")
    hqd.write("notes.txt", "staged, then edited")
    hqd.write("playbooks/general.toml", GENERAL.replace("kiwi", "fig"))
    hqd.write("playbooks/second.toml", GENERAL.replace('"general"', '"second"'))
    (hqd.root / "playbooks/.gitkeep").unlink()
    dry = hqd.ok("apply", "--dry-run").out
    assert "modified  playbooks/general.toml" in dry
    before = hqd.git("rev-parse", "main")
    applied = hqd.ok("apply", "-m", "Ask for figs", "--json").json()
    assert [(each["kind"], each["path"]) for each in applied["files"]] == [
        ("modified", "playbooks/general.toml"), ("added", "playbooks/second.toml"),
    ]  # fmt: skip
    assert (applied["commit"], applied["problems"]) == (hqd.git("rev-parse", "main"), [])
    assert hqd.git("rev-parse", "main^") == before
    assert hqd.git("diff", "--name-status", "main^", "main").split() == [
        "M", "playbooks/general.toml", "A", "playbooks/second.toml",
    ]  # fmt: skip
    assert hqd.git("log", "-1", "--format=%an %ae %s") == f"{NAME} {EMAIL} Ask for figs"
    assert "Hqd-Via: cli" in hqd.git("log", "-1", "--format=%B")
    assert hqd.git("diff", "--cached", "--name-only") == "notes.txt"
    assert (hqd.root / "notes.txt").read_text() == "staged, then edited"
    assert "nothing to apply" in hqd.ok("apply").out
    assert hqd.ok("status", "--json").json()["problems"] == []


def test_apply_refuses_faulty_edits_and_secrets(hqd: CommandLine) -> None:
    before = hqd.git("rev-parse", "main")
    hqd.write("playbooks/general.toml", FAULTY)
    faulty = hqd("apply", "--json")
    assert (faulty.code, faulty.json()["commit"]) == (1, None)
    assert faulty.json()["problems"] == hqd("check", "playbooks", "--json").json()["problems"]
    hqd.write("playbooks/general.toml", GENERAL)
    hqd.write("playbooks/general/x.md", "Use sk-ant-api03-" + "aB3dE5gH7jK9" * 8)
    refused = hqd("apply")
    assert (refused.code, "a secret" in refused.err, "aB3dE5gH7jK9" in refused.err) == (1, True, False)
    hqd.git("switch", "--quiet", "--create", "side")
    (hqd.root / "playbooks/general/x.md").write_text("Fine.")
    assert hqd("apply").code == 75
    assert hqd.git("rev-parse", "main") == before


def test_a_broken_commit_leaves_the_board_readable(hqd: CommandLine) -> None:
    hqd.ok("add", "--title", "Root")
    hqd.ok("run", "--until-idle")
    hqd.commit("hqd.toml", "format = 1\n[agents.writer]\nprovider = 'replay'\n[limits\n")
    board = hqd.ok("status", "--json").json()
    assert [each["slug"] for each in board["tasks"]] == ["root"]
    assert [(each["path"], each["line"]) for each in board["problems"]] == [("hqd.toml", 4)]
    assert hqd("why", "root").code == 0
    hqd.commit("hqd.toml", "format = 99\n")
    assert any("upgrade" in each["remedy"] for each in hqd.ok("status", "--json").json()["problems"])
    refused = hqd("run", "--until-idle")
    assert (refused.code, refused.err.count("upgrade hqd")) == (78, 1)


def test_bad_files_in_the_inbox_stand_on_the_board_without_a_daemon(hqd: CommandLine) -> None:
    inbox = hqd.root / "workspace/inbox"
    (inbox / "large.md").write_bytes(b"x" * 1_000_001)
    (inbox / "link.md").symlink_to("large.md")
    (inbox / "latin.md").write_bytes(b"caf\xe9")
    (inbox / "key.md").write_text("\nAKIA" + "IOSFODNN7EXAMPL" + "Q\nsk-ant-api03-" + "aB3dE5gH7jK9" * 8)
    os.mkfifo(inbox / "pipe.md")
    (inbox / "new\nline.md").write_text("---\ntags: {\n---\n")
    problems = {each["path"]: each for each in hqd.ok("status", "--json").json()["problems"]}
    for name in ("large", "link", "latin", "key", "pipe", "new line"):
        problem = problems[f"workspace/inbox/{name}.md"]
        assert problem["message"], name
        assert problem["remedy"], name
    assert "workspace/inbox/link.md still waits in the inbox" in hqd("why", "link").err


def test_gates_of_a_step_run_on_files(hqd: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text("a kiwi\n")
    (tmp_path / "bad.md").write_text("TODO, apples\n")
    good, bad = str(tmp_path / "good.md"), str(tmp_path / "bad.md")
    assert "pass" in hqd.ok("gate", "general/write", good).out
    red = hqd("gate", "general/write", good, bad, "--json")
    assert red.code == 1
    assert [each["gates"][0]["status"] for each in red.json()["results"]] == ["pass", "fail"]
    assert hqd("gate", "--kind", "must_not_include", "--set", "values=TODO,TBD", bad).code == 1
    assert hqd("gate", "--kind", "must_not_include", "--set", "values=TODO", "--set", "level=warn", bad).code == 0
    assert hqd("gate", "--kind", "must_include", "--set", 'values=["apples"]', bad, cwd=tmp_path).code == 0
    for words, said in (
        (("general/wrte", good), "did you mean write"),
        (("generl/write", good), "did you mean general"),
        (("general", good), "not PLAYBOOK/STEP"),
        (("--kind", "word_cont", good), "did you mean word_count"),
        (("--kind", "word_count", "--set", "mn=3", good), "did you mean min"),
        (("general/write",), "at least one file"),
        (("general/write", "nothing.md"), "no such file"),
    ):
        wrong = hqd("gate", *words)
        assert (wrong.code, said in wrong.err) == (2, True), (words, wrong)


def test_links_of_a_file_start_in_its_own_folder(hqd: CommandLine) -> None:
    hqd.write("docs/a.md", "[beside](b.md) and [above](../README.md)\n")
    hqd.write("docs/b.md", "[nowhere](c.md)\n")
    hqd.write("README.md", "# Read me\n")
    assert hqd("gate", "--kind", "links_resolve", "docs/a.md").code == 0
    red = hqd("gate", "--kind", "links_resolve", "docs/b.md")
    assert red.code == 1
    assert "docs/b.md:1: [nowhere](c.md)" in red.out


def test_a_gate_is_calibrated_against_labels(hqd: CommandLine, tmp_path: Path) -> None:
    labels = [{"output": f"kiwi {n}", "label": "good"} for n in range(45)]
    labels += [{"output": f"apple {n}", "label": "bad"} for n in range(45)]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(each) + "\n" for each in labels))
    found = hqd.ok("gate", "calibrate", "must_include", str(tmp_path / "labels.jsonl"), "--json").json()
    assert found["shortfall"] is None
    assert found["calibration"]["recall"]["value"] == 1.0
    assert "must_include" in (hqd.root / "lessons/calibrations/must_include.toml").read_text()
    (tmp_path / "few.jsonl").write_text(json.dumps(labels[0]) + "\n")
    assert hqd("gate", "calibrate", "must_include", str(tmp_path / "few.jsonl"), "--no-write").code == 1
    (tmp_path / "broken.jsonl").write_text('{"output": "x", "label": "meh"}\n')
    assert hqd("gate", "calibrate", "must_include", str(tmp_path / "broken.jsonl")).code == 78
    missing = hqd("gate", "calibrate", "must_include", "nothing.jsonl")
    assert (missing.code, "nothing.jsonl: no such file" in missing.err) == (2, True)


def test_a_dry_run_shows_what_would_happen_and_leaves_nothing(hqd: CommandLine, tmp_path: Path) -> None:
    """The edited playbook counts, other tasks stay out, and neither HQ nor temporary folder keeps a trace."""
    hqd.ok("add", "--title", "Root")
    hqd.write("playbooks/general.toml", GENERAL.replace("kiwi", "fig"))
    (tmp_path / "fruit.md").write_text("# Fruit\n")
    (tmp_path / "answers.jsonl").write_text('{"attempt": 1, "answer": "a kiwi"}\n{"attempt": 2, "answer": "a fig"}\n')
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    before = (hqd.git("rev-parse", "main"), hqd.git("status", "--porcelain"))
    file, answers = str(tmp_path / "fruit.md"), str(tmp_path / "answers.jsonl")
    told = hqd.ok("try", "general", file, "--replay", answers, "--json", TMPDIR=str(temporary)).json()
    assert (told["slug"], told["state"]) == ("fruit", "review")
    assert [each["outcome"] for each in told["records"] if each["event"] == "finished"] == ["failed", "passed"]
    assert (hqd.git("rev-parse", "main"), hqd.git("status", "--porcelain")) == before
    assert list(temporary.iterdir()) == []
    shown = hqd.ok("try", "general", file, "--replay", answers, TMPDIR=str(temporary)).out
    assert "fail  must_include" in shown
    assert "a fig" in shown
    (tmp_path / "poor.jsonl").write_text('{"answer": "an apple"}\n')
    assert hqd("try", "general", file, "--replay", str(tmp_path / "poor.jsonl")).code == 1
    assert hqd("try", "nothing", file).code == 2


def test_a_dry_run_calls_no_real_agent_by_accident(hqd: CommandLine, tmp_path: Path) -> None:
    hqd.write("hqd.toml", "format = 1\n[agents.writer]\nprovider = 'command'\nargv = ['touch', 'called']\n")
    (tmp_path / "fruit.md").write_text("# Fruit\n")
    refused = hqd("try", "general", str(tmp_path / "fruit.md"))
    assert (refused.code, "--live" in refused.err) == (2, True)
    missing = hqd("try", "general", str(tmp_path / "fruit.md"), "--replay", str(tmp_path / "none.jsonl"))
    assert (missing.code, "cannot be read" in missing.err) == (2, True)


def test_doctor_finds_a_fit_machine_fit_and_tells_secrets_to_nobody(hqd: CommandLine) -> None:
    hqd.ok("doctor", real=True)
    names = {each["name"] for each in hqd.ok("doctor", "--json").json()["checks"]}
    wanted = {"python", "git", "identity", "branch", "settings", "disk", "filesystem", "clock", "watcher", "daemon"}
    assert wanted | {"sparse", "hooks", "agent writer"} <= names
    settings = "format = 1\n[agents.writer]\nprovider = 'anthropic'\nmodel = 'claude-sonnet-4-5'\n"
    settings += "[agents.other]\nprovider = 'command'\nargv = ['no-such-program']\nenv = { K = 'secret:db' }\n"
    hqd.commit("hqd.toml", settings)
    checks = {each["name"]: each for each in hqd("doctor", "--json").json()["checks"]}
    assert checks["agent writer"]["level"] == checks["agent other"]["level"] == checks["secret db"]["level"] == "fail"
    assert "ANTHROPIC_API_KEY" in checks["agent writer"]["remedy"]
    said = hqd("doctor", ANTHROPIC_API_KEY="sk-very-secret", HQD_SECRET_DB="db-very-secret")
    assert "very-secret" not in said.out + said.err
    assert "its key is there" in said.out


def test_doctor_names_what_stands_in_the_way(hqd: CommandLine) -> None:
    (hqd.root / ".git/index.lock").touch()
    hook = hqd.root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    checks = {each["name"]: each for each in hqd.ok("doctor", "--json").json()["checks"]}
    assert (checks["lock"]["level"], "another program" in checks["lock"]["found"]) == ("warn", True)
    assert "pre-commit" in checks["hooks"]["found"]
    (hqd.root / ".git/index.lock").unlink()
    hqd.git("switch", "--quiet", "--create", "side")
    assert hqd("doctor").code == 1


def test_doctor_asks_each_agent_once(hqd: CommandLine) -> None:
    hqd.write(
        "answers.jsonl", '{"slug": "doctor", "answer": "ready", "usage": {"input_tokens": 7, "cost_usd": 0.001}}\n'
    )
    checks = {each["name"]: each for each in hqd.ok("doctor", "--agents", "--json").json()["checks"]}
    assert checks["asked writer"]["found"] == "'ready', 7 tokens, $0.0010"
