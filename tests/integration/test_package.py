"""What people install: the built wheel, tried away from the checkout."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hqd.starter import FOLDERS, starter_root

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (*FOLDERS, "systemd")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the build back end of this environment, so that no index is asked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys, hatchling.build as b; print(b.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=ROOT, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1]


def starter_files() -> set[str]:
    """What a new HQ is made of; the lessons of this project are its own."""
    return {"lessons/README.md"} | {
        path.relative_to(ROOT).as_posix()
        for folder in SHIPPED
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and folder != "lessons" and "__pycache__" not in path.parts
    }


def test_the_wheel_carries_the_whole_starter(wheel: Path) -> None:
    """Dotfiles too: without .gitkeep and .gitattributes an HQ loses folders and changes line ends."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = starter_files()
    assert {"workspace/.gitattributes", "workspace/inbox/.gitkeep", "systemd/hqd@.service"} <= expected
    assert expected == {
        name.removeprefix("hqd/starter/")
        for name in names
        if name.startswith(tuple(f"hqd/starter/{f}/" for f in SHIPPED))
    }
    assert {name.split("/")[0] for name in names if not name.startswith("hqd/")} == {
        next(name.split("/")[0] for name in names if name.endswith(".dist-info/METADATA"))
    }


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = email.message_from_bytes(
            archive.read(next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA")))
        )
        entry_points = archive.read(
            next(name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        ).decode()
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-File"] == "LICENSE"
    assert "hqd = hqd.cli:main" in entry_points


def test_an_installed_package_finds_its_own_starter(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-c", "from hqd.starter import starter_root; print(starter_root())"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    root = Path(done.stdout.strip())
    assert root == tmp_path / "site/hqd/starter"
    assert (root / "workspace/.gitattributes").read_bytes() == (ROOT / "workspace/.gitattributes").read_bytes()


def test_a_checkout_is_its_own_starter() -> None:
    assert starter_root() == ROOT
