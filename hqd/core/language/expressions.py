"""The one expression language of hqd: sandboxed Jinja2 over facts.

`when` and `feedback` are expressions, written without braces; prompts and text fields are templates, with braces.
Undefined is an error: at load where it can be known (`unknown()`), else an ExpressionFault that names the
expression, what is missing, and the values. `task.title` and `inputs.items` give the mapping's item; a mapping's
methods (`get, items, keys, values`) are reached only where no such item is.

This is the door; `compiled` behind it does the work. Jinja2 comes with the first source that is compiled: most commands
meet none, and importing it takes longer than what they do.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from hqd.core.language.analysis import ROOTS, TASK_ATTRIBUTES, Analysis, Reference

if TYPE_CHECKING:
    from hqd.core.language.compiled import Expression, TextTemplate

__all__ = ["ROOTS", "TASK_ATTRIBUTES", "Analysis", "Reference", "compile_expression", "compile_text"]


@lru_cache(maxsize=4096)
def compile_expression(source: str) -> Expression:
    """Compiles an expression (no braces). Raises ExpressionFault."""
    from hqd.core.language import compiled

    return compiled.expression(source)


@lru_cache(maxsize=4096)
def compile_text(source: str, name: str = "") -> TextTemplate:
    """Compiles a text with braces; `name` (a path) stands in its faults. Raises ExpressionFault."""
    from hqd.core.language import compiled

    return compiled.text(source, name)
