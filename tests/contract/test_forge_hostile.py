"""Answers that are not what a forge documents: one expected error out of every call of every adapter, and no other.

What the fake forge says to each call is recorded once; then the call is made again and again, each time with one of
these answers spoilt. The client, its repeats and its JSON are the real ones; only the socket is left out.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from hqd.adapters.forges import gitea, gitea_words, github, github_words, gitlab, gitlab_words, served
from hqd.adapters.forges.http import Patience
from hqd.errors import ForgeRefused, ForgeUnavailable
from hqd.model.review import Check, CheckStatus, ItemKind, MergeStyle, ReviewRequest
from hqd.ports import RemoteForge
from hqd.testing.forge_routes import Asked
from hqd.testing.forge_server import TOKEN, ForgeServer
from tests.forge_scene import CONNECT, Scene, scene, template

FLAVOURS = ["github", "gitlab", "forgejo"]
MODULES = {"github": github, "gitlab": gitlab, "forgejo": gitea}
HOSTILE: dict[str, bytes] = {
    "an empty object": b"{}",
    "text": b'"<html>sign in</html>"',
    "null": b"null",
    "nothing": b"",
    "a number": b"7",
    "a list of nothing": b"[null]",
    "a list of lists": b"[[]]",
    "a list of empty objects": b"[{}]",
    "no JSON": b"<html>sign in</html>",
    "half of it": b'{"number": ',
    "too deep": b"[" * 100_000,
    "deep": b'{"head": ' * 200 + b"1" + b"}" * 200,
    "too long": json.dumps("x" * 600_000).encode(),
    "other text": b'{"number": "\xff"}',
    "a refusal with 200": json.dumps({"message": f"Bad token {TOKEN}"}).encode(),
}
WRONG: tuple[Any, ...] = (
    None, "", "x", "\ud800", "--upload-pack=x", -1, 10**30, 1.5, True, [], {}, [None], [{}], {"id": "x"},
    "0001-01-01T00:00:00+23:59",
)  # fmt: skip
"""What stands where something else is due."""
SOURCES = (github, github_words, gitlab, gitlab_words, gitea, gitea_words, served)
READ = {key for source in SOURCES for key in re.findall(r'"(\w+)"', inspect.getsource(source))}
"""Every word that an adapter may look for in an answer; what stands under other keys, nobody reads."""
PATIENCE = Patience(tries=1, largest=500_000)

Key = tuple[str, str, int]
Act = Callable[[Any], object]


@dataclass
class Tape:
    """What was answered to one call, by method, address and how often it was asked before."""

    act: Act
    said: dict[Key, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)

    def replies(self, spoilt: Key | None = None, body: bytes = b"") -> Callable[[httpx.Request], httpx.Response]:
        """Answers as recorded, but for one; what was never asked is not there."""
        asked: dict[tuple[str, str], int] = {}

        def reply(request: httpx.Request) -> httpx.Response:
            at = (request.method, str(request.url))
            asked[at] = asked.get(at, 0) + 1
            known = [key for key in self.said if key[:2] == at and key[2] <= asked[at]]
            if not known:
                return httpx.Response(404, json={"message": "Not Found"})
            status, headers, said = self.said[known[-1]]
            return httpx.Response(status, headers=headers, content=body if known[-1] == spoilt else said)

        return reply

    def good(self) -> list[Key]:
        return [key for key, (status, _headers, _body) in self.said.items() if status < 300]


def recording(server: ForgeServer, tape: Tape) -> Callable[[httpx.Request], httpx.Response]:
    asked: dict[tuple[str, str], int] = {}

    def reply(request: httpx.Request) -> httpx.Response:
        at = (request.method, str(request.url))
        asked[at] = asked.get(at, 0) + 1
        path = request.url.raw_path.decode().partition("?")[0].removeprefix(server.prefix)
        body = json.loads(request.content) if request.content else None
        headers = {name.lower(): value for name, value in request.headers.items()}
        status, told, data = server.reply(
            Asked(request.method, path, dict(request.url.params), body, server.url, headers)
        )
        told.pop("etag", None)
        content = b"" if data is None else json.dumps(data).encode()
        tape.said[*at, asked[at]] = (status, told, content)
        return httpx.Response(status, headers=told, content=content)

    return reply


def calls(at: Scene, flavour: str) -> dict[str, Act]:
    """All calls of port RemoteForge that ask the forge, in an order in which each finds what it needs."""
    number, head, created = 1, at.forge.pulls[1].head, at.forge.pulls[1].created
    check = Check(name="hqd/tests", status=CheckStatus.PASS, summary="9 of 9", url="https://example.org/1")
    people = {"reviewers": ["tim"], "assignees": ["una"]}
    thread = next(item.thread or "" for item in at.remote.items(number) if item.kind is ItemKind.LINE)
    return {
        "login": lambda forge: forge.login(),
        "find_review": lambda forge: forge.find_review("hqd/T-1"),
        "review": lambda forge: forge.review(number),
        "changed_reviews": lambda forge: (forge.changed_reviews(None), forge.changed_reviews(created)),
        "items": lambda forge: forge.items(number),
        "checks": lambda forge: forge.checks(head),
        "permission": lambda forge: forge.permission("tim"),
        "comment": lambda forge: (forge.comment(number, "T-1", "two gates"), forge.comment(number, "T-1", "three")),
        "reply": lambda forge: forge.reply(number, thread, "answers:1", "Answered in abc."),
        "report": lambda forge: forge.report(head, [check]),
        "assign": lambda forge: forge.assign(number, labels=["new", "hqd"], without=["old"], **people),
        "update_review": lambda forge: forge.update_review(number, title="Better", body="More", draft=False),
        "close": lambda forge: forge.close(number),
        "reopen": lambda forge: forge.reopen(number),
        "open_review": lambda forge: forge.open_review(ReviewRequest(branch="hqd/T-2", base="main", title="Two")),
        "merge": lambda forge: forge.merge(number, head, MergeStyle.SQUASH, "A subject"),
        "delete_branch": lambda forge: forge.delete_branch("hqd/T-1", head),
    }  # fmt: skip


def connected(flavour: str, url: str, reply: Callable[[httpx.Request], httpx.Response]) -> served.Served:
    remote = CONNECT[flavour](lambda: TOKEN, "acme/hq", url, patience=PATIENCE, pause=lambda _seconds: False)
    remote._http._made = httpx.Client(transport=httpx.MockTransport(reply))
    return remote


def begun(at: Scene) -> None:
    """A pull request with something of everything on it."""
    number = at.opened(draft=True).number
    at.push("hqd/T-2", {"c.txt": "c\n"})
    at.forge.add_user("una", "write")
    at.forge.assign(number, "labels", ["old", "theirs"])
    at.forge.assign(number, "assignees", ["tim"])
    at.forge.say(number, "General", by="tim")
    at.forge.on_line(number, "tim", "a.txt", 2, "This line")
    at.forge.request_changes(number, "tim", "Not yet")
    at.forge.set_status(at.forge.pulls[number].head, "ci", "error", by="tim")
    at.forge.set_status(at.forge.pulls[number].head, "run", "success", by="tim", run=True)


@dataclass
class Recorded:
    flavour: str
    url: str
    tapes: dict[str, Tape]

    def made(self, call: str, spoilt: Key | None = None, body: bytes = b"") -> object:
        """The call once more. Raises what the adapter raises."""
        tape = self.tapes[call]
        remote = connected(self.flavour, self.url, tape.replies(spoilt, body))
        try:
            return tape.act(remote)
        finally:
            remote.disconnect()

    def fault(self, call: str, spoilt: Key, body: bytes) -> ForgeUnavailable | ForgeRefused | None:
        """What the adapter raises, if that is one of the two that are expected; None: nothing, and all can be kept."""
        try:
            str(self.made(call, spoilt, body)).encode()
        except (ForgeUnavailable, ForgeRefused) as fault:
            return fault
        return None


@pytest.fixture(scope="module", params=FLAVOURS)
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, isolated_environment: None
) -> Iterator[Recorded]:
    flavour, made = str(request.param), template(tmp_path_factory.mktemp("forge"))
    with scene(made, tmp_path_factory.mktemp("scene"), flavour) as at:
        begun(at)
        tapes = {}
        for name, act in calls(at, flavour).items():
            tapes[name] = Tape(act)
            remote = connected(flavour, at.server.url, recording(at.server, tapes[name]))
            act(remote)
            remote.disconnect()
        yield Recorded(flavour, at.server.url, tapes)


def asked(key: Key) -> str:
    return f"{key[0]} {httpx.URL(key[1]).raw_path.decode().partition('?')[0]}"


CALLS = [
    "login", "find_review", "review", "changed_reviews", "items", "checks", "permission", "comment", "reply", "report",
    "assign", "update_review", "close", "reopen", "open_review", "merge", "delete_branch",
]  # fmt: skip


def test_every_call_of_the_port_is_tried(recorded: Recorded) -> None:
    """`rate` asks nothing."""
    port = {name for name in vars(RemoteForge) if not name.startswith("_")} - {"rate"}
    assert set(recorded.tapes) == set(CALLS) == port
    assert all(tape.good() for tape in recorded.tapes.values())
    for name in CALLS:
        recorded.made(name)


@pytest.mark.parametrize("call", CALLS)
def test_an_answer_that_is_none_is_one_expected_error(recorded: Recorded, call: str) -> None:
    """Every read says which request it was, and that what came was no answer; a write may need nothing of its own."""
    for key in recorded.tapes[call].good():
        for name, body in HOSTILE.items():
            fault = recorded.fault(call, key, body)
            assert fault is not None or key[0] != "GET", f"{name} to {asked(key)} was taken for an answer"
            if fault is not None:
                told = f"{fault.message} {fault.remedy}"
                assert (type(fault), fault.cause) == (ForgeUnavailable, "answer"), (name, fault)
                assert asked(key) in told, name
                assert len(told) < 500
                assert TOKEN not in told


def places(said: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every key of an answer that an adapter might read; of a list the first element stands for all."""
    if isinstance(said, list) and said:
        yield from places(said[0], (*above, 0))
    if isinstance(said, dict):
        for key in sorted(READ & said.keys()):
            yield (*above, key)
            yield from places(said[key], (*above, key))


