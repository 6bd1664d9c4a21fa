"""The provider's own count of tokens: asked over real HTTP, kept by content, believed for the whole prompt."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from hqd.core.context.tokens import estimate_tokens
from hqd.testing.messages_server import MessagesServer, Reply, Request, error, text
from tests.daemon.headquarters import Headquarters, make, settle
from tests.daemon.test_context import manifests

WINDOW, ANSWER = 6_000, 500
SETTINGS = f"""
format = 1
[inbox]
settle = "150ms"
[hq]
rescan = "1s"
[agents.worker]
provider = "anthropic"
model = "claude-sonnet-4-5"
max_tokens = {ANSWER}
window = {WINDOW}
"""
GENERAL = """
name = "general"
on_fail = ["human"]
[[context]]
include = ["workspace/context/*.md"]
[[steps]]
name = "work"
agent = "worker"
gates = [{ kind = "word_count", min = 3 }]
"""


def headquarters(folder: Path, server: MessagesServer) -> Headquarters:
    hq = make(folder, settings=SETTINGS, general=GENERAL)
    hq.env |= {"ANTHROPIC_API_KEY": "key-of-the-tests-4711", "ANTHROPIC_BASE_URL": server.url}
    for n in range(12):
        rng = random.Random(n)
        words = ["".join(rng.choices("abcdefgh", k=6)) for _word in range(400)]
        sections = "".join(f"## Part {part}\n\n{' '.join(words[part * 80 : part * 80 + 80])}\n\n" for part in range(5))
        hq.write(f"workspace/context/{n:02}.md", f"# {n}\n\n{sections}")
    hq.commit()
    return hq


def worked(hq: Headquarters, *names: str) -> list[dict[str, Any]]:
    """Works tasks one by one; their manifests."""
    with hq.daemon() as loop:
        for name in names:
            hq.drop(name, f"# Task {name}\n\nWrite about {name}.\n")
            settle(loop, lambda: bool(loop.live.tasks))
            settle(loop)
    return [manifest for name in hq.folder("done") for manifest in manifests(hq, name[:-3])]


def counted(request: Request, rate: float) -> int:
    return int(estimate_tokens(json.dumps(request.body)) * rate) + random.Random(len(request.prompt)).randint(0, 40)


@pytest.mark.parametrize("rate", [0.5, 1.3, 3.0])
def test_the_providers_own_count_never_exceeds_the_budget_and_is_kept(tmp_path: Path, rate: float) -> None:
    with MessagesServer(after=text("three good words"), count=lambda request: counted(request, rate)) as server:
        hq = headquarters(tmp_path, server)
        first, second = worked(hq, "one.md", "two.md")
        questions = server.messages
        asked = [request for request in server.requests if request.path.endswith("count_tokens")]
    assert len(questions) == 2
    for manifest, question in zip((first, second), questions, strict=True):
        assert manifest["counter"].startswith("provider")
        bare = {key: value for key, value in question.body.items() if key not in ("max_tokens", "stream")}
        own = counted(Request(question.path, {}, bare, 0.0), rate)
        assert own == manifest["tokens"]
        assert own <= manifest["budget"] == WINDOW - ANSWER - int(0.02 * WINDOW)
        assert own > 0.5 * manifest["budget"], "and it is used"
    blocks = [question.body["messages"][0]["content"] for question in questions]
    assert [[block.get("cache_control") for block in each] for each in blocks] == [[{"type": "ephemeral"}, None]] * 2
    assert blocks[0][0] == blocks[1][0], "one step's tasks share the cached part to the byte"
    assert "# Task" in blocks[0][1]["text"]
    assert {**questions[0].body, "messages": None} == {**questions[1].body, "messages": None}, "and what stands before"
    for manifest, (stable, _rest) in zip((first, second), blocks, strict=True):
        assert manifest["stable_sha256"] == hashlib.sha256(stable["text"].encode()).hexdigest()
        assert all(row["source"] in stable["text"] for row in manifest["sources"] if row["status"] != "dropped")
    documents = [request.prompt for request in asked if request.prompt.startswith("# Document: ")]
    assert len(documents) == len(set(documents)), "no document is counted twice"
    (hq.root / ".hqd/tokens.sqlite").write_bytes(b"no database at all")
    with MessagesServer(after=text("three good words"), count=lambda request: counted(request, rate)) as server:
        hq.env["ANTHROPIC_BASE_URL"] = server.url
        assert worked(hq, "three.md")[-1]["counter"].startswith("provider")


@pytest.mark.parametrize("refusal", [error(404, "not_found_error"), error(529, "overloaded_error")])
def test_where_the_provider_does_not_count_the_estimate_stands_with_its_margin(tmp_path: Path, refusal: Reply) -> None:
    with MessagesServer(after=text("three good words"), count=lambda _request: refusal) as server:
        first, second = worked(headquarters(tmp_path, server), "one.md", "two.md")
        asked = [request for request in server.requests if request.path.endswith("count_tokens")]
    assert len(asked) == 1, "a server that does not count is not asked for every attempt"
    for manifest in (first, second):
        assert manifest["counter"].startswith("estimate")
        assert manifest["tokens"] <= manifest["budget"] == WINDOW - ANSWER - int(0.1 * WINDOW)
