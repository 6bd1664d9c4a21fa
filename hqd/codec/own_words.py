"""What a program says of its own run, as the JSON object that it prints or writes to the file named by HQD_OUTPUT."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hqd.model.failure import Failure
from hqd.model.record import Usage

_MESSAGE = 500  # characters of a message for people


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a program said of its own run; `failure` None: it claims success. `spoke`: it gave an output at all."""

    text: str = ""
    usage: Usage = field(default_factory=Usage)
    model: str | None = None
    stop: str | None = None
    failure: Failure | None = None
    message: str = ""
    needs_human: str | None = None
    replan: str | None = None
    decisions: tuple[Mapping[str, Any], ...] = ()
    spoke: bool = True


def own_words(document: bytes) -> Parsed:
    """The JSON object that a program wrote to the file named by HQD_OUTPUT; MALFORMED for anything else."""
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        return malformed(f"the file named by HQD_OUTPUT is no JSON: {error}")
    if not isinstance(value, dict):
        return malformed("the file named by HQD_OUTPUT does not hold a JSON object")
    return from_object(value)


def from_object(value: Mapping[str, Any]) -> Parsed:
    """hqd's own object: `output`, `needs_human`, `replan`, `decisions`, `usage`, `model`; other keys are left alone."""
    output, usage = value.get("output"), mapping(value.get("usage"))
    parsed = Parsed(
        text=output if isinstance(output, str) else "" if output is None else json.dumps(output, ensure_ascii=False),
        usage=Usage(
            in_=integer(usage.get("input_tokens")),
            out=integer(usage.get("output_tokens")),
            cached=integer(usage.get("cached_tokens")),
            cost=dollars(usage.get("cost_usd")),
        ),
        model=string(value.get("model")),
        needs_human=string(value.get("needs_human")),
        replan=string(value.get("replan")),
        decisions=_decisions(value.get("decisions")),
        spoke=output is not None,
    )
    if parsed.needs_human:
        return replace(parsed, failure=Failure.NEEDS_HUMAN, message=one_line(parsed.needs_human))
    if parsed.replan:
        return replace(parsed, failure=Failure.REPLAN, message=one_line(parsed.replan))
    return parsed


def _decisions(value: object) -> tuple[Mapping[str, Any], ...]:
    """A list of tables, or of texts; one alone is a list of one."""
    rows = value if isinstance(value, list) else [value]
    return tuple(row if isinstance(row, dict) else {"decision": row} for row in rows if isinstance(row, dict | str))


def malformed(message: str) -> Parsed:
    """What cannot be read, and why."""
    return Parsed(failure=Failure.MALFORMED, message=one_line(message), spoke=False)


def one_line(text: str, limit: int = _MESSAGE) -> str:
    """The text on one line, cut with a mark."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def integer(value: object) -> int:
    return max(0, int(value)) if isinstance(value, int | float) and not isinstance(value, bool) and value < 1e15 else 0


def dollars(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return None
    return float(value)


def string(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
