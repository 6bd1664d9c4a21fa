"""The hqd.toml of a new HQ, with what people change first in it and a word on each."""

from __future__ import annotations

from typing import Literal

from hqd.codec.settings import PLACEHOLDER

Kind = Literal["anthropic", "claude", "codex", "none"]
AGENTS = ("default", "writer", "researcher", "reviewer")
"""The agents that the playbooks of the starter name."""

_HEAD = """\
# Settings of this HQ. In force as committed: edit, then `hqd apply` (or commit it yourself); `hqd check` says what is
# wrong. For completion in your editor: `hqd check --schemas .hqd/schemas`, and as the first line of this file
# `#:schema ./.hqd/schemas/hqd.schema.json`.
format = 1

[hq]
# branch = "main"
# fetch = "30s"                     # from origin, where there is one

[defaults]
playbook = "general"                # takes whatever nothing else takes
on_fail = [{ retry = 2 }, "human"]  # where a step says nothing

[limits]                            # always in force; a playbook and a task may only be stricter
cost_usd_per_task = 2.0
cost_usd_per_day = 20.0
concurrency = 4

"""

_TAIL = """\
[gates.no-refunds]                  # named, to be used in any playbook: gates = ["no-refunds"]
kind = "must_not_include"
values = ["refund", "money back"]
ignore_case = true

[gates.tests]                       # of playbook code-fix: put your own command here
kind = "command"
argv = ["make", "test"]
compare = "base"                    # what was green before must stay green; what was red already does not count
timeout = "15m"

# [repos.site]                      # another repository to work on: `repo: site` in a task, or in a playbook
# url = "git@example.org:acme/site.git"
# setup = ["npm", "ci"]             # once per fresh copy, within `setup_timeout` (30 minutes)
# protected = [".github/**"]        # what no agent may change there

# [forge]                           # reviews as pull requests; the HQ's remote `origin` is to be there (docs/forges.md)
# kind = "github"                   # github, gitlab or gitea
# repo = "acme/hq"
# token = "secret:forge"            # the environment variable HQD_SECRET_FORGE, or a systemd credential

# [[notify]]                        # be told when a human is needed
# on = ["blocked", "review", "hold"]
# command = ["notify-send", "{{ task.title }}", "{{ reason }}"]
"""

_WORDS = {
    "anthropic": (
        "# The key: export ANTHROPIC_API_KEY, or a systemd credential named anthropic_api_key. ANTHROPIC_BASE_URL or\n"
        "# base_url lets any server that speaks the Messages API serve, local models included.\n"
    ),
    "claude": "# Claude Code on this machine, logged in by `claude`; no key is needed in hqd.\n",
    "codex": "# Codex CLI on this machine, logged in by `codex login`; no key is needed in hqd.\n",
    "none": (
        "# Put your own program here: it reads the prompt on standard input and prints its answer. Or use\n"
        '# provider = "anthropic" with a model, or provider = "command" with preset = "claude" or "codex".\n'
    ),
}
_AGENT = {
    "anthropic": 'provider = "anthropic"\nmodel = "claude-sonnet-4-5"\n',
    "claude": 'provider = "command"\npreset = "claude"\n',
    "codex": 'provider = "command"\npreset = "codex"\n',
    "none": f'provider = "command"\nargv = ["{PLACEHOLDER}"]\n',
}


def starter_settings(agent: Kind) -> str:
    """A commented hqd.toml whose agents are all of one kind; with `none`, `check` warns until a program is named."""
    agents = "".join(f"[agents.{name}]\n{_AGENT[agent]}\n" for name in AGENTS)
    return _HEAD + _WORDS[agent] + agents + _TAIL
