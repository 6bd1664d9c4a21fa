"""Adapters made from settings: agents, gates, copies, context, notifications, and the loader of rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path

from hqd.adapters.disposable import make_folder
from hqd.adapters.environment import passing
from hqd.adapters.history import GitHistory
from hqd.adapters.mirror import Mirrors
from hqd.adapters.programs import LocalPrograms
from hqd.adapters.repository import MIRRORS, GitRepository
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.bootstrap.judging import gate_registry
from hqd.bootstrap.opening import Hq
from hqd.check import Report, check_reader
from hqd.codec import layout
from hqd.daemon.context.library import Library
from hqd.daemon.parts import Display
from hqd.daemon.rulebook import Reader, Rulebook
from hqd.daemon.work.gather import Means
from hqd.errors import Expected, Misconfigured
from hqd.gates.cache import Verdicts
from hqd.model.board import Rules
from hqd.model.problem import Problem
from hqd.model.record import Pin
from hqd.model.settings import Settings
from hqd.ports import Agent, Copies, Gates, History, Notifier


def rules_loader(gates: Gates) -> Callable[[Reader, Pin], tuple[Rules | None, tuple[Problem, ...]]]:
    """Reads and checks the rules of a pin; None where anything stops them."""

    def load(reader: Reader, pin: Pin) -> tuple[Rules | None, tuple[Problem, ...]]:
        report = check_reader(reader, gates.check)
        if report.config.newer:
            first = next(problem for problem in report.problems if problem.stops)
            raise Misconfigured(str(replace(first, remedy="")), remedy=first.remedy)
        if not report.rules_ok or report.config.settings is None:
            return None, report.problems
        return with_lessons(report, reader, pin), report.problems

    return load


def with_lessons(report: Report, reader: Reader, pin: Pin) -> Rules:
    """The rules of a report without faults, with the lessons that are in force, which the pin then names."""
    settings = report.config.settings
    assert settings is not None  # noqa: S101 - asked by the callers
    ids = {f"{layout.LESSONS}/{entry.name}": entry.id for entry in reader.entries(layout.LESSONS)}
    lessons = report.lessons_in_force
    named = pin.model_copy(update={"lessons": tuple(ids[path] for path in lessons)})
    return Rules(named, settings, report.config.by_name, tuple(lessons.values()))


def context_means(
    root: Path,
    history: GitHistory,
    agents: Mapping[str, Agent] | None = None,
    elsewhere: Callable[[str], History] | None = None,
    note: Callable[[str], None] = lambda _text: None,
) -> Means:
    """What prompts are gathered with, for the daemon and for whoever looks at what it would send.

    `agents`: those whose provider counts tokens are asked to; without them tokens are estimated. `elsewhere`: the
    history of a target repository; without it their documents are not sent. `note`: the log; called from any thread.
    """
    from hqd.adapters.agents.anthropic import AnthropicAgent
    from hqd.adapters.similar_index import SimilarIndex, rerankers
    from hqd.adapters.token_counts import KeptCounts

    cache = root / layout.CACHE
    similar = SimilarIndex(cache / "similar.sqlite", history, rerankers(), note)
    counters = {name: agent for name, agent in (agents or {}).items() if isinstance(agent, AnthropicAgent)}
    counting = KeptCounts(cache / "tokens.sqlite", counters) if counters else None
    return Means(history, Library(history), similar, counting, elsewhere)


def mirrored(private: Path, env: Mapping[str, str], stack: ExitStack) -> Callable[[str], History]:
    """Target repositories as the daemon's mirrors have them, for whoever looks on: nothing is made or fetched."""
    from hqd.adapters.git import Git
    from hqd.adapters.mirror import Mirrors
    from hqd.adapters.objects import Objects

    mirrors = Mirrors(private / MIRRORS, env, dict)

    def history(repo: str) -> History:
        place = mirrors.path(repo)
        if not (place / "HEAD").exists():
            raise Expected(f"repository {repo} was not fetched yet")
        git = Git(place, env, {"GIT_DIR": str(place)})
        repository = GitRepository(place, place, place, "main", "sha1", git, Objects(git, "sha1"))
        stack.callback(repository.close)
        return GitHistory(repository)

    return cache(history)


def gates_of(hq: Hq, agents: Mapping[str, Agent], found: EnvironmentSecrets) -> Callable[[Rules], Gates]:
    """The registry of each pin's rules; hqd.toml may change its named gates while tasks are under way."""
    kept: dict[Pin, Gates] = {}
    verdicts = Verdicts(folder=hq.root / layout.CACHE / "gates", make=make_folder)

    def read(path: str) -> bytes | None:
        return hq.history.tree(hq.repository.tip()).read(path)

    def gates(rules: Rules) -> Gates:
        made = kept.get(rules.pin)
        if made is None:
            if len(kept) > 20:
                kept.clear()
            made = gate_registry(hq.env, rules.settings, agents, read, found.known(), verdicts)
            kept[rules.pin] = made
        return made

    return gates


def copies_of(
    repository: GitRepository, cache: Path, env: Mapping[str, str], settings: Settings, mirrors: Mirrors
) -> Copies:
    from hqd.adapters.copies import PooledCopies

    return PooledCopies(repository, cache / "copies", env, mirrors, sparse=settings.hq.sparse)


def notifier_of(
    rulebook: Rulebook,
    found: EnvironmentSecrets,
    env: Mapping[str, str],
    root: Path,
    display: Display,
    stack: ExitStack,
    *,
    quiet: bool,
) -> Notifier:
    from hqd.adapters.notify import Notifications

    rules = (lambda: ()) if quiet else (lambda: rulebook.current.settings.notify)
    notifications = Notifications(rules, LocalPrograms(), found, passing(env), root, display.note)
    stack.callback(notifications.close)
    return notifications
