"""`hqd gate`: runs gates on files, no task needed. The same registry and the same verdicts as in an attempt."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from hqd.bootstrap import gate_registry
from hqd.cli import terminal
from hqd.cli.call import Call
from hqd.cli.edits import FolderReader
from hqd.codec.config import Config, read_config
from hqd.codec.gate import read_gate
from hqd.codec.layout import slug
from hqd.codec.task import read_task
from hqd.core.gate_use import resolve_gates
from hqd.core.language.facts import facts
from hqd.core.lessons.scope import lesson_gates
from hqd.errors import EXIT_FAILURE, EXIT_OK, Expected, Misconfigured, Usage
from hqd.gates.registry import Registry
from hqd.model.board import Rules, Task
from hqd.model.gate import Changed, GateResult, GateSpec, GateStatus, Subject
from hqd.model.playbook import Playbook, Step
from hqd.model.record import Cursor, Pin
from hqd.model.spelling import meant
from hqd.model.task import State, TaskDocument, TaskHeader

MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """The gates to run, the registry that knows them, and the HQ's configuration where there is one."""

    specs: tuple[GateSpec, ...]
    registry: Registry
    step: Step | None = None


def gate(
    call: Call, words: Sequence[str], *, kind: str | None, settings: Sequence[str], task: Path | None, as_json: bool
) -> int:
    """Prints a verdict for each gate and file; exit 1 where an enforcing gate is red or cannot judge."""
    names = list(words) if kind is not None else list(words[1:])
    if kind is None and not words:
        raise Usage("name PLAYBOOK/STEP, or pass --kind", remedy="hqd gate --kind word_count --set min=100 FILE")
    if not names:
        raise Usage("name at least one file")
    texts = [(name, _read(call.cwd / name, name)) for name in names]
    about = _read(call.cwd / task, str(task)) if task is not None else None
    tags = read.header.tags if about is not None and (read := read_task(about.encode(), "task.md").document) else ()
    with chosen(call, None if kind is not None else words[0], kind, settings, tags) as found:
        results = [
            (name, found.registry.run(found.specs, subject(call, name, text, about, found))) for name, text in texts
        ]
    red = any(result.stops for _name, verdicts in results for result in verdicts)
    if as_json:
        rows = [
            {"file": name, "gates": [each.model_dump(mode="json") for each in verdicts]} for name, verdicts in results
        ]
        terminal.data({"ok": not red, "results": rows})
    else:
        _print(results)
    return EXIT_FAILURE if red else EXIT_OK


@contextmanager
def chosen(
    call: Call, place: str | None, kind: str | None, settings: Sequence[str], tags: Sequence[str] = ()
) -> Iterator[Chosen]:
    """The gates of a step with those of its lessons (for a task with these tags), or one of a kind. Raises Usage."""
    root = call.maybe_root()
    config = read_config(FolderReader(root)) if root is not None else Config(None)
    with ExitStack() as stack:
        registry = open_registry(call, root, config, stack)
        if kind is not None:
            yield Chosen((written(kind, settings, registry),), registry)
            return
        if settings:
            raise Usage("--set goes with --kind")
        if root is None:
            call.root()
        playbook, step = step_of(config, place or "")
        specs = (
            *resolve_gates((*step.gates, *playbook.gates), config.settings.gates if config.settings else {}),
            *_of_lessons(config, playbook, step, tags),
        )
        if not specs:
            raise Usage(f"step {step.name} of playbook {playbook.name} has no gates")
        yield Chosen(specs, registry, step)


def _of_lessons(config: Config, playbook: Playbook, step: Step, tags: Sequence[str]) -> tuple[GateSpec, ...]:
    """The gates of the lessons that stand at this step, as the files beside the playbook say."""
    if config.settings is None:
        return ()
    rules = Rules(Pin(playbooks="", settings=""), config.settings, config.by_name, tuple(config.lessons.values()))
    return lesson_gates(rules, playbook, step, step.agent, "", tags)


def open_registry(call: Call, root: Path | None, config: Config, stack: ExitStack) -> Registry:
    """The catalogue with plug-ins; in an HQ also its named gates, and judges by its agents."""
    from hqd.adapters.secrets import EnvironmentSecrets
    from hqd.bootstrap import agent_adapters

    if root is None or config.settings is None:
        return cast(Registry, gate_registry(call.env, None, None))
    import tempfile

    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hqd-gate-")))
    found = EnvironmentSecrets(call.env)
    agents = agent_adapters(root, call.env, found, config.settings, scratch, stack)
    return cast(Registry, gate_registry(call.env, config.settings, agents))


def step_of(config: Config, place: str) -> tuple[Playbook, Step]:
    """PLAYBOOK/STEP. Raises Usage with what there is."""
    name, slash, step_name = place.partition("/")
    playbooks = config.by_name
    if not slash:
        raise Usage(f"{place!r} is not PLAYBOOK/STEP", remedy="hqd gate newsletter/write FILE")
    if name not in playbooks:
        broken = next((str(problem) for problem in config.problems if problem.path.endswith(f"/{name}.toml")), "")
        raise Usage(f"there is no playbook {name}", remedy=broken or meant(name, playbooks))
    playbook = playbooks[name]
    step = next((each for each in playbook.steps if each.name == step_name), None)
    if step is None:
        raise Usage(
            f"playbook {name} has no step {step_name!r}",
            remedy=meant(step_name, [each.name for each in playbook.steps]),
        )
    return playbook, step


