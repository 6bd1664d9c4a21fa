"""Where ports meet adapters: the only place that names concrete ones. Every entry point begins here."""

from __future__ import annotations

import os
import secrets
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hqd.adapters.branches import GitBranches
from hqd.adapters.branches.leftovers import clear as clear_leftovers
from hqd.adapters.checkout import GitCheckout
from hqd.adapters.environment import passing
from hqd.adapters.git import GitFailed
from hqd.adapters.history import GitHistory
from hqd.adapters.instance import host_id, only_instance
from hqd.adapters.ledger import GitLedger, Writer
from hqd.adapters.ledger.upkeep import Upkeep, prepare
from hqd.adapters.local_forge import LocalForge
from hqd.adapters.programs import LocalPrograms
from hqd.adapters.repository import GitRepository
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.adapters.sparse import Sparse
from hqd.check import check_reader
from hqd.codec import layout
from hqd.daemon import spool
from hqd.daemon.accepted import Accepted
from hqd.daemon.context.library import Library
from hqd.daemon.gather import Means
from hqd.daemon.loop import Loop
from hqd.daemon.parts import Display, Parts
from hqd.daemon.rulebook import Reader, Rulebook
from hqd.daemon.workshop import Workshop
from hqd.errors import Misconfigured, RepositoryBusy
from hqd.gates.asking import Asker
from hqd.gates.cache import Verdicts
from hqd.gates.calibration import committed
from hqd.gates.kind import Doors
from hqd.gates.plugins import installed
from hqd.gates.registry import Registry, no_calibration
from hqd.model.board import Rules
from hqd.model.problem import Problem
from hqd.model.record import Person, Pin
from hqd.model.settings import Settings
from hqd.ports import Agent, Copies, Gates, Notifier, Tree

WORKERS = 1000
"""Threads at most; how many really run is `limits.concurrency`, which may change while hqd runs."""


_PERSON_FOR = 10.0
"""Seconds for which the git identity of this checkout is taken as it was."""


class SystemClock:
    """Port Clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True)
class Hq:
    """An HQ opened for reading: works beside a running daemon, takes no lock."""

    root: Path
    repository: GitRepository
    history: GitHistory
    branches: GitBranches
    env: Mapping[str, str]

    @property
    def private(self) -> Path:
        return self.repository.private

    def person(self) -> Person:
        """The git identity of whoever works here; where none is set, the login name."""
        return git_person(self.repository, self.env)


@contextmanager
def open_hq(root: Path, env: Mapping[str, str]) -> Iterator[Hq]:
    """Opens the HQ at `root`. Raises NotAnHQ, Misconfigured."""
    repository = GitRepository.open(root, env, branch_of(root))
    try:
        yield Hq(root, repository, GitHistory(repository), GitBranches(repository), env)
    finally:
        repository.close()


def branch_of(root: Path) -> str:
    """The branch that hqd.toml names as main; `main` where the file says nothing or cannot be read."""
    try:
        table = tomllib.loads((root / layout.SETTINGS).read_text("utf-8"))
        name = table.get("hq", {}).get("branch", "main")
    except (OSError, ValueError, AttributeError):
        return "main"
    return name if isinstance(name, str) and name else "main"


def git_person(repository: GitRepository, env: Mapping[str, str]) -> Person:
    """user.name and user.email of git's configuration, else login@localhost."""
    found = {}
    for key in ("user.name", "user.email"):
        found[key] = repository.git.quick("config", "--get", key, codes=(0, 1)).text.strip()
    login = env.get("USER") or env.get("LOGNAME") or "someone"
    return Person(name=found["user.name"] or login, email=found["user.email"] or f"{login}@localhost")


def rules_loader(gates: Gates) -> Callable[[Reader, Pin], tuple[Rules | None, tuple[Problem, ...]]]:
    """Reads and checks the rules of a pin; None where anything stops them."""

    def load(reader: Reader, pin: Pin) -> tuple[Rules | None, tuple[Problem, ...]]:
        report = check_reader(reader, gates.check)
        if report.config.newer:
            first = next(problem for problem in report.problems if problem.stops)
            raise Misconfigured(str(first), remedy="upgrade hqd")
        if not report.ok or report.config.settings is None:
            return None, report.problems
        return Rules(pin, report.config.settings, report.config.by_name), report.problems

    return load


