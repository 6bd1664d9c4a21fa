"""Declared faults: each is put in on purpose, into seeded tasks, and has to end where its class says.

Every scene says which tasks were hit, what the class of the fault demands, and how many ended elsewhere. Where no gate
covers a fault, the rate at which it gets through is stated, not hidden.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.gates_truth import share
from bench.proof.arms import Arm, fates, play, played, settings, solve
from bench.proof.data import Recorded
from bench.proof.figures import SEED
from bench.proof.scene import Ended, TaskFile, scene
from hqd.model.task import State
from hqd.testing.messages_server import MessagesServer, Reply, Request, error, text

QUEUED = 300
ACCEPTED_BEFORE_EXPIRY = 20
SECTIONS = ("Task", "Acceptance")
BOUND = frozenset(
    {
        "keywords:existence",
        "combination:repeat_prompt",
        "startend:end_checker",
        "length_constraints:nth_paragraph_first_word",
    }
)
"""Constraints that name words of their own prompt: an answer to another task has no reason to follow them. Fixed
before the first run; what other constraints catch is luck."""


def some(keys: Sequence[int], part: float, salt: str) -> frozenset[int]:
    """A seeded part of the keys, at least one."""
    return frozenset(random.Random(f"{SEED}/{salt}").sample(list(keys), max(1, round(part * len(keys)))))


# -- a required section is missing -----------------------------------------------------------------------------

BRIEF = f"""
[[steps]]
name = "brief"
on_fail = ["human"]
gates = [{{ kind = "has_sections", target = "task", sections = {json.dumps(SECTIONS)} }}]
"""


def lost_section(data: Recorded, keys: Sequence[int]) -> dict[str, Any]:
    """10 % of the tasks lose a section that a gate on the task asks for. Class: a failed gate of a step for humans."""
    hit = some(keys, 0.1, "section")
    rng = random.Random(SEED)
    tasks = [_sectioned(data, key, rng.choice(SECTIONS) if key in hit else None) for key in keys]
    found = {}
    for name, playbook in (("with_gate", BRIEF + solve(("qwen-7b",))), ("without_gate", solve(("qwen-7b",)))):
        with scene(settings(data), {"solve": playbook}, tasks) as made:
            made.run()
            ended = made.ended()
        of_hit, rest = [ended[f"p-{key}"] for key in hit], [ended[f"p-{key}"] for key in keys if key not in hit]
        found[name] = {
            "hit": len(hit),
            "hit_delivered": share(sum(task.state is State.DONE for task in of_hit), len(of_hit)),
            "hit_ended": _ends(of_hit),
            "agent_calls_on_hit": sum(bool(each.agent) for task in of_hit for each in task.attempts),
            "others_stopped_at_the_brief": sum(any(a.step == "brief" and a.failing for a in t.attempts) for t in rest),
        }
    return found


def _sectioned(data: Recorded, key: int, lost: str | None) -> TaskFile:
    bodies = {"Task": data.prompts[key].text, "Acceptance": "As the task asks."}
    text = "\n\n".join(f"## {name}\n\n{body}" for name, body in bodies.items() if name != lost)
    return TaskFile(f"p-{key}", text, {"key": key}, data.prompts[key].gates)


def _ends(tasks: Collection[Ended]) -> dict[str, int]:
    """State and reason -> how many."""
    return dict(sorted(Counter("/".join(filter(None, (task.state.value, task.reason))) for task in tasks).items()))


# -- a step answers from the wrong task ------------------------------------------------------------------------


def wrong_task(data: Recorded, keys: Sequence[int]) -> dict[str, Any]:
    """Every answer is the good or bad one to another prompt. Class: a failed gate; here the only rung is a human."""
    mixed = random.Random(f"{SEED}/wrong").sample(list(keys), len(keys))
    other = dict(zip(mixed, [*mixed[1:], mixed[0]], strict=True))
    tasks = [TaskFile(f"p-{key}", data.prompts[key].text, {"key": other[key]}, data.prompts[key].gates) for key in keys]
    with scene(settings(data), {"solve": solve(("qwen-32b",))}, tasks) as made:
        made.run()
        ended = made.ended()
    bound = [key for key in keys if BOUND & set(data.prompts[key].constraints)]
    free = [key for key in keys if key not in set(bound)]

    def delivered(some: Sequence[int]) -> dict[str, Any]:
        return share(sum(ended[f"p-{key}"].state is State.DONE for key in some), len(some))

    return {
        "delivered_where_a_gate_names_words_of_the_task": delivered(bound),
        "delivered_elsewhere": delivered(free),
        "ended": _ends(ended.values()),
    }


# -- a provider that fails, a key that expires: a real server, the real client -----------------------------------

BEHIND_SERVER = """
[agents.served]
provider = "anthropic"
model = "{model}"
"""


@dataclass
class Recording:
    """A script for the server: the recorded answer to the prompt that it is sent. `trouble` may answer instead."""

    data: Recorded
    model: str
    trouble: Callable[[int, int], Reply | None]  # (key, how many times it was asked before)
    asked: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.keys = {prompt.text.strip(): key for key, prompt in self.data.prompts.items()}

    def __call__(self, request: Request) -> Reply:
        key = self.keys.get(request.prompt.strip())
        if key is None:
            return error(400, "invalid_request_error", "not a prompt that was recorded")
        with self.lock:
            before = self.asked[key]
            self.asked[key] += 1
            reply = self.trouble(key, before)
        return reply or text(self.data.answer(key, self.model).text)


def served(data: Recorded, model: str, concurrency: int = 16) -> str:
    return settings(data, BEHIND_SERVER.format(model=data.names[model]), concurrency)


def overloaded(data: Recorded, keys: Sequence[int]) -> dict[str, Any]:
    """Every fifth request is refused with 529. Class: transient: again after a while, never counted, never a park."""
    failed: Counter[int] = Counter()

    def trouble(key: int, before: int) -> Reply | None:
        if random.Random(f"{SEED}/{key}/{before}").random() >= 0.2:
            return None
        failed[key] += 1
        return error(529, "overloaded_error", "Overloaded", retry_after=1)

    recording = Recording(data, "qwen-7b", trouble)
    tasks = [TaskFile(f"p-{key}", data.prompts[key].text, {"key": key}, data.prompts[key].gates) for key in keys]
    playbook = solve(("served",))
    with MessagesServer(recording) as server, scene(served(data, "qwen-7b"), {"solve": playbook}, tasks) as made:
        made.run(env={"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "a-key"})
        ended = made.ended()
        asked = len(server.messages)
    calm = fates(play(Arm("calm", ("qwen-7b",), "table"), data, keys).rows)
    ends = {key: _fate(ended[f"p-{key}"], data, key) for key in keys}
    attempts = [each for task in ended.values() for each in task.attempts]
    return {
        "requests": asked,
        "refused": sum(failed.values()),
        "tasks_hit": len(failed),
        "attempts_that_failed_as_transient": sum(each.failure == "transient" for each in attempts),
        "ends_other_than_without_the_fault": sum(ends[key] != calm[key] for key in keys),
        "ended": _ends(ended.values()),
        "holds": made.shown.holds,
        "seconds": round(made.seconds, 1),
    }


def _fate(task: Ended, data: Recorded, key: int) -> str:
    if task.state is not State.DONE:
        return "human" if task.state is State.BLOCKED else "unfinished"
    return "clean" if data.answer(key, "qwen-7b").follows_all else "silent_bad"


def expired_key(data: Recorded, keys: Sequence[int], queued: int = QUEUED) -> dict[str, Any]:
    """The key expires with `queued` tasks waiting. Class: a hold of the agent, once for all; then all go on."""
    answered, renewed = Counter[str](), threading.Event()

    def trouble(_key: int, _before: int) -> Reply | None:
        if answered["good"] >= ACCEPTED_BEFORE_EXPIRY and not renewed.is_set():
            answered["refused"] += 1
            return error(401, "authentication_error", "the key has expired")
        answered["good"] += 1
        return None

    total = queued + ACCEPTED_BEFORE_EXPIRY
    tasks = [
        TaskFile(f"t-{at}", data.prompts[keys[at % len(keys)]].text, {"key": keys[at % len(keys)]})
        for at in range(total)
    ]
    recording = Recording(data, "qwen-7b", trouble)
    with (
        MessagesServer(recording) as server,
        scene(served(data, "qwen-7b"), {"solve": solve(("served",))}, tasks) as made,
    ):
        env = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "a-key"}
        made.run(env=env)
        before, held, refused = made.ended(), list(made.shown.holds), answered["refused"]
        renewed.set()
        made.run(env=env)
        after = made.ended()
    return {
        "tasks": total,
        "delivered_before_it_expired": sum(task.state is State.DONE for task in before.values()),
        "still_queued": sum(task.state is State.QUEUE for task in before.values()),
        "holds": held,
        "parks": sum(task.state is State.BLOCKED for task in before.values()),
        "requests_refused": refused,
        "delivered_after_renewal": sum(task.state is State.DONE for task in after.values()),
        "lifted": [each for each in made.shown.holds if each not in held],
        "parks_after_renewal": sum(task.state is State.BLOCKED for task in after.values()),
    }


# -- an agent hangs ---------------------------------------------------------------------------------------------

HANGING = """
[agents.hanging]
provider = "command"
argv = ["sleep", "600"]
timeout = "1s"
"""


def hanging(data: Recorded, keys: Sequence[int]) -> dict[str, Any]:
    """The first agent of 10 % of the tasks never answers. Class: timeout: killed, then the ladder's next agent."""
    hit = some(keys, 0.1, "hang")
    playbooks = {"solve": solve(("qwen-32b",)), "hangs": solve(("hanging", "qwen-32b"))}
    tasks = [
        TaskFile(
            f"p-{key}",
            data.prompts[key].text,
            {"key": key},
            data.prompts[key].gates,
            playbook="hangs" if key in hit else None,
        )
        for key in keys
    ]
    with scene(settings(data, HANGING), playbooks, tasks) as made:
        made.run()
        rows = fates(played(made, data, keys).rows)
        ended = made.ended()
    calm = fates(play(Arm("calm", ("qwen-32b",), "table"), data, keys).rows)
    firsts = Counter(ended[f"p-{key}"].attempts[0].failure or "none" for key in hit)
    return {
        "hit": len(hit),
        "first_attempts_failed_as": dict(firsts),
        "ends_other_than_without_the_fault": sum(rows[key] != calm[key] for key in keys),
        "hit_ended": _ends([ended[f"p-{key}"] for key in hit]),
        "seconds": round(made.seconds, 1),
    }


def run(data: Recorded, keys: Sequence[int], queued: int = QUEUED) -> Mapping[str, Any]:
    return {
        "lost_section": lost_section(data, keys),
        "wrong_task": wrong_task(data, keys),
        "provider_529": overloaded(data, keys),
        "hanging_agent": hanging(data, keys),
        "expired_key": expired_key(data, keys, queued),
    }
