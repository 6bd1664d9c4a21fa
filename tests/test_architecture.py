"""Holds the direction of imports and the doors of the house (design laws 9 and 10)."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import Git

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "hqd").rglob("*.py"))

# Imports go to a lower rank only, or stay inside their own package. A new top-level name needs a rank here.
RANKS = {
    "errors": 0,
    "model": 1,
    "core": 2,
    "codec": 2,
    "ports": 3,
    "adapters": 4,
    "daemon": 4,
    "gates": 4,
    "testing": 4,
    "starter": 5,
    "check": 5,
    "bootstrap": 5,
    "cli": 6,
    "__main__": 7,
}
# Importing package -> a package of its own rank that it may import all the same, and why.
NEIGHBOURS = {
    ("bootstrap", "check"): "only settings and playbooks that hold together are put in force",
    ("bootstrap", "starter"): "a new HQ is laid down from the starter",
}

# What only some files may import, and why.
DOORS = {
    "git": {"hqd/adapters/git.py": "GitPython's command interface serves git's one door"},
    "httpx": {"hqd/adapters/forges/http.py": "limits, repeats and the token's ways are kept in one place"},
}
# The only files that may start a process. Others under hqd/adapters may name subprocess.Popen: they are given one.
STARTERS = {"hqd/adapters/git.py", "hqd/adapters/process.py"}
SUBPROCESS = {"run", "Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput"}
OS = {"system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp", "startfile"}
EXEC_OR_SPAWN = ("exec", "spawn")
FORKS = {"multiprocessing", "pty"}

LINES = 400
LONGER: dict[str, tuple[int, str]] = {}  # file -> (its own limit, why it stays one room)


@cache
def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def module_of(file: Path) -> tuple[str, ...]:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports_of(file: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(line, dotted name) of everything imported anywhere in the file, late imports too."""
    package = module_of(file) if file.name == "__init__.py" else module_of(file)[:-1]
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = (*base, *(node.module.split(".") if node.module else ()))
            for alias in node.names:
                yield node.lineno, (*stem, alias.name)


def import_faults(importer: str, imported: str) -> str | None:
    """Why package `importer` may not import package `imported`; None: it may."""
    if importer == imported or (importer, imported) in NEIGHBOURS:
        return None
    if imported not in RANKS:
        return f"hqd.{imported} has no rank in {Path(__file__).name}"
    if RANKS[imported] < RANKS[importer]:
        return None
    return f"{importer} (rank {RANKS[importer]}) imports {imported} (rank {RANKS[imported]})"


def test_imports_go_one_way() -> None:
    faults = []
    for file in FILES:
        module = module_of(file)
        if len(module) == 1:  # hqd/__init__.py: the version, nothing else
            faults += [f"{name_of(file)}:{line}: imports {'.'.join(what)}" for line, what in imports_of(file)]
            continue
        if module[1] not in RANKS:
            faults.append(f"{name_of(file)}: hqd.{module[1]} has no rank in {Path(__file__).name}")
            continue
        for line, what in imports_of(file):
            if what[0] == "hqd" and len(what) > 1 and what[1] != "__version__":
                fault = import_faults(module[1], what[1])
                faults += [f"{name_of(file)}:{line}: {fault}"] if fault else []
    assert faults == []


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("core", "codec", False),
        ("codec", "core", False),
        ("daemon", "adapters", False),
        ("daemon", "gates", False),
        ("gates", "adapters", False),
        ("testing", "daemon", False),
        ("errors", "model", False),
        ("adapters", "cli", False),
        ("adapters", "core", True),
        ("gates", "codec", True),
        ("daemon", "ports", True),
        ("bootstrap", "adapters", True),
        ("cli", "bootstrap", True),
    ],
)
def test_the_rank_table_says_what_the_design_says(importer: str, imported: str, allowed: bool) -> None:
    assert allowed == (import_faults(importer, imported) is None)


def test_only_doors_import_what_is_behind_them() -> None:
    faults = [
        f"{name_of(file)}:{line}: imports {what[0]}; its door is {', '.join(DOORS[what[0]])}"
        for file in FILES
        for line, what in imports_of(file)
        if what[0] in DOORS and name_of(file) not in DOORS[what[0]]
    ]
    assert faults == []


def attributes_of(file: Path) -> Iterator[tuple[int, str, str]]:
    """(line, name, attribute) of every `name.attribute` in the file."""
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.lineno, node.value.id, node.attr


def starts(file: Path) -> Iterator[tuple[int, str]]:
    """(line, what) of every way to start a process in the file."""
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {f"subprocess.{name}" for name in SUBPROCESS}:
            yield node.lineno, ast.unparse(node.func)
    names = [(line, what[0], what[1]) for line, what in imports_of(file) if len(what) > 1]
    for line, module, name in (*attributes_of(file), *names):
        if module == "os" and (name in OS or name.startswith(EXEC_OR_SPAWN)):
            yield line, f"os.{name}"
    for line, what in imports_of(file):
        if what[0] in FORKS or what[:2] in {("subprocess", name) for name in SUBPROCESS}:
            yield line, f"imports {'.'.join(what)}"
        if what[0] == "subprocess" and not name_of(file).startswith("hqd/adapters/"):
            yield line, "imports subprocess"


