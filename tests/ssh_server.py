"""A real sshd on 127.0.0.1 that serves git repositories, and the client's side of it: keys, known hosts, an agent."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
HOST = "forge.test"
"""The name by which the client's ssh configuration knows the server, whose port is another one each time."""


@dataclass
class SshServer:
    """`user` may log in with the key `key`; `config`: of the client's ssh."""

    folder: Path
    port: int
    user: str
    process: subprocess.Popen[bytes]

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def known(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def command(self) -> str:
        """GIT_SSH_COMMAND of a client with this key, who knows the server."""
        return f"ssh -F {self.config}"

    def scp(self, path: Path) -> str:
        return f"{self.user}@{HOST}:{path}"

    def url(self, path: Path) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}{path}"

    def client(self, *more: str, key: Path | None = None) -> None:
        """The client's configuration anew; `more`: lines before all others."""
        lines = [
            *more, f"IdentityFile {key or self.key}", "IdentitiesOnly yes", f"UserKnownHostsFile {self.known}",
            "GlobalKnownHostsFile /dev/null", f"Host {HOST}", "HostName 127.0.0.1", f"Port {self.port}",
        ]  # fmt: skip
        self.config.write_text("\n".join(lines) + "\n")

    def knows(self, host_key: Path) -> None:
        """The client takes this for the server's key."""
        algorithm, blob = host_key.with_suffix(".pub").read_text().split()[:2]
        self.known.write_text(f"[127.0.0.1]:{self.port} {algorithm} {blob}\n")


def make_key(path: Path, passphrase: str = "") -> Path:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(words, check=True)
    return path


@contextmanager
def serve_ssh(folder: Path) -> Iterator[SshServer]:
    """Skips the test, in one line, where there is no sshd or it lets nobody in here."""
    if SSHD is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("needs sshd and ssh: apt-get install openssh-server openssh-client")
    folder.mkdir(parents=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd started by root wants it
    make_key(folder / "host")
    make_key(folder / "key")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "authorized").write_text((folder / "key.pub").read_text())
    lines = [
        f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {folder / 'host'}", "PidFile none", "UsePAM no",
        f"AuthorizedKeysFile {folder / 'authorized'}", "StrictModes no", "PasswordAuthentication no",
        "KbdInteractiveAuthentication no", "PermitRootLogin yes", "LogLevel VERBOSE", "MaxStartups 100",
    ]  # fmt: skip
    (folder / "sshd_config").write_text("\n".join(lines) + "\n")
    with (folder / "sshd.log").open("wb") as log:
        words = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
        process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    server = SshServer(folder, port, getpass.getuser(), process)
    server.client()
    server.knows(folder / "host")
    try:
        _wait(server)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


def _wait(server: SshServer) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end and server.process.poll() is None:
        words = ["ssh", "-F", str(server.config), "-o", "BatchMode=yes", f"{server.user}@{HOST}", "true"]
        done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            return
        if "Permission denied" in done.stderr:
            break
        time.sleep(0.05)
    said = (server.folder / "sshd.log").read_text(errors="replace").splitlines()[-1:]
    pytest.skip(f"sshd lets nobody in on this machine: {' '.join(said)[:200]}")
