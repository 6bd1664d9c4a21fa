"""hqd.toml: settings, agents, repositories, limits, forge, notifications."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hqd.model.duration import Duration
from hqd.model.gate import GateSpec
from hqd.model.playbook import ContextRule, Rung
from hqd.model.value import Value

FORMAT = 1
"""The format of an HQ that this hqd writes. A newer one on disk is refused with exit 78."""


class HqSettings(Value):
    hosts: Literal["one", "many"] = "one"
    fetch: Duration = "30s"
    push: Duration = "2s"
    token: str | None = None  # for an origin over https that is not on the forge: "secret:NAME"
    branch: str = "main"
    sparse: Literal["index", "cone", "off"] = "index"
    grace: Duration = "30s"  # how long running attempts may take to end on SIGTERM
    rescan: Duration = "10s"  # the net under the file watcher


class Inbox(Value):
    settle: Duration = "5s"
    max_bytes: int = Field(default=1_000_000, ge=1)


class Edits(Value):
    playbooks: Literal["commit", "save"] = "commit"


class Defaults(Value):
    playbook: str = "general"
    on_fail: tuple[Rung, ...] = (Rung(retry=2), Rung(human=True))


class GlobalLimits(Value):
    """Caps that always exist (design section 5). Dollars, tokens, counts, durations."""

    cost_usd_per_task: float = Field(default=2.0, ge=0)
    cost_usd_per_day: float = Field(default=20.0, ge=0)
    cost_usd_per_attempt: float | None = Field(default=None, ge=0)
    tokens_per_attempt: int | None = Field(default=None, ge=0)
    tokens_per_task: int | None = Field(default=None, ge=0)
    tokens_per_day: int | None = Field(default=None, ge=0)
    context_tokens: int | None = Field(default=None, ge=1)  # a whole prompt's, below what the window allows
    concurrency: int = Field(default=4, ge=1, le=1000)
    attempts: int = Field(default=20, ge=1)  # a round
    attempt: Duration = "30m"
    output_bytes: int = Field(default=4_000_000, ge=1000)
    patch_bytes: int = Field(default=10_000_000, ge=1000)
    crashes: int = Field(default=3, ge=1)  # worker crashes of one task in a row before it is parked
    deaths: int = Field(default=10, ge=1)  # times in a row that hqd itself died while it was being worked on


class Price(Value):
    """Dollars per million tokens; overrides the package's table for one agent."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cache_read: float | None = Field(default=None, ge=0)
    cache_write: float | None = Field(default=None, ge=0)


class AgentSettings(Value):
    """A named worker. Which keys apply depends on `provider`; `codec/settings.py` refuses the others."""

    provider: Literal["anthropic", "command", "replay"]
    # anthropic
    model: str | None = None
    max_tokens: int = Field(default=8192, ge=1)
    system: str | None = None
    base_url: str | None = None
    api_key: str = "secret:anthropic_api_key"
    tools: bool = False
    max_turns: int = Field(default=30, ge=1)
    price: Price | None = None
    # command
    preset: Literal["claude", "codex"] | None = None
    argv: tuple[str, ...] = ()
    args: tuple[str, ...] = ()  # appended to a preset's own
    env: dict[str, str] = Field(default_factory=dict)
    pass_env: tuple[str, ...] = ()
    parser: Literal["text", "json", "claude", "codex"] | None = None
    native_context: bool | None = None  # reads AGENTS.md and the like by itself; presets: what theirs reads
    # replay
    answers: str | None = None  # a JSONL file, relative to the HQ
    pick: str | None = None  # an expression over task, step, attempt, agent and `row`
    delay: Duration = "0s"
    # all
    timeout: Duration | None = None
    max_concurrent: int | None = Field(default=None, ge=1)
    requests_per_minute: int | None = Field(default=None, ge=1)
    window: int | None = Field(default=None, ge=1000)  # tokens of input that its model takes


class Repository(Value):
    url: str
    branch: str = "main"
    token: str | None = None  # `secret:NAME`, for http(s); else what git itself has for that URL
    setup: tuple[str, ...] = ()
    setup_timeout: Duration = "30m"  # of one run of `setup`
    protected: tuple[str, ...] = ()
    forge_repo: str | None = None  # owner/name on the forge, where the url does not tell


class Forge(Value):
    kind: Literal["local", "github", "gitlab", "gitea"] = "local"
    repo: str | None = None
    token: str | None = None  # secret:NAME
    app_id: str | None = None  # of a GitHub App, instead of a token
    app_key: str | None = None  # secret:NAME, its private key (PEM)
    app_installation: str | None = None  # its number; None: the one that has `repo`
    poll: Duration = "60s"
    debounce: Duration = "10s"
    branch_grace: Duration = "10m"
    api_url: str | None = None
    proxy: str | None = None  # http://HOST:PORT for requests to the API
    ca_file: str | None = None  # certificates of a server of one's own, PEM
    allow_bots: tuple[str, ...] = ()


class Webhook(Value):
    listen: str = "127.0.0.1:8477"
    secret: str


class Notify(Value):
    """Who is told what. Exactly one of `command` and `webhook`."""

    on: tuple[str, ...] = Field(min_length=1)
    command: tuple[str, ...] = ()
    webhook: str | None = None
    digest: Duration | None = None


class LessonSettings(Value):
    """The lesson book. `sample`: after so many decided outputs with hidden verdicts its next level is decided."""

    label_days: int = Field(default=7, ge=0)  # a label counts for promotion once it is so old
    max_false_positive_rate: float = Field(default=0.02, gt=0, lt=1)
    drafter: str | None = None  # an agent that words accounts; the gate is never its own
    record: bool = True  # write down failures by itself
    propose: bool = True  # and propose those for which a gate is found
    most_a_day: int = Field(default=20, ge=0)  # recordings
    most_open: int = Field(default=200, ge=1)  # lessons that are recorded or proposed and wait for a person
    context_tokens: int = Field(default=400, ge=0)  # of all lessons in one prompt
    sample: int = Field(default=30, ge=1)
    holdout: float = Field(default=0.0, ge=0, lt=1)  # share of tasks for which a warning lesson stays hidden
    idle_exposures: int = Field(default=100, ge=1)  # so many without a hit, and past review_after: retire it


class Settings(Value):
    format: int
    hq: HqSettings = HqSettings()
    inbox: Inbox = Inbox()
    edits: Edits = Edits()
    defaults: Defaults = Defaults()
    limits: GlobalLimits = GlobalLimits()
    agents: dict[str, AgentSettings] = Field(default_factory=dict)
    repos: dict[str, Repository] = Field(default_factory=dict)
    gates: dict[str, GateSpec] = Field(default_factory=dict)
    context: tuple[ContextRule, ...] = ()
    forge: Forge = Forge()
    webhook: Webhook | None = None
    notify: tuple[Notify, ...] = ()
    lessons: LessonSettings = LessonSettings()
    audit: float | None = Field(default=None, ge=0, le=1)
    prices: dict[str, Price] = Field(default_factory=dict)
    secrets: dict[str, Any] = Field(default_factory=dict)
