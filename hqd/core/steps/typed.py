"""Typed outputs: a step's `output = { score = "float", … }` as a JSON Schema, and an answer read by it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_PLAIN: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "dict": {"type": "object"},
    "any": {},
}
_LIST = re.compile(r"list\[(.+)\]")
_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n```", re.DOTALL)


def schema_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of field types: `str int float bool dict any list[T]`, a list of allowed values, or nested.

    A `?` at the end of a field's name makes it optional. Raises ValueError naming the field that is no type.
    """
    properties = {name.removesuffix("?"): _type(name, spec) for name, spec in fields.items()}
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in fields if not name.endswith("?")],
        "additionalProperties": False,
    }


def _type(name: str, spec: Any) -> dict[str, Any]:
    if isinstance(spec, list):
        return {"enum": spec}
    if isinstance(spec, Mapping):
        return schema_of(spec)
    if isinstance(spec, str):
        if spec in _PLAIN:
            return dict(_PLAIN[spec])
        inner = _LIST.fullmatch(spec)
        if inner:
            return {"type": "array", "items": _type(name, inner[1])}
    raise ValueError(f"{name}: {spec!r} is no type (str, int, float, bool, dict, any, list[T], or a list of values)")


def check_schema(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a JSON Schema; None: nothing."""
    # jsonschema takes 40 ms to import, and most commands see no typed output: it is imported where it is used
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    try:
        validator_for(schema).check_schema(dict(schema))
    except SchemaError as fault:
        return fault.message
    return None


def read(text: str, schema: Mapping[str, Any]) -> tuple[Any, str | None]:
    """The data in an answer, and what is wrong with it (None: nothing), said so that the agent can act on it.

    JSON may stand alone, in one fenced block, or between prose: the first `{` to the last `}`.
    """
    from jsonschema.exceptions import ValidationError, best_match
    from jsonschema.validators import validator_for

    data, fault = _json(text)
    if fault is not None:
        return None, fault
    worst: ValidationError | None = best_match(validator_for(schema)(schema).iter_errors(data))
    if worst is None:
        return data, None
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in worst.absolute_path).lstrip(".")
    return None, f"{where or 'the answer'}: {worst.message}"


def _json(text: str) -> tuple[Any, str | None]:
    fences = _FENCE.findall(text)
    candidates = [text.strip(), *fences]
    first, last = text.find("{"), text.rfind("}")
    if 0 <= first < last:
        candidates.append(text[first : last + 1])
    fault = "the answer is not JSON"
    for candidate in candidates:
        try:
            return json.loads(candidate), None
        except (ValueError, RecursionError) as error:
            fault = f"the answer is not JSON: {error}"
    return None, fault


def ask_for(schema: Mapping[str, Any]) -> str:
    """The words that ask for a typed output; they stand at the end of the prompt."""
    text = json.dumps(schema, indent=2, ensure_ascii=False)
    return f"Answer with one JSON object and nothing else. It must fit this JSON Schema:\n\n```json\n{text}\n```\n"
