"""Tells systemd how the service is (sd_notify(3)). Without an address every call does nothing.

The address ($NOTIFY_SOCKET) and the watchdog's time ($WATCHDOG_USEC, $WATCHDOG_PID) are arguments: the command
line reads the environment.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

PATIENCE = 1.0
"""Seconds to wait for a service manager that does not read; longer would stall the daemon's loop."""


@dataclass(frozen=True, slots=True)
class Notifier:
    """`address` is a path, or `@name` for Linux's abstract sockets; empty: nobody listens."""

    address: str = ""

    def ready(self, status: str = "") -> bool:
        return self.send("READY=1", *([f"STATUS={status}"] if status else []))

    def stopping(self) -> bool:
        return self.send("STOPPING=1")

    def watchdog(self) -> bool:
        """I am alive. Call it from the loop that does the work, so that a stuck loop is seen."""
        return self.send("WATCHDOG=1")

    def status(self, text: str) -> bool:
        """One line for `systemctl status`."""
        return self.send(f"STATUS={text}")

    def main_pid(self, pid: int) -> bool:
        return self.send(f"MAINPID={pid}")

    def send(self, *assignments: str) -> bool:
        """Sends them as one message; False where it was not delivered, which never is a reason to fail."""
        if not self.address:
            return False
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        message = "\n".join(" ".join(line.splitlines()) for line in assignments)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(PATIENCE)
                out.sendto(message.encode(), address)
        except OSError:
            return False
        return True


def watchdog_interval(usec: str, watchdog_pid: str, pid: int) -> float | None:
    """Seconds between two signs of life, half of what systemd allows; None where it watches nothing or another pid."""
    if not usec.isascii() or not usec.isdigit() or int(usec) == 0 or watchdog_pid not in {"", str(pid)}:
        return None
    return int(usec) / 2_000_000
