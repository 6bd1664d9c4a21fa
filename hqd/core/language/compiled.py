"""Expressions and templates compiled by the sandboxed Jinja2. Made by `expressions`, which keeps what it has made."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from jinja2 import Template, meta, nodes
from jinja2.environment import TemplateExpression
from jinja2.exceptions import TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.parser import Parser

from hqd.core.language.analysis import ROOTS, Analysis, Reference
from hqd.core.language.sandbox import BUDGET, MAPPING_METHODS, MAX_TEXT, Budget, Missing, Sandbox, text_of
from hqd.errors import ExpressionFault

MAX_EXPRESSION = 4_000  # characters of source
MAX_TEMPLATE = 256_000

_SANDBOX = Sandbox()
_FAULTS = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RecursionError,
    MemoryError,
)


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. Made by `expression`."""

    source: str
    analysis: Analysis
    _run: TemplateExpression = field(repr=False, compare=False)

    def names(self) -> frozenset[str]:
        """The root names used: `task`, `output`, …"""
        return self.analysis.names()

    def unknown(self, roots: Iterable[str] = ROOTS) -> tuple[tuple[int, str, str], ...]:
        return self.analysis.unknown(roots)

    def evaluate(self, facts: Mapping[str, Any]) -> Any:
        """The value. Raises ExpressionFault, also for an undefined anywhere inside the value."""
        try:
            value = self._run({**facts, BUDGET: Budget()})
            _all_defined(value)
        except _FAULTS as error:
            raise ExpressionFault(self._fault(error, facts), line=1) from error
        return value

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether the value counts as true. Raises ExpressionFault."""
        return bool(self.evaluate(facts))

    def _fault(self, error: BaseException, facts: Mapping[str, Any]) -> str:
        return f"`{_short(self.source)}`: {_reason(error, self.analysis, facts)}"


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A compiled text with `{{ … }}` in it. Made by `text`."""

    source: str
    name: str
    analysis: Analysis
    _template: Template = field(repr=False, compare=False)

    def names(self) -> frozenset[str]:
        return self.analysis.names()

    def unknown(self, roots: Iterable[str] = ROOTS) -> tuple[tuple[int, str, str], ...]:
        return self.analysis.unknown(roots)

    def render(self, facts: Mapping[str, Any]) -> str:
        """The text. Raises ExpressionFault with the line."""
        parts: list[str] = []
        size = 0
        try:
            for part in self._template.root_render_func(self._template.new_context({**facts, BUDGET: Budget()})):
                size += len(part)
                if size > MAX_TEXT:
                    raise ExpressionFault(f"{self._where(0)}the text is longer than {MAX_TEXT} characters")
                parts.append(part)
        except _FAULTS as error:
            line = _template_line(error.__traceback__, self._template)
            raise ExpressionFault(self._where(line) + _reason(error, self.analysis, facts), line=line) from error
        return "".join(parts)

    def _where(self, line: int) -> str:
        name = self.name or f"`{_short(self.source)}`"
        return f"{name}:{line}: " if self.name and line else f"{name}: "


def expression(source: str) -> Expression:
    """Compiles an expression (no braces). Raises ExpressionFault."""
    if len(source) > MAX_EXPRESSION:
        raise ExpressionFault(f"an expression of {len(source)} characters; at most {MAX_EXPRESSION}")
    if not source.strip():
        raise ExpressionFault("an empty expression", remedy="write a condition, or leave the key out")
    try:
        run = _SANDBOX.compile_expression(source, undefined_to_none=False)
        tree = Parser(_SANDBOX, source, state="variable").parse_expression()
    except TemplateSyntaxError as error:
        raise ExpressionFault(
            f"`{_short(source)}`: {error.message}", line=error.lineno, remedy=_hint(source)
        ) from error
    except (RecursionError, MemoryError, SyntaxError, ValueError, TemplateError) as error:
        raise ExpressionFault(f"`{_short(source)}`: cannot be compiled: {_deep(error)}", line=1) from error
    tree.set_environment(_SANDBOX)
    output = nodes.Template([nodes.Output([tree], lineno=1)], lineno=1)
    return Expression(source, _analyse(output.set_environment(_SANDBOX)), run)  # type: ignore[arg-type]


