"""What all tests stand on: no test sees the person's git, keys or HQ, and none reaches a real model."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest

from hqd.codec import layout

NAME, EMAIL = "Test Person", "person@example.org"
FIXED_DATE = "2026-11-22T12:00:00+00:00"
_FOREIGN = ("GIT_", "ANTHROPIC_", "OPENAI_", "HQD_", "XDG_")
_FOREIGN_NAMES = ("EMAIL", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY")


class YouForgotToScriptTheAgent(Exception):
    """A test builds a real model client that would leave this machine. Give it a base_url on 127.0.0.1."""


class Git(Protocol):
    def __call__(self, where: Path, *args: str, check: bool = True) -> str: ...


class _LoopbackOnly(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Watches for the import of anthropic, which hqd does late, and arms its clients then.

    Importing it here to patch it would cost every test run seconds.
    """

    def __init__(self) -> None:
        self._real: importlib.abc.Loader | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "anthropic":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            self._real, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        assert self._real is not None
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert self._real is not None
        self._real.exec_module(module)
        for client in (module.Anthropic, module.AsyncAnthropic):
            client.__init__ = _loopback_init(client.__init__)


def _loopback_init(real: Callable[..., None]) -> Callable[..., None]:
    def init(self: object, *args: Any, **kwargs: Any) -> None:
        base_url = kwargs.get("base_url") or os.environ.get("ANTHROPIC_BASE_URL") or ""
        if urlsplit(str(base_url)).hostname not in {"127.0.0.1", "::1", "localhost"}:
            raise YouForgotToScriptTheAgent(f"base_url is {base_url or 'not given'}")
        real(self, *args, **kwargs)

    return init


def pytest_configure(config: pytest.Config) -> None:
    """Arms the guard before any test module is imported."""
    if "anthropic" in sys.modules:
        raise pytest.UsageError("anthropic is imported before conftest: a plug-in does that; the guard cannot hold")
    sys.meta_path.insert(0, _LoopbackOnly())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session", autouse=True)
def isolated_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The person's git configuration, identity, keys and HQ are out of sight of tests and of what they start."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_FOREIGN) or name in _FOREIGN_NAMES:
                patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("GIT_TERMINAL_PROMPT", "0")
        patch.setenv("HOME", str(home))  # git also reads ignore and attributes files from ~/.config
        patch.setenv("LC_ALL", "C.UTF-8")
        yield


@pytest.fixture
def fixed_dates(monkeypatch: pytest.MonkeyPatch) -> str:
    """Commits made in this test have one date, so their ids repeat."""
    monkeypatch.setenv("GIT_AUTHOR_DATE", FIXED_DATE)
    monkeypatch.setenv("GIT_COMMITTER_DATE", FIXED_DATE)
    return FIXED_DATE


@pytest.fixture(scope="session")
def git(isolated_environment: None) -> Git:
    """`git(folder, "log", "--oneline")` runs git there as a person would and returns what it printed."""

    def run(where: Path, *args: str, check: bool = True) -> str:
        done = subprocess.run(
            ["git", *args], cwd=where, check=False, capture_output=True, text=True, errors="surrogateescape", timeout=60
        )
        if check and done.returncode != 0:
            raise AssertionError(f"git {' '.join(args)} in {where}: exit {done.returncode}\n{done.stderr}")
        return done.stdout

    return run


@pytest.fixture
def hq_repo(tmp_path: Path, git: Git) -> Path:
    """The least HQ: a repository on main with the folders that always stay, an hqd.toml and one commit by a person."""
    root = tmp_path / "hq"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "config", "user.name", NAME)
    git(root, "config", "user.email", EMAIL)
    for folder in layout.KEPT_FOLDERS:
        (root / folder).mkdir(parents=True)
        (root / folder / ".gitkeep").touch()
    (root / layout.WORKSPACE / ".gitattributes").write_text(layout.ATTRIBUTES, encoding="utf-8")
    (root / layout.PLAYBOOKS).mkdir()
    (root / layout.PLAYBOOKS / ".gitkeep").touch()
    (root / layout.SETTINGS).write_text("format = 1\n", encoding="utf-8")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Make an HQ")
    return root
