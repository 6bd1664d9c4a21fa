"""Routes that can never be taken, as far as it can be known without any facts."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError

from hqd.core.expressions import compile_expression
from hqd.errors import ExpressionFault
from hqd.model.playbook import Route, Step

_PARSER = Environment(autoescape=True)


def holds_always(route: Route) -> bool:
    """No `when`, or one that is true whatever happens."""
    return route.when is None or _constant(route.when) is True


def never(route: Route, step: Step) -> str | None:
    """Why the route is never taken; None where nothing says so."""
    if route.when is None:
        return None
    if _constant(route.when) is False:
        return "is never taken: it does not hold, whatever happens"
    fields = step.output if isinstance(step.output, dict) else {}
    for name, value in _equalities(route.when):
        allowed = fields.get(name)
        if isinstance(allowed, list) and value not in allowed:
            return f"is never taken: output.{name} is one of {', '.join(map(str, allowed))}, never {value!r}"
    return None


def _constant(source: str) -> bool | None:
    """What an expression without any facts comes to; None where it looks at some, or is faulty."""
    try:
        compiled = compile_expression(source)
        return compiled.holds({}) if not compiled.names() else None
    except ExpressionFault:
        return None


def _equalities(source: str) -> Iterator[tuple[str, object]]:
    """`output.NAME == VALUE`, all of which have to hold."""
    try:
        (output,) = _PARSER.parse("{{ " + source + " }}").find_all(nodes.Output)
    except (TemplateSyntaxError, ValueError):
        return
    for part in _conjuncts(output.nodes[0]):
        if isinstance(part, nodes.Compare) and [each.op for each in part.ops] == ["eq"]:
            sides = (part.expr, part.ops[0].expr)
            name = next((found for side in sides if (found := _field(side)) is not None), None)
            value = next((side.value for side in sides if isinstance(side, nodes.Const)), None)
            if name is not None and value is not None:
                yield name, value


def _conjuncts(node: nodes.Node) -> Iterator[nodes.Node]:
    if isinstance(node, nodes.And):
        yield from _conjuncts(node.left)
        yield from _conjuncts(node.right)
    else:
        yield node


def _field(node: nodes.Node) -> str | None:
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == "output":
        return node.attr
    return None
