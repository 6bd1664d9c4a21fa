"""The daemon's life: wake-ups, signals, signs of life for systemd, a quiet end.

SIGTERM and SIGINT: nothing new is claimed, running attempts may end within the grace period, the rest are stopped
and recorded as interrupted. A second signal shortens the grace to nothing.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from hqd.daemon.loop import Loop
from hqd.daemon.origin.line import SLOW
from hqd.daemon.sd_notify import Notifier
from hqd.model.duration import seconds
from hqd.model.task import State

STATUS_FILE = "daemon.json"
SLOW_ORIGIN = "slow_origin"
"""What the loop waits for while origin is slow to take a batch."""
PERSONS = frozenset({"branch", "merge", "rebase", "bisect", "cherry_pick", "revert"})
"""What a person does to the checkout, and only a person can end."""
GIVEN_WAY = 5.0
"""Seconds of it after which `--until-idle` waits no longer: a rebase that goes through takes less."""
LAST_WORDS = 10.0
"""Seconds that stopped workers get to come home before their attempts are recorded without them."""


class Life:
    """Runs a loop until it is told to end, or until idle. `wake` may be called from any thread."""

    def __init__(self, loop: Loop, private: Path, systemd: Notifier, watchdog: float | None) -> None:
        self._loop = loop
        self._private = private
        self._systemd = systemd
        self._watchdog = watchdog
        self._wake = threading.Event()
        self._signals = 0
        self._since = time.time()
        self._shown = ""
        self._arrived: list[str] = []
        self._pulse_at = 0.0
        self._gave_way: float | None = None
        loop.parts.patience.pulse = self._pulse

    def wake(self, path: str | None = None) -> None:
        if path is not None:
            self._arrived.append(path)
        self._wake.set()

    def run(self, *, until_idle: bool) -> bool:
        """True where it ended by itself (idle, or main is in a person's hands), False after a signal."""
        self._loop.open()
        self._systemd.ready("looking")
        with self._signal_handlers():
            while self._signals == 0:
                wait = self._turn()
                if until_idle and (self._loop.idle or self._in_a_persons_hands()):
                    self._end()
                    return True
                if wait > 0:
                    self._sleep(wait)
            self._systemd.stopping()
            self._end()
        return False

    def _in_a_persons_hands(self) -> bool:
        """Nothing can be written until a person is done, for a while now, and no result waits to be written."""
        loop, now = self._loop, time.monotonic()
        if loop.live.busy not in PERSONS or loop.runner.running or loop.results:
            self._gave_way = None
            return False
        self._gave_way = self._gave_way or now
        return now - self._gave_way >= GIVEN_WAY

    def _turn(self) -> float:
        self._wake.clear()
        while self._arrived:
            self._loop.whole.add(self._arrived.pop())
        wait = self._loop.turn()
        if wait > 0:
            self._loop.parts.upkeep(time.monotonic())
        self._say()
        return wait

    def _sleep(self, wait: float) -> None:
        """Until woken; shows progress and signs of life meanwhile."""
        until = time.monotonic() + wait
        pace = min(self._watchdog or 5.0, 1.0 if self._loop.runner.running else 5.0)
        while (rest := until - time.monotonic()) > 0 and self._signals == 0:
            if self._wake.wait(min(rest, pace)):
                return
            self._say()

    def _end(self) -> None:
        """Stops claiming, waits for what runs within the grace, then stops it; records what came home."""
        loop = self._loop
        loop.stopping = True
        grace = seconds(loop.parts.rulebook.current.settings.hq.grace)
        until = time.monotonic() + grace
        while loop.runner.running and time.monotonic() < until and self._signals < 2:
            self._turn()
            self._wake.wait(0.2)
        loop.runner.stop_all()
        until = time.monotonic() + LAST_WORDS
        while loop.runner.running and time.monotonic() < until:
            self._turn()
            self._wake.wait(0.1)
        loop.give_up_running()
        self._turn()
        (self._private / STATUS_FILE).unlink(missing_ok=True)

    @contextmanager
    def _signal_handlers(self) -> Iterator[None]:
        def count(_number: int, _frame: FrameType | None) -> None:
            self._signals += 1
            self._wake.set()
            self._loop.parts.patience.hurry()

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, count) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pulse(self, waited: float) -> None:
        """The loop waits for origin to take a batch: alive, and after a while it says so."""
        now = time.monotonic()
        if now < self._pulse_at:
            return
        self._pulse_at = now + 1.0
        if self._watchdog is not None:
            self._systemd.watchdog()
        live = self._loop.live
        if waited >= SLOW and live.busy != SLOW_ORIGIN:
            live.busy, live.busy_message = SLOW_ORIGIN, f"origin has not answered a push for {waited:.0f} s"
            self._loop.parts.display.note(f"waiting: {live.busy_message}; nothing is written until it does")
            self._say()

    def _say(self) -> None:
        """Signs of life: systemd, the status file, the screen."""
        loop = self._loop
        if self._watchdog is not None:
            self._systemd.watchdog()
        rows = loop.running_rows()
        waiting = sum(1 for task in loop.live.tasks.values() if task.state is State.QUEUE)
        loop.parts.display.doing(rows, waiting)
        report = self._report(rows)
        text = json.dumps(report, ensure_ascii=False)
        if text != self._shown:
            self._shown = text
            self._systemd.status(f"{report['state']}: {len(rows)} running, {waiting} waiting")
            _write(self._private / STATUS_FILE, text)

    def _report(self, rows: list[tuple[str, str, int, str, float]]) -> dict[str, Any]:
        live = self._loop.live
        state = "paused" if live.paused else "waiting" if live.busy else "stopping" if live.stopping else "running"
        names = ("task", "step", "attempt", "doing")
        problems = [problem.facts() for problem in self._loop.all_problems()]
        return {
            "pid": self._loop.pid,
            "since": self._since,
            "state": state,
            "busy": live.busy,
            "message": live.busy_message,
            "running": [dict(zip(names, row[:4], strict=True)) | {"seconds": int(row[4]) // 5 * 5} for row in rows],
            "problems": problems,
        }


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="replace")
        temporary.replace(path)
    except OSError:
        return  # a full disk must not stop the daemon from saying so elsewhere
