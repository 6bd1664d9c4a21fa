"""Raw values to models: pydantic's errors as problems with a line, a key and a remedy."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hqd.model.problem import Place, Problem, inside, spell
from hqd.model.spelling import meant

Model = TypeVar("Model", bound=BaseModel)
LineOf = Callable[[Place], int]

_WORDS = {
    "missing": "is missing",
    "string_type": "has to be text",
    "int_type": "has to be a whole number",
    "int_parsing": "has to be a whole number",
    "int_from_float": "has to be a whole number",
    "float_type": "has to be a number",
    "float_parsing": "has to be a number",
    "finite_number": "has to be a finite number",
    "bool_type": "has to be true or false",
    "bool_parsing": "has to be true or false",
    "tuple_type": "has to be a list",
    "list_type": "has to be a list",
    "dict_type": "has to be a table",
    "model_type": "has to be a table",
    "model_attributes_type": "has to be a table",
    "date_from_datetime_parsing": "has to be a date or a time",
    "datetime_from_date_parsing": "has to be a date or a time",
    "datetime_parsing": "has to be a date or a time",
    "date_parsing": "has to be a date",
    "date_type": "has to be a date",
    "datetime_type": "has to be a time with its zone",
}


def shape(
    model: type[Model], raw: Mapping[str, Any], path: str, line_of: LineOf, spelled: Any = None
) -> tuple[Model | None, tuple[Problem, ...]]:
    """The model, or None and what is wrong. `spelled` is the raw data with names, for keys as people see them."""
    try:
        return model.model_validate(raw), ()
    except ValidationError as error:
        names = raw if spelled is None else spelled
        found: dict[Place, Problem] = {}
        for detail in error.errors(include_url=False):
            problem = _problem(model, raw, names, path, line_of, detail)
            found.setdefault(problem.place, problem)
        return None, tuple(found[place] for place in found if not _told_within(place, found))


def _told_within(place: Place, found: Mapping[Place, Problem]) -> bool:
    """What a table could be instead (true, a list) says nothing where the fault is inside the table."""
    return any(len(other) > len(place) and other[: len(place)] == place for other in found)


def _problem(model: type[BaseModel], raw: Any, names: Any, path: str, line_of: LineOf, detail: ErrorDetails) -> Problem:
    place = _written(detail["loc"], raw, absent=detail["type"] in ("missing", "extra_forbidden"))
    message, remedy = _words(detail)
    if detail["type"] == "extra_forbidden":
        owner = _model_at(model, place[:-1])
        remedy = meant(str(place[-1]), _keys(owner)) if owner is not None else ""
    return Problem(path, line_of(place), spell(place, names), message, remedy, place=place)


def _words(detail: ErrorDetails) -> tuple[str, str]:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return "unknown key", ""
    if kind == "literal_error":
        return f"has to be {detail['ctx']['expected']}".replace("'", ""), ""
    if kind == "enum":
        return f"has to be {detail['ctx']['expected']}".replace("'", ""), ""
    if kind == "value_error":
        return str(detail["ctx"]["error"]), ""
    if kind == "string_pattern_mismatch":
        return f"has to match {detail['ctx']['pattern']}", ""
    message = _WORDS.get(kind) or detail["msg"].replace("Input should be", "has to be").replace("Tuple", "it")
    return message, "put it in brackets: [ … ]" if message == "has to be a list" else ""


def _written(loc: Sequence[str | int], raw: Any, absent: bool) -> Place:
    """The error's place without what pydantic adds to it (names of union members)."""
    place: list[str | int] = []
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        inner = inside(raw, part)
        if inner is None and not (absent and last):
            continue
        raw = inner
        place.append(part)
    return tuple(place)


def _keys(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(info.alias or name for name, info in model.model_fields.items())


def _model_at(model: type[BaseModel], place: Place) -> type[BaseModel] | None:
    """The model that a place inside `model` holds; None where it is none, or one of several."""
    annotation: Any = model
    for part in place:
        annotation = _optional(annotation) or annotation
        if _is_model(annotation):
            fields = annotation.model_fields
            annotation = next((info.annotation for name, info in fields.items() if part in (name, info.alias)), None)
        else:  # a key of a free mapping, or a place in a list
            annotation = _element(annotation)
    while annotation is not None and not _is_model(annotation):
        annotation = _optional(annotation)
    return annotation if _is_model(annotation) else None


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _optional(annotation: Any) -> Any:
    """The one model in a union; None where there are several or none."""
    if typing.get_origin(annotation) not in (types.UnionType, typing.Union):
        return None
    models = [item for item in typing.get_args(annotation) if _is_model(item)]
    return models[0] if len(models) == 1 else None


def _element(annotation: Any) -> Any:
    """What a list or mapping holds; for a union with one model, that model's own keys are not elements."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is dict:
        return arguments[1]
    if origin in (tuple, list):
        return arguments[0]
    return next((_element(item) for item in arguments if typing.get_origin(item) in (dict, tuple, list)), None)
