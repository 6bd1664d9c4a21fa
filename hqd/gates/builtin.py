"""All kinds that come with hqd."""

from __future__ import annotations

from collections.abc import Mapping

from hqd.gates import (
    code,
    command,
    composite,
    forge,
    judgement,
    likeness,
    presence,
    quotes,
    references,
    safety,
    size,
    structure,
    text,
    weakened,
)
from hqd.gates.kind import GateKind

KINDS: Mapping[str, GateKind] = {
    kind.name: kind
    for group in (
        presence,
        structure,
        text,
        size,
        references,
        quotes,
        likeness,
        code,
        weakened,
        command,
        safety,
        judgement,
        composite,
        forge,
    )
    for kind in group.KINDS
}
