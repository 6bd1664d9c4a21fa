"""Which playbook takes a task: named -> inbox folder -> `accepts` -> default (design section 3)."""

from __future__ import annotations

from hqd.core.language.expressions import compile_expression
from hqd.core.language.facts import task_facts
from hqd.core.moves import Park
from hqd.core.schedule import scheduled_by
from hqd.errors import ExpressionFault
from hqd.model.board import Rules, Task
from hqd.model.failure import ParkReason
from hqd.model.playbook import Playbook


def inbox_folder(source: str | None) -> str | None:
    """The sub-folder of the inbox that a task was dropped into: `workspace/inbox/NAME/x.md` -> NAME."""
    parts = (source or "").split("/")
    return parts[2] if len(parts) == 4 and parts[1] == "inbox" else None


_MEMORY = 20_000
_chosen: dict[tuple[str, str, str | None, str], Playbook | Park] = {}
"""Answers already found. A pure function's memory: file, source and pin say all that the answer rests on."""


def choose(task: Task, rules: Rules) -> Playbook | Park:
    """The playbook that takes the task, or why none does."""
    key = (task.blob, task.document.title, task.cursor.source, str(rules.pin))
    found = _chosen.get(key)
    if found is None:
        if len(_chosen) >= _MEMORY:
            _chosen.clear()
        found = _chosen[key] = _choose(task, rules)
    return found


def _choose(task: Task, rules: Rules) -> Playbook | Park:
    named = task.document.header.playbook
    folder = inbox_folder(task.cursor.source)
    ways = (
        (named, "its front matter names"),
        (folder, "its inbox folder names"),
        (scheduled_by(task.cursor.source), "its schedule is of"),
    )
    for name, where in ways:
        if name is not None:
            found = rules.playbooks.get(name)
            return found or Park(
                ParkReason.NO_PLAYBOOK, f"{where} playbook {name!r}, which does not exist{_like(rules)}"
            )
    fitting: list[Playbook] = []
    for playbook in sorted(rules.playbooks.values(), key=lambda each: each.name):
        try:
            if _accepts(playbook, task):
                fitting.append(playbook)
        except ExpressionFault as fault:
            return Park(ParkReason.EXPRESSION, f"playbook {playbook.name}: accepts.when: {fault.message}")
    if len(fitting) > 1:
        names = ", ".join(playbook.name for playbook in fitting)
        return Park(ParkReason.AMBIGUOUS_PLAYBOOK, f"playbooks {names} all accept it; name one in `playbook:`")
    if fitting:
        return fitting[0]
    default = rules.playbooks.get(rules.settings.defaults.playbook)
    return default or Park(
        ParkReason.NO_PLAYBOOK,
        f"nothing accepts it and there is no default playbook {rules.settings.defaults.playbook!r}{_like(rules)}",
    )


def _accepts(playbook: Playbook, task: Task) -> bool:
    rule = playbook.accepts
    if rule is None or (not rule.tags and rule.when is None):
        return False
    if rule.tags and not set(rule.tags) & set(task.document.header.tags):
        return False
    return rule.when is None or bool(
        compile_expression(rule.when).evaluate({"task": task_facts(task), "inputs": dict(task.document.header.inputs)})
    )


def _like(rules: Rules) -> str:
    return "; there are " + ", ".join(sorted(rules.playbooks)) if rules.playbooks else "; there are no playbooks"