def spoilt(said: Any, place: tuple[str | int, ...], value: Any) -> bytes:
    """The answer (it is changed) with something else at a place; `...`: nothing there."""
    inner = said
    for step in place[:-1]:
        inner = inner[step]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return json.dumps(said).encode()


@pytest.mark.parametrize("call", CALLS)
def test_a_key_that_lacks_or_holds_something_else_is_one_expected_error(recorded: Recorded, call: str) -> None:
    """Where hqd does not need the key, the call goes on; its result can be written to a record all the same."""
    faults, turn = 0, 0
    for key in recorded.tapes[call].good():
        body = recorded.tapes[call].said[key][2]
        for place in places(json.loads(body) if body else None):
            turn += 1
            for value in (..., WRONG[turn % len(WRONG)]):
                fault = recorded.fault(call, key, spoilt(json.loads(body), place, value))
                if isinstance(fault, ForgeRefused):  # another request was the answer to it
                    assert fault.cause in ("missing", "invalid", "head_moved", "closed"), (place, value)
                elif fault is not None and not (call == "merge" and "does not show it yet" in fault.message):
                    assert fault.cause == "answer", (place, value, fault)
                    faults += 1
    assert faults or call in ("report", "assign")


def test_what_is_missing_is_named(recorded: Recorded) -> None:
    key = recorded.tapes["review"].good()[0]
    body = recorded.tapes["review"].said[key][2]
    place = ("sha",) if recorded.flavour == "gitlab" else ("head", "sha")
    told = "`" + ".".join(place) + "` is "
    for value, words in ((7, "a number, where text is due"), ("x; rm -rf", "text, where a commit is due")):
        with pytest.raises(ForgeUnavailable) as fault:
            recorded.made("review", key, spoilt(json.loads(body), place, value))
        assert told + words in fault.value.message
        assert "rm -rf" not in fault.value.message
    with pytest.raises(ForgeUnavailable, match="`title` is missing"):
        recorded.made("review", key, spoilt(json.loads(body), ("title",), ...))


