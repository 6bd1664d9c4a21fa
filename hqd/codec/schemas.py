"""JSON Schemas for editors, of the files as people write them: gates flat, ladders mixed, no null.

Made from the models, so that they cannot fall behind them. In TOML, `#:schema PATH` as the first line tells an
editor (taplo, Even Better TOML) which one to use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from hqd.codec.gate import COMMON, NAME
from hqd.codec.ladder import KINDS
from hqd.codec.settings import NOTIFY_ON
from hqd.model.failure import Failure
from hqd.model.lesson import Lesson
from hqd.model.playbook import STEP_NAME, Playbook
from hqd.model.settings import FORMAT, Settings
from hqd.model.task import TaskHeader

Schema = dict[str, Any]
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas(gate_kinds: Iterable[str] = ()) -> Mapping[str, Schema]:
    """File name to schema: `hqd`, `playbook`, `task`, `lesson` (`.schema.json`). `gate_kinds` are offered as words."""
    kinds = tuple(sorted(gate_kinds))
    return {
        "hqd.schema.json": _schema(Settings, "hqd.toml", _settings, kinds),
        "playbook.schema.json": _schema(Playbook, "playbooks/NAME.toml", _playbook, kinds),
        "task.schema.json": _schema(TaskHeader, "the front matter of a task", _task, kinds),
        "lesson.schema.json": _schema(Lesson, "the front matter of a lesson", _lesson, kinds),
    }


def _schema(
    model: type[BaseModel], title: str, finish: Callable[[Schema], None], gate_kinds: tuple[str, ...]
) -> Schema:
    made = _written(model.model_json_schema(by_alias=True))
    assert isinstance(made, dict)  # noqa: S101 - for the type checker
    defs = made.setdefault("$defs", {})
    defs["GateSpec"] = _gate(gate_kinds)
    defs["Rung"] = _rung()
    finish(made)
    if model in (Lesson, TaskHeader):
        defs.pop("Rung")
    return {"$schema": _DIALECT, "title": title, **made}


def _written(value: Any) -> Any:
    """Without null (what is not set is not written), without the titles that only repeat a key, without defaults."""
    if isinstance(value, list):
        return [_written(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _written(item) for key, item in value.items() if not (key == "title" and isinstance(item, str))}
    if made.get("default", 0) in (None, [], {}) or isinstance(made.get("default"), dict):
        del made["default"]
    choices = made.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        rest = [choice for choice in choices if choice != {"type": "null"}]
        made.pop("anyOf")
        made = {**made, **rest[0]} if len(rest) == 1 else {**made, "anyOf": rest}
    return made


def _gate(kinds: tuple[str, ...]) -> Schema:
    kind: Schema = {"type": "string", "description": "what it checks; see the gate reference"}
    if kinds:
        kind["examples"] = list(kinds)
    properties: Schema = {
        "name": {"type": "string", "pattern": f"^{NAME.pattern}$", "description": "default: the kind, numbered"},
        "kind": kind,
        "level": {"enum": ["shadow", "warn", "enforce"], "default": "enforce"},
        "target": {"type": "string", "default": "output", "description": "output, task, file:GLOB, diff or key:PATH"},
        "when": {"type": "string", "description": "an expression without braces"},
        "not": {"type": "boolean", "default": False},
        "message": {"type": "string", "description": "what the agent is told instead of the kind's own words"},
    }
    assert set(properties) == COMMON  # noqa: S101 - a new common key has to be described here
    return {
        "type": "object",
        "description": "A gate: common keys, and beside them the parameters of its kind.",
        "properties": properties,
        "required": ["kind"],
        "additionalProperties": True,
    }


def _rung() -> Schema:
    count = {"type": "integer", "minimum": 1, "maximum": 100}
    values: dict[str, Schema] = {
        "retry": count,
        "fresh": count,
        "agent": {"type": "string"},
        "route": {"type": "string"},
        "human": {"const": True},
    }
    assert set(values) == set(KINDS)  # noqa: S101 - a new kind of rung has to be described here
    objects = []
    for kind, value in values.items():
        properties = {kind: value, "times": count} if kind in ("agent", "route") else {kind: value}
        objects.append({"type": "object", "properties": properties, "required": [kind], "additionalProperties": False})
    return {"anyOf": [{"const": "human"}, *objects], "description": "One rung of a ladder."}


def _settings(made: Schema) -> None:
    made["properties"]["format"] = {"const": FORMAT}
    made["$defs"]["Notify"]["properties"]["on"]["items"] = {"enum": sorted(NOTIFY_ON)}


def _playbook(made: Schema) -> None:
    made["required"] = ["steps"]
    made["properties"]["steps"]["minItems"] = 1
    made["properties"]["on"]["propertyNames"] = {"enum": [failure.value for failure in Failure]}
    made["$defs"]["Step"]["properties"]["name"] = {"type": "string", "pattern": f"^{STEP_NAME}$"}


def _task(made: Schema) -> None:
    """The author's own keys are welcome; one tag may stand without brackets."""
    properties = made["properties"]
    del properties["extra"]
    made["additionalProperties"] = True
    for key in ("tags", "needs", "aliases"):
        properties[key] = {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}
    for key in ("title", "playbook", "repo"):
        properties[key] = {"type": ["string", "number"]}
    properties["gates"] = {"type": "array", "items": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/GateSpec"}]}}


def _lesson(made: Schema) -> None:
    del made["properties"]["account"]
