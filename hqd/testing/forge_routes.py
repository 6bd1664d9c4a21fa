"""Requests to the fake forge, and the tables that lead from method and path to what answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from hqd.testing.forge_state import FakeForge, Pull, Refused, Said


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `path` without the API's prefix, as sent (percent signs kept); `base`: the API's address."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    base: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A request together with what its path names. `of` are the named parts of the path, unquoted."""

    forge: FakeForge
    asked: Asked
    of: Mapping[str, str]

    @property
    def body(self) -> Mapping[str, Any]:
        return self.asked.body if isinstance(self.asked.body, dict) else {}

    @property
    def pull(self) -> Pull:
        """The pull request that the path names. Raises Refused."""
        found = self.forge.pulls.get(int(self.of["number"]))
        if found is None:
            raise Refused("missing", "Not Found")
        return found

    def about(self, said: list[Said]) -> list[Said]:
        """What of these was said on the pull request that the path names; `since` heeded."""
        since = self.asked.query.get("since", "")
        return [
            each
            for each in said
            if each.number == self.pull.number and each.updated.strftime("%Y-%m-%dT%H:%M:%SZ") >= since
        ]


Route = Callable[[Call], tuple[int, Any]]


class Routes:
    """`@routes.on("GET", "/pulls/{number}")`; `{rest*}` also takes slashes."""

    def __init__(self) -> None:
        self._table: list[tuple[str, re.Pattern[str], Route]] = []

    def on(self, method: str, path: str) -> Callable[[Route], Route]:
        pattern = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", path)
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)

        def take(route: Route) -> Route:
            self._table.append((method, re.compile(pattern), route))
            return route

        return take

    def answer(self, forge: FakeForge, asked: Asked) -> tuple[int, Any]:
        """Raises Refused: also where no route fits."""
        for method, pattern, route in self._table:
            found = pattern.fullmatch(asked.path)
            if found is not None and method == asked.method:
                return route(Call(forge, asked, {key: unquote(value) for key, value in found.groupdict().items()}))
        raise Refused("missing", "Not Found")
