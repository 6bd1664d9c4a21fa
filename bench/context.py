"""Context at size: 10,000 documents and 10,000 past outputs, hostile counters, common beginnings, past prompts.

The HQ is made by git fast-import, with records as the daemon writes them. Cold: nothing is cached, no index is there.
Warm: the daemon has assembled a prompt for this commit before. Recall is measured on what others collected
(`context_recall`). Experiments on two equal arms tell how often chance alone is declared a win.
"""

from __future__ import annotations

import functools
import itertools
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from hqd.bootstrap import context_means, open_hq
from hqd.codec import layout
from hqd.codec.record import write_record
from hqd.core.batch import blob_id
from hqd.core.context.experiment import Unit, arm, result
from hqd.core.context.source import Candidate, Text
from hqd.core.context.tokens import estimate_tokens
from hqd.core.context.window import Budget
from hqd.core.prompt import Parts, Prompt, assemble
from hqd.daemon.rulebook import pin_of
from hqd.daemon.work.gather import prompt
from hqd.daemon.work.job import Job
from hqd.model.board import Rules, Task
from hqd.model.playbook import Experiment, Playbook
from hqd.model.record import Cursor, Event, EventKind, OutputRef, Phase, Record
from hqd.model.task import State, TaskDocument, TaskHeader

VOCABULARY = 20_000
"""Words; the n-th is used n times less often than the first, as in real text (Zipf)."""

GENERAL = """
name = "general"
[[context]]
include = ["workspace/context/**/*.md"]
[[steps]]
name = "work"
agent = "worker"
context = [{ similar = 3 }]
"""
SETTINGS = 'format = 1\n[agents.worker]\nprovider = "replay"\nanswers = "a.jsonl"\n'
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run(quick: bool) -> dict[str, Any]:
    number = 300 if quick else 10_000
    from bench.context_recall import recall

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "hq"
        build(root, number)
        return {
            "documents": number,
            "past_outputs": number,
            **sized(root, 3 if quick else 20),
            "hostile_counters": hostile(100 if quick else 1_000),
            "past_prompts": past(Path(folder) / "run", 2 if quick else 12),
            "equal_arms": equal_arms(40 if quick else 500),
            "retrieval": recall(),
        }


@functools.cache
def _weights() -> tuple[list[str], list[float]]:
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghiklmnoprstuvw", k=rng.randint(3, 10))) for _word in range(VOCABULARY)]
    return words, list(itertools.accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))


def text_of(rng: random.Random, words: int) -> str:
    known, weights = _weights()
    return " ".join(rng.choices(known, cum_weights=weights, k=words))


def build(root: Path, number: int) -> None:
    imported(root, itertools.chain(_documents(number), _outputs(number)))


def imported(root: Path, made: Iterable[tuple[str, str]]) -> None:
    """An HQ of one commit, made by git fast-import: settings, the playbook, and `made` (path, text)."""
    root.mkdir()
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", "-b", "main", root], check=True, env=env)
    files = {"hqd.toml": SETTINGS, "playbooks/general.toml": GENERAL, "AGENTS.md": "Be brief.\n"}
    stream = bytearray(b"commit refs/heads/main\ncommitter A <a@b> 1767225600 +0000\ndata 1\nx\n")
    for path, text in itertools.chain(files.items(), made):
        data = text.encode("utf-8", "replace")
        stream += b"M 100644 inline %s\ndata %d\n" % (path.encode(), len(data)) + data + b"\n"
    subprocess.run(["git", "-C", root, "fast-import", "--quiet"], check=True, env=env, input=bytes(stream))
    subprocess.run(["git", "-C", root, "checkout", "-q", "main", "--", "hqd.toml"], check=True, env=env)


def _documents(number: int) -> Iterator[tuple[str, str]]:
    rng = random.Random(1)
    for n in range(number):
        body = "\n\n".join(f"## Part {part}\n\n{text_of(rng, 60)}" for part in range(3))
        yield f"workspace/context/{n % 100:02}/{n:05}.md", f"# Document {n}\n\n{body}\n"


