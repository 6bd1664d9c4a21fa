"""The Jinja2 environment of hqd's expression language: what it may reach, and how much it may use.

Whoever writes a playbook may make mistakes but may not stop the daemon: no attribute leads out of the facts, and
every construct whose cost is not bounded by the length of the source and of the facts is counted or refused
(loops, repetition, powers, widths, joins, replacements). Nothing random and no clock: the same facts give the same
text, to the byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from jinja2 import StrictUndefined, nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.filters import FILTERS
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_TEXT = 8_000_000  # characters of one value
MAX_WORK = 64_000_000  # characters made in one evaluation, all values together
MAX_STEPS = 200_000  # turns of all loops of one evaluation
MAX_RANGE = 10_000
MAX_BITS = 10_000
MAX_WIDTH = 999
BUDGET = "the budget"  # no name that a template can write

MAPPING_METHODS = frozenset({"get", "items", "keys", "values"})
_STR_METHODS = """
capitalize casefold count endswith find format index isalnum isalpha isdecimal isdigit islower isnumeric isspace istitle
isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit rstrip split
splitlines startswith strip swapcase title upper
""".split()  # noqa: SIM905 - one word a line otherwise
_FILTERS = """
abs capitalize count d default dictsort first float groupby int items last length list lower map max min reject
rejectattr reverse select selectattr sort string title trim truncate unique upper urlencode wordcount
""".split()  # noqa: SIM905 - one word a line otherwise
_REFUSED_NODES: tuple[tuple[type[nodes.Node], str], ...] = (
    (nodes.Macro, "macros"),
    (nodes.CallBlock, "call blocks"),
    (nodes.Include, "includes"),
    (nodes.Import, "imports"),
    (nodes.FromImport, "imports"),
    (nodes.Extends, "extends"),
    (nodes.Block, "blocks"),
)
_WIDE = re.compile(r"\d{4}|\*|\{[^{}]*\{")


class Budget:
    """What one evaluation has used of its limits."""

    def __init__(self) -> None:
        self.steps = 0
        self.work = 0

    def turn(self, weight: int) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise SecurityError(f"more than {MAX_STEPS} turns of loops")
        self.spend(weight)

    def spend(self, characters: int) -> None:
        self.work += characters
        if self.work > MAX_WORK:
            raise SecurityError(f"more than {MAX_WORK} characters of work")


class Missing(StrictUndefined):
    """An undefined value that knows its bare name."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        return self._undefined_hint or str(self._undefined_name)

    def fail(self) -> NoReturn:
        raise self._undefined_exception(self._undefined_message)


def _spend(context: Context, value: Any) -> Any:
    budget = context.get(BUDGET)
    if isinstance(budget, Budget) and isinstance(value, str | list | tuple):
        budget.spend(len(value))
    return value


def _room(size: int) -> None:
    if size > MAX_TEXT:
        raise SecurityError(f"a value of {size} characters or items, more than {MAX_TEXT}")


def _check_format(text: str) -> None:
    if _WIDE.search(text):
        raise SecurityError(f"a format with widths above {MAX_WIDTH}, `*` or nested braces")


