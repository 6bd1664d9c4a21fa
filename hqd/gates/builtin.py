"""All kinds that come with hqd."""

from __future__ import annotations

from collections.abc import Mapping

from hqd.gates import command, presence, size, structure, text
from hqd.gates.kind import GateKind

KINDS: Mapping[str, GateKind] = {
    kind.name: kind for group in (presence, structure, text, size, command) for kind in group.KINDS
}
