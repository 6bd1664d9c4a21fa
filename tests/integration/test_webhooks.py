"""Webhooks as the fake forges send them, over HTTP on 127.0.0.1; forged, replayed, late, and broken ones."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

import pytest

from hqd.adapters.forges.webhooks import LARGEST, Deliveries, Wake, WebhookServer, genuine, wake
from hqd.adapters.git import Git
from hqd.errors import Misconfigured
from hqd.testing.forge_repository import ForgeRepository
from hqd.testing.forge_server import ForgeServer
from hqd.testing.forge_state import FakeForge
from tests.forge_scene import commit, template

SECRET = "shared"
KINDS = ["github", "gitlab", "gitea"]


@dataclass
class Line:
    """A forge, its server, hqd's listener, and what has woken the loop."""

    forge: FakeForge
    server: ForgeServer
    listener: WebhookServer
    woken: list[Wake]

    def post(self, headers: dict[str, str], body: bytes, path: str = "/") -> int:
        return posted(self.listener, headers, body, path)


def posted(listener: WebhookServer, headers: dict[str, str], body: bytes, path: str = "/") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=10)
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, isolated_environment: None) -> Path:
    bare = template(tmp_path_factory.mktemp("hooks")) / "hq.git"
    commit(bare, "hqd/T-1", {"b.txt": "b\n"}, "main", "Work")
    return bare


@pytest.fixture(params=KINDS)
def line(request: pytest.FixtureRequest, made: Path) -> Iterator[Line]:
    forge = FakeForge(ForgeRepository(Git(made, dict(os.environ)).quick))
    forge.add_user("tim", "write")
    forge.open("hqd/T-1", "main", "A title")
    woken: list[Wake] = []
    with (
        ForgeServer(forge, request.param) as server,
        WebhookServer("127.0.0.1:0", request.param, lambda: SECRET, woken.append, beat=0.02) as listener,
    ):
        yield Line(forge, server, listener, woken)


def test_a_delivery_wakes_with_the_place_to_look_at(line: Line) -> None:
    line.forge.say(1, "Hello", by="tim")
    headers, body = line.server.delivery(line.forge.outbox[-1], SECRET)
    assert line.post(headers, body) == 204
    assert [(each.repo, each.number) for each in line.woken] == [("acme/hq", 1)]
    assert "Hello" not in repr(line.woken)


def test_a_delivery_that_comes_twice_wakes_once(line: Line) -> None:
    headers, body = line.server.delivery(line.forge.outbox[0], SECRET)
    assert [line.post(headers, body), line.post(headers, body)] == [204, 202]
    assert len(line.woken) == 1


def test_a_replay_under_a_new_id_wakes_nobody(line: Line) -> None:
    """The id of a delivery is not signed: who records one can send it again with another."""
    headers, body = line.server.delivery(line.forge.outbox[0], SECRET)
    line.post(headers, body)
    renamed = {name: "another" if value.startswith("delivery-") else value for name, value in headers.items()}
    assert renamed != headers
    assert line.post(renamed, body) == 202
    assert len(line.woken) == 1


def test_late_deliveries_and_those_out_of_order_wake_all_the_same(line: Line) -> None:
    line.forge.say(1, "One", by="tim")
    line.forge.approve(1, by="tim")
    for event in reversed(line.forge.outbox):
        assert line.server.deliver(event, SECRET, f"http://127.0.0.1:{line.listener.port}/") == 204
    assert len(line.woken) == len(line.forge.outbox)


def test_a_forged_delivery_wakes_nobody(line: Line) -> None:
    headers, body = line.server.delivery(line.forge.outbox[0], "guessed")
    assert line.post(headers, body) == 401
    unsigned = {"content-type": "application/json"}
    assert line.post(unsigned, body) == 401
    assert line.woken == []


def test_a_forged_delivery_does_not_make_the_true_one_a_replay(line: Line) -> None:
    headers, body = line.server.delivery(line.forge.outbox[0], SECRET)
    forged, _same = line.server.delivery(line.forge.outbox[0], "guessed")
    assert [line.post(forged, body), line.post(headers, body)] == [401, 204]


def test_a_body_changed_on_the_way_is_refused_where_forges_sign_it(line: Line) -> None:
    headers, body = line.server.delivery(line.forge.outbox[0], SECRET)
    expected = 204 if line.server.flavour == "gitlab" else 401
    assert line.post(headers, body + b" ") == expected


def test_without_a_secret_nothing_is_genuine(line: Line) -> None:
    headers, body = line.server.delivery(line.forge.outbox[0], "")
    assert not genuine(line.listener.kind, headers, body, "")


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b"[" * 100_000, b'{"repository": 3, "issue": {"number": true}}']
)
def test_a_genuine_delivery_that_says_nothing_still_wakes(line: Line, body: bytes) -> None:
    digest = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    headers = {"x-hub-signature-256": f"sha256={digest}", "x-gitea-signature": digest, "x-gitlab-token": SECRET}
    assert line.post(headers, body) == 204
    assert [(each.repo, each.number) for each in line.woken] == [(None, None)]


