"""`hqd init PATH`: makes an HQ and says what to do next."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from hqd.cli.terminal import data, say, title
from hqd.codec import layout
from hqd.codec.starter import Kind
from hqd.errors import EXIT_OK, Usage
from hqd.starter.laying import Laid, lay_down, starter_files

KINDS: tuple[Kind, ...] = get_args(Kind)
KEY = "ANTHROPIC_API_KEY"
MESSAGE = "Make an HQ\n\nLaid down by hqd init.\n"


@dataclass(frozen=True, slots=True)
class Found:
    """What of each kind of agent is on this machine: a line for people, and whether it could work now."""

    kind: Kind
    said: str
    there: bool


def init(
    path: Path, env: Mapping[str, str], *, agent: str | None = None, minimal: bool = False, as_json: bool = False
) -> int:
    """Makes an HQ at `path`; the exit code. `agent` None: asked on a terminal, `none` elsewhere and for programs.

    Raises Usage, InTheWay, Expected; then nothing was changed.
    """
    if agent is not None and agent not in KINDS:
        raise Usage(f"--agent {agent}: no such kind", remedy=f"one of: {', '.join(KINDS)}")
    root = path.expanduser().absolute()
    asked = agent is None and not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    given: Kind = next((known for known in KINDS if known == agent), "none")
    kind = ask(env) if asked else given
    laid = lay_down(root, starter_files(kind, minimal=minimal), env, MESSAGE)
    if as_json:
        data(_facts(laid, kind, env))
    else:
        _tell(laid, kind, env)
    return EXIT_OK


def found_on(env: Mapping[str, str]) -> tuple[Found, ...]:
    """The kinds of agents, in the order in which they are offered."""
    key = bool(env.get(KEY))
    rows = [Found("anthropic", f"Anthropic's API; {KEY} is {'set' if key else 'not set yet'}", key)]
    programs: tuple[tuple[Kind, str], ...] = (("claude", "Claude Code"), ("codex", "Codex CLI"))
    for kind, name in programs:
        program = shutil.which(kind, path=env.get("PATH"))
        rows.append(Found(kind, f"{name}, {f'found at {program}' if program else 'not found on PATH'}", bool(program)))
    rows.append(Found("none", "decide later, in hqd.toml: any program that reads a prompt and prints an answer", True))
    return tuple(rows)


def ask(env: Mapping[str, str]) -> Kind:
    """Asks which agent shall work; Enter takes the first that is there. Three unclear answers are a Usage."""
    offers = found_on(env)
    first = next(offer for offer in offers if offer.there)
    title("Which agent shall work here?")
    for number, offer in enumerate(offers, start=1):
        say(f"  {number}  {offer.kind:<10} {offer.said}")
    for _try in range(3):
        words = input(f"number or name [{first.kind}]: ").strip().lower()
        if not words:
            return first.kind
        for number, offer in enumerate(offers, start=1):
            if words in (str(number), offer.kind):
                return offer.kind
        say(f"  {words!r} is none of them")
    raise Usage("no agent was chosen", remedy=f"--agent {'|'.join(KINDS)}")


def program(env: Mapping[str, str]) -> str:
    """How `hqd` is called on this machine by the person who called it now."""
    if shutil.which("hqd", path=env.get("PATH")):
        return "hqd"
    own = Path(sys.argv[0]).absolute()
    return shlex.quote(str(own)) if own.name == "hqd" else f"{shlex.quote(sys.executable)} -m hqd"


def _playbooks(laid: Laid) -> list[str]:
    folder = f"{layout.PLAYBOOKS}/"
    return sorted(path[len(folder) : -5] for path in laid.paths if path.startswith(folder) and path.endswith(".toml"))


def _facts(laid: Laid, kind: Kind, env: Mapping[str, str]) -> dict[str, object]:
    """For --json."""
    return {
        "path": str(laid.root),
        "commit": laid.commit,
        "branch": laid.branch,
        "files": list(laid.paths),
        "playbooks": _playbooks(laid),
        "agent": kind,
        "notes": list(laid.notes),
        "next": [command for command, _why in _next(laid, kind, env)],
    }


def _tell(laid: Laid, kind: Kind, env: Mapping[str, str]) -> None:
    title(f"{laid.root} is an HQ")
    say(f"  commit     {laid.commit[:12]} on {laid.branch}, {len(laid.paths)} files")
    say(f"  agents     {next(offer for offer in found_on(env) if offer.kind == kind).said}")
    say(f"  playbooks  {', '.join(_playbooks(laid))}")
    for note in laid.notes:
        for place, line in enumerate(note.split("\n")):
            say(f"  {'' if place else 'note':<9}  {line}")
    say()
    say("next:")
    for command, why in _next(laid, kind, env):
        say(f"  {command}" + (f"   # {why}" if why else ""))


def _next(laid: Laid, kind: Kind, env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Commands that lead on from here, each with why."""
    hqd = program(env)
    return (
        (f"cd {shlex.quote(str(laid.root))}", ""),
        _before(kind, hqd, env),
        (f"{hqd} add --title 'Five names for a bakery in a harbour town'", ""),
        (f"{hqd} run", "the daemon, in the foreground; Ctrl-C ends it"),
    )


def _before(kind: Kind, hqd: str, env: Mapping[str, str]) -> tuple[str, str]:
    """What has to be done before work can begin."""
    if kind == "none":
        return f"$EDITOR {layout.SETTINGS} && {hqd} apply", "put your program where your-agent-command stands"
    if kind == "anthropic" and not env.get(KEY):
        return f"export {KEY}=…", f"then {hqd} doctor says whether it is seen"
    return f"{hqd} doctor", "is this machine fit"
