"""Conventions that repositories have already, read as they stand at the pinned snapshot, each with its own scope.

A file that is always meant is a stable document; one that is meant for some paths is sent where the step's deliver
path or the task's files lie within its scope. What an agent reads by itself is named, and not sent again.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from hqd.codec.native import RuleFile, imports, read_rule_file
from hqd.core import globs
from hqd.core.context.source import Candidate, Form, Layer
from hqd.daemon.context.library import File, Library
from hqd.model.settings import AgentSettings
from hqd.ports import Tree

READS_ITSELF = "the agent reads it by itself"
IMPORT_DEPTH = 5
"""How far imports are followed, as Claude Code does."""

SKILLS = (
    ("claude", ".claude/skills/*/SKILL.md"), ("agents", ".agents/skills/*/SKILL.md"), ("skills", "skills/*/SKILL.md"),
)  # fmt: skip
ADRS = tuple(
    f"{folder}/*.md"
    for folder in (
        "docs/adr", "docs/adrs", "docs/decisions", "docs/architecture/adr", "docs/architecture/decisions", "doc/adr",
        "doc/architecture/decisions", "adr", "decisions",
    )
)  # fmt: skip
EVERYTHING = frozenset({"**", "**/*"})
"""Globs of a rule file that is meant for all files, and so for tasks without any too."""

WEIGHT = 10
"""Priority of rule files: short, and meant to be obeyed, they come before documents of rules without a priority."""
BY_INDEX = -10
"""Priority of a line that says what a document holds."""
BY_DECISION = -20

_FAMILIES = frozenset({"agents", "claude", "cursor", "copilot", "skills"})
_PRESETS = {"claude": frozenset({"claude"}), "codex": frozenset({"agents"})}
_NUMBERED = re.compile(r"\d+\D.*")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a task is about: the paths that it writes, and its words."""

    paths: Sequence[str] = ()
    words: str = ""

    def folders(self) -> list[str]:
        """The root and every folder above one of the paths, outer ones first."""
        found = {""}
        for path in self.paths:
            parts = path.split("/")[:-1]
            found.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        return sorted(found, key=lambda folder: (folder.count("/") + bool(folder), folder))

    def within(self, patterns: Sequence[str]) -> bool:
        return any(_covers(pattern, path) for pattern in patterns for path in self.paths)

    def calls(self, name: str) -> bool:
        """Whether the task names a thing, as a word, or as words (`pdf forms` for `pdf-forms`)."""
        words = r"[-_\s]".join(re.escape(part) for part in re.split(r"[-_\s]+", name))
        return bool(name) and re.search(rf"(?<![\w-]){words}(?![\w-])", self.words, re.IGNORECASE) is not None


def reads(agent: AgentSettings | None) -> frozenset[str]:
    """Which conventions an agent reads by itself: those of its preset, or with `native_context = true` all."""
    if agent is None or agent.native_context is False:
        return frozenset()
    if agent.preset is not None:
        return _PRESETS[agent.preset]
    return _FAMILIES if agent.native_context else frozenset()


def native(
    tree: Tree, library: Library, scope: Scope, known: Collection[str], *, files: bool = True
) -> list[Candidate]:
    """All candidates. `known`: families that the agent reads itself; `files`: whether it can read files at all."""
    found = [*_Reading(tree, library, scope, "index" if files else "mention").all()]
    own = [each for family, each in found if family in known and each.problem is None]
    paths, blobs = {each.source for each in own}, {each.blob for each in own}
    return [
        replace(each, problem=READS_ITSELF)
        if each.problem is None and (family in known or each.source in paths or each.blob in blobs)
        else each
        for family, each in found
    ]


