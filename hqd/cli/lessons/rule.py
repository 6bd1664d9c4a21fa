"""The one rule that takes the place of several lessons on a topic: written out, for a person to put into a playbook."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hqd.cli import terminal
from hqd.codec import layout
from hqd.codec.lesson import flat_gate
from hqd.core.lessons.worth import crowded_topics
from hqd.model.lesson import Lesson

_OWN = frozenset({"name", "level", "message"})


@dataclass(frozen=True, slots=True)
class Rule:
    """`where`: the playbooks and steps that it is for; `gates`: lines of a `gates` list; `text`: agents are told it."""

    topic: str
    lessons: tuple[str, ...]
    where: tuple[str, ...]
    gates: tuple[str, ...]
    text: tuple[str, ...]

    def facts(self) -> dict[str, object]:
        """For --json."""
        return {
            "lessons": list(self.lessons),
            "where": list(self.where),
            "gates": list(self.gates),
            "text": list(self.text),
        }

    def say(self) -> None:
        terminal.say(f"{', '.join(self.lessons)} are about {self.topic}: one rule would say it once. Proposed:")
        terminal.say(f"  in {', '.join(self.where)}:")
        terminal.block("\n".join(["gates = [", *(f"    {gate}," for gate in self.gates), "]"]))
        for text in self.text:
            terminal.say(f"  and in its prompt: {text}")
        for lesson in self.lessons:
            terminal.say(f'  then: hqd lessons decline {lesson} -m "a rule of the playbook now"')


def rules(book: Sequence[Lesson]) -> tuple[Rule, ...]:
    """One for each topic that three lessons in force or more are about."""
    known = {each.id: each for each in book}
    return tuple(_rule(topic, [known[each] for each in ids]) for topic, ids in crowded_topics(book).items())


def _rule(topic: str, lessons: Sequence[Lesson]) -> Rule:
    where = {
        f"{layout.PLAYBOOKS}/{playbook}.toml, step {lesson.born_at or ', '.join(lesson.scope.steps) or 'of the output'}"
        for lesson in lessons
        for playbook in lesson.scope.playbooks or ("*",)
    }
    texts = dict.fromkeys(lesson.context.text for lesson in lessons if lesson.context is not None)
    return Rule(topic, tuple(lesson.id for lesson in lessons), tuple(sorted(where)), _gates(lessons), tuple(texts))


def _gates(lessons: Sequence[Lesson]) -> tuple[str, ...]:
    """Their gates; those that forbid words in one way are one."""
    joined: dict[str, dict[str, Any]] = {}
    for lesson in lessons:
        if lesson.gate is None:
            continue
        flat = {key: value for key, value in flat_gate(lesson.gate).items() if key not in _OWN}
        words = flat.get("values") if flat["kind"] == "must_not_include" and not flat.get("not") else None
        rest = {key: value for key, value in flat.items() if words is None or key != "values"}
        there = joined.setdefault(json.dumps(rest, sort_keys=True, default=str), flat)
        if isinstance(words, list) and there is not flat:
            there["values"] = list(dict.fromkeys([*there["values"], *words]))
    return tuple(_toml(each) for each in joined.values())


def _toml(value: Any) -> str:
    """A value as TOML on one line; JSON's texts, numbers and truths are TOML's."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False, default=str)
