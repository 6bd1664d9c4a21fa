"""What a person meets who runs the scripts on a machine that is not fit, or has a hook of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Git

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def checkout(tmp_path: Path, git: Git) -> Path:
    """The scripts in a repository of their own, whose path has a space."""
    root = tmp_path / "a checkout"
    shutil.copytree(SCRIPTS, root / "scripts")
    git(root, "init", "--quiet", "--initial-branch=main")
    return root


def path_with(tmp_path: Path, **programs: str) -> str:
    """A search path of just what the scripts' shell needs, and these programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "dirname", "id"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return str(folder)


def run(checkout: Path, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHON"}}
    return subprocess.run(
        [checkout / "scripts" / script],
        cwd=checkout.parent,
        env={**clean, **env},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("script", ["forge-contract", "cli-agents"])
def test_without_node_what_needs_it_is_skipped_in_so_many_words(script: str, checkout: Path, tmp_path: Path) -> None:
    done = run(checkout, script, PATH=path_with(tmp_path))
    assert done.returncode == 0
    assert done.stdout.startswith("skipped: node is not installed")


@pytest.mark.parametrize("script", ["demo", "bench"])
def test_without_git_the_remedy_is_named(script: str, checkout: Path, tmp_path: Path) -> None:
    done = run(checkout, script, PATH=path_with(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: git is not installed",
        "remedy: install git 2.38 or newer (Debian: apt-get install git)",
    ]


@pytest.mark.parametrize("version", ["2.37.9", "1.9.1"])
def test_an_old_git_is_refused(version: str, checkout: Path, tmp_path: Path) -> None:
    done = run(checkout, "demo", PATH=path_with(tmp_path, git=f"echo git version {version}"))
    assert done.returncode == 1
    assert f"git {version} is too old" in done.stderr


@pytest.mark.parametrize("version", ["2.38.0", "2.39.5 (a vendor)", "3.0.1"])
def test_a_newer_git_goes_on_to_ask_for_python(version: str, checkout: Path, tmp_path: Path) -> None:
    done = run(checkout, "demo", PATH=path_with(tmp_path, git=f"echo 'git version {version}'", python3="exit 1"))
    assert done.returncode == 1
    assert "error: no Python of 3.11 or newer was found" in done.stderr
    assert "PYTHON=" in done.stderr


def test_a_hook_runs_checks_and_tests_before_a_push(checkout: Path) -> None:
    assert run(checkout, "install-hooks").returncode == 0
    hook = checkout / ".git/hooks/pre-push"
    for script in ("check", "test"):
        (checkout / "scripts" / script).write_text(
            f'#!/bin/sh\necho {script} "$GIT_DIR" >>ran\n[ {script} = check ] || exit 7\n', encoding="utf-8"
        )
    done = subprocess.run(
        [hook], cwd=checkout, env={**os.environ, "GIT_DIR": ".git"}, check=False, capture_output=True, timeout=60
    )
    assert done.returncode == 7
    assert (checkout / "ran").read_text(encoding="utf-8").splitlines() == ["check ", "test "]
    assert run(checkout, "install-hooks").returncode == 0, "installing again is no fault"


def test_a_hook_gates_the_pages_before_a_commit_that_touches_one(checkout: Path) -> None:
    """lessons/L-0004: a line that the project's own gate refuses went out, since nobody had asked the gate."""
    assert run(checkout, "install-hooks").returncode == 0
    check = checkout / "scripts/check"
    check.write_text('#!/bin/sh\necho "$@" >>ran\nexit 1\n', encoding="utf-8")

    def commit(name: str) -> int:
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("text\n", encoding="utf-8")
        subprocess.run(["git", "add", name], cwd=checkout, check=True, timeout=60)
        person = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        argv = ["git", *person, "commit", "--quiet", "-m", name]
        done = subprocess.run(argv, cwd=checkout, check=False, capture_output=True, timeout=60)
        return done.returncode

    assert commit("other.txt") == 0
    assert not (checkout / "ran").exists()
    assert commit("docs/new.md") != 0
    assert (checkout / "ran").read_text(encoding="utf-8") == "--pages\n"


def test_a_hook_of_ones_own_is_left_alone(checkout: Path) -> None:
    hook = checkout / ".git/hooks/pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    done = run(checkout, "install-hooks")
    assert done.returncode == 1
    assert "is there already" in done.stderr
    assert hook.read_text(encoding="utf-8") == "#!/bin/sh\nexit 0\n"
