"""Kinds from outside: installed plug-ins (entry point group `hqd.gates`) and modules given by name or object.

A plug-in is a GateKind, an iterable of them, a module with `KINDS`, or a callable that returns one of these. Whatever
is wrong with one becomes a named problem; it never takes the registry down.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType

from hqd.gates.kind import GateKind

GROUP = "hqd.gates"


@dataclass(frozen=True, slots=True)
class Plugin:
    """Where kinds come from. `load` may raise anything."""

    name: str
    load: Callable[[], object]


def installed() -> tuple[Plugin, ...]:
    """What is installed in this Python, in order of name."""
    found = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    return tuple(Plugin(f"{point.name} ({point.value})", point.load) for point in found)


def module(name: str) -> Plugin:
    """A plug-in by its module, for running from a checkout."""
    return Plugin(name, lambda: importlib.import_module(name))


def gather(plugins: Sequence[Plugin], taken: Iterable[str]) -> tuple[dict[str, GateKind], tuple[str, ...]]:
    """The kinds of all plug-ins that work, and one line for everything that does not.

    `taken` names cannot be used again: no plug-in may quietly change what a built-in gate means.
    """
    names = set(taken)
    kinds: dict[str, GateKind] = {}
    problems: list[str] = []
    for plugin in plugins:
        try:
            found = _kinds(plugin.load())
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises is its own fault, named below
            problems.append(f"gate plug-in {plugin.name}: {type(error).__name__}: {error}")
            continue
        for kind in found:
            if kind.name in names:
                problems.append(f"gate plug-in {plugin.name}: there is a gate kind {kind.name} already")
                continue
            names.add(kind.name)
            kinds[kind.name] = kind
    return kinds, tuple(problems)


def _kinds(loaded: object) -> tuple[GateKind, ...]:
    if isinstance(loaded, GateKind):
        return (loaded,)
    if isinstance(loaded, ModuleType):
        if not hasattr(loaded, "KINDS"):
            raise TypeError("the module has no KINDS")
        return _kinds(loaded.KINDS)
    if callable(loaded):
        return _kinds(loaded())
    if isinstance(loaded, Iterable):
        kinds = tuple(loaded)
        for kind in kinds:
            if not isinstance(kind, GateKind):
                raise TypeError(f"{kind!r} is no GateKind")
        return kinds
    raise TypeError(f"{loaded!r} is neither a GateKind, nor a module with KINDS, nor a list of kinds")
