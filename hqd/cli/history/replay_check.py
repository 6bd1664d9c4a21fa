"""A playbook that is tried, checked as if it lay in the HQ: a mistake in it would be replayed as a change of rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hqd.bootstrap import gate_registry
from hqd.check import check_reader
from hqd.cli.call import Call
from hqd.cli.edits import FolderReader
from hqd.codec import layout
from hqd.codec.config import Reader, read_config
from hqd.errors import Misconfigured
from hqd.model.change import Entry

_PREFIX = f"{layout.PLAYBOOKS}/"


class Overlay:
    """A configuration with a file as `path`, in place of `hidden`; files that lie beside it come before its own."""

    def __init__(self, below: Reader, data: bytes, folder: Path, path: str, hidden: frozenset[str]) -> None:
        self._below, self._data, self._folder, self._path, self._hidden = below, data, folder, path, hidden

    def read(self, path: str) -> bytes | None:
        if path == self._path:
            return self._data
        beside = self._folder / path.removeprefix(_PREFIX)
        if path.startswith(_PREFIX) and not path.endswith(".toml") and beside.is_file():
            return beside.read_bytes()
        return self._below.read(path)

    def entries(self, folder: str) -> tuple[Entry, ...]:
        found = self._below.entries(folder)
        if folder != layout.PLAYBOOKS:
            return found
        kept = tuple(entry for entry in found if f"{folder}/{entry.name}" not in self._hidden | {self._path})
        return (*kept, Entry(self._path.removeprefix(_PREFIX), "100644", ""))


def check_tried(call: Call, name: str, data: bytes, file: Path, shown: str) -> None:
    """Raises Misconfigured with what is wrong between the playbook `name` in `file` and the HQ's files."""
    root = call.root()
    below = FolderReader(root)
    same = sorted(path for path, playbook in read_config(below).playbooks.items() if playbook.name == name)
    inside = file.parent == root / layout.PLAYBOOKS
    path = f"{_PREFIX}{file.name}" if inside else next(iter(same), f"{_PREFIX}{name}.toml")
    overlay = Overlay(below, data, file.parent, path, frozenset(same))
    report = check_reader(overlay, gate_registry(call.env, None, None).check)
    faults = [replace(each, path=shown) for each in report.problems if each.stops and each.path == path]
    if faults:
        raise Misconfigured("; ".join(map(str, faults[:5])), remedy="mend it, or replay a version that is in force")
