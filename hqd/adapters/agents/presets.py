"""How the well-known agent programs are called. Flags as of claude-code 2.1.197 and codex-cli 0.169.0."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hqd.model.attempt import Question


@dataclass(frozen=True, slots=True)
class Preset:
    """One program: what it is called with (`last` after the agent's own `args`), and which variables it needs.

    `passes` come from hqd's own environment, `keys` from hqd's secrets (variable to name), `secret` names the
    variables whose values are masked.
    """

    parser: str
    argv: Callable[[Question, Path], tuple[str, ...]]
    last: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    passes: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    secret: tuple[str, ...] = ()
    base_url_variable: str | None = None


def _claude(question: Question, folder: Path) -> tuple[str, ...]:
    """Files may be edited without asking: the copy is disposable. Commands only as `args` allow them."""
    argv = ["claude", "-p", "--output-format", "json", "--permission-mode", "acceptEdits", "--no-session-persistence"]
    if question.settings.model:
        argv += ["--model", question.settings.model]
    if question.budget_usd is not None:
        argv += ["--max-budget-usd", f"{max(question.budget_usd, 0.0001):.4f}"]
    if question.schema is not None:
        argv += ["--json-schema", json.dumps(question.schema)]
    return tuple(argv)


def _codex(question: Question, folder: Path) -> tuple[str, ...]:
    """`-` at the end: the prompt comes on stdin."""
    argv = ["codex", "exec", "--json", "--skip-git-repo-check", "--ephemeral", "--sandbox", "workspace-write"]
    if question.settings.model:
        argv += ["--model", question.settings.model]
    if question.schema is not None:
        schema = folder / "schema.json"
        schema.write_text(json.dumps(question.schema), encoding="utf-8")
        argv += ["--output-schema", str(schema)]
    return tuple(argv)


PRESETS: Mapping[str, Preset] = {
    "claude": Preset(
        parser="claude",
        argv=_claude,
        env={"CLAUDE_CODE_MAX_RETRIES": "1"},  # hqd retries by itself, where it is seen and counted
        passes=("ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_*", "XDG_*"),
        keys={"ANTHROPIC_API_KEY": "anthropic_api_key"},
        secret=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
        base_url_variable="ANTHROPIC_BASE_URL",
    ),
    "codex": Preset(
        parser="codex",
        argv=_codex,
        last=("-",),
        passes=("OPENAI_BASE_URL", "OPENAI_API_KEY", "CODEX_*", "XDG_*"),
        keys={"OPENAI_API_KEY": "openai_api_key"},
        secret=("OPENAI_API_KEY", "CODEX_API_KEY"),
        base_url_variable="OPENAI_BASE_URL",
    ),
}