@contextmanager
def daemon(root: Path, env: Mapping[str, str], display: Display, *, quiet: bool = False) -> Iterator[Loop]:
    """The whole daemon for the HQ at `root`, ready for `open` and `turn`. `quiet`: tells nobody, starts no work.

    Raises AlreadyRunning, NotAnHQ, Misconfigured.
    """
    with ExitStack() as stack:
        hq = stack.enter_context(open_hq(root, env))
        stack.enter_context(only_instance(hq.private))
        yield _assemble(hq, env, display, stack, quiet=quiet)


def _assemble(hq: Hq, env: Mapping[str, str], display: Display, stack: ExitStack, *, quiet: bool) -> Loop:
    repository = hq.repository
    prepare(repository)
    writer = Writer(repository)
    stack.callback(writer.close)
    clear_leftovers(repository)
    ledger = stack.enter_context(GitLedger(writer))
    upkeep = Upkeep(repository, ledger)
    stack.callback(upkeep.close)
    checkout = GitCheckout(repository, writer, ledger.finish)
    found = EnvironmentSecrets(env)
    plain = gate_registry(env, None, None)
    rulebook = Rulebook(hq.history, rules_loader(plain), hq.private / "good-rules.json")
    rulebook.refresh(ledger.snapshot())
    settings = rulebook.current.settings
    if settings.hq.hosts == "many":
        message = 'hqd.toml: hq.hosts = "many" is not in force yet: two hosts would do the same work'
        raise Misconfigured(message, remedy='say hosts = "one", and run one daemon')
    sparse = Sparse(writer)
    cache = cache_folder(env, host_id(hq.private))
    scratch = cache / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    agents = agent_adapters(hq.root, env, found, settings, scratch, stack)
    shop = Workshop(
        agents=agents,
        gates=_gates_of(hq, agents, found),
        copies=_copies(repository, cache, env, settings),
        branches=hq.branches,
        history=hq.history,
        secrets=found.known,
        accepted=Accepted(hq.history),
        context=context_means(hq.root, hq.history),
        programs=LocalPrograms(),
        environment=passing(env),
        vault=found,
        scratch=scratch,
    )
    executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="hqd-worker")
    stack.callback(executor.shutdown, wait=False, cancel_futures=True)

    cone: list[object] = [None]  # what the sparse checkout was last brought in line with

    def followed(tree: Tree) -> None:
        """A folder that a person makes is to be in the checkout at once: git refuses `git add` of what is outside."""
        mode, day = rulebook.current.settings.hq.sparse, datetime.now(UTC).date()
        if (mode, day, _folders(hq.root, tree)) == cone[0]:
            return
        try:
            sparse.apply(mode, day)
        except RepositoryBusy:
            return  # the next turn tries again
        except GitFailed as fault:
            display.note(f"the sparse checkout stays as it is: {fault.message}")
        cone[0] = (mode, day, _folders(hq.root, tree))

    parts = Parts(
        ledger=ledger,
        checkout=checkout,
        history=hq.history,
        branches=hq.branches,
        rulebook=rulebook,
        executor=executor,
        shop=shop,
        forge=LocalForge(hq.branches),
        notifier=_notifier(rulebook, found, env, hq.root, display, stack, quiet=quiet),
        display=display,
        clock=SystemClock(),
        private=hq.private,
        host=host_id(hq.private),
        pid=os.getpid(),
        seed=secrets.token_hex(16),
        person=_remembered(hq.person),
        new_hex=lambda: secrets.token_hex(3),
        last_tip=ledger.last_seen,
        see_tip=ledger.mark_seen,
        upkeep=upkeep.tick,
        followed=followed,
    )
    return Loop(parts)


def context_means(root: Path, history: GitHistory) -> Means:
    """What prompts are gathered with, for the daemon and for whoever looks at what it would send."""
    from hqd.adapters.similar_index import SimilarIndex, rerankers

    return Means(history, Library(history), SimilarIndex(root / layout.CACHE / "similar.sqlite", history, rerankers()))


