"""The adapters of agents, made from settings. Importing them loads no SDK."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from hqd.adapters.agents.anthropic import AnthropicAgent
from hqd.adapters.agents.command import CommandAgent
from hqd.adapters.agents.prices import table
from hqd.adapters.agents.replay import ReplayAgent
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.core.language.expressions import compile_expression
from hqd.model.settings import Settings
from hqd.ports import Agent


def counting_agents(env: Mapping[str, str], stack: ExitStack) -> dict[str, Agent]:
    """The agents whose providers count tokens, for whoever looks on without a daemon."""
    anthropic = AnthropicAgent(env, EnvironmentSecrets(env), {})
    stack.callback(anthropic.close)
    return {"anthropic": anthropic}


def agent_adapters(
    root: Path,
    env: Mapping[str, str],
    found: EnvironmentSecrets,
    settings: Settings,
    scratch: Path,
    stack: ExitStack,
) -> dict[str, Agent]:
    """One adapter for each provider."""
    prices = {**table(), **settings.prices}
    anthropic = AnthropicAgent(env, found, prices)
    stack.callback(anthropic.close)
    return {
        "anthropic": anthropic,
        "command": CommandAgent(env, found, prices, scratch),
        "replay": ReplayAgent(root, compile_expression, prices),
    }
