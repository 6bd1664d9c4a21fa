"""Is there anything? Kinds of the group `presence`."""

from __future__ import annotations

from pydantic import Field, field_validator

from hqd.gates import globs
from hqd.gates.kind import GateKind, Params, Piece, Scope, Verdict, View, each, listed
from hqd.gates.targets import need_files


class NonEmpty(Params):
    """Passes when the text has at least `min_chars` characters that are not white space."""

    min_chars: int = Field(default=1, ge=1, description="fewest characters that are not white space")


def non_empty(params: NonEmpty, piece: Piece) -> Verdict:
    count = len("".join(piece.text.split()))
    score, threshold = float(count), float(params.min_chars)
    if count >= params.min_chars:
        return Verdict(True, f"{count} characters", (), score, threshold)
    if count == 0:
        return Verdict(False, "There is no text. Give an answer.", (), score, threshold)
    message = f"Only {count} characters of text; at least {params.min_chars} are asked for."
    return Verdict(False, message, (), score, threshold)


class FileExists(Params):
    """Passes when, after the attempt, every one of `paths` is a file. A path may be a glob: one file must match it."""

    paths: tuple[str, ...] = Field(min_length=1, description="paths or globs, from the root of the files")

    @field_validator("paths", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("paths")
    @classmethod
    def _sound(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return sound_globs(value)


def sound_globs(value: tuple[str, ...]) -> tuple[str, ...]:
    """The globs as they are. Raises ValueError for one that is none."""
    for glob in value:
        problem = globs.fault(glob)
        if problem:
            raise ValueError(f"{glob!r} {problem}")
    return value


def file_exists(params: FileExists, view: View) -> Verdict:
    files = need_files(view.subject.files)
    missing = [path for path in params.paths if not _there(path, files.paths())]
    if not missing:
        return Verdict(True, f"all {len(params.paths)} there")
    return Verdict(False, f"Missing files: {listed(missing)}. Write them at these paths.")


def _there(wanted: str, paths: tuple[str, ...]) -> bool:
    return wanted in paths or any(globs.matches(path, (wanted,)) for path in paths)


KINDS = (
    GateKind("non_empty", "presence", NonEmpty, each(non_empty)),
    GateKind("file_exists", "presence", FileExists, file_exists, scope=Scope.NONE, reads=("files",)),
)
