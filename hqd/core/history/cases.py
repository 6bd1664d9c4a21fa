"""Cases: labelled outputs with their clusters and with what a person took in their place. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hqd.core.history.labels import Labelled
from hqd.model.corpus import Case, Label


def cases(labelled: Iterable[Labelled], group: Mapping[str, str]) -> list[Case]:
    """One case for each output, in order. `group`: task -> cluster."""
    found = [_case(each, group) for each in labelled]
    _correct(found)
    return found


def _case(labelled: Labelled, group: Mapping[str, str]) -> Case:
    event, verdict = labelled.event, labelled.verdict
    return Case(
        event.task,
        event.n,
        event.step or "",
        event.attempt or 0,
        event.order,
        event.commit,
        event.at,
        event.playbook,
        event.agent,
        event.model,
        event.outcome or "",
        event.failure,
        event.output or "",
        event.output_blob or "",
        group[event.task],
        verdict.label,
        verdict.source,
        verdict.reason,
        verdict.order,
        verdict.at,
        verdict.size,
        labelled.seen,
        event.cost,
        event.pin,
        corrected=verdict.became,
        red=",".join(labelled.red),
        probability=labelled.probability,
    )


def _correct(found: list[Case]) -> None:
    """What a person took in place of a rejected output: the next one of the same step that was accepted."""
    taken: dict[tuple[str, str], str] = {}
    for place in range(len(found) - 1, -1, -1):
        case = found[place]
        if case.label in (Label.ACCEPTED, Label.EDITED):
            taken[case.task, case.step] = case.corrected or case.blob
        elif case.label is Label.REJECTED and (case.task, case.step) in taken:
            found[place] = case._replace(corrected=taken[case.task, case.step])
