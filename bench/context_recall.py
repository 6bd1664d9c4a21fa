"""Recall of `similar` on answers that others collected: 274 public prompts, each answered by many models.

Which answers belong together is not this project's word: they answer the same prompt. The collection is the answers of
five models (the first by name) as accepted outputs of one playbook, each of a task of its own. A question is the prompt
(what hqd asks with: the text of a task), or the answer of a sixth model, which shares no words with the others but by
what it is about. Relevant are the five answers to the same prompt; recall@5: how many of them are among the first five.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from bench import ifeval
from bench.context import imported, output_files
from hqd.adapters.similar_index import SimilarIndex
from hqd.bootstrap import open_hq
from hqd.ports import Tree

MODELS = 5


def recall() -> dict[str, Any]:
    """The figures; a line that says why there are none where the data is not there."""
    where = ifeval.folder()
    if where is None:
        return {"skipped": f"no data: set HQD_BENCH_DATA (default {ifeval.DEFAULT}) to a folder with ifeval-responses"}
    answers: dict[int, dict[str, str]] = {}
    for each in ifeval.responses(where):
        answers.setdefault(each.key, {})[each.model] = each.text
    models = sorted({model for said in answers.values() for model in said})
    kept, asking = models[:MODELS], models[MODELS]
    prompts = {key: each.text for key, each in ifeval.prompts(where).items()}
    keys = [key for key in sorted(prompts) if all(answers[key].get(model, "").strip() for model in (*kept, asking))]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "hq"
        tasks = {_task(key, place): key for key in keys for place in range(MODELS)}
        imported(root, _files(keys, kept, answers))
        with open_hq(root, {**os.environ, "HOME": folder}) as hq:
            index, tree = SimilarIndex(root / ".hqd/similar.sqlite", hq.history), hq.history.tree("main")
            by_prompt = [_found(index, tree, prompts[key], key, tasks) for key in keys]
            by_answer = [_found(index, tree, answers[key][asking], key, tasks) for key in keys]
    return {
        "set": "ifeval-responses: answers of five models to one prompt are relevant to each other",
        "questions": len(keys),
        "outputs": len(tasks),
        "models": kept,
        "asking_model": asking,
        "recall_at_5_by_prompt": statistics.mean(by_prompt),
        "recall_at_5_by_another_models_answer": statistics.mean(by_answer),
        "any_of_five_right_by_prompt": sum(each > 0 for each in by_prompt) / len(keys),
        "by_chance": MODELS / len(tasks),
    }


def _found(index: SimilarIndex, tree: Tree, query: str, key: int, tasks: dict[str, int]) -> float:
    hits = index.find(tree, "general", "work", query, MODELS)
    return sum(tasks[each.task] == key for each in hits) / MODELS


def _task(key: int, place: int) -> str:
    return f"{date(2025, 1, 1) + timedelta(days=place):%Y%m%d}-prompt-{key:06x}"


def _files(keys: list[int], kept: list[str], answers: dict[int, dict[str, str]]) -> Iterator[tuple[str, str]]:
    for key in keys:
        for place, model in enumerate(kept):
            day = date(2025, 1, 1) + timedelta(days=place)
            yield from output_files(_task(key, place), day, answers[key][model], f"# Prompt {key}\n")
