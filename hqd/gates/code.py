"""What did the attempt do to files? Kinds of the group `code`; `command` has its own file."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from hqd.gates import globs
from hqd.gates.kind import GateKind, Params, Piece, Scope, Verdict, View, each, listed, number
from hqd.gates.presence import sound_globs
from hqd.gates.targets import need_files
from hqd.model.gate import Changed, Evidence

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?)[bB]?")
_UNITS = {"": 1, "k": 1000, "m": 1_000_000, "g": 1_000_000_000}


class DiffLimits(Params):
    """Passes when the attempt changed at most `max_files` files, added at most `max_added` and removed at most
    `max_removed` lines, as `git diff --numstat` counts them. A binary file counts as a file, not in lines.
    """

    max_files: int | None = Field(default=None, ge=0, description="most files changed")
    max_added: int | None = Field(default=None, ge=0, description="most lines added")
    max_removed: int | None = Field(default=None, ge=0, description="most lines removed")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.max_files is None and self.max_added is None and self.max_removed is None:
            raise ValueError("give max_files, max_added or max_removed")
        return self


def diff_limits(params: DiffLimits, view: View) -> Verdict:
    changed = view.subject.changed
    counts = (
        (len(changed), params.max_files, "files changed"),
        (sum(max(0, change.added) for change in changed), params.max_added, "lines added"),
        (sum(max(0, change.removed) for change in changed), params.max_removed, "lines removed"),
    )
    over = [(count, limit, what) for count, limit, what in counts if limit is not None and count > limit]
    if not over:
        return Verdict(
            True, f"{number(len(changed), 'files')}, {number(counts[1][0], 'lines')} added, {counts[2][0]} removed"
        )
    text = "; ".join(
        f"{number(count, what)}, at most {limit} {'is' if limit == 1 else 'are'} allowed" for count, limit, what in over
    )
    largest = sorted(changed, key=lambda change: change.added + change.removed, reverse=True)[:5]
    message = f"The change is too large: {text}. Do only what the task asks for."
    return Verdict(False, message, _evidence(largest), float(over[0][0]), float(over[0][1]))


class _Globs(Params):
    globs: tuple[str, ...] = Field(min_length=1, description="paths, folders or globs from the root")

    @field_validator("globs", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("globs")
    @classmethod
    def _sound(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return sound_globs(value)


class AllowedPaths(_Globs):
    """Passes when every file that the attempt changed is covered by one of `globs`; of a renamed one, both names."""


def allowed_paths(params: AllowedPaths, view: View) -> Verdict:
    outside = [
        change for change in view.subject.changed if not all(globs.matches(p, params.globs) for p in _paths(change))
    ]
    if not outside:
        return Verdict(True, "only allowed paths")
    names = [change.path for change in outside]
    message = f"Changed outside {listed(params.globs)}: {listed(names)}. Undo these changes."
    return Verdict(False, message, _evidence(outside), float(len(outside)), 0.0)


class ProtectedPaths(_Globs):
    """Passes when no file that the attempt changed is covered by one of `globs`; of a renamed one, neither name."""


def protected_paths(params: ProtectedPaths, view: View) -> Verdict:
    touched = [change for change in view.subject.changed if any(globs.matches(p, params.globs) for p in _paths(change))]
    if not touched:
        return Verdict(True, "no protected path")
    names = [change.path for change in touched]
    message = f"Protected files were changed: {listed(names)}. Undo these changes; they are not the task's to make."
    return Verdict(False, message, _evidence(touched), float(len(touched)), 0.0)


class NoConflictMarkers(Params):
    """Passes when no text has git's conflict markers: a line `<<<<<<< …` or `>>>>>>> …`, or a `=======` after one.

    Looks at the output and at every text file that the attempt changed.
    """


def no_conflict_markers(_: NoConflictMarkers, piece: Piece) -> Verdict:
    if "<<<<<<<" not in piece.text and ">>>>>>>" not in piece.text:
        return Verdict(True, "none")
    lines = piece.text.split("\n")
    found = [
        (number, line)
        for number, line in enumerate(lines, start=1)
        if line.startswith(("<<<<<<< ", ">>>>>>> ")) or line.rstrip() in ("<<<<<<<", ">>>>>>>")
    ]
    if not found:
        return Verdict(True, "none")
    numbers = ", ".join(str(piece.line_number(number)) for number, _ in found[:10])
    message = f"Conflict markers on line {numbers}. Resolve the conflict and remove the markers."
    return Verdict(False, message, tuple(piece.on(number, line) for number, line in found[:10]))


class NoBinary(Params):
    """Passes when the attempt added or changed no binary file (one that git calls binary, or with a NUL byte).

    Files covered by `allow` may be binary.
    """

    allow: tuple[str, ...] = Field(default=(), description="globs of files that may be binary")


def no_binary(params: NoBinary, view: View) -> Verdict:
    binary = [
        change
        for change in view.subject.changed
        if change.status != "deleted" and not globs.matches(change.path, params.allow) and _is_binary(change, view)
    ]
    if not binary:
        return Verdict(True, "no binary file")
    names = listed([change.path for change in binary])
    return Verdict(False, f"Binary files were added or changed: {names}. Leave them out.", _evidence(binary))


def _is_binary(change: Changed, view: View) -> bool:
    if change.binary:
        return True
    raw = view.subject.files.read(change.path) if view.subject.files is not None else None
    return raw is not None and b"\0" in raw[:8192]


class MaxFileSize(Params):
    """Passes when no file that the attempt added or changed is larger than `max` (bytes, or `"500kB"`, `"2MB"`)."""

    max: int | str = Field(description="largest size: bytes, or a text such as 500kB (1 kB = 1000 bytes)")

    @field_validator("max")
    @classmethod
    def _size(cls, value: int | str) -> int | str:
        if isinstance(value, str) and _SIZE.fullmatch(value.strip()) is None:
            raise ValueError("must be bytes, or a text such as 500kB or 2MB")
        return value

    @property
    def limit(self) -> int:
        """In bytes."""
        found = _SIZE.fullmatch(str(self.max).strip())
        return int(float(found[1]) * _UNITS[found[2].lower()]) if found else 0


def max_file_size(params: MaxFileSize, view: View) -> Verdict:
    files = need_files(view.subject.files)
    sizes = [
        (len(files.read(change.path) or b""), change) for change in view.subject.changed if change.status != "deleted"
    ]
    large = [(size, change) for size, change in sizes if size > params.limit]
    biggest = float(max((size for size, _ in sizes), default=0))
    if not large:
        return Verdict(True, "no file is too large", (), biggest, float(params.limit))
    names = ", ".join(f"{change.path} ({size:,} bytes)" for size, change in large[:8])
    message = f"Larger than {params.limit:,} bytes: {names}. Make them smaller, or leave them out."
    return Verdict(False, message, _evidence([change for _, change in large]), biggest, float(params.limit))


def _paths(change: Changed) -> tuple[str, ...]:
    return (change.path,) if change.old_path is None else (change.path, change.old_path)


def _evidence(changes: list[Changed]) -> tuple[Evidence, ...]:
    return tuple(Evidence(path=change.path, excerpt=f"{change.status}, {_lines(change)}") for change in changes[:20])


def _lines(change: Changed) -> str:
    return "binary" if change.binary else f"+{change.added} -{change.removed}"


_CHANGED = ("changed",)
KINDS = (
    GateKind("diff_limits", "code", DiffLimits, diff_limits, scope=Scope.NONE, reads=_CHANGED),
    GateKind("allowed_paths", "code", AllowedPaths, allowed_paths, scope=Scope.NONE, reads=_CHANGED),
    GateKind("protected_paths", "code", ProtectedPaths, protected_paths, scope=Scope.NONE, reads=_CHANGED),
    GateKind("no_conflict_markers", "code", NoConflictMarkers, each(no_conflict_markers), scope=Scope.WORK),
    GateKind("no_binary", "code", NoBinary, no_binary, scope=Scope.NONE, reads=("changed", "files")),
    GateKind("max_file_size", "code", MaxFileSize, max_file_size, scope=Scope.NONE, reads=("changed", "files")),
)
