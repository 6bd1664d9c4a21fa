"""Runs one benchmark: `python -m bench NAME [--json FILE] [--quick]`, or `--list`.

A benchmark is a module `bench/NAME.py` with `run(quick: bool) -> dict`: plain values that JSON can hold. Its
docstring's first line says what it measures. `show(result) -> str` may lay it out for people, and `TOP_LEVEL` name keys
that also stand at the top of the JSON file. Figures are judged by a person, side by side within one run: a benchmark
that ran is exit 0, whatever it found.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
SCHEMA_VERSION = 1


def benches() -> dict[str, str]:
    """Name -> first line of its docstring, found without importing any of them."""
    found = {}
    for file in sorted(FOLDER.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in tree.body):
            found[file.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def machine() -> dict[str, Any]:
    """What a reader needs to compare figures: cores, memory, versions; no names of machines."""
    git = subprocess.run(["git", "--version"], check=True, capture_output=True, text=True).stdout
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
        "git": git.removeprefix("git version ").strip(),
        "commit": commit(),
    }


def commit() -> str:
    """The commit that was measured, with `+` where files differ from it; empty outside a repository."""

    def git(*args: str) -> str:
        done = subprocess.run(["git", "-C", FOLDER, *args], check=False, capture_output=True, text=True)
        return done.stdout.strip()

    head = git("rev-parse", "--short=12", "HEAD")
    return head + ("+" if head and git("status", "--porcelain", "--", "../hqd", ".") else "")


def lines(value: Any, name: str = "", depth: int = 0) -> Iterator[str]:
    """A result as indented lines for a person."""
    indent = "  " * depth
    if isinstance(value, Mapping):
        if name:
            yield f"{indent}{name}:"
        for key, inner in value.items():
            yield from lines(inner, str(key), depth + bool(name))
    elif isinstance(value, list | tuple) and any(isinstance(inner, Mapping | list | tuple) for inner in value):
        yield f"{indent}{name}:"
        for number, inner in enumerate(value, 1):
            yield from lines(inner, str(number), depth + 1)
    else:
        shown = f"{value:.4g}" if isinstance(value, float) else value
        yield f"{indent}{name}: {shown}" if name else f"{indent}{shown}"


def measure(name: str, quick: bool) -> dict[str, Any]:
    module = importlib.import_module(f"bench.{name}")
    run: Callable[[bool], dict[str, Any]] = module.run
    at, start = datetime.now(UTC), time.monotonic()
    result = run(quick)
    return {
        **{key: result[key] for key in getattr(module, "TOP_LEVEL", ()) if key in result},
        "schema_version": SCHEMA_VERSION,
        "bench": name,
        "quick": quick,
        "at": at.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - start, 1),
        "machine": machine(),
        "result": result,
    }


def main(words: list[str]) -> int:
    known = benches()
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Runs one benchmark of bench/.")
    parser.add_argument("name", nargs="?", choices=sorted(known), help="which one")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the result there")
    parser.add_argument("--quick", action="store_true", help="small and short: does it run at all?")
    parser.add_argument("--list", action="store_true", help="what there is")
    options = parser.parse_args(words)
    if options.list or options.name is None:
        for name, about in known.items():
            print(f"{name:20} {about}")
        return 0 if options.list else 2
    measured = measure(options.name, options.quick)
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(f"{options.name}{' (quick)' if options.quick else ''}: {known[options.name]}")
    print(shown(options.name, measured))
    return 0


def shown(name: str, measured: Mapping[str, Any]) -> str:
    """The result for a person: as the benchmark shows it itself, else as indented lines."""
    show: Callable[[Mapping[str, Any]], str] | None = getattr(importlib.import_module(f"bench.{name}"), "show", None)
    took = f"{measured['seconds']} s"
    if show is not None:
        return f"{show(measured['result'])}\n\ntook {took}"
    return "\n".join(lines({**measured["result"], "took": took}, depth=1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