def written(kind: str, settings: Sequence[str], registry: Registry) -> GateSpec:
    """A gate from `--kind K --set k=v …`. Raises Usage with everything that is wrong."""
    raw: dict[str, Any] = {"kind": kind}
    for each in settings:
        key, equals, value = each.partition("=")
        if not equals or not key.strip():
            raise Usage(f"--set {each}: write KEY=VALUE")
        name = key.strip()
        found = _value(value, _is_list(registry, kind, name))
        if name in raw and not isinstance(found, list):
            raise Usage(f"--set {name} is given twice", remedy="leave one of them out")
        raw[name] = [*raw[name], *found] if name in raw else found
    spec, problems = read_gate(raw, "--set", (), lambda place: 0)
    faults = [f"{problem.key}: {problem.message}".lstrip(": ") for problem in problems]
    faults += list(registry.check(spec)) if spec is not None else []
    if faults or spec is None:
        raise Usage(f"gate {kind}: " + "; ".join(faults), remedy="docs/gates.md has all kinds and their keys")
    return spec


def _value(text: str, is_list: bool) -> Any:
    """A value as TOML, else as text; commas make a list where the kind wants one."""
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = [part.strip() for part in text.split(",")] if is_list else text
    return [value] if is_list and not isinstance(value, list) else value


def _is_list(registry: Registry, kind: str, key: str) -> bool:
    known = registry.kinds.get(kind)
    info = known.params.model_fields.get(key) if known is not None else None
    return info is not None and ("tuple[" in str(info.annotation) or "list[" in str(info.annotation))


def subject(call: Call, name: str, text: str, about: str | None, found: Chosen) -> Subject:
    """A file as an attempt's output. Its folder stands for the work, the HQ for the sources."""
    read = read_task((about or "").encode(), "task.md").document if about is not None else None
    document = read or TaskDocument(header=TaskHeader(), title=Path(name).stem, text=about or "")
    task = Task(f"20000101-{slug(Path(name).name)}-000000", State.ACTIVE, document, "", Cursor())
    known = facts(task, {}, datetime.now(UTC))
    data = _data(text) if found.step is None or found.step.output is not None else None
    known["output"] = data if found.step is not None and found.step.output is not None else text
    work = FolderFiles(call.cwd)
    return Subject(
        output=text,
        name=Path(name).as_posix() if not Path(name).is_absolute() else "output",
        data=data,
        task_text=document.text,
        facts=known,
        files=work,
        base=FolderFiles(None),
        sources=FolderFiles(call.maybe_root() or call.cwd),
        changed=(Changed(Path(name).as_posix(), "added", text.count("\n") + 1, 0),)
        if not Path(name).is_absolute()
        else (),
        diff="",
        cwd=call.cwd,
    )


class FolderFiles:
    """Port-like set of files of a folder on disk (`model.gate.Files`); None: no files at all. Links are left out."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, path: str) -> bytes | None:
        if self._folder is None or ".." in Path(path).parts:
            return None
        return FolderReader(self._folder).read(path)

    def paths(self) -> tuple[str, ...]:
        if self._folder is None:
            return ()
        found: list[str] = []
        for folder, folders, names in os.walk(self._folder):
            folders[:] = sorted(name for name in folders if name not in (".git", ".hqd", ".venv", "node_modules"))
            found += [(Path(folder) / name).relative_to(self._folder).as_posix() for name in sorted(names)]
            if len(found) > MOST_FILES:
                break
        return tuple(sorted(found[:MOST_FILES]))


def _data(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _read(path: Path, shown: str) -> str:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        raise Usage(f"{shown}: no such file") from None
    except OSError as fault:
        raise Expected(f"{shown} cannot be read: {fault.strerror or fault}") from fault


def _print(results: Sequence[tuple[str, tuple[GateResult, ...]]]) -> None:
    for name, verdicts in results:
        rows = []
        for each in verdicts:
            status = each.status.value.upper() if each.stops else each.status.value
            score = f"{each.score:g}" if each.score is not None else ""
            rows.append([status, each.level.value, each.name, score, each.message])
        terminal.title(name)
        terminal.rows((), rows, indent=2)
        for each in verdicts:
            if each.status is GateStatus.FAIL:
                for item in each.evidence[:5]:
                    where = f"{item.path}:{item.line}" if item.line else item.path
                    terminal.say(f"      {each.name}: {where}: {item.excerpt}")


def named_gate(config: Config, name: str) -> GateSpec:
    """A gate by its name in hqd.toml, or in some step of some playbook. Raises Usage, Misconfigured."""
    if config.settings is None:
        raise Misconfigured(str(next(iter(config.problems), "hqd.toml cannot be read")), remedy="run `hqd check`")
    known: Mapping[str, GateSpec] = {
        **{
            use.name: use
            for playbook in config.playbooks.values()
            for step in playbook.steps
            for use in (*step.gates, *step.gates_before, *playbook.gates)
            if isinstance(use, GateSpec)
        },
        **config.settings.gates,
    }
    if name not in known:
        raise Usage(f"there is no gate {name!r}", remedy=meant(name, known))
    return known[name]
