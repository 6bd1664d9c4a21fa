"""Benchmarks: each module here with a `run(quick: bool) -> dict` is one, started by `scripts/bench NAME`."""
