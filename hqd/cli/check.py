"""`hqd check`: what is wrong with files as they stand on disk, before anything runs. `file:line: key: message`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hqd.bootstrap import gate_registry
from hqd.check import CheckGate, Report, check_file, check_reader, in_order
from hqd.cli import terminal
from hqd.cli.board.faults import inbox_faults
from hqd.cli.call import Call, is_hq
from hqd.cli.edits import FolderReader, left_alone
from hqd.codec import layout
from hqd.codec.config import Config
from hqd.codec.decision import place_of
from hqd.codec.playbook import read_playbook
from hqd.codec.schemas import schemas
from hqd.core.checks.playbooks import Rules, check_rules
from hqd.daemon.decisions import on_disk, problems_of
from hqd.daemon.people import intake
from hqd.errors import EXIT_FAILURE, EXIT_OK, Expected, Usage
from hqd.model.playbook import Playbook
from hqd.model.problem import Problem, ProblemLevel, spell
from hqd.model.settings import FORMAT, AgentSettings, Settings
from hqd.model.task import OPEN_STATES, State

CONFIGURATION = (layout.PLAYBOOKS, layout.LESSONS)
MOST = 20_000


@dataclass
class Checking:
    """One check of many files: each HQ on the way is read once. `looked`: how many files were looked at."""

    check_gate: CheckGate
    base: Path
    looked: set[Path] = field(default_factory=set)
    reports: dict[Path, Report] = field(default_factory=dict)

    def path(self, place: Path) -> list[Problem]:
        """What is wrong with a file, or with everything in a folder."""
        root = _root_of(place)
        if root is None:
            return [problem for file in _files(place) for problem in self._lone(file)]
        found = [*self._tasks(root, place), *self._settled(root, place)]
        if _touches(place, root):
            found += [problem for problem in self._report(root).problems if _under(root / problem.path, place)]
            self.looked.update(file for file in _files(place) if _is_configuration(file, root))
        return [self._shown(problem, root) for problem in found]

    def _report(self, root: Path) -> Report:
        if root not in self.reports:
            self.reports[root] = check_reader(FolderReader(root), self.check_gate)
        return self.reports[root]

    def _tasks(self, root: Path, place: Path) -> list[Problem]:
        """Task files of an HQ below `place`; a file that was named is a task wherever it is."""
        found: list[Problem] = []
        config = self._report(root).config
        for file in _task_files(root, place):
            path = file.relative_to(root).as_posix()
            self.looked.add(file)
            limit = config.settings.inbox.max_bytes if config.settings is not None else 1_000_000
            unusable = [problem for problem in inbox_faults(root, path, limit) if not problem.line]
            data = None if unusable else FolderReader(root).read(path)
            found += unusable if data is None else [*check_file(path, data, config, self.check_gate)]
            found += [] if data is None else [each for each in inbox_faults(root, path, limit) if _is_secret(each)]
        return found

    def _settled(self, root: Path, place: Path) -> list[Problem]:
        """What is wrong with the decisions at or below `place`; each is checked beside all others."""
        folder = root / layout.DECISIONS
        if not (_under(folder, place) or _under(place, folder)):
            return []
        files = [file for file in _files(folder) if place_of(file.relative_to(root).as_posix()) and _under(file, place)]
        self.looked.update(files)
        found = problems_of(on_disk(FolderReader(root)), self.check_gate)
        return [problem for problem in found if _under(root / problem.path, place)]

    def _lone(self, file: Path) -> list[Problem]:
        """A file outside any HQ: checked by itself."""
        self.looked.add(file)
        shown = _relative(file, self.base)
        try:
            data = file.read_bytes()
        except OSError as fault:
            return [Problem(shown, 0, "", f"cannot be read: {fault.strerror or fault}")]
        found = [*check_file(shown, data, Config(None), self.check_gate)]
        found = [problem for problem in found if not problem.message.startswith("there is no playbook")]
        if file.suffix == ".toml" and file.name != layout.SETTINGS and not any(problem.stops for problem in found):
            found += self._alone(file, shown, data)
        return found

    def _alone(self, file: Path, shown: str, data: bytes) -> list[Problem]:
        """A playbook against itself: its agents, named gates and other playbooks are taken to exist."""
        read = read_playbook(data, shown)
        if read.playbook is None:
            return []
        folder = FolderReader(file.parent)
        texts = {name: text.decode("utf-8", "replace") for name in _named(read.playbook) if (text := folder.read(name))}
        rules = Rules(
            _stand_in(read.playbook), "", {shown: read.playbook}, _relative(file.parent, self.base), texts,
            frozenset(texts), self.check_gate,
        )  # fmt: skip
        return [
            replace(problem, line=read.toml.line(problem.place), key=spell(problem.place, read.toml.values))
            for problem in check_rules(rules)
            if problem.path == shown and not problem.message.startswith(("there is no gate ", "there is no playbook "))
        ]

    def _shown(self, problem: Problem, root: Path) -> Problem:
        return replace(problem, path=_relative(root / problem.path, self.base))


def check(call: Call, paths: Sequence[Path], *, as_json: bool, schema_folder: Path | None) -> int:
    """Prints problems by file and line; exit 1 where one of them is an error."""
    kinds = gate_registry(call.env, None, None)
    if schema_folder is not None:
        return write_schemas(call.cwd / schema_folder, getattr(kinds, "kinds", {}))
    checking = Checking(kinds.check, call.cwd.resolve())
    found: list[Problem] = []
    for path in paths or (call.root(),):
        place = Path(os.path.abspath(call.cwd / path))  # noqa: PTH100 - links are not followed
        if not os.path.lexists(place):
            raise Usage(f"{path}: no such file or folder")
        found += checking.path(place)
    for fault in getattr(kinds, "problems", ()):
        found.append(Problem("plug-ins", 0, "", str(fault), "", ProblemLevel.WARNING))
    problems = in_order(set(found))
    red = any(problem.stops for problem in problems)
    if as_json:
        terminal.data({"ok": not red, "files": len(checking.looked), "problems": [each.facts() for each in problems]})
    else:
        for problem in problems:
            terminal.say(str(problem))
        terminal.say(summary(problems, len(checking.looked)))
    return EXIT_FAILURE if red else EXIT_OK


def summary(problems: Sequence[Problem], files: int) -> str:
    """`12 files: 1 error, 2 warnings`."""
    counts = [
        (sum(problem.level is level for problem in problems), word)
        for level, word in (
            (ProblemLevel.ERROR, "error"),
            (ProblemLevel.WARNING, "warning"),
            (ProblemLevel.NOT_IN_FORCE, "not in force yet"),
        )
    ]
    parts = [f"{n} {word}{'s' if n != 1 and word != 'not in force yet' else ''}" for n, word in counts if n]
    return f"{files} file{'' if files == 1 else 's'}: {', '.join(parts) or 'no problems'}"


def write_schemas(folder: Path, kinds: Mapping[str, object]) -> int:
    """Writes the JSON Schemas for editors and prints their paths."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, schema in schemas(kinds).items():
            (folder / name).write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", "utf-8")
            terminal.say(str(folder / name))
    except OSError as fault:
        raise Expected(f"{folder} cannot be written: {fault.strerror or fault}") from fault
    return EXIT_OK


