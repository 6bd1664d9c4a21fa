"""What the tests of gates share: files in memory, and one line to run a gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hqd.gates.registry import Registry
from hqd.model.gate import GateResult, GateSpec, GateStatus, Subject

PASS, FAIL, ERROR, SKIP = GateStatus.PASS, GateStatus.FAIL, GateStatus.ERROR, GateStatus.SKIP


class Tree:
    """Files in memory. `identity` only where a test gives one."""

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self._files = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}

    def read(self, path: str) -> bytes | None:
        return self._files.get(path)

    def paths(self) -> tuple[str, ...]:
        return tuple(sorted(self._files))


def spec(kind: str, name: str = "", **params: Any) -> GateSpec:
    """A gate. Common keys are written as in a playbook; `not` as `not_`."""
    common = {key: params.pop(key) for key in ("level", "target", "when", "message") if key in params}
    if "not_" in params:
        common["not"] = params.pop("not_")
    return GateSpec(name=name or kind, kind=kind, params=params, **common)


def judge(kind: str, text: str | Subject, registry: Registry | None = None, **params: Any) -> GateResult:
    """The result of one gate on one text."""
    subject = Subject(output=text) if isinstance(text, str) else text
    (result,) = (registry or Registry()).run((spec(kind, **params),), subject)
    return result
