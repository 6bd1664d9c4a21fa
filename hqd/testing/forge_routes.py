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

    @property
    def tip(self) -> str:
        """Of the branch that the path names. Raises Refused."""
        found = self.forge.repository.tip(self.of["branch"])
        if found is None:
            raise Refused("missing", "The branch does not exist")
        return found

    def edited(self) -> Said:
        """The comment that the path names, with the body that was sent. Raises Refused."""
        said = self.forge.edit_comment(int(self.of["identity"]), self.body["body"])
        if said is None:
            raise Refused("missing", "Not Found")
        return said

    def line(self, identity: int) -> Said:
        """A line comment of the pull request that the path names. Raises Refused."""
        found = next((each for each in self.about(self.forge.lines) if each.id == identity), None)
        if found is None:
            raise Refused("missing", "Not Found")
        return found

    def replied(self, first: Said, review: int | None = None) -> Said:
        """hqd's reply, as it was sent, beneath the first comment of a thread. Raises Refused."""
        text = self.body.get("body")
        if not text or len(text) > 65_536 or first.reply_to is not None:
            raise Refused("invalid", "Validation Failed", "body" if first.reply_to is None else "in_reply_to")
        return self.forge.on_line(first.number, self.forge.me, first.path, first.line, text, first.id, review)

    def listed(self, state: str, *, by_update: bool) -> list[Pull]:
        """The pull requests in a state, or in `all`, newest first."""
        found = [pull for pull in self.forge.pulls.values() if state in ("all", pull.state)]
        return sorted(found, key=lambda pull: (pull.updated if by_update else pull.created, pull.number), reverse=True)

    def turned(self, word: object, *, close: str, reopen: str) -> None:
        """Closes or reopens the pull request that the path names, where `word` says so."""
        if word == close:
            self.forge.close(self.pull.number)
        elif word == reopen:
            self.forge.reopen(self.pull.number)


def titled(given: Mapping[str, Any], draft: str) -> dict[str, Any]:
    """title and draft, as a forge reads a title on which a draft's begins with `draft`."""
    title = str(given.get("title", ""))
    return {"title": title.removeprefix(draft), "draft": title.startswith(draft)}


def of_repository(forge: FakeForge, asked: Asked, routes: Routes) -> tuple[int, Any]:
    """The answer where paths are /repos/OWNER/NAME; a repository of another name does not exist. Raises Refused."""
    if asked.path.startswith("/repos/") and not asked.path.startswith(f"/repos/{forge.name}/"):
        raise Refused("missing", "Not Found")
    return routes.answer(forge, asked)


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

    def know(self, asked: Asked) -> bool:
        """Whether a route fits."""
        return any(method == asked.method and pattern.fullmatch(asked.path) for method, pattern, _route in self._table)

    def answer(self, forge: FakeForge, asked: Asked) -> tuple[int, Any]:
        """Raises Refused: also where no route fits."""
        for method, pattern, route in self._table:
            found = pattern.fullmatch(asked.path)
            if found is not None and method == asked.method:
                return route(Call(forge, asked, {key: unquote(value) for key, value in found.groupdict().items()}))
        raise Refused("missing", "Not Found")