def _root_of(place: Path) -> Path | None:
    for folder in (place, *place.parents):
        if folder.is_dir() and is_hq(folder):
            return folder
    return None


def _touches(place: Path, root: Path) -> bool:
    """Whether `place` has to do with the configuration: part of it, or above it."""
    parts = [root / layout.SETTINGS, *(root / folder for folder in CONFIGURATION)]
    return any(_under(part, place) or _under(place, part) for part in parts)


def _is_configuration(file: Path, root: Path) -> bool:
    return file == root / layout.SETTINGS or any(_under(file, root / folder) for folder in CONFIGURATION)


def _task_files(root: Path, place: Path) -> Iterator[Path]:
    if place.is_file() or place.is_symlink():
        plain = not _is_configuration(place, root) and not place_of(place.relative_to(root).as_posix())
        if place.suffix == ".md" and plain:
            yield place
        return
    for state in sorted(OPEN_STATES | {State.INBOX}):
        folder = root / layout.STATE_FOLDERS[state]
        for file in _files(folder):
            task = state is State.INBOX or layout.locate(file.relative_to(root).as_posix()) is not None
            if task and _under(file, place) and not intake.left_alone(file.name):
                yield file


def _files(place: Path) -> Iterator[Path]:
    """The markdown and TOML files of a folder, or the file itself."""
    if not place.is_dir() or place.is_symlink():
        yield place
        return
    count = 0
    for folder, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith((".md", ".toml")) and not left_alone(name):
                count += 1
                if count > MOST:
                    return
                yield Path(folder) / name


def _under(path: Path, place: Path) -> bool:
    return path == place or place in path.parents


def _is_secret(problem: Problem) -> bool:
    return problem.message.startswith("a secret (")


def _relative(path: Path, base: Path) -> str:
    return os.path.relpath(path, base) if _under(path, base) else str(path)


def _named(playbook: Playbook) -> list[str]:
    """The files beside it that a playbook names."""
    names = [step.prompt for step in playbook.steps if step.prompt]
    names += [step.output for step in playbook.steps if isinstance(step.output, str)]
    return [*names, *([playbook.schedule.template] if playbook.schedule is not None else [])]


def _stand_in(playbook: Playbook) -> Settings:
    """Settings in which every agent that a playbook names exists."""
    rungs = [*(playbook.on_fail or ()), *(rung for step in playbook.steps for rung in step.on_fail or ())]
    names = {step.agent for step in playbook.steps if step.agent} | {rung.agent for rung in rungs if rung.agent}
    agents = {name: AgentSettings(provider="command", preset="claude") for name in names}
    return Settings(format=FORMAT, agents=agents)
