"""What the layer above the agents is worth: the real daemon over what real models really answered.

Real git, real gates, real ladders; agents are replays of the recorded answers in HQD_BENCH_DATA (left where they are),
and the stored verdict of an answer is the only truth. One HQ an arm, one task a prompt, its gates in its front matter.
`gates` are the figures of odd keys, which nothing was developed on; arms are over all keys, each half beside them.
Shares are between 0 and 1; `attempts` is per task. `cost_ratio` weighs the characters of prompt and answer, as they
were recorded, by parameters, over the big model alone; `cost_ratio_as_sent` counts what hqd really sent, findings and
failed answers included, which the recorded models never saw.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bench import gates_truth, ifeval
from bench.proof import chains, faults, repair, sweep
from bench.proof.arms import ARMS, BASE, PRIMARY, Played, play
from bench.proof.data import Recorded, read, sample
from bench.proof.figures import compared
from bench.proof.tables import tables
from hqd.gates.plugins import installed

TOP_LEVEL = ("gates", "arms")
"""Keys of the result that also stand at the top of the JSON file: its form is fixed (issue 3)."""

TARGETS = {
    "gates on odd keys: precision": ("min", 0.98),
    "gates on odd keys: recall": ("min", 0.96),
    "gates on odd keys: false positives": ("max", 0.012),
    "odd against even, points": ("max", 1.5),
    f"{PRIMARY}: clean": ("min", 0.86),
    f"{PRIMARY}: silent bad": ("max", round(5 / 274, 4)),
    f"{PRIMARY}: cost ratio": ("max", 0.60),
    "findings: repaired where a rule can": ("min", 0.90),
    "median ms per output": ("max", 0.2),
}


def run(quick: bool) -> dict[str, Any]:
    where = ifeval.folder()
    if where is None:
        return {"skipped": f"no data: set HQD_BENCH_DATA (default {ifeval.DEFAULT}) to a folder with ifeval-responses"}
    data = read(where)
    keys = sample(data.keys, 40) if quick else data.keys
    with plugged():
        truth = gates_truth.run(quick)
        arms = played(data, keys)
        few = sample(data.keys, 25) if quick else keys
        result: dict[str, Any] = {
            "gates": gates(truth),
            "arms": figures(arms),
            "data": about(data, keys, arms),
            "sweep": swept(data, keys, arms, quick),
            "findings": repair.run(data, 60 if quick else 600),
            "faults": faults.run(data, few, 30 if quick else faults.QUEUED),
            "chains": chains.run(data, keys, 1 if quick else 2),
        }
    result["targets"] = held(result)
    result["sample"] = quick
    return result


def played(data: Recorded, keys: Sequence[int]) -> dict[str, Played]:
    """Every arm whose models are recorded."""
    found = {}
    for arm in ARMS:
        if set(arm.models) <= data.names.keys():
            print(f"arm {arm.name} …", file=sys.stderr, flush=True)
            found[arm.name] = play(arm, data, keys)
    return found


def figures(arms: Mapping[str, Played]) -> dict[str, Any]:
    base = {arm.name: arm.base for arm in ARMS}
    return {
        name: {"over": base[name], **compared(each.rows, arms[base[name]].rows), "seconds": round(each.seconds, 1)}
        for name, each in arms.items()
        if base[name] in arms
    }


def swept(data: Recorded, keys: Sequence[int], arms: Mapping[str, Played], quick: bool) -> dict[str, Any]:
    if not {PRIMARY, "naive-qwen-7b"} <= arms.keys():
        return {"skipped": "the models of the ladder are not recorded"}
    stages = (0.5,) if quick else (0.25, 0.5, 0.75)
    return sweep.run(data, keys, arms["naive-qwen-7b"].rows, arms[PRIMARY].rows, stages)


def gates(truth: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of the odd keys in the fixed form, with counts, intervals and the even keys beside them."""
    odd, even = truth["responses"]["odd"], truth["responses"]["even"]
    return {
        **{name: odd[name]["value"] for name in ("precision", "recall", "fpr")},
        "kinds": truth["kinds"]["odd"],
        "odd": odd,
        "even": even,
        "odd_even_points": truth["odd_even_points"],
        "kinds_even": truth["kinds"]["even"],
        "ms_per_output": truth["ms_per_output"],
        "ms_per_gate": truth["ms_per_gate"],
    }


def about(data: Recorded, keys: Sequence[int], arms: Mapping[str, Played]) -> dict[str, Any]:
    return {
        "prompts": len(data.prompts),
        "answers": len(data.answers),
        "models": len(data.models),
        "prompts_in_arms": len(keys),
        "odd": sum(key % 2 for key in keys),
        "delivered_texts_that_are_not_as_recorded": sum(arm.altered for arm in arms.values()),
        "transitions_committed_by_arms": sum(arm.transitions for arm in arms.values()),
        "base": BASE,
        "primary": PRIMARY,
    }


def held(result: Mapping[str, Any]) -> dict[str, Any]:
    """Each target with what was measured; None where it could not be."""
    seen, primary = result["gates"], result["arms"].get(PRIMARY, {})
    points = seen["odd_even_points"].values()
    measured = (
        seen["precision"],
        seen["recall"],
        seen["fpr"],
        max(points),
        primary.get("clean"),
        primary.get("silent_bad"),
        primary.get("cost_ratio"),
        result["findings"]["where_a_rule_can_repair"]["value"],
        seen["ms_per_output"]["median"],
    )
    return {
        name: {
            "measured": value,
            "target": f"{'>=' if side == 'min' else '<='} {bound}",
            "held": None if value is None else (value >= bound if side == "min" else value <= bound),
        }
        for (name, (side, bound)), value in zip(TARGETS.items(), measured, strict=True)
    }


@contextmanager
def plugged() -> Iterator[None]:
    """The bench plug-in as pip installs it, found by its entry point; nothing is left behind."""
    if any(plugin.name.startswith("bench ") for plugin in installed()):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="hqd-bench-site-") as site:
        source = ifeval.ROOT / "bench" / "orchestration_plugin"
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        install += ["--root-user-action=ignore", "--no-deps", "--no-build-isolation", "--no-index", "--target", site]
        subprocess.run([*install, str(source)], check=True)
        sys.path.insert(0, site)
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(site)
            for name in [name for name in sys.modules if name.startswith("hqd_bench_gates")]:
                del sys.modules[name]


def show(result: Mapping[str, Any]) -> str:
    """The result as tables."""
    return tables(result)
