"""The budget of a prompt: what a model's window leaves after its answer and a margin for the counting itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hqd.model.settings import AgentSettings

WINDOWS: Mapping[str, int] = {
    "claude": 200_000,
    "gpt-4.1": 1_000_000,
    "gpt-4o": 128_000,
    "gpt-5": 272_000,
    "o3": 200_000,
    "o4-mini": 200_000,
}
"""Tokens of input that a model takes, by its name or the beginning of it up to a dash; `agents.X.window` overrules it.

Rounded down where a provider offers more on request. Makers change these: a wrong entry costs documents or a refused
call (class `context`), never a wrong result.
"""

PRESETS: Mapping[str, str] = {"claude": "claude", "codex": "gpt-5"}
"""What a command preset runs where hqd.toml names no model."""

DEFAULT_BUDGET = 60_000
"""Tokens of a whole prompt where the window is not known: half of what small models take. It bounds documents only; a
task is never refused for a limit that nobody has stated."""

RESERVED_OUTPUT = 16_000
"""Tokens kept free for the answer where the agent's own `max_tokens` does not say."""

MARGIN = 0.10
"""Of the window, for what an estimate misses and what a provider adds around a prompt."""

COUNTED_MARGIN = 0.02
"""The same, where the provider counts itself."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens that a whole prompt may have. `window` None: not known, `tokens` is the default or a person's limit."""

    tokens: int
    window: int | None = None
    reserved: int = 0
    margin: int = 0
    why: str = ""

    @property
    def known(self) -> bool:
        """Whether a prompt above it cannot be sent at all."""
        return self.window is not None


def budget_of(agent: AgentSettings | None, limit: int | None = None, *, counted: bool = False) -> Budget:
    """The budget for an agent; `limit`: the least of what settings, playbook and step allow."""
    window = window_of(agent)
    if agent is None or window is None:
        tokens = min(DEFAULT_BUDGET, limit) if limit is not None else DEFAULT_BUDGET
        return Budget(tokens, why="the window of this agent is not known: the default" if limit != tokens else "limit")
    reserved = agent.max_tokens if agent.provider == "anthropic" else RESERVED_OUTPUT
    reserved = min(reserved, window // 2)
    margin = int(window * (COUNTED_MARGIN if counted else MARGIN))
    tokens = max(1, window - reserved - margin)
    if limit is not None and limit < tokens:
        return Budget(limit, window, reserved, margin, "a limit of context_tokens")
    return Budget(tokens, window, reserved, margin, "the window, without the answer and a margin")


def window_of(agent: AgentSettings | None) -> int | None:
    """Tokens of input that the agent's model takes; None: not known."""
    if agent is None:
        return None
    if agent.window is not None:
        return agent.window
    model = agent.model or (PRESETS.get(agent.preset) if agent.preset is not None else None)
    if model is None:
        return None
    fitting = [key for key in WINDOWS if model == key or model.startswith(key + "-")]
    return WINDOWS[max(fitting, key=len)] if fitting else None
