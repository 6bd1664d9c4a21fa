"""`hqd doctor`: is this machine fit for this HQ. Looks only; what it says of secrets is whether they are there."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hqd.adapters.agents.presets import PRESETS
from hqd.adapters.git import Git, GitFailed
from hqd.adapters.instance import daemon_alive
from hqd.adapters.ledger.index_lock import owner_is_hqd
from hqd.adapters.repository import GitRepository
from hqd.adapters.secrets import EnvironmentSecrets, reference, variable_of, where_to_put
from hqd.cli import terminal
from hqd.cli.board.faults import check
from hqd.cli.board.reading import View
from hqd.cli.call import Call
from hqd.cli.check import summary
from hqd.cli.doctor.forge import forge_rights
from hqd.cli.doctor.origin import origin_found
from hqd.cli.doctor.repositories import repos_found
from hqd.cli.edits import FolderReader, edits
from hqd.errors import EXIT_FAILURE, EXIT_OK, HqdError, joined
from hqd.model.attempt import Question
from hqd.model.problem import one_line
from hqd.model.settings import AgentSettings, Settings

PYTHON = (3, 11)
GIT = (2, 38)
LITTLE_SPACE, NO_SPACE = 1 << 30, 100 << 20
WATCHES = 1_000
PROMPT = "Answer with the one word: ready"
ASK_TIMEOUT = 120.0
ASK_USD = 0.05

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, `ok`, `warn` or `fail`, what was found, what to do."""

    name: str
    level: str
    found: str
    remedy: str = ""


def doctor(call: Call, *, ask_agents: bool, as_json: bool) -> int:
    """Prints all checks; exit 1 where one of them fails."""
    checks = list(examine(call, ask_agents=ask_agents))
    red = any(each.level == FAIL for each in checks)
    if as_json:
        names = ("name", "level", "found", "remedy")
        terminal.data({"ok": not red, "checks": [{name: getattr(each, name) for name in names} for each in checks]})
    else:
        terminal.rows((), [[each.level, each.name, _told(each)] for each in checks])
    return EXIT_FAILURE if red else EXIT_OK


def _told(each: Check) -> str:
    return joined(each.found, each.remedy if each.level != OK else "")


def examine(call: Call, *, ask_agents: bool) -> Iterator[Check]:
    """The machine first, then the HQ, then its agents."""
    yield _python()
    yield from _git(call)
    root = call.maybe_root()
    if root is None:
        yield Check("hq", WARN, "no HQ here: only the machine was looked at", "run `hqd init PATH`, or pass --hq PATH")
        return
    try:
        with call.repository() as repo:
            yield from _hq(call, repo, ask_agents=ask_agents)
    except HqdError as fault:
        yield Check("hq", FAIL, fault.message, fault.remedy)


def _hq(call: Call, repo: GitRepository, *, ask_agents: bool) -> Iterator[Check]:
    yield Check("hq", OK, str(repo.root))
    yield _identity(repo)
    yield _place(repo)
    yield from _tree(call, repo)
    yield from _disk(repo)
    yield _clock(repo)
    yield _inotify()
    yield _daemon(repo)
    yield from _locks(repo)
    yield _sparse(repo)
    yield _hooks(repo)
    yield from _agents(call, repo, ask_agents=ask_agents)


def _python() -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < PYTHON:
        return Check("python", FAIL, found, "hqd needs Python 3.11 or newer")
    return Check("python", OK, found)


def _git(call: Call) -> Iterator[Check]:
    try:
        said = Git(call.cwd, call.env).quick("version").text
    except (OSError, GitFailed) as fault:
        yield Check("git", FAIL, f"cannot be run: {fault}", "install git 2.38 or newer")
        return
    found = re.search(r"(\d+)\.(\d+)(\.\d+)?", said)
    version = (int(found[1]), int(found[2])) if found is not None else (0, 0)
    if version < GIT:
        yield Check("git", FAIL, said, "hqd needs git 2.38 or newer")
    else:
        yield Check("git", OK, said)


