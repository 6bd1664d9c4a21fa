"""From a gate as written to validated parameters: templates rendered, wrong ones named, the version hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from hqd.core.language.expressions import compile_expression, compile_text
from hqd.errors import ExpressionFault
from hqd.gates.kind import CannotJudge, GateKind, Params
from hqd.model.spelling import meant

LONG = 20_000
"""Characters of parameters that are not kept in memory for the next attempt."""

COMMON_KEYS = frozenset({"name", "kind", "level", "target", "when", "not", "message"})
"""Keys that all gates have; everything else belongs to the kind."""

_OF_THE_STEP = frozenset(
    {"on_fail", "routes", "agent", "prompt", "context", "deliver", "review", "ask", "run", "spawn"}
)
_EXPECTED = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a table",
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A kind with parameters that are ready to be used."""

    kind: GateKind
    params: Params
    version: str


class BadParameters(Exception):
    """Parameters that do not fit their kind; `faults` are messages for people, each naming its parameter."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def is_template(text: str) -> bool:
    return "{{" in text or "{%" in text


def canonical(params: Mapping[str, Any]) -> str:
    """One text for equal parameters."""
    return json.dumps(params, sort_keys=True, ensure_ascii=False, default=repr, separators=(",", ":"))


def version(kind: GateKind, text: str) -> str:
    """Short hash of the kind, its version and canonical parameters."""
    return hashlib.sha256(f"{kind.name}\0{kind.version}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:12]


def prepare(kind: GateKind, params: Mapping[str, Any], facts: Mapping[str, Any]) -> Prepared:
    """Renders and validates. Raises CannotJudge with a message that names the parameter."""
    text = canonical(params)
    if is_template(text):
        try:
            params = {key: value if key in kind.raw else _render(value, facts, key) for key, value in params.items()}
        except ExpressionFault as fault:
            raise CannotJudge(str(fault)) from None
        text = canonical(params)
    try:
        if len(text) > LONG:
            return Prepared(kind, validate(kind, params), version(kind, text))
        return _validated(kind.name, text, _Held(kind, dict(params)))
    except BadParameters as bad:
        raise CannotJudge(f"wrong parameters: {bad}") from None


class _Held:
    """Carries a kind and its parameters past the cache, whose key is their text."""

    def __init__(self, kind: GateKind, params: dict[str, Any]) -> None:
        self.kind = kind
        self.params = params

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and self.kind is other.kind

    def __hash__(self) -> int:
        return id(self.kind)


@lru_cache(maxsize=4096)
def _validated(_name: str, text: str, held: _Held) -> Prepared:
    return Prepared(held.kind, validate(held.kind, held.params), version(held.kind, text))


def validate(kind: GateKind, params: Mapping[str, Any]) -> Params:
    """The parameters of a kind. Raises BadParameters."""
    try:
        return kind.params.model_validate(dict(params))
    except ValidationError as error:
        raise BadParameters(tuple(_message(kind, dict(fault), params) for fault in error.errors())) from None


def faults(kind: GateKind, params: Mapping[str, Any]) -> tuple[str, ...]:
    """What can be known of parameters before a task is there: templates that do not compile, wrong names and types.

    The type of a parameter that is a template is known only when it is rendered.
    """
    found: list[str] = []
    templates = set()
    for key, value in params.items():
        if key in kind.raw:
            continue
        for text in _texts(value):
            if is_template(text):
                templates.add(key)
                found.extend(f"{key}: {fault}" for fault in text_faults(text))
    try:
        model = kind.params.model_validate(dict(params))
    except ValidationError as error:
        for fault in error.errors():
            place = fault["loc"]
            if (place and str(place[0]) in templates) or (not place and templates):
                continue
            found.append(_message(kind, dict(fault), params))
        return tuple(found)
    if kind.check is not None and not templates:
        found.extend(kind.check(model))
    return tuple(found)


def text_faults(source: str) -> tuple[str, ...]:
    """What can be known to be wrong with a template: its syntax, and names that nothing has."""
    try:
        unknown = compile_text(source).unknown()
    except ExpressionFault as fault:
        return (str(fault),)
    return tuple(f"{message}; {remedy}" for _, message, remedy in unknown)


def expression_faults(source: str) -> tuple[str, ...]:
    """The same for an expression, which has no braces."""
    try:
        unknown = compile_expression(source).unknown()
    except ExpressionFault as fault:
        return (str(fault),)
    return tuple(f"{message}; {remedy}" for _, message, remedy in unknown)


def _render(value: Any, facts: Mapping[str, Any], key: str) -> Any:
    if isinstance(value, str):
        if not is_template(value):
            return value
        try:
            return compile_text(value).render(facts)
        except ExpressionFault as fault:
            raise ExpressionFault(f"{key}: {fault}") from None
    if isinstance(value, dict):
        return {inner: _render(item, facts, key) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_render(item, facts, key) for item in value]
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _message(kind: GateKind, fault: dict[str, Any], params: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{place}: {_unknown(kind, str(fault['loc'][0]), set(params))}"
    text = _EXPECTED.get(fault["type"]) or str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "missing":
        return f"{place}: {text}; {kind.name} needs it"
    return f"{place}: {text}" if place else text


def _unknown(kind: GateKind, key: str, given: set[str]) -> str:
    if key in _OF_THE_STEP:
        return "belongs to the step, not to a gate; write it above the step's first [[steps.gates]]"
    known = {field.alias or name for name, field in kind.params.model_fields.items()}
    if not known:
        return f"{kind.name} has no parameters"
    return f"is no parameter of {kind.name}; {meant(key, known - given or known)}"
