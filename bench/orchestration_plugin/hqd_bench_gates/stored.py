"""The oracle's gate: it is told which answers are good. Only one arm of the benchmark has it, to show the ceiling."""

from __future__ import annotations

import hashlib

from pydantic import Field

from hqd.gates.kind import GateKind, Params, Piece, Verdict, each


class StoredVerdict(Params):
    """Passes when the SHA-256 of the text stands in `good`."""

    good: tuple[str, ...] = Field(description="SHA-256 of each text that passes, in hexadecimal")


def stored_verdict(params: StoredVerdict, piece: Piece) -> Verdict:
    known = hashlib.sha256(piece.raw).hexdigest() in params.good
    return Verdict(known, "as stored" if known else "Not one of the answers that are known to be good.")


KINDS = (GateKind("stored_verdict", "bench", StoredVerdict, each(stored_verdict)),)