def test_processes_are_started_by_two_files_only() -> None:
    faults = [
        f"{name_of(file)}:{line}: {what}"
        for file in FILES
        if name_of(file) not in STARTERS
        for line, what in starts(file)
    ]
    assert faults == []
    assert [name for name in sorted(STARTERS) if not list(starts(ROOT / name))] == []


def test_only_the_command_line_reads_environment_and_arguments() -> None:
    """Everything else gets them as arguments, so that a test, a service and a person mean the same call."""
    outside = {("os", "environ"), ("os", "environb"), ("os", "getenv"), ("os", "getenvb"), ("sys", "argv")}
    faults = []
    for file in FILES:
        if module_of(file)[1:2] in {("cli",), ("__main__",)}:
            continue
        names = [(line, what[0], what[1]) for line, what in imports_of(file) if len(what) > 1]
        faults += [
            f"{name_of(file)}:{line}: {module}.{name}"
            for line, module, name in (*attributes_of(file), *names)
            if (module, name) in outside
        ]
    assert faults == []


def test_rooms_stay_small() -> None:
    faults = []
    for file in FILES:
        lines = len(file.read_text(encoding="utf-8").splitlines())
        limit, _ = LONGER.get(name_of(file), (LINES, ""))
        if lines > limit:
            faults.append(f"{name_of(file)}: {lines} lines, over {limit}: look for two nouns in one file")
    assert faults == []


def test_exceptions_are_still_needed() -> None:
    files = {name_of(file): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert [name for name in LONGER if files.get(name, 0) <= LINES] == []


def test_nothing_is_called_utils() -> None:
    vague = {"utils", "util", "helpers", "common", "misc", "manager", "handler"}
    assert [name_of(file) for file in FILES if vague & set(module_of(file))] == []


# What the modules of a command may not bring with them, and why: each takes as long to import as a board to show.
SDKS = frozenset({"anthropic", "apscheduler", "asyncio", "git", "httpx", "watchdog"})  # a daemon's, or for writing
LANGUAGES = frozenset(
    {"jinja2", "jsonschema", "rapidfuzz", "regex", "ruamel.yaml"}
)  # for what an HQ has written in them
DAEMON = frozenset({"hqd.bootstrap.running", "hqd.daemon.loop"})

# In the order in which one process runs them: what a command imports is there for those after it, so they get stricter
# company first. The HQ has a task, one plain gate and no expression.
STARTS: tuple[tuple[str, frozenset[str]], ...] = (
    ("--help", SDKS | LANGUAGES | DAEMON | {"pydantic", "hqd.model", "hqd.core", "hqd.adapters"}),
    ("add --title Names --text Short.", SDKS | LANGUAGES | DAEMON | {"hqd.adapters"}),
    ("log", SDKS | LANGUAGES | DAEMON | {"hqd.gates"}),
    ("status", SDKS | LANGUAGES | DAEMON | {"hqd.gates"}),
    ("status --json", SDKS | LANGUAGES | DAEMON | {"hqd.gates"}),
    ("show tea", SDKS | LANGUAGES | DAEMON | {"hqd.gates"}),
    ("why tea", SDKS | LANGUAGES | DAEMON | {"hqd.gates"}),
    ("gate --kind word_count --set min=1 hqd.toml", SDKS | LANGUAGES | DAEMON),
    ("check", SDKS | LANGUAGES | DAEMON),
    ("lessons list", SDKS | LANGUAGES | DAEMON),
    ("lessons check", SDKS | LANGUAGES | DAEMON),
    ("lessons stats", SDKS | LANGUAGES | DAEMON),
    ("backtest --kind word_count --set min=1", SDKS | LANGUAGES | DAEMON),
    ("report", SDKS | LANGUAGES | DAEMON),
    ("report recovery", SDKS | LANGUAGES | DAEMON),
    ("context stats", SDKS | LANGUAGES | DAEMON),
    ("doctor", SDKS | LANGUAGES | DAEMON),
    ("drop tea", SDKS),  # no daemon runs, so the command takes a turn of its own
)

PLAIN = """
name = "general"
[[steps]]
name = "look"
gates = [{ kind = "word_count", target = "task", min = 1 }]
"""

RUN_ALL = """
import contextlib, io, json, sys
from hqd.cli import main
told = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(words.split())
    told.append((words, code, said.getvalue(), sorted(sys.modules)))
json.dump(told, sys.stdout)
"""


def test_commands_import_only_what_they_use(hq_repo: Path, git: Git) -> None:
    """anthropic alone takes seconds to import; a board that a person looks at all day must not."""
    (hq_repo / "playbooks/general.toml").write_text(PLAIN, encoding="utf-8")
    git(hq_repo, "add", "playbooks")
    git(hq_repo, "commit", "--quiet", "--message=A playbook")
    all_told = []
    # A word is a turn, and a turn takes tasks in; the first look at the board checks all rules and remembers them.
    for part in (["add --title Tea", "pause", "status"], [words for words, _ in STARTS]):
        all_told = json.loads(
            subprocess.run(
                [sys.executable, "-c", RUN_ALL, json.dumps(part)],
                cwd=hq_repo, check=True, capture_output=True, text=True, timeout=120,
            ).stdout
        )  # fmt: skip
    faults = []
    for (words, code, said, modules), (_, barred) in zip(all_told, STARTS, strict=True):
        assert code == 0, f"hqd {words}: {said}"
        faults += [f"hqd {words} imports {name}" for name in sorted(barred & set(modules))]
    assert faults == []
