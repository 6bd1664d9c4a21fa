"""The ids of everything that a pure kind reads: the key of its verdict."""

from __future__ import annotations

import hashlib

from hqd.gates.kind import View
from hqd.gates.parameters import Prepared

FILES = frozenset({"files", "base", "sources"})


def reading(prepared: Prepared, view: View) -> str | None:
    """The cache key; None where something is read that has no id (files without `identity`)."""
    parts = [prepared.version, view.name if "name" in prepared.kind.reads else "", *(p.digest for p in view.pieces)]
    for name in prepared.kind.reads:
        if name == "name":
            continue
        if name == "agent":
            parts.append(_agent(prepared, view))
            continue
        if name == "outputs":
            parts.append(f"outputs:{view.subject.facts.get('outputs')!r}")
            continue
        value = getattr(view.subject, name)
        if name in FILES and value is not None:
            identity = getattr(value, "identity", None)
            if identity is None:
                return None
            parts.append(f"{name}:{identity}")
        else:
            parts.append(f"{name}:{value!r}")
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _agent(prepared: Prepared, view: View) -> str:
    agent = getattr(prepared.params, "agent", "")
    return view.doors.asks.identity(agent) if view.doors.asks is not None else ""
