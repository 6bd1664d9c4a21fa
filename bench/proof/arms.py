"""The arms: one HQ each, one task for each prompt, agents that replay what the models really answered.

Law: an arm's agents and gates never see a verdict, but for the oracle arm, whose one gate is made of them. What was
delivered is judged by the stored verdict of that very answer, and by nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.proof.data import MODELS, Recorded
from bench.proof.figures import Row
from bench.proof.scene import Ended, Scene, TaskFile, scene
from hqd.model.gate import GateSpec
from hqd.model.task import State

PRIMARY = "ladder-qwen-7b-14b-32b"
BASE = "naive-qwen-32b"
CONCURRENCY = 32

Gating = Literal["none", "table", "oracle"]


@dataclass(frozen=True, slots=True)
class Arm:
    """`ladder`: the models in turn, each after the one before has failed the gates; the last rung is a human.

    `calls`: all models in turn, without a gate; the last one's answer is delivered.
    """

    name: str
    models: tuple[str, ...]
    gating: Gating = "none"
    flow: Literal["ladder", "calls"] = "ladder"
    base: str = BASE


QWEN = ("qwen-7b", "qwen-14b", "qwen-32b")
ARMS = (
    Arm(PRIMARY, QWEN, "table"),
    Arm("naive-qwen-7b", QWEN[:1]),
    Arm("naive-qwen-14b", QWEN[1:2]),
    Arm(BASE, QWEN[2:]),
    Arm("extra-calls-qwen-7b-14b-32b", QWEN, flow="calls"),
    Arm("gate-only-qwen-7b", QWEN[:1], "table"),
    Arm("gate-only-qwen-32b", QWEN[2:], "table"),
    Arm("oracle-qwen-7b-14b-32b", QWEN, "oracle"),
    Arm("naive-gpt-4o", ("gpt-4o",), base="naive-gpt-4o"),
    Arm("ladder-gpt-4o-claude-3.5-sonnet", ("gpt-4o", "claude-3.5-sonnet"), "table", base="naive-gpt-4o"),
)
"""The primary one first: it was fixed before any arm was run. The models of the last two have no known size."""


def settings(data: Recorded, more: str = "", concurrency: int = CONCURRENCY) -> str:
    """hqd.toml: one replay agent for each model, which answers from the data where it lies."""
    agents = "".join(
        f'[agents."{short}"]\nprovider = "replay"\nanswers = {json.dumps(str(data.rows))}\n'
        f"pick = {json.dumps(f'row.key == inputs.key and row.model == {full!r}')}\n"
        for short, full in data.names.items()
    )
    return (
        f'format = 1\n[defaults]\nplaybook = "solve"\n[limits]\nconcurrency = {concurrency}\n'
        f"cost_usd_per_day = 1000\n{agents}{more}"
    )


PROMPT = "{{ task.text }}"


def solve(models: Sequence[str]) -> str:
    """One step with a ladder over the models."""
    rungs = [*(f"{{ agent = {json.dumps(model)} }}" for model in models[1:]), '"human"']
    return (
        f'[[steps]]\nname = "solve"\nagent = {json.dumps(models[0])}\nprompt_text = "{PROMPT}"\n'
        f"on_fail = [{', '.join(rungs)}]\n"
    )


def calls(models: Sequence[str]) -> str:
    """A step for each model, none of them checked. The last one is called `solve`."""
    names = [*(f"call_{number}" for number in range(1, len(models))), "solve"]
    return "".join(
        f'[[steps]]\nname = "{name}"\nagent = {json.dumps(model)}\nprompt_text = "{PROMPT}"\non_fail = ["human"]\n'
        for name, model in zip(names, models, strict=True)
    )


def digest(text: str) -> str:
    """What the oracle's gate knows a good answer by."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def oracle(data: Recorded, key: int) -> tuple[GateSpec, ...]:
    """A gate that lets through exactly the answers with a good stored verdict."""
    good = sorted({digest(each.text) for (k, _), each in data.answers.items() if k == key and each.follows_all})
    return (GateSpec(name="oracle", kind="stored_verdict", params={"good": good}),)


def gates_of(arm: Arm, data: Recorded, key: int) -> tuple[GateSpec, ...]:
    match arm.gating:
        case "none":
            return ()
        case "table":
            return data.prompts[key].gates
        case "oracle":
            return oracle(data, key)


@dataclass(frozen=True, slots=True)
class Played:
    """An arm that was run. `altered`: delivered texts that are not letter by letter what was recorded."""

    rows: tuple[Row, ...]
    altered: int
    seconds: float
    transitions: int


def play(
    arm: Arm, data: Recorded, keys: Sequence[int], gates: Callable[[int], Sequence[GateSpec]] | None = None
) -> Played:
    """Runs an arm's HQ to its end. `gates` replace the arm's own."""
    find = gates or (lambda key: gates_of(arm, data, key))
    tasks = [TaskFile(f"p-{key}", data.prompts[key].text, {"key": key}, find(key)) for key in keys]
    playbook = solve(arm.models) if arm.flow == "ladder" else calls(arm.models)
    with scene(settings(data), {"solve": playbook}, tasks) as made:
        made.run()
        return played(made, data, keys)


def played(made: Scene, data: Recorded, keys: Sequence[int]) -> Played:
    ended = made.ended()
    rows = tuple(row(ended[f"p-{key}"], data, key) for key in keys)
    return Played(
        rows, sum(altered(ended[f"p-{key}"], data, key) for key in keys), made.seconds, made.shown.transitions
    )


def row(task: Ended, data: Recorded, key: int) -> Row:
    """What became of one prompt, by the stored verdict of the answer that was delivered."""
    made = [each for each in task.attempts if each.agent in data.names]
    prompt = len(data.prompts[key].text)
    cost = sum(MODELS[each.agent].weight * (prompt + len(data.answer(key, each.agent).text)) for each in made)
    sent = sum(MODELS[each.agent].weight * (each.sent + each.said) for each in made)
    if task.state is State.BLOCKED:
        return Row(key, "human", cost, sent, len(task.attempts), task.reason)
    given = task.accepted("solve")
    if task.state is not State.DONE or given is None:
        return Row(key, "unfinished", cost, sent, len(task.attempts), task.state.value)
    good = data.answer(key, given.agent).follows_all
    return Row(key, "clean" if good else "silent_bad", cost, sent, len(task.attempts))


def altered(task: Ended, data: Recorded, key: int) -> bool:
    """Whether hqd changed an answer on its way (it strikes out what looks like a secret)."""
    given = task.accepted("solve")
    return given is not None and given.text != data.answer(key, given.agent).text


def fates(rows: Sequence[Row]) -> Mapping[int, str]:
    return {each.key: each.fate for each in rows}
