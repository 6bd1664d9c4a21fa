"""Where ports meet adapters: the only place that names concrete ones. Every entry point begins here.

A command that only reads must not pay for the daemon's modules, so each name is looked up in its room when it is asked
for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hqd.bootstrap.agents import agent_adapters, counting_agents
    from hqd.bootstrap.judging import gate_registry
    from hqd.bootstrap.making import context_means, mirrored, rules_loader
    from hqd.bootstrap.opening import Hq, SystemClock, branch_of, cache_folder, git_person, open_hq
    from hqd.bootstrap.running import answer_without_daemon, daemon

_ROOMS = {
    "agents": ("agent_adapters", "counting_agents"),
    "judging": ("gate_registry",),
    "making": ("context_means", "mirrored", "rules_loader"),
    "opening": ("Hq", "SystemClock", "branch_of", "cache_folder", "git_person", "open_hq"),
    "running": ("answer_without_daemon", "daemon"),
}

__all__ = [
    "Hq",
    "SystemClock",
    "agent_adapters",
    "answer_without_daemon",
    "branch_of",
    "cache_folder",
    "context_means",
    "counting_agents",
    "daemon",
    "gate_registry",
    "git_person",
    "mirrored",
    "open_hq",
    "rules_loader",
]


def __getattr__(name: str) -> Any:
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(f"hqd.bootstrap.{room}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
