"""The door that starts processes: deadlines, caps, and that nothing is left behind."""

from __future__ import annotations

import os
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from hqd.adapters import process

ENV = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


def python(code: str, **options: object) -> process.Result:
    settings: dict[str, object] = {"env": ENV, "timeout": 20.0, **options}
    return process.run((sys.executable, "-S", "-c", code), **settings)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_output_exit_code_and_stdin() -> None:
    result = python(
        "import sys; d = sys.stdin.read(); print(len(d)); print('oops', file=sys.stderr); sys.exit(3)",
        stdin=b"x" * 300_000,
    )

    assert (result.exit, result.stdout, result.stderr) == (3, b"300000\n", b"oops\n")
    assert not result.ok


def test_a_program_that_does_not_read_its_stdin_is_no_error() -> None:
    assert python("print('done')", stdin=b"x" * 5_000_000).ok


def test_the_environment_is_given_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of hqd's own environment leaks into a process."""
    monkeypatch.setenv("SOME_TOKEN", "leak")

    result = python("import os; print(sorted(os.environ))", env={"PATH": ENV["PATH"], "A": "b"})

    assert b"SOME_TOKEN" not in result.stdout
    assert b"'A'" in result.stdout


def test_the_deadline_kills_a_process_that_ignores_term() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"

    result = python(code, timeout=1.0, grace=0.3)

    assert result.timed_out
    assert result.stdout == b"up\n"
    assert result.exit == -9
    assert result.seconds < 10


def test_term_comes_first_so_that_a_program_can_tidy_up() -> None:
    code = (
        "import os, signal, sys, time\n"
        # os.write: the signal may come while the other print still flushes, and print is not re-entrant
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'tidied\\n'), sys.exit(0)))\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    stop = threading.Event()

    result = python(code, stop=stop, on_stdout=lambda _: stop.set(), grace=5.0)

    assert result.stopped
    assert result.exit == 0
    assert result.stdout == b"up\ntidied\n"


def test_the_stop_event_ends_it_soon() -> None:
    stop = threading.Event()
    stop.set()

    result = python("import time; time.sleep(60)", stop=stop, grace=0.2)

    assert result.stopped
    assert result.seconds < 5


def test_a_printer_without_end_is_cut_at_the_cap_without_memory_growth() -> None:
    code = "import os\nblock = b'x' * 65536\nwhile True: os.write(1, block)"
    tracemalloc.start()
    try:
        result = python(code, max_stdout=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert result.capped
    assert len(result.stdout) == 1_000_000
    assert peak < 8_000_000


def test_only_the_tail_of_a_gigabyte_on_stderr_is_kept() -> None:
    code = "import os\nblock = b'e' * 65536\nfor _ in range(3000): os.write(2, block)\nos.write(2, b'the end')"

    result = python(code, max_stderr=1000)

    assert result.ok
    assert len(result.stderr) == 1000
    assert result.stderr.endswith(b"the end")


GRANDCHILD = """
import os, subprocess, sys, time
code = "import time; time.sleep(300)"
child = subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session={session}, env={env})
print(child.pid, flush=True)
{then}
"""


@pytest.mark.parametrize("session", [False, True], ids=["in the group", "in a session of its own"])
@pytest.mark.parametrize("then", ["time.sleep(300)", "sys.exit(0)"], ids=["parent hangs", "parent ends well"])
def test_grandchildren_are_ended_too(session: bool, then: str) -> None:
    result = python(GRANDCHILD.format(session=session, env="None", then=then), timeout=1.5, grace=0.2)

    assert wait_for(lambda: not alive(int(result.stdout)))


def test_a_child_that_left_the_group_and_cleared_its_environment_is_found_by_its_parent() -> None:
    result = python(GRANDCHILD.format(session=True, env="{}", then="time.sleep(300)"), timeout=1.5, grace=0.2)

    assert wait_for(lambda: not alive(int(result.stdout)))


def test_a_double_fork_is_found_by_its_claim() -> None:
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        print(os.getpid(), flush=True)\n"
        "        os.close(1); os.close(2)\n"
        "        time.sleep(300)\n"
        "    os._exit(0)\n"
        "os.wait(); os._exit(0)\n"
    )

    result = python(code)

    assert result.exit == 0
    assert wait_for(lambda: not alive(int(result.stdout)))


def test_a_process_that_keeps_forking_ends() -> None:
    code = (
        "import os, time\n"
        "for _ in range(40):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() > 0: time.sleep(0.02)\n"
        "time.sleep(300)\n"
    )
    began = time.monotonic()
    # bounded: the fork tree is cut by the deadline, long before 2**40 processes
    result = python(code.replace("40", "5"), timeout=1.0, grace=0.1, nonce="test-forker")

    assert result.timed_out
    assert process.sweep("test-forker") == 0
    assert time.monotonic() - began < 15


def test_evict_kills_what_works_in_a_folder(tmp_path: Path) -> None:
    """What an earlier, crashed hqd left running in a working copy."""
    with_pid: list[int] = []
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"
    thread = threading.Thread(
        target=lambda: python(code, cwd=tmp_path, on_stdout=lambda data: with_pid.append(int(data)))
    )
    thread.start()
    assert wait_for(lambda: bool(with_pid))

    assert process.evict(tmp_path) == 1

    thread.join(10)
    assert not thread.is_alive()
    assert not alive(with_pid[0])


def test_what_cannot_start_is_one_clear_error(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")

    with pytest.raises(process.CannotStart, match="program not found: no-such-program"):
        process.run(("no-such-program",), env=ENV, timeout=1)
    with pytest.raises(process.CannotStart, match="not executable"):
        process.run((str(plain),), env=ENV, timeout=1)
    with pytest.raises(process.CannotStart, match="no folder"):
        process.run(("true",), env=ENV, timeout=1, cwd=tmp_path / "gone")
    with pytest.raises(process.CannotStart):
        process.run(("true", "a\0b"), env=ENV, timeout=1)


def test_no_file_descriptor_is_left_open() -> None:
    python("print(1)")
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(5):
        python("print(1)")

    assert len(list(Path("/proc/self/fd").iterdir())) <= before
