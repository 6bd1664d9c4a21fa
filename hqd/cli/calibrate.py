"""`hqd gate calibrate NAME LABELS.jsonl`: what a gate is worth against people's labels, as a record to be committed."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import tomli_w

from hqd.cli import terminal
from hqd.cli.call import Call
from hqd.cli.edits import FolderReader
from hqd.cli.gate import FolderFiles, named_gate, open_registry
from hqd.codec.config import read_config
from hqd.core.language.facts import facts
from hqd.errors import EXIT_FAILURE, EXIT_OK, Expected, Usage
from hqd.gates.calibration import Calibration, Label, calibrate, path, read_labels
from hqd.gates.kind import CannotJudge
from hqd.model.board import Task
from hqd.model.gate import GateResult, Subject
from hqd.model.record import Cursor
from hqd.model.task import State, TaskDocument, TaskHeader


def run(call: Call, name: str, labels_file: Path, *, write: bool, as_json: bool) -> int:
    """Judges every label and prints the figures; exit 1 where the gate does not earn `enforce`."""
    root = call.root()
    data = _read(call.cwd / labels_file)
    labels = read_labels(data.decode("utf-8"))
    if not labels:
        raise Usage(f"{labels_file} has no labels", remedy='lines of {"output": TEXT, "label": "good" or "bad"}')
    config = read_config(FolderReader(root))
    spec = named_gate(config, name)
    with ExitStack() as stack:
        registry = open_registry(call, root, config, stack)
        wrong = [each for each in registry.check(spec) if not each.startswith("level: ")]
        if wrong:
            raise Usage(f"gate {name}: " + "; ".join(wrong), remedy="run `hqd check`")
        try:
            agent = registry.judged_by(spec)
        except CannotJudge as fault:
            raise Usage(str(fault)) from fault

        def judge(label: Label) -> GateResult:
            return registry.run((spec,), _subject(label, root))[0]

        with terminal.spinner(f"judging {len(labels)} outputs"):
            found = calibrate(
                judge,
                labels,
                version=registry.written_version(spec),
                agent=agent,
                at=datetime.now(UTC).replace(microsecond=0),
                source=f"sha256:{hashlib.sha256(data).hexdigest()}",
            )
    place = root / path(name)
    if write:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(tomli_w.dumps(found.model_dump(mode="python", exclude_none=True)), "utf-8")
    shortfall = found.shortfall()
    if as_json:
        record = str(place) if write else None
        terminal.data({"calibration": found.model_dump(mode="json"), "shortfall": shortfall, "record": record})
    else:
        _print(found, shortfall, place if write else None)
    return EXIT_OK if shortfall is None else EXIT_FAILURE


def _subject(label: Label, root: Path) -> Subject:
    document = TaskDocument(header=TaskHeader(), title="calibration", text=label.task)
    task = Task("20000101-calibration-000000", State.ACTIVE, document, "", Cursor())
    known = facts(task, {}, datetime.now(UTC))
    known["output"] = label.output
    return Subject(output=label.output, task_text=label.task, facts=known, sources=FolderFiles(root))


def _print(found: Calibration, shortfall: str | None, place: Path | None) -> None:
    rows = [
        ["labels", f"{found.good} good, {found.bad} bad, {found.errors} could not be judged"],
        ["precision", str(found.precision)],
        ["recall", str(found.recall)],
        ["false positives", str(found.false_positive_rate)],
        ["verdict", "may enforce" if shortfall is None else f"may not enforce: {shortfall}"],
    ]
    terminal.title(f"{found.name}  ({found.kind}{', ' + found.agent if found.agent else ''})")
    terminal.rows((), rows, indent=2)
    if place is not None:
        terminal.say(f"written to {place}; `hqd apply` puts it in force")


def _read(place: Path) -> bytes:
    try:
        data = place.read_bytes()
        data.decode("utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as fault:
        raise Usage(f"{place}: {'is a folder' if place.is_dir() else 'no such file'}") from fault
    except OSError as fault:
        raise Expected(f"{place} cannot be read: {fault.strerror or fault}") from fault
    except UnicodeDecodeError as fault:
        raise Usage(f"{place} is not UTF-8") from fault
    return data
