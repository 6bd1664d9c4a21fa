"""`hqd show TASK`: one task with every attempt; or one file of one attempt, as it is."""

from __future__ import annotations

from typing import Any

from hqd.cli import terminal
from hqd.cli.board.finding import Told, commits_of, find
from hqd.cli.board.reading import View, now, view
from hqd.cli.board.status import _doing, _row, row
from hqd.cli.call import Call
from hqd.core.reviews.unjudged import in_words, unjudged
from hqd.errors import EXIT_OK, Usage
from hqd.model.failure import Outcome
from hqd.model.gate import GateStatus
from hqd.model.names import slug_of
from hqd.model.record import Event, EventKind, Record
from hqd.model.task import State

FILES = ("prompt", "raw", "output", "patch", "manifest")
MOST_LINES = 60


def show(call: Call, name: str, *, as_json: bool, attempt: int | None, file: str | None, step: str | None) -> int:
    """Prints a task, an attempt of it, or with `file` (one of FILES) that file of the attempt, to standard output."""
    with view(call) as seen:
        story = find(seen, name)
        if file is not None:
            terminal.raw(file_of(story, file, attempt, step))
        elif as_json:
            terminal.data(facts(seen, story, attempt, step))
        else:
            _print(seen, story, attempt, step)
    return EXIT_OK


def file_of(story: Told, role: str, attempt: int | None, step: str | None) -> bytes:
    """The bytes of one file of an attempt; without a number, of the newest one that has it. Raises Usage."""
    chosen = [record for record in _chosen(story, attempt, step) if story.beside(record, role) is not None]
    if not chosen:
        which = f"attempt {attempt}" if attempt is not None else "any attempt"
        raise Usage(f"{story.id} has no {role} of {which}", remedy="`hqd show TASK` lists what there is")
    data = story.tree.read(str(story.beside(chosen[-1], role)))
    if data is None:
        raise Usage(f"{story.beside(chosen[-1], role)} is not in git's tree any more")
    return data


def _chosen(story: Told, attempt: int | None, step: str | None) -> list[Record]:
    if step is not None and step not in {record.step for record in story.records}:
        known = ", ".join(dict.fromkeys(record.step for record in story.records if record.step)) or "none yet"
        raise Usage(f"{story.id} was never at step {step!r}", remedy=f"its steps so far: {known}")
    at_step = [record for record in story.records if step is None or record.step == step]
    if attempt is None:
        return at_step
    chosen = [record for record in at_step if record.attempt == attempt]
    if not chosen:
        where = f" at step {step}" if step is not None else ""
        known = ", ".join(str(number) for number in sorted({record.attempt for record in at_step if record.attempt}))
        raise Usage(f"{story.id} has no attempt {attempt}{where}", remedy=f"there is: {known or 'none yet'}")
    return chosen


def facts(seen: View, story: Told, attempt: int | None = None, step: str | None = None) -> dict[str, Any]:
    """The task's line of the board, its path and text, and `records`."""
    commits = commits_of(seen, story)
    moment = now()
    if story.id in seen.tasks:
        task = seen.tasks[story.id]
        alive, doing = seen.daemon.alive, _doing(seen, task)
        line = row(task, seen.board(moment), moment, alive=alive, doing=doing)
    else:
        last = story.last
        line = _row(story.id, story.state, story.document, last.cursor, last.message) if last is not None else {}
    records = [record_facts(story, record, commits.get(record.n)) for record in _chosen(story, attempt, step)]
    outputs = last_outputs(story)
    settled = decisions_of(seen, story)
    return {
        **line, "path": story.path, "text": story.document.text, "outputs": outputs, "decisions": settled,
        "unreadable": list(story.unreadable), "records": records,
    }  # fmt: skip


def decisions_of(seen: View, story: Told) -> list[dict[str, Any]]:
    """What the task has settled: decisions that were filed when its work was accepted."""
    settled = seen.live.settled
    all_of_them = [(each, "") for each in settled.active] + list(settled.inactive)
    return [
        {"id": each.decision.id, "title": each.decision.title, "path": each.path, "in_force": not why, "why": why}
        for each, why in sorted(all_of_them, key=lambda pair: pair[0].decision.id)
        if each.decision.task == story.id
    ]


def last_outputs(story: Told) -> dict[str, str]:
    """Step -> path of its accepted output."""
    if story.last is None:
        return {}
    return {step: ref.path for step, ref in story.last.cursor.outputs.items() if not ref.stale}


def record_facts(story: Told, record: Record, commit: str | None) -> dict[str, Any]:
    """One record as --json has it; `outcome` only where there is a result."""
    usage = record.usage
    found: dict[str, Any] = {
        "n": record.n,
        "event": record.event.value,
        "at": record.at.isoformat(),
        "by": record.by,
        "to": record.to.value,
        "step": record.step,
        "attempt": record.attempt,
        "round": record.round,
    }
    if record.outcome is not None and record.event is not EventKind.CLAIMED:
        found["outcome"] = record.outcome.value
    return found | {
        "failure": record.failure.value if record.failure is not None else None,
        "agent": record.agent,
        "arm": record.arm,
        "model": record.model,
        "mode": record.mode,
        "tokens": usage.tokens if usage is not None else None,
        "cost_usd": usage.cost if usage is not None else None,
        "seconds": record.wall,
        "gates": [
            {
                "name": gate.name,
                "kind": gate.kind,
                "level": gate.level.value,
                "status": gate.status.value,
                "score": gate.score,
                "message": gate.message,
            }
            for gate in record.gates
        ],
        "context": story.sources(record),
        "findings": [finding.model_dump(exclude_none=True) for finding in record.findings],
        "prompt": record.prompt,
        "raw": record.raw,
        "output": record.output,
        "patch": story.beside(record, "patch"),
        "reason": record.reason.value if record.reason is not None else None,
        "missing": record.missing,
        "message": record.message,
        "commit": commit,
    }


