"""A small real agent for tests: does what the lines of its prompt that begin with `!` say, in order.

!say TEXT            prints TEXT                    !write PATH TEXT     writes a file
!delete PATH         deletes a file                 !output JSON         writes JSON to $HQD_OUTPUT
!stderr TEXT         prints TEXT to stderr          !exit N              ends with exit code N
!sleep SECONDS       waits                          !hang                ignores TERM and waits for ever
!print N             prints N bytes                 !env                 prints its environment as JSON
!echo                prints the whole prompt        !fork                leaves a child behind, in a new session
!raise               dies by a signal               !git ARGS            runs git in its folder
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write(rest: str) -> None:
    path, _, text = rest.partition(" ")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text.replace("\\n", "\n") + "\n", encoding="utf-8")


def hang(_: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("hanging")
    time.sleep(3600)


def flood(count: str) -> None:
    left = int(count)
    while left > 0:
        left -= os.write(1, b"x" * min(left, 65536))


def fork(_: str) -> None:
    code = "import time; time.sleep(3600)"
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", code], start_new_session=True, stdin=quiet, stdout=quiet, stderr=quiet
    )
    say(str(child.pid))


def main() -> None:
    prompt = sys.stdin.read()
    acts: dict[str, Callable[[str], object]] = {
        "say": say,
        "write": write,
        "delete": lambda path: Path(path).unlink(),
        "output": lambda text: Path(os.environ["HQD_OUTPUT"]).write_text(text, encoding="utf-8"),
        "stderr": lambda text: sys.stderr.write(text + "\n"),
        "exit": lambda code: sys.exit(int(code)),
        "sleep": lambda seconds: time.sleep(float(seconds)),
        "hang": hang,
        "print": flood,
        "env": lambda _: say(json.dumps(dict(os.environ))),
        "echo": lambda _: say(prompt),
        "fork": fork,
        "raise": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
        "git": lambda args: subprocess.run(["git", *shlex.split(args)], check=True),
    }
    for line in prompt.splitlines():
        if line.startswith("!"):
            name, _, rest = line[1:].partition(" ")
            acts[name](rest)


if __name__ == "__main__":
    main()
