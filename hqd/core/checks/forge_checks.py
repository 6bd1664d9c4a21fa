"""Where the gate `forge_checks` would be skipped, or a key of it not looked at: known before anything runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hqd.core.gate_use import members_of, spelled_out
from hqd.core.reviews.checks import KIND
from hqd.model.gate import GateSpec, Level
from hqd.model.playbook import GateUse, Playbook, StepKind
from hqd.model.problem import Place, Problem, ProblemLevel
from hqd.model.settings import Settings

_MOVE = "put it among the gates of a review step"
_MOST_DEEP = 10


def check_forge_checks(settings: Settings, path: str, playbook: Playbook) -> Iterator[Problem]:
    """Each use of `forge_checks` that nobody waits for, and each key that changes nothing. Warnings."""
    uses: list[tuple[Place, GateUse, bool]] = [(("gates", n), use, False) for n, use in enumerate(playbook.gates)]
    for index, step in enumerate(playbook.steps):
        reviewed = step.kind is StepKind.REVIEW
        for key, gates in (("gates", step.gates), ("gates_before", step.gates_before)):
            uses += [(("steps", index, key, n), use, reviewed) for n, use in enumerate(gates)]
    for place, use, reviewed in uses:
        gate = _gate(use, settings)
        if gate is None:
            continue
        for message, remedy, key in _faults(gate, settings, reviewed=reviewed):
            at: Place = (*place, key) if key and isinstance(use, GateSpec) else place
            yield Problem(path, 0, "", message, remedy, ProblemLevel.WARNING, at)


def _gate(use: GateUse, settings: Settings) -> GateSpec | None:
    return use if isinstance(use, GateSpec) else settings.gates.get(use)


def _faults(gate: GateSpec, settings: Settings, *, reviewed: bool) -> Iterator[tuple[str, str, str]]:
    """Message, remedy, key."""
    if gate.kind != KIND:
        if _inside(spelled_out(gate, settings.gates)):
            yield f"{KIND} inside another gate is skipped", f"{_MOVE}, by itself", ""
        return
    if not reviewed:
        yield f"{KIND} is skipped here: the forge checks what is up for review", _MOVE, ""
    elif settings.forge.kind == "local":
        yield f"{KIND} is skipped: there is no forge", "set [forge], or remove it", ""
    for key, written in (("when", gate.when is not None), ("not", gate.negate), ("message", gate.message is not None)):
        if written:
            yield f"has no effect on {KIND}: its checks are waited for in any case", "remove it", key
    if gate.level is not Level.ENFORCE:
        yield f"{KIND} that does not enforce is not waited for, and shows nothing", 'write level = "enforce"', "level"


def _inside(gate: GateSpec, deep: int = 0) -> bool:
    """Whether a gate made of gates has one of this kind, at any depth. Its members are tables, not names."""
    for each in members_of(gate) if deep < _MOST_DEEP else ():
        if isinstance(each, Mapping):
            inner = GateSpec(name="", kind="", params=dict(each))
            if each.get("kind") == KIND or _inside(inner, deep + 1):
                return True
    return False
