"""JSON Schemas for gates: never fetches anything, and its patterns run with a time limit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import regex
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import SchemaError
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from hqd.gates import parsing, patterns
from hqd.gates.kind import CannotJudge, shorten
from hqd.model.gate import Files


class Validator:
    """A compiled schema."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def faults(self, value: Any) -> tuple[str, ...]:
        """Where the value does not fit, best first: `at a/0/b: 5 is not of type 'string'`. Raises CannotJudge."""
        try:
            errors = sorted(
                self._inner.iter_errors(value), key=lambda error: (len(error.absolute_path), str(error.absolute_path))
            )
        except Unresolvable as error:
            raise CannotJudge(f"the schema refers to {shorten(str(error))}, which is not in it") from None
        except RecursionError:
            raise CannotJudge("the value or the schema is nested too deeply") from None
        return tuple(_fault(error) for error in errors)


def load(schema: Mapping[str, Any] | str, sources: Files | None) -> Validator:
    """A schema as written, or from the HQ's files. Raises CannotJudge."""
    if not isinstance(schema, str):
        return compile_schema(schema)
    if sources is None:
        raise CannotJudge(f"schema: {schema} cannot be read: there are no files of the HQ here")
    for path in (f"playbooks/{schema}", schema):
        raw = sources.read(path)
        if raw is not None:
            try:
                read = parsing.json_value(raw.decode("utf-8-sig", "replace"))
            except parsing.Unreadable as error:
                raise CannotJudge(f"schema: {path} is not JSON: {error.message}") from None
            return compile_schema(read)
    raise CannotJudge(f"schema: there is no {schema} in the HQ, nor playbooks/{schema}")


def compile_schema(schema: Any) -> Validator:
    """A validator. Raises CannotJudge for what is no schema."""
    try:
        return _compiled(json.dumps(schema, sort_keys=True))
    except (TypeError, ValueError) as error:
        raise CannotJudge(f"is no JSON Schema: {error}") from None


@lru_cache(maxsize=256)
def _compiled(text: str) -> Validator:
    schema = json.loads(text)
    if not isinstance(schema, dict):
        raise CannotJudge("is no JSON Schema: it must be an object")
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        where = "/".join(str(part) for part in error.absolute_path)
        raise CannotJudge(f"is no JSON Schema: {shorten(error.message)}{f' at {where}' if where else ''}") from None
    except RecursionError:
        raise CannotJudge("is no JSON Schema: nested too deeply") from None
    for found in _patterns(schema):
        problem = patterns.fault(found, ())
        if problem:
            raise CannotJudge(f"pattern {shorten(found)}: {problem}")
    timed = extend(  # type: ignore[no-untyped-call]
        kind, {"pattern": _pattern, "patternProperties": _pattern_properties}
    )
    return Validator(timed(schema, registry=Registry()))


def _fault(error: ValidationError) -> str:
    where = "/".join(str(part) for part in error.absolute_path)
    message = error.message
    if error.validator == "enum":
        allowed: Any = error.validator_value
        message = f"must be one of {', '.join(json.dumps(one, ensure_ascii=False) for one in allowed)}"
    elif error.validator == "additionalProperties" or len(message) > 300:
        message = shorten(message, 300)
    return f"at {where}: {message}" if where else message


def _patterns(schema: Any) -> Iterator[str]:
    """Every regular expression of a schema. A property may be called `pattern`: then it holds no text."""
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        if isinstance(schema.get("patternProperties"), dict):
            yield from schema["patternProperties"]
        for inner in schema.values():
            yield from _patterns(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _patterns(inner)


def _search(pattern: str, text: str) -> bool:
    try:
        return patterns.compiled(pattern, ()).search(text, timeout=patterns.TIMEOUT) is not None
    except TimeoutError:
        raise CannotJudge(f"pattern {shorten(pattern)} ran longer than {patterns.TIMEOUT:g} s: it explodes") from None
    except regex.error as error:
        raise CannotJudge(f"pattern {shorten(pattern)}: {error}") from None


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _search(pattern, instance):
        yield ValidationError(f"{shorten(repr(instance))} does not match {pattern!r}")


def _pattern_properties(validator: Any, rules: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, inner in rules.items():
            for key, value in instance.items():
                if _search(pattern, key):
                    yield from validator.descend(value, inner, path=key, schema_path=pattern)