@dataclass(slots=True)
class _Reading:
    tree: Tree
    library: Library
    scope: Scope
    line: Form  # how a document that is not sent whole is mentioned
    seen: set[str] = field(default_factory=set)  # files that CLAUDE.md files have brought in

    def all(self) -> Iterator[tuple[str, Candidate]]:
        for folder in self.scope.folders():
            yield from (("agents", each) for each in self._plain(folder, "AGENTS.md"))
            for name in ("CLAUDE.md", ".claude/CLAUDE.md"):
                yield from (("claude", each) for each in self._claude(folder, name))
            yield from (("cursor", each) for each in self._scoped(folder, ".cursor/rules/**/*.mdc", "Cursor rule"))
        yield from (("claude", each) for each in self._scoped("", ".claude/rules/**/*.md", "Claude rule", always=True))
        for each in self._plain("", ".github/copilot-instructions.md"):
            yield "copilot", each
        pattern = ".github/instructions/**/*.instructions.md"
        yield from (("copilot", each) for each in self._scoped("", pattern, "Copilot instructions"))
        for family, pattern in SKILLS:
            yield from ((family, each) for each in self._skills(pattern))
        yield from (("adr", each) for each in self._decisions())

    def _plain(self, folder: str, name: str) -> Iterator[Candidate]:
        file = self.library.file(self.tree, _join(folder, name))
        if file is not None:
            yield _candidate(file, f"native: {name.rsplit('/', 1)[-1]} of {folder or 'the repository'}", _depth(folder))

    def _claude(self, folder: str, name: str) -> Iterator[Candidate]:
        for each in self._plain(folder, name):
            yield each
            if each.problem is None and each.source not in self.seen:
                self.seen.add(each.source)
                yield from self._imported(each, _depth(folder), (each.source,))

    def _imported(self, importer: Candidate, depth: int, chain: tuple[str, ...]) -> Iterator[Candidate]:
        data = self.library.data(importer.blob)
        for written in imports(data.decode("utf-8", "replace")) if data is not None else ():
            path = posixpath.normpath(posixpath.join(posixpath.dirname(importer.source), written))
            rule = f"native: imported by {importer.source}"
            file = None
            problem = _unfit(written, path, chain)
            if problem is None:
                file = self.library.file(self.tree, path)
                problem = "there is no such file" if file is None else None
            if file is None or problem is not None:
                yield Candidate(
                    f"{importer.source} -> {written}", "", rule, Layer.NATIVE, problem=problem, stable=not depth
                )
                continue
            if path in self.seen:
                continue
            self.seen.add(path)
            found = _candidate(file, rule, depth)
            yield found
            if found.problem is None:
                yield from self._imported(found, depth, (*chain, path))

    def _scoped(self, folder: str, pattern: str, kind: str, *, always: bool = False) -> Iterator[Candidate]:
        """Rule files with front matter. `always`: one without a scope is meant for everything."""
        for file, rule in self._rules(_join(folder, pattern)):
            depth = _depth(folder)
            if rule.always or (always and rule.globs is None):
                yield _candidate(file, f"native: {kind}, always", depth, form="body")
            elif rule.globs:
                told = f"native: {kind} for {', '.join(rule.globs)}"
                fits = self.scope.within([_join(folder, glob) for glob in rule.globs])
                everywhere = not EVERYTHING.isdisjoint(rule.globs)
                found = _candidate(file, told, depth, form="body", stable=everywhere)
                outside = "none of the task's files lie in its scope"
                yield found if fits or everywhere else replace(found, problem=found.problem or outside)
            elif self._called(file):
                yield _candidate(file, f"native: {kind}, which the task names", max(depth, 1), form="body")
            elif rule.description:
                yield _candidate(file, f"native: {kind}, on demand", depth, form=self.line, priority=BY_INDEX)
            else:
                found = _candidate(file, f"native: {kind}", depth, form="body")
                yield replace(found, problem=found.problem or rule.problem or "only a person calls for it")

    def _called(self, file: File) -> bool:
        """Whether the task names a rule file, or calls for it as people do in editors: `@deploys` for deploys.mdc."""
        name = file.path.rsplit("/", 1)[-1]
        return self.scope.calls(name) or self.scope.calls("@" + name.split(".", 1)[0])

    def _skills(self, pattern: str) -> Iterator[Candidate]:
        """Name and description always; the body where the task names the skill."""
        for file, rule in self._rules(pattern):
            name = rule.name or file.path.split("/")[-2]
            if self.scope.calls(name):
                yield _candidate(file, f"native: skill {name}, which the task names", 1, form="body")
            elif not rule.description:
                bare = _candidate(file, f"native: skill {name}", 0, form=self.line, priority=BY_INDEX)
                yield replace(bare, problem=bare.problem or rule.problem or "it has no description")
            else:
                yield _candidate(file, f"native: skill {name}", 0, form=self.line, priority=BY_INDEX)

    def _decisions(self) -> Iterator[Candidate]:
        """Architecture decision records: accepted ones only."""
        for pattern in ADRS:
            for file, rule in self._rules(pattern):
                if rule.status == "accepted":
                    yield _candidate(file, "native: an accepted decision", 0, form="body", priority=BY_DECISION)
                elif rule.status or _NUMBERED.fullmatch(file.path.rsplit("/", 1)[-1]):
                    found = _candidate(file, "native: a decision", 0, form="body", priority=BY_DECISION)
                    wrong = f"its status is {rule.status}, not accepted" if rule.status else "it has no status"
                    yield replace(found, problem=found.problem or wrong)

    def _rules(self, pattern: str) -> Iterator[tuple[File, RuleFile]]:
        for file in self.library.matching(self.tree, pattern):
            data = self.library.data(file.blob) if file.problem is None else None
            if data is None:
                problem = file.problem or "it is too large"
                yield File(file.path, file.blob, problem), RuleFile("", always=True)
            elif b"\0" in data:
                yield File(file.path, file.blob, "it is binary"), RuleFile("", always=True)
            else:
                yield file, read_rule_file(data, file.path)


def _candidate(
    file: File, rule: str, depth: int, *, form: Form = "whole", priority: int = WEIGHT, stable: bool = True
) -> Candidate:
    """`depth` 0: of the whole repository. The nearest file comes last."""
    return Candidate(
        source=file.path,
        blob=file.blob,
        rule=rule,
        layer=Layer.NATIVE,
        priority=priority - depth,
        stable=stable and depth == 0,
        form=form,
        problem=file.problem,
    )


def _unfit(written: str, path: str, chain: tuple[str, ...]) -> str | None:
    """Why an import is not followed; None: it may be."""
    if written.startswith(("/", "~")) or path == ".." or path.startswith("../"):
        return "an import that leaves the repository"
    if path in chain:
        return "an import in a circle: " + " -> ".join((*chain[chain.index(path) :], path))
    if len(chain) > IMPORT_DEPTH:
        return f"an import more than {IMPORT_DEPTH} files deep"
    return None


def _covers(pattern: str, path: str) -> bool:
    """As these tools read globs: one without a folder is meant for names in any folder."""
    try:
        if "/" not in pattern:
            return globs.exact(pattern).fullmatch(path.rsplit("/", 1)[-1]) is not None
        return globs.exact(pattern).fullmatch(path) is not None
    except re.error:
        return False


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and name != "**" else name


def _depth(folder: str) -> int:
    return folder.count("/") + 1 if folder else 0
