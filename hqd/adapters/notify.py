"""Tells people by command or webhook, at once or as a digest, on a thread of its own. Failing to tell stops nothing."""

from __future__ import annotations

import json
import queue
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hqd.core.language.expressions import compile_text
from hqd.errors import Expected, ExpressionFault
from hqd.model.duration import seconds
from hqd.model.settings import Notify
from hqd.ports import Programs, Secrets

TIMEOUT = 20.0
"""Seconds that a notification may take."""

News = tuple[str, Mapping[str, object]]


class Notifications:
    """Port Notifier. `rules` gives what hqd.toml says now; `note` is told when one could not be delivered."""

    def __init__(
        self,
        rules: Callable[[], Sequence[Notify]],
        programs: Programs,
        secrets: Secrets,
        env: Mapping[str, str],
        folder: Path,
        note: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules, self._programs, self._secrets = rules, programs, secrets
        self._env, self._folder, self._note, self._clock = dict(env), folder, note, clock
        self._queue: queue.Queue[News | None] = queue.Queue()
        self._digests: dict[int, tuple[float, list[News]]] = {}
        self._thread = threading.Thread(target=self._serve, name="hqd-notify", daemon=True)
        self._thread.start()

    def tell(self, kind: str, facts: Mapping[str, object]) -> None:
        self._queue.put((kind, facts))

    def close(self, patience: float = TIMEOUT) -> None:
        """Delivers what waits, digests too, then ends; at most `patience` seconds."""
        self._queue.put(None)
        self._thread.join(patience)

    def _serve(self) -> None:
        while True:
            try:
                news = self._queue.get(timeout=self._next_digest())
            except queue.Empty:
                self._flush(due_only=True)
                continue
            if news is None:
                self._flush(due_only=False)
                return
            for index, rule in enumerate(self._rules()):
                if news[0] in rule.on:
                    self._take(index, rule, news)

    def _take(self, index: int, rule: Notify, news: News) -> None:
        if rule.digest is None:
            self._deliver(rule, [news])
            return
        due, waiting = self._digests.get(index, (self._clock() + seconds(rule.digest), []))
        self._digests[index] = (due, [*waiting, news])

    def _next_digest(self) -> float | None:
        if not self._digests:
            return None
        return max(0.05, min(due for due, _news in self._digests.values()) - self._clock())

    def _flush(self, *, due_only: bool) -> None:
        rules = self._rules()
        for index, (due, waiting) in list(self._digests.items()):
            if not due_only or due <= self._clock():
                del self._digests[index]
                if index < len(rules):
                    self._deliver(rules[index], waiting)

    def _deliver(self, rule: Notify, news: Sequence[News]) -> None:
        try:
            facts = digest(news)
            if rule.webhook is not None:
                self._post(rule.webhook, facts)
            else:
                self._start(rule.command, facts)
        except (OSError, ValueError, Expected, ExpressionFault) as fault:
            self._note(f"a notification could not be delivered: {fault}")

    def _start(self, command: Sequence[str], facts: dict[str, Any]) -> None:
        argv = [compile_text(part).render(facts) for part in command]
        ran = self._programs.run(argv, self._folder, self._env, TIMEOUT, None)
        if ran.exit != 0:
            self._note(f"a notification by {argv[0]} failed with exit {ran.exit}")

    def _post(self, address: str, facts: dict[str, Any]) -> None:
        url = self._secrets.get(address[7:]) if address.startswith("secret:") else address
        if url is None or not url.startswith(("https://", "http://")):
            raise ValueError("the webhook's address is not found, or is no http address")
        body = json.dumps(facts, ensure_ascii=False, default=str).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - checked above
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            answer.read(1024)


def digest(news: Sequence[News]) -> dict[str, Any]:
    """The facts of one message: of the only event, or of several with `items` and `count`."""
    kind, first = news[0]
    facts: dict[str, Any] = {"kind": kind, "count": len(news), **first}
    if len(news) > 1:
        facts["items"] = [{"kind": each, **dict(about)} for each, about in news]
        facts["reason"] = f"{len(news)} events"
        facts["task"] = {"title": f"{len(news)} events: " + ", ".join(sorted({each for each, _ in news})), "id": ""}
    return facts
