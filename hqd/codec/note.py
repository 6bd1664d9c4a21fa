"""The files that hqd lays beside a task for people: `ID.note.md` in blocked/, `ID.result.md` in done/.

Words of agents and programs are quoted line by line, so that none of them can be taken for a heading, least of all
for `## Answer`: what stands under that line is a person's word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hqd.codec.layout import record_path, slug_of
from hqd.codec.message import dollars
from hqd.model.failure import ParkReason
from hqd.model.gate import GateResult, GateStatus
from hqd.model.problem import one_line
from hqd.model.record import Finding, Record

ANSWER = "## Answer"
PLACEHOLDER = "<!-- hqd: write your answer below this line and save -->"
_PLACEHOLDERS = re.compile(r"<!--\s*hqd:.*?-->", re.DOTALL)
MAX_OUTPUT = 200_000

_CHOSEN_OTHERWISE = frozenset({ParkReason.DECISION})
"""What only an edit of a file settles: such a note has no line to write an answer under."""

_AGAIN = "Change what is missing, then `hqd retry {slug}`, or move the task file to `workspace/queue/`."
_WHAT_TO_DO: dict[ParkReason, str] = {
    ParkReason.GATE_FAILED: "Read the findings. Edit the task or the gate, then `hqd retry {slug}`.",
    ParkReason.LADDER_EXHAUSTED: "Every rung was tried. Edit the task, or `hqd retry {slug} --from STEP`.",
    ParkReason.ROUTE_EXHAUSTED: "The loop ran as often as it may. `hqd retry {slug}` or `hqd drop {slug}`.",
    ParkReason.NO_PROGRESS: "The same result came again. Change the task or the prompt, then `hqd retry {slug}`.",
    ParkReason.BUDGET: "Raise `budget` in the task or `limits` in the playbook, then `hqd retry {slug}`.",
    ParkReason.POLICY: "The agent touched what no agent may touch. Look at the attempt before you `hqd retry {slug}`.",
    ParkReason.NEEDS_HUMAN: "Answer the question below, or run `hqd answer {slug} TEXT`.",
    ParkReason.ASKED: "Answer the question below, or run `hqd answer {slug} TEXT`.",
    ParkReason.REPLAN: "The agent says that the plan is wrong. Edit the task, then `hqd retry {slug} --from STEP`.",
    ParkReason.BAD_TASK: "Mend the task file, then move it to `workspace/queue/`, or `hqd retry {slug}`.",
    ParkReason.NO_PLAYBOOK: "Name a playbook in the front matter (`playbook: NAME`), then `hqd retry {slug}`.",
    ParkReason.AMBIGUOUS_PLAYBOOK: "Name one of them in the front matter (`playbook: NAME`), then `hqd retry {slug}`.",
    ParkReason.MISSING_NEED: "Mend `needs` in the front matter, then `hqd retry {slug}`.",
    ParkReason.EXPRESSION: "Mend the expression in the playbook and commit it, then `hqd retry {slug}`.",
    ParkReason.REVIEW_REJECTED: "The work was rejected. `hqd retry {slug}` begins again, `hqd drop {slug}` ends it.",
    ParkReason.CONFLICT: "Main has changed the same lines. Resolve it on the branch, then `hqd retry {slug}`.",
    ParkReason.CRASHED: "The worker broke on this task. See the log; report the bug; then `hqd retry {slug}`.",
    ParkReason.SECRET: "A secret stood in the work. Revoke it, remove it, then `hqd retry {slug}`.",
    ParkReason.CONTEXT: "Put the document where the playbook looks for it, or mend the rule, then `hqd retry {slug}`.",
    ParkReason.LANDING: "See what stands in the way of the delivered path, then `hqd retry {slug}`.",
    ParkReason.ONCE: "See at the other end whether it has acted. Then `hqd retry {slug}`, or `hqd drop {slug}`.",
    ParkReason.SPAWN: "Mend the list that the children come from, or the limit, then `hqd retry {slug}`.",
    ParkReason.CHILD_BLOCKED: "See what became of its children. `hqd retry {slug}` makes anew what was dropped.",
    ParkReason.DECISION: "Choose which of the two holds by an edit, as it says above. Then `hqd retry {slug}`.",
    ParkReason.NOT_IN_FORCE: "The playbook asks for what this hqd does not do yet. Change it, then `hqd retry {slug}`.",
}


def write_note(record: Record, task: str, title: str, choices: Sequence[str] = ()) -> bytes:
    """The note beside a parked or asked task: why, what is missing, who must act, where to answer."""
    reason = record.reason or record.cursor.reason
    step = record.step or record.cursor.step
    lines = [f"# {one_line(title)}", ""]
    where = f" at step `{one_line(step)}`" if step else ""
    lines += [f"**Why it waits:** `{reason.value if reason else record.event.value}`{where}.", ""]
    if record.message:
        lines += [*_quoted(record.message), ""]
    missing = record.missing or record.cursor.missing
    if missing:
        lines += ["**What is missing:**", "", *_quoted(missing), ""]
    advice = _WHAT_TO_DO.get(reason, _AGAIN) if reason else _AGAIN
    lines += ["**Who must act:** a human.", "", advice.format(slug=slug_of(task)), ""]
    lines += _findings(record.findings or record.cursor.findings)
    lines += _gates(record.gates)
    lines += _traces(record, task)
    if choices:
        lines += ["## Choices", "", *(f"- {one_line(choice)}" for choice in choices), ""]
    if reason not in _CHOSEN_OTHERWISE:
        lines += [ANSWER, "", PLACEHOLDER, ""]
    return "\n".join(lines).encode("utf-8", "replace")


def read_answer(data: bytes) -> str | None:
    """What a person wrote under `## Answer`; None where nothing is written there (or the file is no UTF-8)."""
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return None
    for number, line in enumerate(lines):
        if line.rstrip() == ANSWER:
            text = _PLACEHOLDERS.sub("", "\n".join(lines[number + 1 :])).strip()
            return text or None
    return None


def write_result(
    record: Record, task: str, title: str, output: str | None = None, delivered: Sequence[str] = ()
) -> bytes:
    """`ID.result.md`: the last output, or what was landed and where."""
    cursor = record.cursor
    lines = [f"# {one_line(title)}", "", f"Task `{task}`, done {record.at:%Y-%m-%d %H:%M} UTC."]
    if record.landed:
        what = f"`{one_line(delivered[0])}` landed" if len(delivered) == 1 else "Landed"
        lines += ["", f"{what} in commit `{one_line(record.landed)}`."]
    if len(delivered) > 1 or (delivered and not record.landed):
        lines += ["", "Delivered:", "", *(f"- `{one_line(path)}`" for path in delivered)]
    attempts = sum(cursor.attempts.values())
    lines += ["", f"{attempts} attempt{'' if attempts == 1 else 's'}, ${dollars(cursor.cost)}, {cursor.tokens} tokens."]
    if cursor.outputs:
        lines += ["", "Outputs:", ""]
        lines += [f"- `{one_line(step)}`: `{one_line(ref.path)}`" for step, ref in cursor.outputs.items()]
    if output is not None:
        cut = output[:MAX_OUTPUT]
        lines += ["", "---", "", cut.rstrip("\n")]
        if len(output) > MAX_OUTPUT:
            lines += ["", f"[… {len(output) - MAX_OUTPUT} characters more, see the output's file]"]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _quoted(text: str) -> list[str]:
    return [f"> {one_line(line)}".rstrip() for line in text.splitlines()] or [">"]


def _findings(findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return []
    lines = ["## Findings", ""]
    for finding in findings:
        lines += [f"From `{one_line(finding.source)}`:", "", *_quoted(finding.text), ""]
    return lines


def _gates(gates: Sequence[GateResult]) -> list[str]:
    red = [gate for gate in gates if gate.status in (GateStatus.FAIL, GateStatus.ERROR) and not gate.hidden]
    if not red:
        return []
    lines = ["## Gates", ""]
    for gate in red:
        lines += [f"`{one_line(gate.name)}` ({gate.level.value}): **{gate.status.value}**", ""]
        lines += [*_quoted(gate.message), ""]
    return lines


def _traces(record: Record, task: str) -> list[str]:
    lines = ["## Traces", ""]
    last = record.output or record.cursor.last.get(record.step or record.cursor.step or "")
    if last:
        lines.append(f"- last output: `{one_line(last)}`")
    best = record.cursor.best.get(record.step or record.cursor.step or "")
    if best is not None and best.output:
        held = f"{best.passed} gate{'' if best.passed == 1 else 's'} held"
        lines.append(f"- best output: `{one_line(best.output)}` (attempt {best.attempt}, {held})")
    lines.append(f"- record: `{record_path(task, record.n, record.event.value)}`")
    lines.append(f"- the whole story: `hqd why {slug_of(task)}`")
    return [*lines, ""]