def _identity(repo: GitRepository) -> Check:
    name, email = (repo.git.quick("config", "--get", f"user.{key}", codes=(0, 1)).text for key in ("name", "email"))
    if name and email:
        return Check("identity", OK, f"{one_line(name)} <{one_line(email)}>")
    remedy = "git config user.name NAME; git config user.email ADDRESS"
    return Check("identity", WARN, "git has no user.name or user.email; your acts carry your login name", remedy)


def _place(repo: GitRepository) -> Check:
    busy = repo.occupied()
    if busy is not None:
        return Check("branch", FAIL, busy.message, busy.remedy)
    if repo.resolve(repo.ref) is None:
        return Check("branch", FAIL, f"{repo.branch} has no commit yet", "commit hqd.toml")
    return Check("branch", OK, f"{repo.branch} is checked out")


def _tree(call: Call, repo: GitRepository) -> Iterator[Check]:
    if repo.resolve(repo.ref) is None:
        return
    view = View(repo)
    problems = check(view.tree, dict(call.env))
    red = [problem for problem in problems if problem.stops]
    text = summary(problems, len(view.committed.sources) if view.committed is not None else 0)
    if red:
        yield Check("settings", FAIL, f"{text}: {red[0]}", "run `hqd check`, mend it, `hqd apply`")
    else:
        yield Check("settings", OK, text)
    changed = edits(repo, view.tree)
    if changed:
        yield Check("edits", WARN, f"{len(changed)} not in force: {changed[0].path}", "run `hqd apply`")
    if view.reading.strays:
        yield Check("tasks", WARN, f"no task of hqd's: {view.reading.strays[0]}", "move it to workspace/inbox/")
    for hold in view.live.holds.values():
        yield Check("hold", WARN, f"{hold.name}: {hold.missing}", f"hqd resume {hold.name}")


def _disk(repo: GitRepository) -> Iterator[Check]:
    free = shutil.disk_usage(repo.git_dir).free
    found = f"{free / (1 << 30):.1f} GiB free"
    level = FAIL if free < NO_SPACE else WARN if free < LITTLE_SPACE else OK
    yield Check("disk", level, found, "make room" if level != OK else "")
    yield _filesystem(repo.private)


