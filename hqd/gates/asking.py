"""The door to judging agents over the port Agent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from hqd.gates.kind import CannotJudge
from hqd.model.attempt import Answer, Question
from hqd.model.duration import seconds
from hqd.model.settings import AgentSettings
from hqd.ports import Agent

TIMEOUT = "5m"
MAX_BYTES = 200_000


class Asker:
    """Asks the agents of hqd.toml. `agent_for` gives the adapter of an agent's settings."""

    def __init__(self, agents: Mapping[str, AgentSettings], agent_for: Callable[[AgentSettings], Agent]) -> None:
        self._agents = agents
        self._agent_for = agent_for

    def ask(self, agent: str, prompt: str, schema: Mapping[str, Any], stop: threading.Event | None) -> Answer:
        """See `kind.Asks`. Raises CannotJudge where there is no agent of that name."""
        settings = self._settings(agent)
        question = Question(
            agent=agent,
            settings=settings,
            task="",
            step="judge",
            attempt=1,
            stable="",
            prompt=prompt,
            cwd=None,
            output_file=None,
            slot=0,
            timeout=seconds(settings.timeout or TIMEOUT),
            max_bytes=MAX_BYTES,
            schema=schema,
        )
        return self._agent_for(settings).answer(question, stop or threading.Event(), _silent)

    def identity(self, agent: str) -> str:
        """Provider and model, or the program: what a verdict depends on besides the prompt. Raises CannotJudge."""
        settings = self._settings(agent)
        return f"{settings.provider}:{settings.model or settings.preset or ' '.join(settings.argv) or settings.answers}"

    def _settings(self, agent: str) -> AgentSettings:
        if agent not in self._agents:
            raise CannotJudge(f"agent: there is no agent {agent!r} in hqd.toml")
        return self._agents[agent]


def _silent(_text: str) -> None:
    """A judge's progress is nobody's news."""
