"""A commit of main in words for the guided tour: from its subject and its record, nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from hqd.cli.demo.stage import News
from hqd.model.failure import Outcome
from hqd.model.gate import GateStatus
from hqd.model.record import EventKind, Record
from hqd.model.task import State

_STYLES = {State.DONE: "green", State.BLOCKED: "red", State.REVIEW: "yellow"}
Styled = tuple[str, str]


def headline(news: News) -> Styled:
    """`dbd7d7d  spring-prices: write failed -> write`."""
    style = "dim" if news.record is None or news.record.event is EventKind.CLAIMED else ""
    if news.record is not None:
        failed = news.record.outcome is Outcome.FAILED
        style = "red" if failed else _STYLES.get(news.record.to, style)
    return f"{news.commit[:7]}  {news.subject.removeprefix('hqd: ')}", style


def comment(news: News) -> Iterator[Styled]:
    """What a person would ask about it."""
    record = news.record
    if record is None:
        return
    match record.event:
        case EventKind.CLAIMED if record.agent and record.mode == "retry":
            yield f"{record.agent} again, attempt {record.attempt}, with the finding in its prompt", "dim"
        case EventKind.FINISHED:
            yield from _gates(record)
        case EventKind.ROUTED:
            yield from ((f"sent back: {finding.text}", "yellow") for finding in record.findings)
        case EventKind.PARKED:
            yield "no agent can mend this: it waits for a human", "red"
        case EventKind.REVIEW_OPENED if record.review is not None:
            yield f"branch {record.review.branch} is open for review", "yellow"
        case EventKind.RESUMED:
            yield f"by {record.by}, via {record.via.value if record.via else 'hqd'}: round {record.round}", "dim"
        case _:
            return


def _gates(record: Record) -> Iterator[Styled]:
    red = [gate for gate in record.gates if gate.status in (GateStatus.FAIL, GateStatus.ERROR)]
    for gate in red:
        yield f"gate {gate.name}: {gate.message}", "red"
    if record.gates and not red:
        yield f"passes {', '.join(gate.name for gate in record.gates)}", "dim"
