"""The whole daemon, wired: every port gets its adapter here."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from hqd.adapters.branches.leftovers import clear as clear_leftovers
from hqd.adapters.checkout import GitCheckout
from hqd.adapters.environment import passing
from hqd.adapters.git import GitFailed
from hqd.adapters.history import GitHistory
from hqd.adapters.instance import host_id, only_instance
from hqd.adapters.ledger import GitLedger, Writer
from hqd.adapters.ledger.upkeep import Upkeep, prepare
from hqd.adapters.programs import LocalPrograms
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.adapters.sparse import Sparse
from hqd.bootstrap.agents import agent_adapters
from hqd.bootstrap.forge import forges_of
from hqd.bootstrap.judging import gate_registry
from hqd.bootstrap.making import (
    context_means,
    copies_of,
    gates_of,
    notifier_of,
    rules_loader,
)
from hqd.bootstrap.opening import Hq, SystemClock, cache_folder, open_hq
from hqd.bootstrap.origin import following_of
from hqd.bootstrap.outsides import outsides_of
from hqd.bootstrap.places import mirrors_of, places_of
from hqd.codec import layout
from hqd.daemon.loop import Loop
from hqd.daemon.origin.patience import Patience
from hqd.daemon.outside import SYNC, Outside
from hqd.daemon.parts import Display, Parts
from hqd.daemon.people import spool
from hqd.daemon.repositories.targets import Targets
from hqd.daemon.rulebook import Rulebook
from hqd.daemon.work.accepted import Accepted
from hqd.daemon.work.workshop import Workshop
from hqd.errors import RepositoryBusy
from hqd.model.record import Person
from hqd.ports import Tree

WORKERS = 1000
"""Threads at most; how many really run is `limits.concurrency`, which may change while hqd runs."""


_TURNS = 50
_LAST_WORD = 120.0
"""Turns, and where something is on its way to a remote seconds, that a command without a daemon may take."""

_PASSING = frozenset({None, "index_lock", "ref_lock", "origin"})
"""Causes of RepositoryBusy that pass by themselves; the others end by a person's hand, and nobody waits for it here."""

_PERSON_FOR = 10.0
"""Seconds for which the git identity of this checkout is taken as it was."""


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
    sparse = Sparse(writer)
    cache = cache_folder(env, host_id(hq.private))
    scratch = cache / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    agents = agent_adapters(hq.root, env, found, settings, scratch, stack)
    forges = forges_of(lambda: rulebook.current.settings, found, stack)
    patience = Patience()
    following = following_of(hq, ledger, rulebook, found, forges, host_id(hq.private), display.note, patience, stack)
    mirrors = mirrors_of(hq, env, rulebook, found, forges, stack)
    places = places_of(hq, mirrors, forges, following.remote)
    shop = Workshop(
        agents=agents,
        gates=gates_of(hq, agents, found),
        copies=copies_of(repository, cache, env, settings, mirrors),
        places=places,
        history=hq.history,
        secrets=found.known,
        accepted=Accepted(hq.history),
        context=context_means(
            hq.root, hq.history, agents, lambda repo: GitHistory(mirrors.get(repo).repository), display.note
        ),
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

    notifier = notifier_of(rulebook, found, env, hq.root, display, stack, quiet=quiet)
    targets = Targets(places, executor, rulebook, note=display.note)
    outsides: tuple[Outside, ...] = (targets,)
    if not quiet:
        known = (places, mirrors, found, display.note, notifier, targets, following.seek)
        outsides = (*outsides, *outsides_of(hq, rulebook, checkout, *known))
    if following.origin is not None and (not quiet or settings.hq.hosts == "many" or _to_sync(hq.private)):
        outsides = (following.origin, *outsides)
    for outside in outsides:
        stack.callback(outside.close)
    parts = Parts(
        ledger=following.ledger,
        checkout=checkout,
        history=hq.history,
        places=places,
        targets=targets,
        rulebook=rulebook,
        executor=executor,
        shop=shop,
        notifier=notifier,
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
        outsides=outsides,
        patience=patience,
    )
    return Loop(parts)


def _to_sync(private: Path) -> bool:
    """Whether somebody waits for `hqd sync`: other words need no origin, and are not to wait for it."""
    return any(request.word == SYNC for request in spool.waiting(private))


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
        until = time.monotonic() + _LAST_WORD
        turns = 0
        while turns < _TURNS or (loop.outsides.busy and time.monotonic() < until):
            turns += 1
            loop.turn()
            if not spool.waiting(loop.parts.private) or loop.live.busy not in _PASSING:
                return
            if loop.outsides.busy:
                time.sleep(0.05)


def _remembered(ask: Callable[[], Person]) -> Callable[[], Person]:
    """Asking git who works here costs two processes; every turn wants to know."""
    known: list[tuple[float, Person]] = []

    def person() -> Person:
        if not known or time.monotonic() - known[0][0] > _PERSON_FOR:
            known[:] = [(time.monotonic(), ask())]
        return known[0][1]

    return person
