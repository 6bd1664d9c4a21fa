"""What is wrong with a playbook's experiment, as far as settings and playbooks tell. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hqd.core.context.experiment import brought, requires, sizes
from hqd.model.playbook import Playbook, StepKind
from hqd.model.problem import Place, Problem, ProblemLevel
from hqd.model.settings import Settings
from hqd.model.spelling import meant

MOST = 20_000
"""Tasks above which an experiment will hardly end."""


def check_experiment(
    settings: Settings, path: str, playbook: Playbook, texts: Mapping[str, str], folder: str
) -> Iterator[Problem]:
    """`texts`: files beside the playbooks, by the names that playbooks use; `folder`: of the playbooks."""
    experiment = playbook.experiment
    if experiment is None:
        return

    def fault(place: Place, message: str, remedy: str, level: ProblemLevel = ProblemLevel.ERROR) -> Problem:
        return Problem(path, 0, "", message, remedy, level, ("experiment", *place))

    place = requires(settings, playbook)
    if place is not None:
        message = f"{experiment.source} is required by {place}: what is required is never left out"
        yield fault(("source",), message, "experiment with an optional source, or take `required` away")
    elif not brought(settings, playbook, experiment.source):
        message = f"no context rule names {experiment.source}: both arms may be sent the same"
        remedy = "name a source as `hqd context` lists it, or add a rule that includes it"
        yield fault(("source",), message, remedy, ProblemLevel.WARNING)
    agents = [step.name for step in playbook.steps if step.kind is StepKind.AGENT]
    for step, prompt in experiment.prompt.items():
        if step not in agents:
            yield fault(("prompt", step), f"there is no agent step {step}", meant(step, agents))
        elif prompt not in texts:
            yield fault(("prompt", step), f"{folder}/{prompt} does not exist", meant(prompt, list(texts)[:20]))
    tasks = sum(sizes(experiment).values())
    if tasks > MOST:
        message = f"takes {tasks} tasks to tell an effect of {experiment.effect:g}"
        yield fault(("effect",), message, "look for a larger effect", ProblemLevel.WARNING)