@pytest.mark.parametrize("state", ["merged_by_aliens", "OPEN", ""])
def test_a_state_that_hqd_does_not_know_is_not_taken_for_closed(recorded: Recorded, state: str) -> None:
    key = recorded.tapes["review"].good()[0]
    said = json.loads(recorded.tapes["review"].said[key][2])
    with pytest.raises(ForgeUnavailable, match="`state` is text, where a word that hqd knows there is due"):
        recorded.made("review", key, spoilt(said, ("state",), state))


def test_a_bug_of_hqds_own_stays_a_bug(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a forge says is forgiven: nothing on the way catches a KeyError."""

    def broken(_said: object) -> object:
        table: dict[str, str] = {}
        return table["a state that somebody forgot"]

    monkeypatch.setattr(MODULES[recorded.flavour].words, "review", broken)
    for call in ("review", "open_review", "changed_reviews", "merge"):
        with pytest.raises(KeyError, match="somebody forgot"):
            recorded.made(call)


@pytest.mark.parametrize("body", [b"[" + b"{}," * 3_400_000 + b"{}]", json.dumps("x" * 10_000_000).encode()])
def test_ten_megabytes_are_read_and_refused(body: bytes) -> None:
    remote = github.connect(lambda: TOKEN, "acme/hq", pause=lambda _seconds: False)
    remote._http._made = httpx.Client(transport=httpx.MockTransport(lambda _request: httpx.Response(200, content=body)))
    for act in (lambda: remote.review(1), lambda: remote.changed_reviews(None)):
        with pytest.raises(ForgeUnavailable, match="not an answer that this forge documents") as fault:
            act()
        assert fault.value.cause == "answer"
    remote.disconnect()