def _folders(root: Path, tree: Tree) -> object:
    """What tells that the folders at the top or in workspace/ are others than before, at the price of two stats."""
    found: list[object] = []
    for folder in ("", layout.WORKSPACE):
        found.append(tuple(entry.name for entry in tree.entries(folder) if entry.is_folder))
        try:
            found.append((root / folder).stat().st_mtime_ns)
        except OSError:
            found.append(None)
    return tuple(found)


def answer_without_daemon(root: Path, env: Mapping[str, str], display: Display) -> None:
    """Answers the requests that lie in the spool, without starting any work. Raises AlreadyRunning."""
    with daemon(root, env, display, quiet=True) as loop:
        loop.stopping = True
        loop.open()
        for _turn in range(50):
            loop.turn()
            if not spool.waiting(loop.parts.private):
                return


def _remembered(ask: Callable[[], Person]) -> Callable[[], Person]:
    """Asking git who works here costs two processes; every turn wants to know."""
    known: list[tuple[float, Person]] = []

    def person() -> Person:
        if not known or time.monotonic() - known[0][0] > _PERSON_FOR:
            known[:] = [(time.monotonic(), ask())]
        return known[0][1]

    return person


def agent_adapters(
    root: Path,
    env: Mapping[str, str],
    found: EnvironmentSecrets,
    settings: Settings,
    scratch: Path,
    stack: ExitStack,
) -> dict[str, Agent]:
    """One adapter for each provider. Importing them loads no SDK."""
    from hqd.adapters.agents.anthropic import AnthropicAgent
    from hqd.adapters.agents.command import CommandAgent
    from hqd.adapters.agents.prices import table
    from hqd.adapters.agents.replay import ReplayAgent
    from hqd.core.expressions import compile_expression

    prices = {**table(), **settings.prices}
    anthropic = AnthropicAgent(env, found, prices)
    stack.callback(anthropic.close)
    return {
        "anthropic": anthropic,
        "command": CommandAgent(env, found, prices, scratch),
        "replay": ReplayAgent(root, compile_expression, prices),
    }


def gate_registry(
    env: Mapping[str, str],
    settings: Settings | None,
    agents: Mapping[str, Agent] | None,
    read: Callable[[str], bytes | None] | None = None,
    known: frozenset[str] = frozenset(),
    verdicts: Verdicts | None = None,
) -> Gates:
    """The gate catalogue with plug-ins; with `settings`, its named gates and judges work too.

    `read` gives files of main: the calibrations by which judges earned `enforce`.
    """
    asks = None
    if settings is not None and agents is not None:
        asks = Asker(settings.agents, lambda each: agents[each.provider])
    doors = Doors(programs=LocalPrograms(), env=env, asks=asks, known_secrets=tuple(known))
    return Registry(
        doors=doors,
        plugins=installed(),
        named=settings.gates if settings is not None else None,
        calibrations=committed(read) if read is not None else no_calibration,
        cache=verdicts,
    )


def _gates_of(hq: Hq, agents: Mapping[str, Agent], found: EnvironmentSecrets) -> Callable[[Rules], Gates]:
    """The registry of each pin's rules; hqd.toml may change its named gates while tasks are under way."""
    kept: dict[Pin, Gates] = {}
    verdicts = Verdicts(folder=hq.root / layout.CACHE / "gates")

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


def _copies(repository: GitRepository, cache: Path, env: Mapping[str, str], settings: Settings) -> Copies:
    from hqd.adapters.copies import PooledCopies

    return PooledCopies(repository, cache / "copies", env, settings.repos, sparse=settings.hq.sparse)


def _notifier(
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


def cache_folder(env: Mapping[str, str], host: str) -> Path:
    """Where disposable copies live: systemd's cache folder, else the user's, one folder for each clone of an HQ."""
    base = env.get("CACHE_DIRECTORY", "").split(":")[0] or env.get("XDG_CACHE_HOME") or ""
    home = Path(base) if base else Path(env.get("HOME") or "/tmp") / ".cache"  # noqa: S108 - last resort
    return home / "hqd" / host
