"""Everything that people configure, read from one commit: hqd.toml, playbooks with their files, lessons.

Pure over a reader. Which version is in force, and that a broken one leaves the last good one, is the daemon's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hqd.codec.document import Document, read_document
from hqd.codec.layout import LESSONS, PLAYBOOKS, SETTINGS
from hqd.codec.lesson import read_lesson
from hqd.codec.playbook import read_playbook
from hqd.codec.settings import read_settings
from hqd.codec.toml_lines import Toml
from hqd.model.change import Entry
from hqd.model.lesson import Lesson
from hqd.model.playbook import Playbook
from hqd.model.problem import Problem
from hqd.model.settings import Settings

MAX_FILES = 5_000
MAX_DEPTH = 8
MAX_TEXT = 1_000_000  # bytes of a file beside the playbooks that is still read


class Reader(Protocol):
    """What is read of a tree; `ports.Tree` is one."""

    def read(self, path: str) -> bytes | None: ...

    def entries(self, folder: str) -> tuple[Entry, ...]: ...


@dataclass(frozen=True, slots=True)
class Config:
    """What was read. `settings` is None, and a playbook or lesson missing, where a problem stops it.

    `playbooks` are by path; `texts` and `files` by their name relative to playbooks/, as playbooks name them.
    `sources` find the lines of keys. `newer`: hqd.toml is of a format that only a newer hqd knows (exit 78).
    """

    settings: Settings | None
    playbooks: Mapping[str, Playbook] = field(default_factory=dict)
    lessons: Mapping[str, Lesson] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    files: frozenset[str] = frozenset()
    sources: Mapping[str, Toml | Document] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    newer: bool = False

    @property
    def by_name(self) -> dict[str, Playbook]:
        """Playbooks by name; of two with one name, the first file's."""
        return {playbook.name: playbook for playbook in reversed(tuple(self.playbooks.values()))}


def read_config(reader: Reader) -> Config:
    """Reads the whole configuration. Never raises for what people wrote."""
    problems: list[Problem] = []
    sources: dict[str, Toml | Document] = {}
    data = reader.read(SETTINGS)
    settings, newer = None, False
    if data is None:
        problems.append(Problem(SETTINGS, 0, "", "does not exist", "make an HQ with `hqd init PATH`"))
    else:
        read = read_settings(data, SETTINGS)
        settings, newer = read.settings, read.newer
        sources[SETTINGS] = read.toml
        problems += read.problems
    playbooks = _playbooks(reader, sources, problems)
    lessons = _lessons(reader, sources, problems)
    files = _beside(reader)
    texts = {name: text for name, text in files.items() if text is not None}
    return Config(settings, playbooks, lessons, texts, frozenset(files), sources, tuple(problems), newer)


def _playbooks(reader: Reader, sources: dict[str, Toml | Document], problems: list[Problem]) -> dict[str, Playbook]:
    found: dict[str, Playbook] = {}
    for path, data in _files(reader, PLAYBOOKS, ".toml"):
        read = read_playbook(data, path)
        sources[path] = read.toml
        problems += read.problems
        if read.playbook is not None:
            found[path] = read.playbook
    return found


def _lessons(reader: Reader, sources: dict[str, Toml | Document], problems: list[Problem]) -> dict[str, Lesson]:
    found: dict[str, Lesson] = {}
    for path, data in _files(reader, LESSONS, ".md"):
        if not path.removeprefix(f"{LESSONS}/").startswith("L-"):
            continue
        lesson, wrong = read_lesson(data, path)
        sources[path] = read_document(data, path)
        problems += wrong
        if lesson is not None:
            found[path] = lesson
    return found


def read_lessons(reader: Reader) -> tuple[dict[str, Lesson], tuple[Problem, ...]]:
    """The lessons of a tree by path, whatever their status, and what is wrong with the files of others."""
    problems: list[Problem] = []
    return _lessons(reader, {}, problems), tuple(problems)


def _files(reader: Reader, folder: str, ending: str) -> Iterator[tuple[str, bytes]]:
    for entry in reader.entries(folder):
        if entry.name.endswith(ending) and not entry.name.startswith((".", "_")) and _regular(entry):
            data = reader.read(f"{folder}/{entry.name}")
            if data is not None:
                yield f"{folder}/{entry.name}", data


def _beside(reader: Reader) -> dict[str, str | None]:
    """Files beside the playbooks (prompts, templates, schemas): name to text, None for what is no text."""
    found: dict[str, str | None] = {}
    waiting = [("", 0)]
    while waiting:
        folder, depth = waiting.pop()
        for entry in reader.entries(f"{PLAYBOOKS}/{folder}".rstrip("/")):
            name = f"{folder}/{entry.name}".lstrip("/")
            if entry.is_folder and depth < MAX_DEPTH:
                waiting.append((name, depth + 1))
            elif _regular(entry) and len(found) < MAX_FILES and not (depth == 0 and name.endswith(".toml")):
                found[name] = _text(reader.read(f"{PLAYBOOKS}/{name}"))
    return dict(sorted(found.items()))


def _text(data: bytes | None) -> str | None:
    if data is None or len(data) > MAX_TEXT or b"\0" in data:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _regular(entry: Entry) -> bool:
    return entry.mode.startswith("100")
