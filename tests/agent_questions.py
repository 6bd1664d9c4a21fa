"""Questions as a worker puts them, for tests of agents."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hqd.adapters.agents.anthropic import AnthropicAgent
from hqd.adapters.agents.messages_api import MessagesApi
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.model.attempt import Question
from hqd.model.settings import AgentSettings

TASK = "20261122-weekly-letter-abcdef"
PROGRAM = str(Path(__file__).parent / "programs" / "agent.py")
MODEL = "claude-sonnet-4-5"
KEY = "key-of-the-tests-4711"


def question(settings: AgentSettings, prompt: str = "Write it.", **changes: Any) -> Question:
    values: dict[str, Any] = {
        "agent": "worker", "settings": settings, "task": TASK, "step": "write", "attempt": 1, "stable": "",
        "prompt": prompt, "cwd": None, "output_file": None, "slot": 3, "timeout": 20.0, "max_bytes": 1_000_000,
    }  # fmt: skip
    return Question(**{**values, **changes})


def command(**changes: Any) -> AgentSettings:
    """The test program as an agent."""
    argv = (sys.executable, "-S", PROGRAM)
    return AgentSettings(**{"provider": "command", "argv": argv, **changes})


def model(**changes: Any) -> AgentSettings:
    return AgentSettings(**{"provider": "anthropic", "model": MODEL, **changes})


def anthropic_agent(url: str, idle: float = 20.0, **env: str) -> AnthropicAgent:
    """An agent that speaks to `url` with a key."""
    whole = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url, **env}
    return AnthropicAgent(whole, EnvironmentSecrets(whole), {}, MessagesApi(idle))
