"""`hqd init`: whatever stands at the path, an HQ in order comes of it, or nothing is changed."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hqd.bootstrap import gate_registry
from hqd.check import check_reader
from hqd.cli.edits import FolderReader
from hqd.cli.init import init
from hqd.codec import layout
from hqd.codec.settings import read_settings
from hqd.errors import Expected, RepositoryBusy, Usage
from hqd.model.problem import ProblemLevel
from hqd.starter.laying import InTheWay, lay_down, starter_files
from tests.conftest import EMAIL, NAME, Git

PERSON = {"GIT_AUTHOR_NAME": NAME, "GIT_AUTHOR_EMAIL": EMAIL, "GIT_COMMITTER_NAME": NAME, "GIT_COMMITTER_EMAIL": EMAIL}
NOBODY = 'provider = "command"\nargv = ["your-agent-command"]'
REPLAY = 'provider = "replay"\nanswers = "answers.jsonl"'


@pytest.fixture
def env(isolated_environment: None) -> dict[str, str]:
    return {**os.environ, **PERSON}


def snapshot(root: Path, git: Git) -> tuple[list[str], str, str, str]:
    """Everything that a refused init may not change: files, commits, index, HEAD."""
    files = sorted(
        f"{path} {path.read_bytes()!r}" for path in root.rglob("*") if path.is_file() and ".git" not in path.parts
    )
    index = git(root, "ls-files", "-s")
    return files, git(root, "rev-list", "--all"), index, git(root, "symbolic-ref", "-q", "HEAD", check=False)


def person_repo(root: Path, git: Git, *, branch: str = "main", commit: bool = True) -> Path:
    root.mkdir()
    git(root, "init", "--quiet", f"--initial-branch={branch}")
    git(root, "config", "user.name", NAME)
    git(root, "config", "user.email", EMAIL)
    if commit:
        (root / "app.py").write_text("print(1)\n")
        git(root, "add", "app.py")
        git(root, "commit", "--quiet", "--message=Begin")
    return root


def problems(root: Path, env: dict[str, str]) -> list[str]:
    found = check_reader(FolderReader(root), gate_registry(env, None, None).check).problems
    return [str(problem) for problem in found if problem.level is ProblemLevel.ERROR]


@pytest.mark.parametrize("agent", ["anthropic", "claude", "codex", "none"])
@pytest.mark.parametrize("minimal", [False, True])
def test_a_new_hq_is_in_order(agent: str, minimal: bool, tmp_path: Path, env: dict[str, str], git: Git) -> None:
    root = tmp_path / "some where" / "hq"
    assert init(root, env, agent=agent, minimal=minimal) == 0
    assert problems(root, env) == []
    assert git(root, "symbolic-ref", "--short", "HEAD") == "main\n"
    assert git(root, "rev-list", "--count", "HEAD") == "1\n"
    assert git(root, "status", "--porcelain", "--ignored") == ""
    assert git(root, "log", "-1", "--format=%an <%ae> %cn") == f"{NAME} <{EMAIL}> {NAME}\n"
    tracked = set(git(root, "ls-files").splitlines())
    assert {f"{folder}/.gitkeep" for folder in layout.KEPT_FOLDERS} <= tracked
    assert (root / "workspace/.gitattributes").read_text() == layout.ATTRIBUTES
    assert (root / ".gitignore").read_text() == ".hqd/\n"
    playbooks = {path for path in tracked if path.startswith("playbooks/") and path.endswith(".toml")}
    expected = {"playbooks/general.toml"}
    assert playbooks == expected if minimal else playbooks > expected


def test_a_dropped_task_runs_to_its_end(tmp_path: Path, env: dict[str, str], git: Git) -> None:
    """The playbook that takes everything does, in an HQ as laid down, with only its agents named anew."""
    root = tmp_path / "hq"
    run = (sys.executable, "-m", "hqd")
    made = subprocess.run([*run, "init", str(root)], env=env, check=False, capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    assert f"cd {root}" in made.stdout
    settings = (root / "hqd.toml").read_text()
    assert NOBODY in settings
    (root / "hqd.toml").write_text(settings.replace(NOBODY, REPLAY))
    (root / "answers.jsonl").write_text('{"text": "The Salty Crumb, because of the harbour."}\n')
    git(root, "add", "hqd.toml", "answers.jsonl")
    git(root, "-c", "user.name=P", "-c", "user.email=p@example.org", "commit", "--quiet", "-m", "Name the agent")
    (tmp_path / "names.md").write_text("# Five names for a bakery\n\nIn a harbour town.\n")
    (tmp_path / "names.md").rename(root / "workspace/inbox/names.md")
    done = subprocess.run(
        [*run, "run", "--until-idle"], cwd=root, env=env, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = list(root.glob("workspace/done/*/*/*/*-names-*.result.md"))
    assert len(results) == 1
    assert "The Salty Crumb" in results[0].read_text()
    assert git(root, "status", "--porcelain") == ""


def test_an_existing_repository_gets_one_commit_with_only_the_hq_in_it(
    tmp_path: Path, env: dict[str, str], git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    """Staged, unstaged and untracked work stays what it was."""
    root = person_repo(tmp_path / "repo", git)
    (root / ".gitignore").write_text("*.pyc")
    git(root, "add", ".gitignore")
    git(root, "commit", "--quiet", "--message=Ignore")
    (root / "app.py").write_text("print(2)\n")
    (root / "staged.py").write_text("staged\n")
    git(root, "add", "staged.py")
    (root / "untracked.py").write_text("untracked\n")
    assert init(root, env, agent="none", as_json=True) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["schema_version"], made["path"], made["agent"]) == (1, str(root), "none")
    assert made["commit"] == git(root, "rev-parse", "HEAD").strip()
    assert made["playbooks"] == sorted(path.stem for path in (root / "playbooks").glob("*.toml"))
    assert made["next"][0] == f"cd {root}"
    changed = git(root, "diff-tree", "-r", "--name-status", "HEAD~1", "HEAD").splitlines()
    assert {line.split("\t")[0] for line in changed} == {"A", "M"}
    assert [line for line in changed if line.startswith("M")] == ["M\t.gitignore"]
    assert not {"app.py", "staged.py", "untracked.py"} & {line.split("\t")[1] for line in changed}
    assert (root / ".gitignore").read_text() == "*.pyc\n.hqd/\n"
    assert git(root, "status", "--porcelain") == " M app.py\nA  staged.py\n?? untracked.py\n"


def test_a_repository_without_a_commit_yet(tmp_path: Path, env: dict[str, str], git: Git) -> None:
    """Whatever its branch is called, it becomes main; what is staged stays staged."""
    root = person_repo(tmp_path / "repo", git, branch="trunk", commit=False)
    (root / "staged.py").write_text("staged\n")
    git(root, "add", "staged.py")
    assert init(root, env, agent="none") == 0
    assert git(root, "symbolic-ref", "--short", "HEAD") == "main\n"
    assert "staged.py" not in git(root, "ls-tree", "-r", "--name-only", "HEAD")
    assert git(root, "status", "--porcelain") == "A  staged.py\n"


def test_a_repository_whose_branch_is_called_otherwise_keeps_it(tmp_path: Path, env: dict[str, str], git: Git) -> None:
    root = person_repo(tmp_path / "repo", git, branch="trunk")
    assert init(root, env, agent="none") == 0
    settings = read_settings((root / "hqd.toml").read_bytes()).settings
    assert settings is not None
    assert settings.hq.branch == "trunk"
    assert git(root, "symbolic-ref", "--short", "HEAD") == "trunk\n"


def test_ignored_names_are_committed_all_the_same(tmp_path: Path, env: dict[str, str], git: Git) -> None:
    """A repository may ignore `files/` or dotfiles; an HQ without its folders is none."""
    root = person_repo(tmp_path / "repo", git)
    (root / ".git/info/exclude").write_text("files/\n.*\n*.toml\n")
    assert init(root, env, agent="none") == 0
    assert {"hqd.toml", "workspace/files/.gitkeep", ".gitignore"} <= set(git(root, "ls-files").splitlines())


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("playbooks/general.toml", "mine\n"),
        ("workspace/.gitattributes", "mine\n"),
        ("workspace", "a file where a folder has to be\n"),
        ("hqd.toml", "format = 1\n"),
    ],
)
def test_a_file_in_the_way_is_never_overwritten(
    path: str, content: str, tmp_path: Path, env: dict[str, str], git: Git
) -> None:
    root = person_repo(tmp_path / "repo", git)
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text(content)
    before = snapshot(root, git)
    with pytest.raises(InTheWay) as caught:
        init(root, env, agent="none")
    assert any(named == path or named.startswith(f"{path}/") for named in caught.value.paths)
    assert snapshot(root, git) == before


def test_a_folder_that_is_a_link_is_in_the_way(tmp_path: Path, env: dict[str, str], git: Git) -> None:
    root = person_repo(tmp_path / "repo", git)
    (tmp_path / "elsewhere").mkdir()
    (root / "workspace").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InTheWay):
        init(root, env, agent="none")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_that_was_deleted_and_not_committed_is_in_the_way(tmp_path: Path, env: dict[str, str], git: Git) -> None:
    """Its deletion is a person's commit being prepared."""
    root = person_repo(tmp_path / "repo", git)
    (root / "lessons").mkdir()
    (root / "lessons/README.md").write_text("mine\n")
    git(root, "add", "lessons")
    git(root, "commit", "--quiet", "--message=Lessons")
    git(root, "rm", "--quiet", "lessons/README.md")
    before = snapshot(root, git)
    with pytest.raises(InTheWay):
        init(root, env, agent="none")
    assert snapshot(root, git) == before