def _filesystem(folder: Path) -> Check:
    """What the ledger rests on, tried for real in .git/hqd: fsync, rename over, hard links."""
    try:
        with tempfile.TemporaryDirectory(prefix="doctor-", dir=folder) as name:
            place = Path(name)
            with (place / "a").open("wb") as file:
                file.write(b"hqd")
                file.flush()
                os.fsync(file.fileno())
            (place / "b").write_bytes(b"")
            (place / "a").replace(place / "b")
            handle = os.open(place, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            links = _tried(lambda: os.link(place / "b", place / "c"))
            cased = not (place / "B").exists()
    except OSError as fault:
        return Check("filesystem", FAIL, f"{folder}: {fault.strerror or fault}", "make .git/hqd writable for hqd")
    if not links:
        return Check("filesystem", WARN, "no hard links here; locks are written instead of linked", "use a local disk")
    if not cased:
        return Check("filesystem", WARN, "names are not case-sensitive here", "mind tasks that differ in case only")
    return Check("filesystem", OK, "writable; fsync, rename and hard links work")


def _tried(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True


def _clock(repo: GitRepository) -> Check:
    """A clock that stands before the newest commit makes ages and dates of tasks wrong."""
    said = repo.git.quick("log", "-1", "--format=%ct", repo.ref, codes=(0, 128)).text
    now = datetime.now(UTC)
    if said.isdigit() and int(said) > now.timestamp() + 60:
        ahead = int(said) - int(now.timestamp())
        return Check("clock", WARN, f"the newest commit is {ahead} s in the future", "set the clock (NTP)")
    return Check("clock", OK, f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _inotify() -> Check:
    try:
        watches = int(Path("/proc/sys/fs/inotify/max_user_watches").read_text("ascii"))
        instances = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text("ascii"))
    except (OSError, ValueError):
        return Check("watcher", OK, "no inotify limits on this system; files are also looked at every `hq.rescan`")
    try:
        handle = ctypes.CDLL(None, use_errno=True).inotify_init()
    except (OSError, AttributeError):
        handle = -1
    if handle < 0:
        remedy = "sysctl fs.inotify.max_user_instances=512"
        return Check("watcher", WARN, f"no inotify instance is free (limit {instances})", remedy)
    os.close(handle)
    if watches < WATCHES:
        return Check("watcher", WARN, f"only {watches} inotify watches", "sysctl fs.inotify.max_user_watches=65536")
    return Check("watcher", OK, f"inotify: {watches} watches, {instances} instances")


def _daemon(repo: GitRepository) -> Check:
    pid = daemon_alive(repo.private)
    if pid is None:
        return Check("daemon", OK, "none runs now; `hqd run` starts it")
    return Check("daemon", OK, f"runs as process {pid}" if pid else "runs")


def _locks(repo: GitRepository) -> Iterator[Check]:
    """Locks that stand while nobody seems to hold them."""
    for lock in (repo.git_dir / "index.lock", repo.git_dir / "HEAD.lock", repo.common_dir / f"{repo.ref}.lock"):
        if not os.path.lexists(lock):
            continue
        if owner_is_hqd(lock):
            alive = daemon_alive(repo.private) is not None
            remedy = "" if alive else "the next `hqd run` heals it"
            yield Check("lock", OK if alive else WARN, f"{lock} is hqd's own", remedy)
        else:
            remedy = "let the git command that runs there end; if none runs, remove the file"
            yield Check("lock", WARN, f"{lock} is held by another program", remedy)


def _sparse(repo: GitRepository) -> Check:
    on, cone, index = (
        repo.git.quick("config", "--type=bool", "--get", key, codes=(0, 1)).text == "true"
        for key in ("core.sparseCheckout", "core.sparseCheckoutCone", "index.sparse")
    )
    if on and not cone:
        remedy = "git sparse-checkout disable; hqd sets its own"
        return Check("sparse", WARN, "a sparse checkout with patterns of your own", remedy)
    return Check("sparse", OK, f"{'cone' if on else 'off'}{', sparse index' if on and index else ''}")


def _hooks(repo: GitRepository) -> Check:
    """hqd runs git without hooks; a person who relies on one should know."""
    said = repo.git.quick("config", "--get-all", "core.hooksPath", codes=(0, 1)).text
    named = [line for line in said.splitlines() if line and line != os.devnull]  # hqd's own calls say os.devnull
    folder = repo.root / named[-1] if named else repo.common_dir / "hooks"
    try:
        hooks = sorted(path.name for path in folder.iterdir() if path.suffix != ".sample" and os.access(path, os.X_OK))
    except OSError:
        hooks = []
    if hooks:
        found = f"hqd's own commits skip these hooks: {', '.join(hooks[:5])}"
        return Check("hooks", WARN, found, "use gates for what must hold for agents' work")
    return Check("hooks", OK, "none")


def _agents(call: Call, repo: GitRepository, *, ask_agents: bool) -> Iterator[Check]:
    from hqd.codec.config import read_config

    settings = read_config(FolderReader(repo.root)).settings
    if settings is None:
        return
    found = EnvironmentSecrets(call.env)
    if not settings.agents:
        yield Check("agents", WARN, "hqd.toml names no agent", "add [agents.NAME] to hqd.toml")
    for name, agent in settings.agents.items():
        yield _agent(name, agent, repo.root, call, found)
    yield from _credentials(settings, found)
    with terminal.spinner("asking origin, target repositories and the forge"):
        of_origin = [("origin", each) for each in origin_found(repo, settings, found)]
        of_repos = repos_found(repo, repo.private, call.env, settings, found)
        of_origin += [(f"repo {name}", each) for name, each in of_repos]
        tried = list(forge_rights(repo, settings, found))
    for what, one in of_origin:
        level = OK if one.ok in (True, None) else FAIL
        yield Check(what, level, terminal.cut(one.said, 300), one.remedy)
    for each in tried:
        name = each.name if each.name == "forge" else f"forge: {each.name}"
        yield Check(name, OK if each.good else FAIL, terminal.cut(each.found, 300), each.remedy)
    if ask_agents:
        yield from asked(call, repo.root, settings, found)


def _agent(name: str, agent: AgentSettings, root: Path, call: Call, found: EnvironmentSecrets) -> Check:
    """What an agent needs, looked for without calling it."""
    label = f"agent {name}"
    if agent.provider == "anthropic":
        secret = reference(agent.api_key)
        if secret is None or found.get(secret) is not None:
            return Check(label, OK, f"anthropic {agent.model}; its key is there")
        remedy = f"export {variable_of(secret)}=…, or give it to the service as a credential"
        return Check(label, FAIL, f"anthropic {agent.model}: no key ({agent.api_key})", remedy)
    if agent.provider == "replay":
        there = (root / (agent.answers or "")).is_file()
        return Check(label, OK if there else FAIL, f"replay of {agent.answers}" + ("" if there else ": no such file"))
    program = agent.preset or (agent.argv[0] if agent.argv else "")
    place = shutil.which(program, path=call.env.get("PATH"))
    if place is None:
        return Check(label, FAIL, f"program {one_line(program)} is not on PATH", "install it, or mend argv in hqd.toml")
    preset = PRESETS.get(agent.preset or "")
    note = ""
    if preset is not None:
        there = any(call.env.get(key) for key in (*preset.keys, *preset.secret))
        note = "; key in the environment" if there else "; no key in the environment: it must be logged in"
    return Check(label, OK, f"{place}{note}")


def _credentials(settings: Settings, found: EnvironmentSecrets) -> Iterator[Check]:
    """Every `secret:NAME` of hqd.toml but the agents' keys: present or missing, never its value."""
    values = [value for agent in settings.agents.values() for value in agent.env.values()]
    values += [target.token for target in settings.repos.values() if target.token]
    values += [
        value
        for value in (
            settings.forge.token,
            settings.hq.token,
            settings.forge.app_key,
            settings.webhook.secret if settings.webhook else None,
        )
        if value
    ]
    for name in sorted({secret for value in values if (secret := reference(value)) is not None}):
        if found.get(name) is None:
            yield Check(f"secret {name}", FAIL, "missing", where_to_put(name))
        else:
            yield Check(f"secret {name}", OK, "present")


def asked(call: Call, root: Path, settings: Settings, found: EnvironmentSecrets) -> Iterator[Check]:
    """One tiny real question to each agent, with what it cost."""
    from hqd.bootstrap import agent_adapters

    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hqd-doctor-")))
        adapters = agent_adapters(root, call.env, found, settings, scratch, stack)
        for name, agent in settings.agents.items():
            work = scratch / name
            work.mkdir()
            question = Question(
                agent=name, settings=agent, task="20000101-doctor-000000", step="doctor", attempt=1, stable="",
                prompt=PROMPT, cwd=work, output_file=None, slot=0, timeout=ASK_TIMEOUT, max_bytes=100_000,
                budget_usd=ASK_USD, facts=_facts(),
            )  # fmt: skip
            with terminal.spinner(f"asking {name}"):
                answer = adapters[agent.provider].answer(question, threading.Event(), lambda _text: None)
            if answer.failure is not None:
                yield Check(f"asked {name}", FAIL, f"{answer.failure.value}: {terminal.cut(answer.message, 200)}")
            else:
                cost = terminal.dollars(answer.usage.cost) or "no cost told"
                yield Check(
                    f"asked {name}", OK, f"{terminal.cut(answer.text, 60)!r}, {answer.usage.tokens} tokens, {cost}"
                )


def _facts() -> dict[str, Any]:
    task = {"id": "20000101-doctor-000000", "slug": "doctor", "title": "doctor", "text": PROMPT, "tags": []}
    return {"task": task, "inputs": {}, "outputs": {}, "round": 1, "cost": 0.0, "now": datetime.now(UTC)}
