"""`hqd run`: the daemon in the foreground."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from hqd.adapters.timers import Timers
from hqd.adapters.watch import Watch
from hqd.bootstrap import daemon
from hqd.cli.display import Lines, Screen, for_terminal
from hqd.codec import layout
from hqd.daemon.lifecycle import Life
from hqd.daemon.loop import Loop
from hqd.daemon.people import spool
from hqd.daemon.sd_notify import Notifier, watchdog_interval
from hqd.errors import EXIT_OK, EXIT_TEMPORARY
from hqd.model.duration import seconds
from hqd.model.task import OPEN_STATES, State

HOT = (layout.WORKSPACE, *(layout.STATE_FOLDERS[state] for state in (State.INBOX, *sorted(OPEN_STATES))), layout.HOLDS)
"""The folders that are watched; done/ and runs/ never."""


def run(root: Path, env: Mapping[str, str], *, until_idle: bool) -> int:
    """Runs the daemon until SIGTERM, Ctrl-C, or (`until_idle`) until nothing can move by itself; the exit code."""
    service = "INVOCATION_ID" in env or "NOTIFY_SOCKET" in env
    display = for_terminal(service=service)
    try:
        with daemon(root, env, display) as loop:
            return _live(loop, root, env, display, until_idle=until_idle)
    finally:
        display.close()


def _live(loop: Loop, root: Path, env: Mapping[str, str], display: Lines | Screen, *, until_idle: bool) -> int:
    private = loop.parts.private
    for folder in (spool.REQUESTS, spool.REPLIES):
        (private / folder).mkdir(exist_ok=True)
    watchdog = watchdog_interval(env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", ""), os.getpid())
    life = Life(loop, private, Notifier(env.get("NOTIFY_SOCKET", "")), watchdog)
    loop.on_result = life.wake
    with ExitStack() as stack:
        inbox = root / layout.INBOX
        folders = [path.name for path in inbox.iterdir() if path.is_dir()] if inbox.is_dir() else []
        watched = [".", *HOT, *(f"{layout.INBOX}/{name}" for name in folders), layout.PLAYBOOKS]
        watch = Watch(root, watched, life.wake, grows=layout.INBOX)
        stack.callback(watch.close)
        requests = Watch(private, [spool.REQUESTS], lambda _path: life.wake())
        stack.callback(requests.close)
        for folder in sorted(watch.unwatched):
            display.note(f"{folder} cannot be watched; it is looked at every {_rescan(loop)} s")
        timers = Timers()
        stack.callback(timers.close)
        timers.every("rescan", _rescan(loop), life.wake)
        ended = life.run(until_idle=until_idle)
    if ended and (loop.live.holds or loop.live.local_holds or loop.live.busy is not None):
        return EXIT_TEMPORARY
    return EXIT_OK


def _rescan(loop: Loop) -> float:
    return seconds(loop.parts.rulebook.current.settings.hq.rescan)