def _number(value: Any, limit: int, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > limit:
        raise SecurityError(f"{what} has to be a whole number, at most {limit}")


# --- filters whose result can be much larger than what goes in -----------------------------------------------------


@pass_context
def _join(context: Context, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    if attribute is not None:
        value = FILTERS["map"](context, value, attribute=attribute)
    parts = []
    for part in value:
        parts.append(text_of(part))
        _spend(context, parts[-1])
    _room(sum(map(len, parts)) + len(d) * len(parts))
    return str(_spend(context, str(d).join(parts)))


@pass_context
def _replace(context: Context, s: Any, old: str, new: str, count: int = -1) -> str:
    text = text_of(s)
    found = text.count(str(old)) if count is None or count < 0 else min(count, text.count(str(old)))
    _room(len(text) + found * len(str(new)))
    return str(_spend(context, text.replace(str(old), str(new), -1 if count is None else count)))


@pass_context
def _indent(context: Context, s: Any, width: int = 4, first: bool = False, blank: bool = False) -> str:
    _number(width, 100, "the width")
    text = text_of(s)
    _room(len(text) + width * (text.count("\n") + 1))
    return str(_spend(context, FILTERS["indent"](text, width, first, blank)))


@pass_context
def _format(context: Context, value: str, *args: Any, **kwargs: Any) -> str:
    _check_format(str(value))
    return str(_spend(context, FILTERS["format"](str(value), *args, **kwargs)))


@pass_context
def _wordwrap(context: Context, s: Any, width: int = 79) -> str:
    _number(width, MAX_WIDTH, "the width")
    return str(_spend(context, FILTERS["wordwrap"](context.environment, text_of(s), max(1, width))))


def _round(value: Any, precision: int = 0, method: str = "common") -> Any:
    _number(precision, 30, "the precision")
    return FILTERS["round"](value, precision, method)


def _sum(value: Iterable[Any], attribute: str | None = None, start: float = 0) -> Any:
    items = list(value) if attribute is None else [_item(item, attribute) for item in value]
    if not all(isinstance(item, int | float) for item in (*items, start)):
        raise TypeError("sum adds numbers only")
    return sum(items, start)


def _item(value: Any, key: str) -> Any:
    for part in key.split("."):
        value = value[part]
    return value


@pass_context
def _batch(context: Context, value: Iterable[Any], linecount: int, fill_with: Any = None) -> list[Any]:
    _number(linecount, MAX_RANGE, "the size of a batch")
    return list(FILTERS["batch"](value, max(1, linecount), fill_with))


def _tojson(value: Any, indent: int | None = None) -> str:
    """Plain JSON, with the characters as they are: a prompt is no web page."""
    if indent is not None:
        _number(indent, 8, "the indent")
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)


@pass_context
def _counted(context: Context, value: Iterable[Any], weight: int) -> Iterator[Any]:
    budget = context.get(BUDGET)
    if isinstance(value, Missing):
        value.fail()
    for item in value:
        if isinstance(budget, Budget):
            budget.turn(weight)
        yield item


@pass_context
def _concatenated(context: Context, parts: Sequence[Any]) -> str:
    texts = [text_of(part) for part in parts]
    _room(sum(map(len, texts)))
    return str(_spend(context, "".join(texts)))


def _range(*args: int) -> range:
    made = range(*args)
    if len(made) > MAX_RANGE:
        raise OverflowError(f"a range of more than {MAX_RANGE}")
    return made


def text_of(value: Any) -> str:
    """How a value looks in a text: nothing for none, JSON for lists and mappings, else what Python says."""
    if isinstance(value, Missing):
        value.fail()
    if value is None:
        return ""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping | list | tuple):
        return _tojson(value)
    if callable(value):
        raise TypeError(f"{getattr(value, '__name__', 'this')} is a method, not a value")
    return str(value)


@pass_context
def _finalize(context: Context, value: Any) -> str:
    return str(_spend(context, text_of(value)))


# --- operators -----------------------------------------------------------------------------------------------------


def _check_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * abs(right) > MAX_BITS:
        raise SecurityError("a power this large")