def text(source: str, name: str = "") -> TextTemplate:
    """Compiles a text with braces; `name` (a path) stands in its faults. Raises ExpressionFault."""
    label = name or f"`{_short(source)}`"
    if len(source) > MAX_TEMPLATE:
        raise ExpressionFault(f"{label}: a template of {len(source)} characters; at most {MAX_TEMPLATE}")
    try:
        analysis = _analyse(_SANDBOX.parse(source))
        template = _SANDBOX.from_string(source)
    except TemplateSyntaxError as error:
        where = f"{label}:{error.lineno}" if name else label
        raise ExpressionFault(f"{where}: {error.message}", line=error.lineno) from error
    except (RecursionError, MemoryError, SyntaxError, ValueError, TemplateError) as error:
        raise ExpressionFault(f"{label}: cannot be compiled: {_deep(error)}") from error
    return TextTemplate(source, name, analysis, template)


def _analyse(tree: nodes.Template) -> Analysis:
    free = {name for name in meta.find_undeclared_variables(tree) if name not in _SANDBOX.globals}
    lines: dict[str, int] = {}
    for name in tree.find_all(nodes.Name):
        if name.name in free and name.ctx == "load":
            lines[name.name] = min(name.lineno, lines.get(name.name, name.lineno))
    bound = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    return Analysis(
        roots=tuple(sorted((name, lines.get(name, 1)) for name in free)),
        references=tuple(_references(tree, free - bound)),
    )


def _references(tree: nodes.Template, free: set[str]) -> Iterator[Reference]:
    asked = tree.find_all((nodes.Test, nodes.Filter))
    guards = {_reference(getattr(node, "node", None)) for node in asked if _guards(node)}
    called = {id(call.node) for call in tree.find_all(nodes.Call)}
    seen: set[tuple[str, str]] = set()
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        found = _reference(node)
        if found is None or found in seen or found[0] not in free:
            continue
        if id(node) in called and found[1] in MAPPING_METHODS:
            continue
        seen.add(found)
        yield Reference(*found, node.lineno, found in guards)


def _guards(node: nodes.Node) -> bool:
    return getattr(node, "name", "") in ({"defined", "undefined"} if isinstance(node, nodes.Test) else {"default", "d"})


def _reference(node: nodes.Node | None) -> tuple[str, str] | None:
    """(root, name) of `root.name` or `root['name']`, also when more follows; None for anything else."""
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        name = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
        if isinstance(node.node, nodes.Name):
            return (node.node.name, name) if isinstance(name, str) else None
        node = node.node
    return None


def _all_defined(value: Any, depth: int = 0) -> None:
    if isinstance(value, Missing):
        value.fail()
    if depth < 8 and isinstance(value, list | tuple | set):
        for item in value:
            _all_defined(item, depth + 1)
    elif depth < 8 and isinstance(value, Mapping):
        for item in value.values():
            _all_defined(item, depth + 1)
    elif callable(value) or isinstance(value, Iterator):
        text_of(value)
        raise TypeError("the value is a stream; add `| list`")


def _reason(error: BaseException, analysis: Analysis, facts: Mapping[str, Any]) -> str:
    if isinstance(error, UndefinedError):
        missing = str(error.message)
        paths = sorted({f"{use.root}.{use.name}" for use in analysis.references if use.name == missing})
        text = f"{paths[0] if paths else missing} is not defined"
    else:
        text = _deep(error)
    values = ", ".join(f"{name} = {_value(facts[name])}" for name, _ in analysis.roots if name in facts)
    return f"{text} ({values})" if values else text


def _deep(error: BaseException) -> str:
    if isinstance(error, RecursionError | MemoryError):
        return "it is nested too deeply"
    return str(error) or type(error).__name__


def _value(value: Any) -> str:
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    return short.repr(dict(value) if isinstance(value, Mapping) else value)


def _short(source: str) -> str:
    text = " ".join(source.split())
    return text if len(text) <= 80 else text[:77] + "…"


def _hint(source: str) -> str:
    return "write it without braces" if "{{" in source or "{%" in source else ""


def _template_line(trace: TracebackType | None, template: Template) -> int:
    """The template's line in which an error was raised; 0 where it is not known."""
    line = 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line
