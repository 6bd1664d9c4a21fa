"""What an expression asks of the output's fields, read from its syntax tree."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError

_PARSER = Environment(autoescape=True)


def equalities(source: str) -> Iterator[tuple[str, object]]:
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