def _outputs(number: int) -> Iterator[tuple[str, str]]:
    rng = random.Random(2)
    for n in range(number):
        day = date(2025, 1, 1) + timedelta(days=n % 200)
        task = f"{day:%Y%m%d}-task-{n:06x}"
        output = text_of(rng, 150)
        yield from output_files(task, day, output, f"# Task {n}\n\n{text_of(rng, 20)}\n")


def output_files(task: str, day: date, output: str, text: str) -> Iterator[tuple[str, str]]:
    """A task in done/ with one accepted output and the record that says so."""
    path = layout.beside(task, 3, "output.md")
    ref = OutputRef(path=path, blob=blob_id(output.encode("utf-8", "replace")), attempt=1, n=3)
    cursor = Cursor(playbook="general", step="work", phase=Phase.ENDED, outputs={"work": ref}, attempts={"work": 1})
    record = Record(
        event=EventKind.DONE, to=State.DONE, at=datetime(day.year, day.month, day.day, tzinfo=UTC), n=4, hqd="0",
        host="h", from_=State.QUEUE, round=1, cursor=cursor,
    )  # fmt: skip
    yield path, output
    yield layout.record_path(task, 4, "done"), write_record(record).decode()
    yield layout.task_path(task, State.DONE, day), text


def sized(root: Path, rounds: int) -> dict[str, Any]:
    with open_hq(root, {**os.environ, "HOME": str(root.parent)}) as hq:
        from hqd.bootstrap import gate_registry, rules_loader
        from hqd.daemon.rulebook import PinnedFiles

        tree = hq.history.tree("main")
        pin = pin_of(tree)
        rules, problems = rules_loader(gate_registry(os.environ, None, None))(PinnedFiles(hq.history, pin), pin)
        assert rules is not None, problems
        means = context_means(root, hq.history)
        jobs = [_job(rules, tree.commit, n) for n in range(rounds + 1)]
        start, spent = time.perf_counter(), time.process_time()
        first = prompt(jobs[0], means)
        cold, cold_cpu = time.perf_counter() - start, time.process_time() - spent
        prompts, took, cpu = [first], [], []
        for job in jobs[1:]:
            start, spent = time.perf_counter(), time.process_time()
            prompts.append(prompt(job, means))
            took.append(time.perf_counter() - start)
            cpu.append(time.process_time() - spent)
        index = root / layout.CACHE / "similar.sqlite"
        return {
            "cold_s": cold,
            "cold_cpu_s": cold_cpu,
            "warm_cpu_ms": statistics.median(cpu) * 1000,
            "warm_ms": statistics.median(took) * 1000,
            "warm_worst_ms": max(took) * 1000,
            "index_mb": index.stat().st_size / 1e6,
            "tokens": first.manifest["tokens"],
            "sources_named": len(first.manifest["sources"]),
            "pairs_that_differ_before_the_task": early(prompts),
            "pairs": len(prompts) - 1,
            "shared_beginning": len(first.stable) / len(first.text),
        }


def early(prompts: list[Prompt]) -> int:
    """Pairs of consecutive prompts of which the first differing byte lies in the stable part."""
    return sum(not other.text.startswith(one.stable) for one, other in itertools.pairwise(prompts))


def _job(rules: Rules, commit: str, n: int) -> Job:
    playbook: Playbook = rules.playbooks["general"]
    rng = random.Random(f"task {n}")
    document = TaskDocument(header=TaskHeader(), title=f"Task {n}", text=text_of(rng, 10 + 40 * (n % 5)))
    task = Task(f"20260101-t-{n:06x}", State.ACTIVE, document, "", Cursor(playbook="general", step="work"))
    event = Event(
        event=EventKind.CLAIMED, to=State.ACTIVE, at=NOW, playbook="general", step=playbook.steps[0].name, attempt=1,
        mode="first", agent="worker", snapshot=commit,
    )  # fmt: skip
    return Job.of(event, task, rules, commit, {}, {}, (0.0, 0), NOW)


