"""`hqd.toml` to `Settings`, or to the problems that say in which line it is wrong. Never an exception."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hqd.codec.gate import NAME, read_gate
from hqd.codec.ladder import read_ladder
from hqd.codec.shapes import shape
from hqd.codec.toml_lines import Toml, read_toml
from hqd.model.problem import Place, Problem, ProblemLevel, spell
from hqd.model.settings import FORMAT, AgentSettings, Settings
from hqd.model.spelling import meant

NOTIFY_ON = frozenset({"blocked", "review", "ask", "hold", "done", "dropped", "problem"})
PLACEHOLDER = "your-agent-command"
"""The program in a new hqd.toml without an agent; `check` warns until it is replaced."""

_ALL = frozenset({"provider", "timeout", "max_concurrent", "requests_per_minute", "price", "native_context", "window"})
_KEYS: Mapping[str, frozenset[str]] = {
    "anthropic": _ALL | {"model", "max_tokens", "system", "base_url", "api_key", "tools", "max_turns"},
    "command": _ALL | {"preset", "argv", "args", "env", "pass_env", "parser", "model", "max_turns"},
    "replay": _ALL | {"answers", "pick", "delay", "model"},
}


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """hqd.toml as read. `settings` is None where a problem stops it; `newer`: a newer hqd wrote it (exit 78)."""

    path: str
    settings: Settings | None
    toml: Toml
    problems: tuple[Problem, ...] = ()
    newer: bool = False


def read_settings(data: bytes, path: str = "hqd.toml") -> ReadSettings:
    """Reads hqd.toml. Rules about two objects are `core/checks/playbooks.py`'s."""
    toml = read_toml(data, path)
    if toml.problems:
        return ReadSettings(path, None, toml, toml.problems)
    reading = _Reading(path, toml)
    written = toml.values.get("format")
    if isinstance(written, int) and not isinstance(written, bool) and written > FORMAT:
        reading.fault(("format",), f"format {written}; this hqd knows formats up to {FORMAT}", "upgrade hqd")
        return ReadSettings(path, None, toml, tuple(reading.problems), newer=True)
    settings = reading.settings()
    problems = tuple(sorted(reading.problems, key=lambda problem: problem.line))
    return ReadSettings(path, None if any(p.stops for p in problems) else settings, toml, problems)


@dataclass
class _Reading:
    path: str
    toml: Toml
    problems: list[Problem] = field(default_factory=list)

    def fault(self, place: Place, message: str, remedy: str = "", level: ProblemLevel = ProblemLevel.ERROR) -> None:
        key = spell(place, self.toml.values)
        self.problems.append(Problem(self.path, self.toml.line(place), key, message, remedy, level, place))

    def settings(self) -> Settings | None:
        raw = dict(self.toml.values)
        if "format" not in raw:
            self.fault(("format",), "is missing", f"write format = {FORMAT} as the first line")
            raw["format"] = FORMAT
        elif raw["format"] != FORMAT or isinstance(raw["format"], bool):
            self.fault(("format",), f"has to be {FORMAT}")
            raw["format"] = FORMAT
        self._defaults(raw)
        self._gates(raw)
        for index, notify in enumerate(raw["notify"] if isinstance(raw.get("notify"), list) else ()):
            self._notify(notify, ("notify", index))
        settings, wrong = shape(Settings, raw, self.path, self.toml.line)
        self.problems += wrong
        for name, agent in settings.agents.items() if settings is not None else ():
            self._agent(name, agent)
        return settings

    def _defaults(self, raw: dict[str, Any]) -> None:
        defaults = raw.get("defaults")
        if isinstance(defaults, Mapping) and "on_fail" in defaults:
            place = ("defaults", "on_fail")
            ladder, wrong = read_ladder(defaults["on_fail"], self.path, place, self.toml.line)
            self.problems += wrong
            raw["defaults"] = {**defaults, "on_fail": ladder}

    def _gates(self, raw: dict[str, Any]) -> None:
        gates = raw.get("gates")
        if not isinstance(gates, Mapping):
            return
        made: dict[str, Any] = {}
        for name, gate in gates.items():
            place = ("gates", name)
            if NAME.fullmatch(name) is None:
                self.fault(place, f"{name!r} is no name for a gate", "use letters, digits, _ . -")
            if isinstance(gate, Mapping) and gate.get("name", name) != name:
                self.fault((*place, "name"), f"is named {name} already", "remove the key")
            named = {**gate, "name": name} if isinstance(gate, Mapping) else gate
            spec, wrong = read_gate(named, self.path, place, self.toml.line, self.toml.values)
            self.problems += wrong
            if spec is not None:
                made[name] = spec
        raw["gates"] = made

    def _notify(self, notify: Any, place: Place) -> None:
        if not isinstance(notify, Mapping):
            return
        if ("command" in notify) == ("webhook" in notify):
            self.fault(place, "needs exactly one of command and webhook")
        for index, event in enumerate(notify["on"] if isinstance(notify.get("on"), list) else ()):
            if isinstance(event, str) and event not in NOTIFY_ON:
                self.fault((*place, "on", index), f"{event} is nothing to be told of", meant(event, NOTIFY_ON))

    def _agent(self, name: str, agent: AgentSettings) -> None:
        place: Place = ("agents", name)
        for key in sorted(agent.model_fields_set - _KEYS[agent.provider]):
            self.fault((*place, key), f"means nothing to provider {agent.provider}", "remove it")
        if agent.provider == "anthropic" and agent.model is None:
            self.fault(place, "an anthropic agent needs a model", 'write model = "claude-sonnet-4-5"')
        elif agent.provider == "replay" and agent.answers is None:
            self.fault(place, "a replay agent needs answers", 'write answers = "FILE.jsonl"')
        elif agent.provider == "command":
            self._command(agent, place)

    def _command(self, agent: AgentSettings, place: Place) -> None:
        if (agent.preset is None) == (not agent.argv):
            self.fault(place, "a command agent needs exactly one of preset and argv", 'write argv = ["PROGRAM", "…"]')
        elif agent.argv and agent.argv[0] == PLACEHOLDER:
            remedy = "put the program that does the work; it gets the prompt on standard input"
            self.fault((*place, "argv"), "is a placeholder: no work can be done", remedy, ProblemLevel.WARNING)
        elif agent.argv and not agent.argv[0].strip():
            self.fault((*place, "argv"), "begins with an empty name", "put the program first")
        if agent.args and agent.preset is None:
            self.fault((*place, "args"), "goes with preset", "append it to argv")
