"""`playbooks/NAME.toml` to a `Playbook`, or to the problems that say in which line it is wrong. Never an exception."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from hqd.codec.gate import read_gates
from hqd.codec.ladder import read_ladder
from hqd.codec.shapes import shape
from hqd.codec.toml_lines import Toml, read_toml
from hqd.model.failure import Failure
from hqd.model.playbook import RESERVED_TARGETS, STEP_NAME, Playbook, Step, StepKind
from hqd.model.problem import Place, Problem, spell
from hqd.model.spelling import meant

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_STEP_KEYS = frozenset(Step.model_fields)
_PLAYBOOK_KEYS = frozenset(Playbook.model_fields)
_KINDS = tuple(kind.value for kind in StepKind if kind is not StepKind.GATE)


@dataclass(frozen=True, slots=True)
class ReadPlaybook:
    """A playbook as read. `playbook` is None where a problem stops it; `toml` finds lines for later rules."""

    path: str
    playbook: Playbook | None
    toml: Toml
    problems: tuple[Problem, ...] = ()


def read_playbook(data: bytes, path: str) -> ReadPlaybook:
    """Reads one playbook. Rules about two objects (a route to an unknown step) are `core/checks/playbooks.py`'s."""
    toml = read_toml(data, path)
    if toml.problems:
        return ReadPlaybook(path, None, toml, toml.problems)
    reading = _Reading(path, toml)
    playbook = reading.playbook()
    problems = tuple(sorted(reading.problems, key=lambda problem: problem.line))
    return ReadPlaybook(path, None if any(p.stops for p in problems) else playbook, toml, problems)


@dataclass
class _Reading:
    path: str
    toml: Toml
    problems: list[Problem] = field(default_factory=list)

    def fault(self, place: Place, message: str, remedy: str = "", key: str | None = None) -> None:
        spelled = spell(place, self.toml.values) if key is None else key
        self.problems.append(Problem(self.path, self.toml.line(place), spelled, message, remedy, place=place))

    def playbook(self) -> Playbook | None:
        raw = dict(self.toml.values)
        raw.setdefault("name", PurePosixPath(self.path).stem)
        if isinstance(raw["name"], str) and NAME.fullmatch(raw["name"]) is None:
            self.fault(
                ("name",), f"{raw['name']!r} is no name", "use letters, digits, _ . - (it names an inbox folder)"
            )
        self._gates(raw, (), set())
        self._ladder(raw, ("on_fail",))
        self._by_class(raw)
        self._steps(raw)
        playbook, wrong = shape(Playbook, raw, self.path, self.toml.line, self.toml.values)
        self.problems += [self._placed(problem) for problem in wrong]
        return playbook

    def _placed(self, problem: Problem) -> Problem:
        """An unknown key that is known further out stands under the wrong table: TOML's oldest trap."""
        place = problem.place
        if problem.message != "unknown key" or len(place) < 2:
            return problem
        key, tables = str(place[-1]), [part for part in place[:-1] if isinstance(part, str)]
        header = "[[" + ".".join(tables) + "]]"
        if place[0] == "steps" and len(place) > 3 and key in _STEP_KEYS:
            owner, inner, owned = "step", f"its {tables[-1]} table", (*place[:2], key)
        elif key in _PLAYBOOK_KEYS and tables == [place[0]]:
            owner, inner, owned = "playbook", header, (key,)
        else:
            return problem
        spelled = spell(owned, self.toml.values)
        message = f"belongs to the {owner}, but stands under {inner}"
        return Problem(self.path, problem.line, spelled, message, f"move it above {header}", place=place)

    def _gates(self, raw: dict[str, Any], place: Place, taken: set[str]) -> None:
        for key in ("gates_before", "gates"):
            if key in raw and (place or key == "gates"):
                inner = (*place, key)
                gates, wrong = read_gates(raw[key], self.path, inner, self.toml.line, self.toml.values, taken)
                raw[key] = tuple(gates)
                self.problems += wrong

    def _ladder(self, raw: dict[str, Any], place: Place) -> None:
        key = str(place[-1])
        if key in raw:
            raw[key], wrong = read_ladder(raw[key], self.path, place, self.toml.line, self.toml.values)
            self.problems += wrong

    def _by_class(self, raw: dict[str, Any]) -> None:
        ladders = raw.get("on")
        if not isinstance(ladders, Mapping):
            return
        raw["on"] = ladders = dict(ladders)
        known = [failure.value for failure in Failure]
        for name in ladders:
            if name not in known:
                self.fault(("on", name), "no class of failure", meant(name, known))
            self._ladder(ladders, ("on", name))

    def _steps(self, raw: dict[str, Any]) -> None:
        steps = raw.get("steps")
        if steps == [] or "steps" not in raw:
            self.fault(("steps",), "a playbook needs at least one step", "add [[steps]]")
            raw.setdefault("steps", [])
        if not isinstance(steps, list):
            return
        raw["steps"] = made = []
        names: dict[str, int] = {}
        for index, step in enumerate(steps):
            if not isinstance(step, Mapping):
                made.append(step)
                continue
            made.append(self._step(dict(step), ("steps", index), names))

    def _step(self, step: dict[str, Any], place: Place, names: dict[str, int]) -> dict[str, Any]:
        name = step.get("name")
        if isinstance(name, str):
            self._name(name, (*place, "name"), names)
        kinds = [kind for kind in _KINDS if kind in step]
        if len(kinds) > 1:
            self.fault(place, f"a step is one thing, not {' and '.join(kinds)}", "make two steps of it")
        if "prompt" in step and "prompt_text" in step:
            self.fault((*place, "prompt_text"), "stands beside prompt", "keep one of the two")
        self._gates(step, place, set())
        self._ladder(step, (*place, "on_fail"))
        return step

    def _name(self, name: str, place: Place, names: dict[str, int]) -> None:
        line = self.toml.line(place)
        if re.fullmatch(STEP_NAME, name) is None:
            self.fault(place, f"{name!r} is no name for a step", "use a-z, 0-9 and _, beginning with a letter")
        elif name in RESERVED_TARGETS:
            self.fault(place, f"{name} is reserved for routes", "choose another name")
        elif name in names:
            self.fault(place, f"a second step named {name} (the first in line {names[name]})", "choose another name")
        names.setdefault(name, line)
