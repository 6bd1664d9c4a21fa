"""The result as plain tables: for the screen, and as Markdown for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def tables(result: Mapping[str, Any]) -> str:
    """All tables, one after the other; one line where the benchmark was skipped."""
    if "skipped" in result:
        return f"skipped: {result['skipped']}"
    parts = (
        ("Targets" + (" (a sample: not to be judged)" if result["sample"] else ""), _targets(result["targets"])),
        ("Gates against stored verdicts, all models", _gates(result["gates"])),
        ("Gates by constraint, odd keys", _kinds(result["gates"]["kinds"])),
        ("Arms, all keys", _arms(result["arms"], None)),
        ("Arms, odd keys only", _arms(result["arms"], "odd")),
        ("Arms: confidence, tests, break-even", _tests(result["arms"])),
        ("Detection sweep: the ladder with a part of the kinds in force", _sweep(result["sweep"])),
        ("What each kind is worth: one left out of the full set", _worth(result["sweep"])),
        ("Findings: repaired by rules that see nothing else", _repair(result["findings"])),
        ("Declared faults", _faults(result["faults"])),
        ("Chains of four", _chains(result["chains"])),
    )
    return "\n\n".join(f"### {title}\n\n{table(rows)}" for title, rows in parts)


Rows = Iterable[Sequence[Any]]


def table(rows: Rows) -> str:
    """A Markdown table that is readable as text too; the first row is its head."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _share(found: Mapping[str, Any]) -> str:
    """A share with its Wilson interval and n."""
    if not found["n"]:
        return "-"
    return f"{_percent(found['value'])} [{100 * found['low']:.1f}-{100 * found['high']:.1f}] of {found['n']}"


def _targets(found: Mapping[str, Any]) -> Rows:
    yield "what", "measured", "target", "held"
    for name, each in found.items():
        yield name, each["measured"], each["target"], {True: "yes", False: "NO", None: "-"}[each["held"]]


def _gates(found: Mapping[str, Any]) -> Rows:
    yield "keys", "precision", "recall", "false positives", "tp/fp/fn/tn"
    for half in ("odd", "even"):
        each = found[half]
        counts = "/".join(str(each["counts"][name]) for name in ("tp", "fp", "fn", "tn"))
        yield half, *(_share(each[name]) for name in ("precision", "recall", "fpr")), counts


def _kinds(found: Mapping[str, Any]) -> Rows:
    yield "constraint", "precision", "recall", "false positives"
    for kind, each in found.items():
        yield kind, *(_share(each[name]) for name in ("precision", "recall", "fpr"))


def _arms(found: Mapping[str, Any], half: str | None) -> Rows:
    yield "arm", "clean", "silent bad", "to human", "cost", "cost as sent", "attempts", "n"
    for name, arm in found.items():
        each = arm if half is None else arm[half]
        yield (
            name,
            *(f"{_percent(each[fate])} ({each['counts'][fate]})" for fate in ("clean", "silent_bad", "to_human")),
            each["cost_ratio"],
            each["cost_ratio_as_sent"],
            each["attempts"],
            each["counts"]["n"],
        )


def _tests(found: Mapping[str, Any]) -> Rows:
    yield "arm", "over", "clean, points over it", "cost ratio", "only this / only base clean", "McNemar p", "break-even"
    for name, arm in found.items():
        gain, cost = arm["ci95"].get("clean_over_base"), arm["ci95"].get("cost_ratio")
        test, price = arm["mcnemar"], arm["break_even"]
        yield (
            name,
            arm["over"],
            "-" if gain is None else f"[{100 * gain[0]:+.1f}, {100 * gain[1]:+.1f}]",
            "-" if cost is None else f"[{cost[0]:.3f}, {cost[1]:.3f}]",
            f"{test['only_this_clean']} / {test['only_base_clean']}",
            test["p"],
            "-" if price["price"] is None else f"{price['price']} + {price['per_unit_of_a_bad_output']} b",
        )


def _sweep(found: Mapping[str, Any]) -> Rows:
    if "skipped" in found:
        yield (found["skipped"],)
        return
    orders = next(value for name, value in found.items() if name.startswith("over_"))
    yield (
        "kinds in force",
        "clean",
        "silent bad",
        "to human",
        "silent bad over 200 orders, mean (5-95 %)",
        "model differs",
    )
    for part, each in found["curve"].items():
        spread = orders.get(part, {}).get("silent_bad")
        yield (
            part,
            *(_percent(each[fate]) for fate in ("clean", "silent_bad", "to_human")),
            "-"
            if spread is None
            else f"{_percent(spread['mean'])} ({'-'.join(_percent(v) for v in spread['p5_p95'])})",
            found["model_differs_from_daemon_on"][part],
        )


def _worth(found: Mapping[str, Any]) -> Rows:
    yield "left out", "clean", "silent bad", "to human"
    for kind, each in found.get("without_one_kind", {}).items():
        yield kind, *(f"{each[fate]:+d}" for fate in ("clean", "silent_bad", "human"))


def _repair(found: Mapping[str, Any]) -> Rows:
    yield "constraint", "repaired", "where the prompt does not contradict itself", "of these, odd keys"
    for kind, each in found["kinds"].items():
        note = " (no rule can)" if kind in found["no_rule"] else ""
        yield kind + note, _share(each), _share(each["possible"]), _share(each["possible"]["odd"])
    for name in ("where_a_rule_can_repair", "whole_answers_where_a_rule_can_repair"):
        yield f"**{name.replace('_', ' ')}**", "", _share(found[name]), _share(found[name]["odd"])


def _faults(found: Mapping[str, Any]) -> Rows:
    lost, wrong = found["lost_section"], found["wrong_task"]
    flaky, hung, key = found["provider_529"], found["hanging_agent"], found["expired_key"]
    gate, bare = lost["with_gate"], lost["without_gate"]
    yield "fault", "what came of it"
    yield (
        "10 % lose a required section",
        f"gate in force: {_share(gate['hit_delivered'])} delivered, ends {gate['hit_ended']},"
        f" {gate['agent_calls_on_hit']} agent calls; no gate: {_share(bare['hit_delivered'])} delivered",
    )
    yield (
        "every answer is to another task",
        "delivered where a gate names words of the task:"
        f" {_share(wrong['delivered_where_a_gate_names_words_of_the_task'])};"
        f" elsewhere: {_share(wrong['delivered_elsewhere'])}",
    )
    yield (
        "provider refuses 20 % with 529",
        f"{flaky['refused']} of {flaky['requests']} requests refused, {flaky['tasks_hit']} tasks hit;"
        f" {flaky['ends_other_than_without_the_fault']} end otherwise than without it; holds {len(flaky['holds'])}",
    )
    yield (
        "an agent hangs (10 % of tasks)",
        f"{hung['hit']} hit, first attempts {hung['first_attempts_failed_as']};"
        f" {hung['ends_other_than_without_the_fault']} end otherwise than without it",
    )
    yield (
        "the key expires",
        f"{key['still_queued']} still queued, holds {[': '.join(each) for each in key['holds']]}, {key['parks']} parks,"
        f" {key['requests_refused']} requests refused; after renewal {key['delivered_after_renewal']} of {key['tasks']}"
        f" delivered, {key['parks_after_renewal']} parks",
    )


def _chains(found: Mapping[str, Any]) -> Rows:
    yield "chain", "all clean", "silent bad", "to human", "attempts a step"
    for name, each in found.items():
        if isinstance(each, Mapping) and "all_clean" in each:
            yield (
                name,
                *(_share(each[fate]) for fate in ("all_clean", "silent_bad", "to_human")),
                each["attempts_per_step"],
            )
