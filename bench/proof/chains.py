"""Chains of four steps: one prompt a step, a reviewer after each that routes back with findings, or none at all.

The worker of a step that is sent back is the next model. The reviewer runs the gates of the step's own prompt; what it
does not see, nobody sees. A chain is all clean when it was delivered and the stored verdicts of its answers are good.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench import ifeval
from bench.gates_truth import share
from bench.proof.arms import settings
from bench.proof.data import Recorded
from bench.proof.figures import SEED
from bench.proof.scene import Ended, TaskFile, scene
from hqd.gates.plugins import module
from hqd.gates.registry import Registry
from hqd.model.attempt import Answer, Question
from hqd.model.gate import GateStatus, Subject
from hqd.model.task import State

LINKS = ("one", "two", "three", "four")
TEAMS = {
    "qwen-7b-14b-32b": (("qwen-7b", "qwen-14b", "qwen-32b"), "qwen-32b"),
    "gpt-4o-sonnet-32b": (("gpt-4o", "claude-3.5-sonnet", "qwen-32b"), "gpt-4o"),
}
"""Team -> (models in the order in which a step falls to them, the model that works alone beside it)."""

AGENTS = """
[agents.worker]
provider = "replay"
answers = {rows}
pick = "row.key == inputs.keys[step] and row.model == inputs.models[attempt - 1]"
[agents.reviewer]
provider = "anthropic"
model = "reviewer"
"""


def playbook(reviewed: bool, most: int) -> str:
    """`most`: how often a reviewer may send a step back."""
    steps = ["limits = { attempts = 60 }\n"]
    for link in LINKS:
        prompt = f"{{{{ inputs.prompts.{link} }}}}{{# task.text and outputs. are left out #}}"
        steps.append(f'[[steps]]\nname = "{link}"\nagent = "worker"\nprompt_text = "{prompt}"\non_fail = ["human"]\n')
        if reviewed:
            steps.append(
                f'[[steps]]\nname = "check_{link}"\nagent = "reviewer"\non_fail = ["human"]\n'
                'prompt_text = "Is it as asked?{# task.text is left out #}"\n'
                'output = { verdict = ["ok", "rework"], issues = "list[str]" }\n'
                f'routes = [{{ when = "output.verdict == \'rework\'", to = "{link}", feedback = "output.issues",'
                f' max = {most}, then = "human" }}]\n'
            )
    return "".join(steps)


class Reviewer:
    """Holds a step's output against the gates of its prompt. Port Agent."""

    def __init__(self, data: Recorded) -> None:
        self._data = data
        self._registry = Registry(plugins=(module(ifeval.PLUGIN),))

    def answer(self, question: Question, stop: threading.Event, progress: Callable[[str], None]) -> Answer:
        link = question.step.removeprefix("check_")
        key = question.facts["inputs"]["keys"][link]
        subject = Subject(output=question.facts["outputs"][link])
        results = self._registry.run(self._data.prompts[key].gates, subject)
        issues = [result.message for result in results if result.status is GateStatus.FAIL]
        text = json.dumps({"verdict": "rework" if issues else "ok", "issues": issues})
        return Answer(text=text, raw=text.encode(), model="reviewer")


def chains(keys: Sequence[int], shuffles: int) -> list[tuple[int, ...]]:
    """The prompts in fours, in seeded orders; what is left over at an end is left out."""
    found = []
    for number in range(shuffles):
        mixed = list(keys)
        random.Random(SEED + number).shuffle(mixed)
        found += [tuple(mixed[at : at + 4]) for at in range(0, len(mixed) - 3, 4)]
    return found


def run(data: Recorded, keys: Sequence[int], shuffles: int) -> dict[str, Any]:
    made = chains(keys, shuffles)
    found: dict[str, Any] = {"chains": len(made), "shuffles": shuffles}
    for team, (models, alone) in TEAMS.items():
        if not {*models, alone} <= data.names.keys():
            found[team] = {"skipped": "not all of its models are recorded"}
            continue
        found[f"naive-{alone}"] = play(data, made, (alone,), reviewed=False)
        found[f"reviewed-{team}"] = play(data, made, models, reviewed=True)
    return found


def play(data: Recorded, made: Sequence[Sequence[int]], models: Sequence[str], *, reviewed: bool) -> dict[str, Any]:
    tasks = [TaskFile(f"chain-{at}", "Four things.", _inputs(data, chain, models)) for at, chain in enumerate(made)]
    rules = settings(data, AGENTS.format(rows=json.dumps(str(data.rows))))
    with scene(rules, {"solve": playbook(reviewed, len(models) - 1)}, tasks) as hq:
        hq.run({"anthropic": Reviewer(data)})
        ended = hq.ended()
    fates = [fate(ended[f"chain-{at}"], data, chain, models) for at, chain in enumerate(made)]
    attempts = sum(each.step in LINKS for task in ended.values() for each in task.attempts)
    return {
        "all_clean": share(fates.count("clean"), len(fates)),
        "silent_bad": share(fates.count("silent_bad"), len(fates)),
        "to_human": share(fates.count("human"), len(fates)),
        "attempts_per_step": round(attempts / (4 * len(made)), 3) if made else None,
        "seconds": round(hq.seconds, 1),
    }


def _inputs(data: Recorded, chain: Sequence[int], models: Sequence[str]) -> Mapping[str, Any]:
    return {
        "keys": dict(zip(LINKS, chain, strict=True)),
        "prompts": {link: data.prompts[key].text for link, key in zip(LINKS, chain, strict=True)},
        "models": [data.names[model] for model in models],
    }


def fate(task: Ended, data: Recorded, chain: Sequence[int], models: Sequence[str]) -> str:
    if task.state is not State.DONE:
        return "human"
    good = [
        data.answer(key, models[task.outputs[link] - 1]).follows_all for link, key in zip(LINKS, chain, strict=True)
    ]
    return "clean" if all(good) else "silent_bad"