def test_hostile_headers_are_refused_and_the_listener_goes_on(line: Line) -> None:
    bad = {"x-hub-signature-256": "sha256=\xe4", "x-gitea-signature": "\xe4", "x-gitlab-token": "\xe4"}
    assert line.post(bad, b"{}") == 401
    headers, body = line.server.delivery(line.forge.outbox[0], SECRET)
    assert line.post(headers, body) == 204


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: %d" % (LARGEST + 1), b"413"),
        (b"Content-Length: 99999999999999999999", b"413"),
        (b"Content-Length: x", b"411"),
        (b"Content-Length: \xb2", b"411"),
        (b"Transfer-Encoding: chunked", b"411"),
    ],
)
def test_a_body_without_bounds_is_not_read(line: Line, head: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", line.listener.port), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        assert connection.recv(64).split()[1] == status


def test_strangers_who_send_a_byte_at_a_time_keep_nobody_out() -> None:
    """More of them than are read at once, and none of them ever silent for long."""
    woken: list[Wake] = []
    body = b"{}"
    signed = {"x-hub-signature-256": "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}
    with (
        WebhookServer("127.0.0.1:0", "github", lambda: SECRET, woken.append, beat=0.02, longest=0.4) as listener,
        contextlib.ExitStack() as stack,
    ):
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", listener.port))) for _ in range(8)]
        for each in slow:
            each.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n")
        answers, end = [posted(listener, signed, body)], time.monotonic() + 10
        while answers[-1] != 204 and time.monotonic() < end:
            for each in slow:
                with contextlib.suppress(OSError):
                    each.sendall(b"x")
            answers.append(posted(listener, signed, body))
        assert answers[0] in (204, 503)
        assert answers[-1] == 204
    assert len(woken) == 1


def test_a_get_is_answered_without_telling_anything(line: Line) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", line.listener.port, timeout=10)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.status == 501
    assert b"hqd/" not in answer.read()
    connection.close()


def test_what_is_remembered_is_bounded() -> None:
    seen = Deliveries(most=10)
    for number in range(100):
        assert seen.is_new("github", {"x-github-delivery": str(number)}, str(number).encode())
    assert not seen.is_new("github", {"x-github-delivery": "99"}, b"99")
    assert seen.is_new("github", {"x-github-delivery": "0"}, b"0")


def test_githubs_own_example_of_a_signature_holds() -> None:
    """From GitHub's documentation, "Validating webhook deliveries"."""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert genuine("github", {"x-hub-signature-256": signature}, b"Hello, World!", "It's a Secret to Everybody")
    assert not genuine(
        "github", {"x-hub-signature-256": signature.upper()}, b"Hello, World!", "It's a Secret to Everybody"
    )


def test_forgejos_own_headers_count_like_giteas() -> None:
    body = json.dumps({"repository": {"full_name": "acme/hq"}}).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-forgejo-signature": digest, "x-forgejo-event": "push"}
    assert genuine("gitea", headers, body, SECRET)
    assert wake("gitea", headers, body) == Wake("push", "acme/hq")


@pytest.mark.parametrize("listen", ["8477", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_said(listen: str) -> None:
    with pytest.raises(Misconfigured, match="listen"):
        WebhookServer(listen, "github", lambda: SECRET, lambda told: None)


def test_a_port_in_use_is_said_with_a_remedy() -> None:
    with WebhookServer("127.0.0.1:0", "github", lambda: SECRET, lambda told: None) as first:
        with pytest.raises(Misconfigured, match="cannot listen") as refused:
            WebhookServer(f"127.0.0.1:{first.port}", "github", lambda: SECRET, lambda told: None)
        assert "port" in refused.value.remedy


def test_a_payload_sent_as_a_form_points_as_well() -> None:
    """As GitHub sends it, unless the webhook's content type is set to JSON."""
    form = urlencode({"payload": json.dumps({"pull_request": {"number": 7}, "title": "a b+c&d"})}).encode()
    assert wake("github", {"x-github-event": "pull_request"}, form) == Wake("pull_request", None, 7)
    assert wake("github", {}, b"payload=%7B") == Wake("unknown")


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("github", {"sha": "a" * 40, "state": "success"}),
        ("github", {"check_run": {"head_sha": "a" * 40}}),
        ("gitea", {"sha": "a" * 40}),
        ("gitlab", {"object_kind": "pipeline", "object_attributes": {"iid": 7, "sha": "a" * 40}}),
    ],
)
def test_news_of_a_check_point_at_its_commit(kind: Literal["github", "gitlab", "gitea"], payload: object) -> None:
    """A pipeline's own number is no pull request's."""
    found = wake(kind, {}, json.dumps(payload).encode())
    assert (found.number, found.commit) == (None, "a" * 40)
