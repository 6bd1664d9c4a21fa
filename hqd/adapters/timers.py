"""Timers: what the daemon does by the clock (rescan, upkeep, reminders), on APScheduler's background thread."""

from __future__ import annotations

from collections.abc import Callable

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler


class Timers:
    """`every(name, seconds, call)`; a run that is late runs once, never twice at a time."""

    def __init__(self) -> None:
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(2)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 3600},
            timezone="UTC",
        )
        self._scheduler.start()

    def every(self, name: str, seconds: float, call: Callable[[], None]) -> None:
        self._scheduler.add_job(call, "interval", seconds=seconds, id=name, replace_existing=True)

    def close(self) -> None:
        self._scheduler.shutdown(wait=False)