def test_an_hq_is_not_made_twice(tmp_path: Path, env: dict[str, str], git: Git) -> None:
    root = tmp_path / "hq"
    init(root, env, agent="none")
    before = snapshot(root, git)
    with pytest.raises(InTheWay, match="is an HQ already"):
        init(root, env, agent="none")
    assert snapshot(root, git) == before


def test_an_init_that_was_cut_off_can_be_finished(tmp_path: Path, env: dict[str, str], git: Git) -> None:
    """Files of the same bytes are no obstacle, staged or not."""
    root = person_repo(tmp_path / "repo", git)
    for path, data in list(starter_files("none", minimal=False).items())[:9]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    git(root, "add", "workspace")
    assert init(root, env, agent="none") == 0
    assert git(root, "status", "--porcelain") == ""


def test_an_uncommitted_gitignore_is_left_alone(
    tmp_path: Path, env: dict[str, str], git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    root = person_repo(tmp_path / "repo", git)
    (root / ".gitignore").write_text("*.pyc\n")
    assert init(root, env, agent="none") == 0
    assert (root / ".gitignore").read_text() == "*.pyc\n"
    assert "was left alone" in capsys.readouterr().out
    assert git(root, "check-ignore", ".hqd/x") == ".hqd/x\n"
    assert git(root, "status", "--porcelain") == "?? .gitignore\n"


def test_without_an_identity_the_commit_is_made_and_the_person_is_told(
    tmp_path: Path, env: dict[str, str], git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = {name: value for name, value in env.items() if name not in PERSON} | {"USER": "ada"}
    assert init(tmp_path / "hq", nobody, agent="none") == 0
    out = capsys.readouterr().out
    assert "git config --global user.name" in out
    assert "git config --global user.email" in out
    assert (
        git(tmp_path / "hq", "log", "-1", "--format=%an <%ae> %cn <%ce>") == "ada <ada@localhost> ada <ada@localhost>\n"
    )


@pytest.mark.parametrize("state", ["detached", "other branch", "merge"])
def test_a_repository_in_the_middle_of_something_is_refused(
    state: str, tmp_path: Path, env: dict[str, str], git: Git
) -> None:
    root = person_repo(tmp_path / "repo", git)
    if state == "detached":
        git(root, "switch", "--quiet", "--detach")
    elif state == "other branch":
        git(root, "switch", "--quiet", "-c", "feature")
    else:
        (root / ".git/MERGE_HEAD").write_text(git(root, "rev-parse", "HEAD"))
    before = snapshot(root, git)
    with pytest.raises(RepositoryBusy if state == "merge" else Expected):
        init(root, env, agent="none")
    assert snapshot(root, git) == before


def test_a_held_index_lock_leaves_nothing_behind(tmp_path: Path, env: dict[str, str], git: Git) -> None:
    root = person_repo(tmp_path / "repo", git)
    before = snapshot(root, git)
    (root / ".git/index.lock").touch()
    with pytest.raises(Expected, match=r"index\.lock"):
        init(root, env, agent="none")
    (root / ".git/index.lock").unlink()
    assert snapshot(root, git) == before
    assert [path.name for path in root.iterdir() if path.is_dir()] == [".git"]


def test_a_failed_commit_leaves_nothing_behind(tmp_path: Path, env: dict[str, str], git: Git) -> None:
    """After `git add` has succeeded: the index too is what it was."""
    root = person_repo(tmp_path / "repo", git)
    (root / ".gitignore").write_text("*.pyc\n")
    git(root, "add", ".gitignore")
    git(root, "commit", "--quiet", "--message=Ignore")
    before = snapshot(root, git)
    with pytest.raises(Expected, match="first commit failed"):
        lay_down(root, starter_files("none", minimal=True), {**env, "GIT_AUTHOR_NAME": "<>"}, "Fail")
    assert snapshot(root, git) == before
    with pytest.raises(Expected, match="first commit failed"):
        lay_down(tmp_path / "new/hq", starter_files("none", minimal=True), {**env, "GIT_AUTHOR_NAME": "<>"}, "Fail")
    assert not (tmp_path / "new").exists()


def test_inside_another_repository_it_is_one_of_its_own(
    tmp_path: Path, env: dict[str, str], git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    outer = person_repo(tmp_path / "outer", git)
    assert init(outer / "hq", env, agent="none") == 0
    assert "stands inside the repository" in capsys.readouterr().out
    assert git(outer / "hq", "rev-parse", "--show-toplevel") == f"{outer / 'hq'}\n"
    assert git(outer, "rev-list", "--count", "HEAD") == "1\n"


def test_a_path_that_cannot_be_is_an_error(tmp_path: Path, env: dict[str, str], git: Git) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Expected, match="is no folder"):
        init(tmp_path / "file/hq", env, agent="none")
    bare = tmp_path / "bare"
    bare.mkdir()
    git(bare, "init", "--quiet", "--bare")
    with pytest.raises(Expected, match="does not take"):
        init(bare, env, agent="none")
    with pytest.raises(Usage):
        init(tmp_path / "hq", env, agent="gpt")


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    own, child = pty.openpty()
    yield own, child
    os.close(own)


def test_on_a_terminal_it_asks_which_agent(tmp_path: Path, env: dict[str, str], terminal: tuple[int, int]) -> None:
    """What is on this machine is offered first; an answer that is none is asked for again."""
    own, child = terminal
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "codex").write_text("#!/bin/sh\n")
    (tools / "codex").chmod(0o755)
    path = f"{tools}:{Path(sys.executable).parent}:/usr/bin:/bin"
    root = tmp_path / "hq"
    argv = [sys.executable, "-m", "hqd", "init", str(root)]
    process = subprocess.Popen(argv, env={**env, "PATH": path}, stdin=child, stdout=child, stderr=child)
    os.close(child)
    seen = read_until(own, b"]: ")
    assert f"found at {tools / 'codex'}" in seen
    assert "[codex]" in seen
    os.write(own, b"7\n")
    read_until(own, b"]: ")
    os.write(own, b"\n")
    read_until(own, b"foreground")
    assert process.wait(timeout=30) == 0
    settings = read_settings((root / "hqd.toml").read_bytes()).settings
    assert settings is not None
    assert settings.agents["default"].preset == "codex"


def read_until(terminal: int, wanted: bytes) -> str:
    """What a terminal showed, until it showed `wanted`, or for 30 s."""
    seen, until = b"", time.monotonic() + 30
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0, until - time.monotonic()))
        assert ready, f"no {wanted!r} in {seen!r}"
        seen += os.read(terminal, 4096)
    return seen.decode()
