"""`lessons/L-XXXX-slug.md`: a lesson's front matter and account."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from hqd.codec.document import read_document
from hqd.codec.front_matter import write_front_matter
from hqd.codec.gate import read_gate
from hqd.codec.shapes import shape
from hqd.model.gate import GateSpec
from hqd.model.lesson import Lesson, LessonEvidence
from hqd.model.problem import Problem


def read_lesson(data: bytes, path: str, *, named: bool = True) -> tuple[Lesson | None, tuple[Problem, ...]]:
    """The lesson in a file, or what is wrong with it. `named` False: the path is not the file's own."""
    document = read_document(data, path)
    if document.problems:
        return None, document.problems
    if not document.header:
        return None, (Problem(path, 1, "", "a lesson needs front matter with id and status"),)
    raw: dict[str, Any] = {key: value for key, value in document.header.items() if value is not None}
    faults: list[Problem] = []
    if "gate" in raw:
        gate, wrong = read_gate(raw["gate"], path, ("gate",), document.line, document.header)
        raw["gate"] = gate
        faults += wrong
    lesson, wrong_shape = shape(Lesson, {**raw, "account": document.text.strip()}, path, document.line)
    faults += wrong_shape
    name = PurePosixPath(path).stem
    if named and lesson is not None and not (name == lesson.id or name.startswith(lesson.id + "-")):
        message = f"is {lesson.id}, but the file is named {name}"
        faults.append(
            Problem(path, document.line(("id",)), "id", message, f"name it {lesson.id}-SLUG.md", place=("id",))
        )
    return (None if faults else lesson), tuple(faults)


def write_lesson(lesson: Lesson) -> bytes:
    """The file of a lesson; `read_lesson` gives the same lesson back."""
    values = lesson.model_dump(mode="python", by_alias=True, exclude_defaults=True, exclude={"gate", "account"})
    values = {key: getattr(value, "value", value) for key, value in values.items()}
    if lesson.gate is not None:
        values["gate"] = flat_gate(lesson.gate)
    return (write_front_matter(values) + f"\n{lesson.account.strip()}\n").encode("utf-8", "replace")


def with_evidence(data: bytes, case: LessonEvidence) -> bytes | None:
    """The file with one more case, every other line as its author left it; None where there is no place for it."""
    text = data.decode("utf-8")
    row = write_front_matter({"evidence": [case.model_dump(exclude_none=True)]}).splitlines()[2]
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.rstrip() == "evidence:" and number + 1 < len(lines) and lines[number + 1].startswith("- {"):
            return "\n".join([*lines[: number + 1], row, *lines[number + 1 :]]).encode()
        if line.rstrip() == "---" and number > 0:
            return None
    return None


def flat_gate(gate: GateSpec) -> dict[str, Any]:
    """A gate as people write it: parameters beside the common keys."""
    common = gate.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"params"})
    if common.get("name") == gate.kind:
        del common["name"]  # a gate without a name is called after its kind
    return {**common, **gate.params}