def hostile(cases: int) -> dict[str, Any]:
    """Counters that see 0.5 to 3 times the estimate, another share for each text: how often the budget is exceeded."""
    over, fullest = 0, []
    for case in range(cases):
        rng = random.Random(case)
        factor, salt, tokens = rng.uniform(0.5, 3), rng.random(), rng.randint(400, 40_000)
        texts = {f"{n}.md": f"# {n}\n\n" + f"## S\n\n{text_of(rng, rng.randint(1, 300))}\n\n" * rng.randint(1, 20)
                 for n in range(rng.randint(1, 15))}  # fmt: skip

        def count(text: str, factor: float = factor, salt: float = salt) -> int:
            noise = random.Random(f"{salt}{len(text)}").uniform(0.5, 1)
            return int(estimate_tokens(text) * max(0.5, factor * noise)) + 1

        made = assemble(
            Parts(None, None, None, {"task": {"title": "t", "text": "Do it."}}, (), (), (), "first", None, None),
            [Candidate(name, name, "r", stable=rng.random() < 0.5, priority=rng.randint(0, 2)) for name in texts],
            lambda each, texts=texts: Text(texts[each.source]),  # type: ignore[misc]
            Budget(tokens, window=2 * tokens),
            count,
        )
        over += count(made.text) > tokens
        fullest.append(count(made.text) / tokens)
    return {"cases": cases, "over_budget": over, "median_share_used": statistics.median(fullest)}


def equal_arms(runs: int) -> dict[str, Any]:
    """A/A: a source that changes nothing, under experiments of one and of two comparisons, first-pass rates of 0.5 to
    0.9. How often one is declared a win, or a loss."""
    shapes = {
        "two_arms": Experiment(source="brand.md", holdout=0.5, effect=0.15),
        "three_arms": Experiment(source="brand.md", holdout=0.4, effect=0.2, prompt={"work": "plain.md"}),
    }
    return {name: _equal(experiment, runs) for name, experiment in shapes.items()}


def _equal(experiment: Experiment, runs: int) -> dict[str, Any]:
    wins = losses = tasks = 0
    units: list[Unit]
    for seed in range(runs):
        rng = random.Random(seed)
        rate, found, units = rng.uniform(0.5, 0.9), None, []
        while found is None or not found.done:
            ids = [f"20260101-t{seed}-{len(units) + place:06x}" for place in range(100)]
            units += [Unit(task, arm(experiment, "letters", task), rng.random() < rate) for task in ids]
            found = result(experiment, units)
        verdicts = [each.verdict for each in found.comparisons]
        wins += "with is better" in verdicts
        losses += "with is worse" in verdicts
        tasks = sum(group.needed for group in found.groups)
    return {"runs": runs, "tasks_each": tasks, "declared_a_win": wins / runs, "declared_a_loss": losses / runs}


def past(folder: Path, tasks: int) -> Mapping[str, int]:
    """A real daemon works tasks with retries; then every prompt is made again from git."""
    from hqd.adapters.history import GitHistory
    from hqd.adapters.repository import GitRepository
    from hqd.daemon.context.rebuild import rebuild
    from tests.daemon.headquarters import make, settle

    general = GENERAL + '[[steps.gates]]\nkind = "must_include"\nvalues = ["zebra"]\n'
    hq = make(folder, general=general)
    hq.write("AGENTS.md", "Be brief.\n")
    rng = random.Random(3)
    for n in range(8):
        hq.write(f"workspace/context/{n}.md", f"# {n}\n\n{text_of(rng, 400)}\n")
    hq.commit()
    for n in range(tasks):
        hq.drop(f"task-{n}.md", f"# Task {n}\n\n{text_of(rng, 30)}\n")
    with hq.daemon() as loop:
        settle(loop, seconds=120)
        ids = list(loop.live.tasks)
    repository = GitRepository.open(hq.root, hq.env, "main")
    try:
        history = GitHistory(repository)
        records = [record for task in ids for record in hq.records(task) if record.prompt is not None]
        same = sum(rebuild(history, each, "main") == history.tree("main").read(str(each.prompt)) for each in records)
    finally:
        repository.close()
    return {"attempts": len(records), "made_again_to_the_byte": same}