def _print(seen: View, story: Told, attempt: int | None, step: str | None) -> None:
    last = story.last
    terminal.title(f"{story.document.title}")
    cursor = last.cursor if last is not None else None
    body = [["task", story.id], ["state", f"{story.state.value}  ({story.path})"]]
    if cursor is not None:
        body += _place(cursor.playbook, cursor.step, cursor.round)
        body.append(["cost", f"{terminal.dollars(cursor.cost) or '$0'}, {cursor.tokens} tokens, {cursor.wall:.0f} s"])
        if story.state is State.BLOCKED and cursor.reason is not None:
            body += [["reason", cursor.reason.value], ["missing", cursor.missing or ""]]
        if cursor.head is not None:
            body.append(["branch", f"hqd/{story.id} at {cursor.head[:12]}"])
        if cursor.landed is not None:
            body.append(["landed", cursor.landed[:12]])
        body += [["output", f"{name}: {path}"] for name, path in last_outputs(story).items()]
    body += [["noticed", str(problem)] for problem in story.noticed]
    body += [["not judged", in_words(result)] for _, result in unjudged(story.records)]
    for each in decisions_of(seen, story):
        body.append(["settled", f"{each['id']}: {each['title']}" + (f" ({each['why']})" if each["why"] else "")])
    terminal.rows((), body)
    if attempt is None and step is None and story.document.text.strip():
        terminal.say()
        _text(story.document.text)
    terminal.say()
    records = _chosen(story, attempt, step)
    terminal.rows(("N", "WHEN", "EVENT", "STEP", "TRY", "BY", "COST", "WHAT"), [_cells(each) for each in records])
    for message in story.unreadable:
        terminal.say(f"unreadable: {message}")
    detailed = records if attempt is not None else [record for record in records if _worth_telling(record)]
    for record in detailed:
        _detail(record)
    if any(record.prompt for record in records):
        terminal.say()
        terminal.say(f"One file: hqd show {slug_of(story.id)} --attempt N --prompt | --output | --raw | --patch")


def _place(playbook: str | None, step: str | None, round_: int) -> list[list[str]]:
    where = "/".join(part for part in (playbook, step) if part)
    return [["at", f"{where}, round {round_}" if where else f"round {round_}"]]


def _cells(record: Record) -> list[str]:
    usage = record.usage
    return [
        str(record.n),
        f"{record.at.astimezone():%m-%d %H:%M:%S}",
        record.event.value,
        record.step or "",
        str(record.attempt or ""),
        record.agent or record.by,
        terminal.dollars(usage.cost) if usage is not None else "",
        terminal.cut(what(record), 200),
    ]


def what(record: Event) -> str:
    """A record in a few words: outcome, class, why."""
    parts = [record.outcome.value if record.outcome is not None else ""]
    parts += [code.value for code in (record.failure, record.reason) if code is not None]
    why = record.missing or record.message or (record.findings[0].text if record.findings else "") or record.answer
    if record.landed and record.event is EventKind.LANDED:
        parts.append(record.landed[:12])
    told = " ".join(dict.fromkeys(part for part in parts if part))
    return ": ".join(part for part in (told, why or "") if part)


def _worth_telling(record: Record) -> bool:
    """Results with gates that are not all green."""
    red = any(gate.status is not GateStatus.PASS and not gate.hidden for gate in record.gates)
    return record.event is EventKind.FINISHED and (red or record.outcome is Outcome.FAILED)


def _detail(record: Record) -> None:
    terminal.say()
    terminal.title(f"{record.step} attempt {record.attempt}: {what(record)[:120]}")
    shown = [gate for gate in record.gates if not gate.hidden]
    rows = [[gate.status.value, gate.level.value, gate.name, gate.message] for gate in shown]
    terminal.rows(("GATE", "LEVEL", "NAME", "MESSAGE"), rows, indent=2)
    known = {gate.message for gate in record.gates}
    for finding in record.findings:
        if finding.text not in known:
            terminal.say(f"  {finding.source}: {finding.text}")
    if record.arm is not None:
        terminal.say(f"  arm of the experiment: {record.arm}")
    for role in ("prompt", "output", "raw"):
        path = getattr(record, role)
        if path:
            terminal.say(f"  {role}: {path}")


def _text(text: str) -> None:
    lines = text.strip().splitlines()
    for line in lines[:MOST_LINES]:
        terminal.say(f"  {line}")
    if len(lines) > MOST_LINES:
        terminal.say(f"  … {len(lines) - MOST_LINES} lines more")
