"""What systemd receives, read from a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hqd.daemon.sd_notify import Notifier, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket that listens, and its address as $NOTIFY_SOCKET would say it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.settimeout(5)
        if request.param == "path":
            address = str(tmp_path / "notify")
            server.bind(address)
        else:
            address = f"@hqd-test-{os.getpid()}-{os.urandom(4).hex()}"
            server.bind("\0" + address[1:])
        yield server, address


def test_each_word_arrives_as_systemd_spells_it(listener: tuple[socket.socket, str]) -> None:
    server, address = listener
    tell = Notifier(address)
    assert tell.ready("serving 3 tasks")
    assert tell.watchdog()
    assert tell.status("idle")
    assert tell.main_pid(42)
    assert tell.stopping()
    received = [server.recv(4096) for _ in range(5)]
    assert received == [b"READY=1\nSTATUS=serving 3 tasks", b"WATCHDOG=1", b"STATUS=idle", b"MAINPID=42", b"STOPPING=1"]


def test_a_status_cannot_smuggle_in_another_word(listener: tuple[socket.socket, str]) -> None:
    server, address = listener
    assert Notifier(address).status("a task called\nMAINPID=1\r\nSTOPPING=1")
    assert server.recv(4096) == b"STATUS=a task called MAINPID=1 STOPPING=1"


def test_text_beyond_ascii_goes_as_utf8(listener: tuple[socket.socket, str]) -> None:
    server, address = listener
    assert Notifier(address).status("läuft → gut")
    assert server.recv(4096).decode() == "STATUS=läuft → gut"


def test_without_an_address_nothing_is_sent() -> None:
    assert not Notifier().ready()


def test_a_manager_that_is_gone_does_not_stop_the_daemon(tmp_path: Path) -> None:
    assert not Notifier(str(tmp_path / "nobody")).watchdog()


def test_a_manager_that_does_not_read_holds_the_loop_only_for_a_moment(
    listener: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel queues few datagrams; when they are full, a send without a limit would wait for ever."""
    monkeypatch.setattr("hqd.daemon.sd_notify.PATIENCE", 0.05)
    _, address = listener
    sent = [Notifier(address).watchdog() for _ in range(3)]
    for _ in range(5000):
        if not sent[-1]:
            break
        sent.append(Notifier(address).watchdog())
    assert not sent[-1]


@pytest.mark.parametrize(
    ("usec", "watchdog_pid", "seconds"),
    [
        ("60000000", "", 30.0),
        ("60000000", "7", 30.0),
        ("60000000", "8", None),
        ("0", "", None),
        ("", "", None),
        ("-5", "", None),
        ("soon", "7", None),
    ],
)
def test_signs_of_life_come_twice_as_often_as_asked(usec: str, watchdog_pid: str, seconds: float | None) -> None:
    assert seconds == watchdog_interval(usec, watchdog_pid, pid=7)
