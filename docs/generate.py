"""Rewrites the parts of docs/*.md that are made from code: `python docs/generate.py [--check]`.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`. With --check nothing is written; exit 1 names what
is out of date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from hqd.cli.reference import reference as cli_reference
from hqd.core.recovery import DEFAULTS, Default
from hqd.core.recovery import Path as Way
from hqd.core.transitions import diagram
from hqd.gates.reference import reference
from hqd.model.failure import Failure

DOCS = Path(__file__).resolve().parent
PART = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def way(failure: Failure, default: Default) -> str:
    match default.path:
        case Way.LADDER:
            return f"the ladder; then parked, `{default.reason.value}`"
        case Way.AGAIN:
            return f"again with the same inputs, with waits, bounded; then parked, `{default.reason.value}`"
        case Way.HOLD:
            return "a hold: the task waits, the attempt is not held against it"
        case Way.HUMAN:
            return f"parked at once, `{default.reason.value}`"
        case Way.OWNER:
            return f"once a round back to the agent step before it; then parked, `{default.reason.value}`"


def failures() -> str:
    """What each class of failure means and where it goes, from `core/recovery.py`."""
    rows = [
        f"| `{failure.value}` | {default.tell} | {way(failure, default)} |" for failure, default in DEFAULTS.items()
    ]
    return "\n".join(["| class | what happened | what follows |", "| --- | --- | --- |", *rows]) + "\n"


def state_diagram() -> str:
    """From the table of transitions."""
    return f"```mermaid\n{diagram()}```\n"


PARTS: dict[str, Callable[[], str]] = {
    "failures": failures,
    "state-diagram": state_diagram,
    "gates": reference,
    "cli": cli_reference,
}


def rewritten(text: str) -> str:
    """`text` with every generated part as the code says now. Raises KeyError for a part that nobody makes."""
    return PART.sub(lambda part: part[1] + "\n" + PARTS[part["name"]]() + "\n" + part[3], text)


def main(words: list[str]) -> int:
    stale = []
    for file in sorted(DOCS.glob("*.md")):
        old = file.read_text(encoding="utf-8")
        new = rewritten(old)
        if new != old:
            stale.append(file)
            if "--check" not in words:
                file.write_text(new, encoding="utf-8")
    for file in stale:
        sys.stdout.write(
            f"docs/{file.name}: {'out of date; run: python docs/generate.py' if '--check' in words else 'rewritten'}\n"
        )
    return 1 if stale and "--check" in words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
