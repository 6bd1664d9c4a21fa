"""The port Remote over ssh, against a real sshd: it works with a key, never asks, and every no has a name."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hqd.adapters.git import Git
from hqd.adapters.remote import RemoteOf
from hqd.errors import RemoteRefused, RemoteUnavailable
from hqd.model.remote import PushOutcome, RefUpdate
from tests.ssh_server import SshServer, make_key, serve_ssh

MAIN = "refs/heads/main"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with serve_ssh(tmp_path_factory.mktemp("ssh") / "ssh") as found:
        yield found


@pytest.fixture
def server(running: SshServer) -> SshServer:
    """The client's side as it is when all is well."""
    running.client()
    running.knows(running.folder / "host")
    return running


@pytest.fixture
def bare(tmp_path: Path, git: Any) -> Path:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "there.git")
    git(tmp_path, "init", "-q", "-b", "main", "here")
    git(tmp_path / "here", "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "first")
    return tmp_path / "there.git"


def remote(bare: Path, url: str, **env: str) -> RemoteOf:
    return RemoteOf(Git(bare.parent / "here", {**os.environ, **env}), url, timeout=30)


def push(to: RemoteOf, bare: Path) -> PushOutcome:
    tip = subprocess.run(["git", "rev-parse", "HEAD"], cwd=bare.parent / "here", capture_output=True, text=True)
    (pushed,) = to.push([RefUpdate(MAIN, tip.stdout.strip())])
    return pushed.outcome


@pytest.mark.parametrize("spelled", [SshServer.scp, SshServer.url])
def test_both_spellings_of_an_ssh_url_push_and_fetch(
    server: SshServer, bare: Path, spelled: Callable[[SshServer, Path], str]
) -> None:
    at = remote(bare, spelled(server, bare), GIT_SSH_COMMAND=server.command)
    assert push(at, bare) is PushOutcome.DONE
    assert list(at.fetch()) == [MAIN]
    gone = remote(bare, spelled(server, bare.with_name("gone.git")), GIT_SSH_COMMAND=server.command)
    with pytest.raises(RemoteRefused) as refused:
        gone.fetch()
    assert refused.value.cause == "missing"


def passphrase(server: SshServer, folder: Path) -> None:
    """The server would let this key in."""
    key = make_key(folder / "locked", "geheim")
    with (server.folder / "authorized").open("a") as keys:
        keys.write(key.with_suffix(".pub").read_text())
    server.client(key=key)


def stranger(server: SshServer, folder: Path) -> None:
    server.client(key=make_key(folder / "stranger"))


def unknown_host(server: SshServer, _folder: Path) -> None:
    server.known.unlink()


def changed_host(server: SshServer, folder: Path) -> None:
    server.knows(make_key(folder / "other-host"))


NO: dict[Callable[[SshServer, Path], None], tuple[str, str, str]] = {
    passphrase: ("credentials", "Permission denied (publickey)", "passphrase"),
    stranger: ("credentials", "Permission denied (publickey)", "public key"),
    unknown_host: ("host_key", "Host key verification failed", "ssh-keyscan"),
    changed_host: ("host_key", "fingerprint", "another key than known_hosts"),
}


@pytest.mark.parametrize("wrong", NO)
@pytest.mark.parametrize("command", ["ssh", "env ssh"])
def test_what_a_person_would_be_asked_is_refused_at_once_and_named(
    server: SshServer, bare: Path, tmp_path: Path, wrong: Callable[[SshServer, Path], None], command: str
) -> None:
    """Also where hqd cannot tell ssh not to ask, and a desktop stands ready to: no window opens."""
    asked, asking = tmp_path / "asked", tmp_path / "askpass"
    asking.write_text(f"#!/bin/sh\necho asked >> {asked}\necho yes\n")
    asking.chmod(0o755)
    wrong(server, tmp_path)
    desktop = {"DISPLAY": ":0", "SSH_ASKPASS": str(asking), "SSH_ASKPASS_REQUIRE": "force"}
    ssh = server.command.replace("ssh", command, 1)
    began = time.monotonic()
    with pytest.raises(RemoteRefused) as refused:
        remote(bare, server.scp(bare), GIT_SSH_COMMAND=ssh, **desktop).fetch()
    assert time.monotonic() - began < 15
    assert not asked.exists()
    cause, words, remedy = NO[wrong]
    assert refused.value.cause == cause
    assert words in refused.value.message
    assert "@@" not in refused.value.message
    assert remedy in refused.value.remedy


def test_a_key_of_an_agent_serves_and_without_the_agent_it_does_not(
    server: SshServer, bare: Path, tmp_path: Path
) -> None:
    """`core.sshCommand` of the clone names the configuration; the key itself is the agent's alone."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("needs ssh-agent: apt-get install openssh-client")
    server.client(key=tmp_path / "nowhere")
    config = server.config.read_text().replace("IdentitiesOnly yes", "IdentitiesOnly no")
    server.config.write_text(config)
    subprocess.run(["git", "config", "core.sshCommand", server.command], cwd=bare.parent / "here", check=True)
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while not socket.exists() and time.monotonic() < end:
            time.sleep(0.01)
        known = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        subprocess.run(["ssh-add", "-q", str(server.key)], env=known, check=True)
        assert push(remote(bare, server.scp(bare), SSH_AUTH_SOCK=str(socket)), bare) is PushOutcome.DONE
        with pytest.raises(RemoteRefused):
            remote(bare, server.scp(bare), SSH_AUTH_SOCK="").fetch()
    finally:
        agent.terminate()
        agent.wait(timeout=10)


def test_nobody_listening_is_down(server: SshServer, bare: Path) -> None:
    with pytest.raises(RemoteUnavailable, match="refused"):
        remote(bare, f"ssh://{server.user}@127.0.0.1:9{bare}", GIT_SSH_COMMAND=server.command).fetch()
