"""Where ports meet adapters: the only place that names concrete ones. Every entry point begins here."""

from hqd.bootstrap.making import agent_adapters, context_means, counting_agents, gate_registry, mirrored, rules_loader
from hqd.bootstrap.opening import Hq, SystemClock, branch_of, cache_folder, git_person, open_hq
from hqd.bootstrap.running import answer_without_daemon, daemon

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
