"""Telling people: by a real command, by a real webhook, at once and as a digest; failing to tell stops nothing."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from hqd.adapters.notify import Notifications
from hqd.adapters.programs import LocalPrograms
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.model.settings import Notify

FACTS = {"task": {"title": "A <title> with 'quotes' $(x)", "id": "t-1"}, "reason": "gate_failed", "missing": "words"}


class Received(HTTPServer):
    """A webhook that keeps what it was sent."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.got = threading.Event()
        super().__init__(("127.0.0.1", 0), _Hook)


class _Hook(BaseHTTPRequestHandler):
    server: Received

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()
        self.server.got.set()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def webhook() -> Iterator[Received]:
    server = Received()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


@contextmanager
def notifications(
    rule: Notify, folder: Path, env: dict[str, str] | None = None
) -> Iterator[tuple[Notifications, list[str]]]:
    notes: list[str] = []
    told = Notifications(lambda: (rule,), LocalPrograms(), EnvironmentSecrets(env or {}), {}, folder, notes.append)
    yield told, notes
    told.close()


def test_a_command_gets_its_words_rendered_and_no_shell_sees_them(tmp_path: Path) -> None:
    script = tmp_path / "tell.py"
    script.write_text("import sys; open('told.txt', 'a').write('|'.join(sys.argv[1:]) + '\\n')")
    rule = Notify(on=("blocked",), command=(sys.executable, str(script), "{{ task.title }}", "{{ reason }}"))
    with notifications(rule, tmp_path) as (told, notes):
        told.tell("blocked", FACTS)
        told.tell("review", FACTS)
    assert (tmp_path / "told.txt").read_text() == "A <title> with 'quotes' $(x)|gate_failed\n"
    assert notes == []


def test_a_webhook_gets_the_facts_as_json(tmp_path: Path) -> None:
    with webhook() as server:
        rule = Notify(on=("blocked",), webhook="secret:hook")
        env = {"HQD_SECRET_HOOK": f"http://127.0.0.1:{server.server_port}/x"}
        with notifications(rule, tmp_path, env) as (told, notes):
            told.tell("blocked", FACTS)
            assert server.got.wait(10)
        (body,) = server.bodies
    assert (body["kind"], body["count"], body["reason"], body["task"]["id"]) == ("blocked", 1, "gate_failed", "t-1")
    assert notes == []


def test_a_digest_gathers_and_leaves_at_the_latest_when_hqd_ends(tmp_path: Path) -> None:
    with webhook() as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        with notifications(Notify(on=("blocked", "review"), webhook=url, digest="1h"), tmp_path) as (told, _notes):
            told.tell("blocked", FACTS)
            told.tell("review", FACTS)
        (body,) = server.bodies
    assert (body["count"], [item["kind"] for item in body["items"]]) == (2, ["blocked", "review"])


def test_a_digest_leaves_when_its_time_is_over(tmp_path: Path) -> None:
    with webhook() as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        with notifications(Notify(on=("blocked",), webhook=url, digest="100ms"), tmp_path) as (told, _notes):
            told.tell("blocked", FACTS)
            assert server.got.wait(10)
            assert len(server.bodies) == 1


def test_what_cannot_be_told_is_noted_and_the_next_is_told(tmp_path: Path) -> None:
    with webhook() as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        broken = Notify(on=("blocked",), command=("{{ nothing.here }}",))
        good = Notify(on=("blocked",), webhook=url)
        notes: list[str] = []
        secrets = EnvironmentSecrets({})
        told = Notifications(lambda: (broken, good), LocalPrograms(), secrets, {}, tmp_path, notes.append)
        told.tell("blocked", FACTS)
        assert server.got.wait(10)
        told.close()
    assert len(notes) == 1
    assert "could not be delivered" in notes[0]
