"""Which equalities a `pick` needs, so that rows can be looked up instead of tried one after the other.

Only a hint: the whole expression still decides. What is not plainly `row.KEY == …` and joined by `and` gives nothing.
"""

from __future__ import annotations

import functools

_OPEN, _CLOSE = ("(", "[", "{"), (")", "]", "}")
_WEAKER = frozenset({"or", "if", "else", "not"})
_COMPARISONS = frozenset({"==", "!=", "<", ">", "<=", ">=", "in", "is"})

Words = list[str]


@functools.lru_cache(maxsize=256)
def equalities(expression: str) -> tuple[tuple[str, str], ...]:
    """(KEY, source of the other side) of each `row.KEY == OTHER`, or the other way round, that must hold."""
    words = _words(expression)
    if words is None or _at_top(words) & _WEAKER:
        return ()
    found = (_equality(part) for part in _split(words, "and"))
    return tuple(pair for pair in found if pair is not None)


def _words(expression: str) -> Words | None:
    from jinja2 import Environment, TemplateSyntaxError  # here: an agent is made by commands that never ask it

    lexer = Environment(autoescape=False)  # noqa: S701 - cuts an expression into words; nothing is rendered
    try:
        tokens = list(lexer.lex("{{" + expression + "}}"))
    except TemplateSyntaxError:
        return None
    return [text for _, kind, text in tokens if kind not in ("whitespace", "variable_begin", "variable_end")]


def _split(words: Words, separator: str) -> list[Words]:
    parts: list[Words] = [[]]
    for word, depth in zip(words, _depths(words), strict=True):
        if depth == 0 and word == separator:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _depths(words: Words) -> list[int]:
    depth, depths = 0, []
    for word in words:
        depth -= word in _CLOSE
        depths.append(depth)
        depth += word in _OPEN
    return depths


def _at_top(words: Words) -> set[str]:
    return {word for word, depth in zip(words, _depths(words), strict=True) if depth == 0}


def _equality(words: Words) -> tuple[str, str] | None:
    sides = _split(words, "==")
    if len(sides) != 2 or any(_at_top(side) & _COMPARISONS for side in sides):
        return None
    for mine, other in (sides, sides[::-1]):
        key = _key(mine)
        if key is not None and other and "row" not in other:
            return key, " ".join(other)
    return None


def _key(words: Words) -> str | None:
    if len(words) == 3 and words[:2] == ["row", "."] and words[2].isidentifier():
        return words[2]
    if len(words) == 4 and words[:2] == ["row", "["] and words[3] == "]" and words[2][:1] in ("'", '"'):
        return words[2][1:-1]
    return None
