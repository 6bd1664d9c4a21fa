"""Routes that can never be taken, as far as it can be known without any facts."""

from __future__ import annotations

from hqd.core.language.expressions import compile_expression
from hqd.errors import ExpressionFault
from hqd.model.playbook import Route, Step


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
    if not fields:
        return None
    from hqd.core.language.equalities import equalities  # here: it brings Jinja2's parser with it

    for name, value in equalities(route.when):
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