def _check_times(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > MAX_BITS:
        raise SecurityError("a number this large")
    for sequence, times in ((left, right), (right, left)):
        if isinstance(sequence, str | bytes | list | tuple) and isinstance(times, int):
            _room(len(sequence) * max(0, times))


def _check_plus(left: Any, right: Any) -> None:
    if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
        _room(len(left) + len(right))


def _check_modulo(left: Any, right: Any) -> None:
    if isinstance(left, str | bytes):
        _check_format(left if isinstance(left, str) else left.decode("latin-1"))


_CHECKS: Mapping[str, Callable[[Any, Any], None]] = {
    "**": _check_power,
    "*": _check_times,
    "+": _check_plus,
    "%": _check_modulo,
}


class Sandbox(ImmutableSandboxedEnvironment):
    """Items before attributes, undefined is an error, all work is counted."""

    intercepted_binops = frozenset(_CHECKS)

    def __init__(self) -> None:
        super().__init__(
            undefined=Missing,
            finalize=_finalize,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            cache_size=0,
            autoescape=False,
        )
        self.globals = {"range": _range, "dict": dict, "namespace": self.globals["namespace"]}
        self.filters = {name: FILTERS[name] for name in _FILTERS} | {
            "join": _join,
            "replace": _replace,
            "indent": _indent,
            "format": _format,
            "wordwrap": _wordwrap,
            "round": _round,
            "sum": _sum,
            "batch": _batch,
            "tojson": _tojson,
            "_counted": _counted,
            "_concatenated": _concatenated,
        }

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            if attribute in obj:
                return obj[attribute]
            if attribute not in MAPPING_METHODS:
                return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                return self.undefined(obj=obj, name=argument)
        return super().getitem(obj, argument)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr not in _STR_METHODS:
            return False
        if isinstance(obj, bytes | type) or (callable(obj) and not isinstance(obj, Mapping | Undefined)):
            return type(obj).__module__ == "jinja2.runtime" and super().is_safe_attribute(obj, attr, value)
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _CHECKS[operator](left, right)
        return _spend(context, super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(getattr(__obj, "__wrapped__", __obj), "__self__", None)
        name = getattr(__obj, "__name__", "")
        if name == "strftime" and args:
            _check_format(str(args[0]))
        if isinstance(owner, str):
            if name == "format":
                _check_format(owner)
            elif name == "replace":
                return _replace(__context, owner, *args, **kwargs)
            elif name == "join" and len(args) == 1:
                return _join(__context, args[0], owner)
        return _spend(__context, super().call(__context, __obj, *args, **kwargs))

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        for kind, what in _REFUSED_NODES:
            found = next(source.find_all(kind), None)
            if found is not None:
                raise TemplateSyntaxError(f"{what} are not part of hqd's templates", found.lineno)
        for name in source.find_all(nodes.Name):
            if name.name == "self":
                raise TemplateSyntaxError("`self` is not part of hqd's templates", name.lineno)
        for choice in source.find_all(nodes.CondExpr):
            if choice.expr2 is None:
                raise TemplateSyntaxError("an `a if b` needs an `else`, or it may be undefined", choice.lineno)
        _count_loops(source, self)
        _count_joins(source, self)
        return super()._generate(source, *args, **kwargs)


def _count_loops(source: nodes.Template, env: Sandbox) -> None:
    for loop in source.find_all(nodes.For):
        if loop.recursive:
            raise TemplateSyntaxError("recursive loops are not part of hqd's templates", loop.lineno)
        weight = sum(len(data.data) for data in loop.find_all(nodes.TemplateData))
        wrapped = nodes.Filter(
            loop.iter, "_counted", [nodes.Const(weight, lineno=loop.lineno)], [], None, None, lineno=loop.lineno
        )
        loop.iter = wrapped.set_environment(env)


def _count_joins(node: nodes.Node, env: Sandbox) -> None:
    """Turns every `a ~ b` into a call that counts, wherever it stands."""
    for field in node.fields:
        value = getattr(node, field)
        if isinstance(value, nodes.Node):
            setattr(node, field, _counting(value, env))
        elif isinstance(value, list):
            value[:] = [_counting(item, env) if isinstance(item, nodes.Node) else item for item in value]


def _counting(node: nodes.Node, env: Sandbox) -> nodes.Node:
    _count_joins(node, env)
    if not isinstance(node, nodes.Concat):
        return node
    parts = nodes.List(node.nodes, lineno=node.lineno)
    joined = nodes.Filter(parts, "_concatenated", [], [], None, None, lineno=node.lineno)
    return joined.set_environment(env)
