"""The pure parts of the orchestration benchmark: figures, the model of the ladder, the repairer, choosing tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import ifeval
from bench.ifeval import Prompt, Response
from bench.proof import chains, faults, figures, repair, sweep
from bench.proof.data import Recorded, sample
from bench.proof.figures import Row
from bench.proof.scene import TaskFile
from bench.proof.tables import table
from hqd.codec.task import read_task
from hqd.core.prompt import Parts, compose
from hqd.gates.plugins import module
from hqd.gates.registry import Registry
from hqd.model.gate import GateSpec, GateStatus, Subject
from hqd.model.record import Finding

REGISTRY = Registry(plugins=(module(ifeval.PLUGIN),))


def rows(fates: str, cost: float = 1.0) -> list[Row]:
    """One row a letter: c clean, b silent bad, h human."""
    names = {"c": "clean", "b": "silent_bad", "h": "human"}
    return [Row(key, names[letter], cost, cost, 1) for key, letter in enumerate(fates)]  # type: ignore[arg-type]


def test_shares_are_of_the_fates_and_costs_over_the_base() -> None:
    found = figures.shares(rows("ccbh", 0.5), rows("cccc", 2.0))
    assert (found["clean"], found["silent_bad"], found["to_human"], found["cost_ratio"]) == (0.5, 0.25, 0.25, 0.25)
    assert found["counts"] == {"n": 4, "clean": 2, "silent_bad": 1, "to_human": 1, "unfinished": 0, "attempts": 4}


def test_mcnemar_counts_only_prompts_in_which_the_arms_differ() -> None:
    found = figures.mcnemar(rows("cccccccb"), rows("cbbbbbbc"))
    assert (found["only_this_clean"], found["only_base_clean"]) == (6, 1)
    assert found["p"] == pytest.approx(0.125)


@pytest.mark.parametrize(("one", "other", "p"), [(0, 0, 1.0), (5, 5, 1.0), (0, 10, 2 / 1024), (1, 9, 22 / 1024)])
def test_the_exact_test_is_that_of_a_fair_coin(one: int, other: int, p: float) -> None:
    assert figures.exact_p(one, other) == pytest.approx(p)


def test_the_bootstrap_is_seeded_and_covers_what_was_measured() -> None:
    arm, base = rows("c" * 80 + "b" * 20, 0.5), rows("c" * 60 + "b" * 40)
    found = figures.bootstrap(arm, base, resamples=400)
    assert found == figures.bootstrap(arm, base, resamples=400)
    assert found["clean"][0] < 0.8 < found["clean"][1]
    assert 0.05 < found["clean_over_base"][0] < 0.2 < found["clean_over_base"][1] < 0.35
    assert found["cost_ratio"] == [0.5, 0.5]


def test_the_break_even_price_shares_what_was_saved_among_the_escalations() -> None:
    found = figures.break_even(rows("cccccchh", 0.5), rows("ccccccbb", 1.0))
    assert found == {"price": 2.0, "per_unit_of_a_bad_output": 1.0, "escalations": 2}
    assert figures.break_even(rows("cc"), rows("cb"))["price"] is None, "who escalates nothing has no price"


def test_halves_are_compared_apart() -> None:
    found = figures.compared(rows("cbcb"), rows("cccc"), intervals=False)
    assert (found["even"]["clean"], found["odd"]["clean"]) == (1.0, 0.0)


def test_a_sample_is_spread_evenly_and_never_longer_than_asked() -> None:
    assert sample(range(10), 5) == (0, 2, 4, 6, 8)
    assert sample(range(3), 5) == (0, 1, 2)
    assert len(sample(range(274), 40)) == 40


# -- the repairer -----------------------------------------------------------------------------------------------


def retry(answer: str, *findings: str) -> str:
    """A retry prompt as the daemon composes it, for a playbook that leaves the task out."""
    parts = Parts(
        template="Mend it.{# task.text #}",
        template_path=None,
        template_blob=None,
        facts={"task": {"title": "t", "text": "SECRET CONSTRAINTS"}},
        documents=(),
        outputs=(),
        findings=tuple(Finding(source="gate:g", text=text) for text in findings),
        mode="agent",
        failed_output=answer,
        schema=None,
    )
    return compose(parts).text


MENDABLE = [
    ({"kind": "must_include", "values": ["sun", "moon"]}, "A short text about the sky."),
    (
        {"kind": "must_include", "values": ["My answer is yes.", "My answer is no."], "mode": "any"},
        "Well now, perhaps.",
    ),
    ({"kind": "must_not_include", "values": ["rain"], "ignore_case": True, "word": True}, "The Rain in Spain."),
    ({"kind": "must_not_include", "values": [","]}, "One, two, three."),
    ({"kind": "word_count", "min": 12}, "A few words only."),
    ({"kind": "word_count", "max": 3}, "Far too many words for this."),
    ({"kind": "list_items", "min": 3, "max": 3, "ordered": False}, "Here:\n\n* one\n* two\n"),
    ({"kind": "list_items", "min": 1, "max": 1, "ordered": False}, "Here:\n\n* one\n* two\n"),
    ({"kind": "occurs", "value": "sun", "min": 3}, "The sun is up."),
    ({"kind": "occurs", "value": "sun", "max": 1}, "The sun, the sun, the sun."),
    ({"kind": "starts_with", "value": "Say\nhi. " + "x" * 400}, "Hi!"),
    ({"kind": "ends_with", "value": "The end."}, "It was so"),
    ({"kind": "json"}, 'It said "so"\nand so on'),
    ({"kind": "case", "is": "lower"}, "Some Words"),
    ({"kind": "case", "is": "upper"}, "Some Words"),
    ({"kind": "capital_words", "min": 3}, "some words that are small"),
    ({"kind": "capital_words", "max": 1}, "THREE BIG WORDS"),
    ({"kind": "letter_count", "letter": "q", "min": 4}, "quiet words here"),
    ({"kind": "letter_count", "letter": "e", "max": 1}, "these letters are everywhere"),
    ({"kind": "sentence_count", "min": 4}, "Only one sentence is here."),
    ({"kind": "sentence_count", "max": 1}, "One. Two! Three?"),
    ({"kind": "paragraph_count", "min": 3, "max": 3, "separator": "stars"}, "a b\n\nc d\n\ne f"),
    ({"kind": "paragraph_count", "min": 2, "max": 2}, "a\n\nb\n\nc"),
    ({"kind": "paragraph_count", "min": 2, "max": 2, "nth": 2, "first_word": "now"}, "a\n\nb"),
    ({"kind": "placeholders", "min": 2}, "no brackets at all"),
    ({"kind": "highlights", "min": 2}, "nothing is marked here"),
]


@pytest.mark.parametrize(
    ("gate", "bad"), MENDABLE, ids=[f"{at}-{gate['kind']}" for at, (gate, _) in enumerate(MENDABLE)]
)
def test_findings_alone_suffice_to_mend_an_answer(gate: dict[str, object], bad: str) -> None:
    """The repairer reads the prompt of a retry and no gate; several tries, as the ladder has them."""
    spec = GateSpec(name="g", kind=str(gate["kind"]), params={key: gate[key] for key in gate if key != "kind"})
    text = bad
    for _ in range(repair.TRIES):
        (result,) = REGISTRY.run((spec,), Subject(output=text))
        if result.status is GateStatus.PASS:
            break
        mended = repair.mended(retry(text, result.message))
        assert mended is not None
        text = mended
    assert text != bad, "the example passes by itself"
    assert result.status is GateStatus.PASS, (text, result.message)


@pytest.mark.parametrize("constraint", sorted(ifeval.SAY.keys() - repair.NO_RULE.keys()))
def test_a_pattern_says_in_words_what_would_pass(constraint: str) -> None:
    arguments = {"postscript_marker": "P.P.S", "section_spliter": "Day", "num_sections": 2}
    gate = ifeval.gate(constraint, arguments, "g")
    (result,) = REGISTRY.run((gate,), Subject(output="Some plain words."))
    mended = repair.mended(retry("Some plain words.", result.message))
    assert mended is not None
    assert REGISTRY.run((gate,), Subject(output=mended))[0].status is GateStatus.PASS


def test_a_prompt_without_a_failed_answer_has_nothing_to_mend() -> None:
    assert repair.mended(retry("", "anything")) is None
    assert "SECRET" not in retry("an answer", "anything")


def test_a_prompt_that_must_be_repeated_and_has_what_is_forbidden_contradicts_itself() -> None:
    repeat = GateSpec(name="a", kind="starts_with", params={"value": "No commas, please."})
    commas = GateSpec(name="b", kind="must_not_include", params={"values": [","]})
    short = GateSpec(name="c", kind="occurs", params={"value": "x", "min": 3})
    assert repair.contradictory((repeat, commas))
    assert not repair.contradictory((repeat, short))
    assert not repair.contradictory((commas,))


# -- sweep, chains, faults ----------------------------------------------------------------------------------------


def recorded(answers: dict[str, tuple[str, bool]]) -> Recorded:
    """One prompt that forbids commas and asks for the word sun, answered by these models."""
    commas = GateSpec(name="c1", kind="must_not_include", params={"values": [","]})
    sun = GateSpec(name="c2", kind="must_include", params={"values": ["sun"]})
    prompt = Prompt(1, "No commas.", ("punctuation:no_comma", "keywords:existence"), (ifeval.NON_EMPTY, commas, sun))
    found = {(1, f"m-{name}"): Response(1, f"m-{name}", text, (), good) for name, (text, good) in answers.items()}
    data = Recorded(Path("/nowhere"), {1: prompt}, found)
    data.__dict__["names"] = {name: f"m-{name}" for name in answers}
    return data


def test_the_model_of_the_ladder_delivers_the_first_answer_that_no_gate_in_force_stops() -> None:
    data = recorded({"small": ("a, b", False), "big": ("no light", False), "best": ("sun", True)})
    seen = sweep.verdicts(data, (1,), ("small", "big", "best"))
    both = ("punctuation:no_comma", "keywords:existence")
    assert seen.fate(1, ()) == "silent_bad"
    assert seen.stopped[1, "small"] == {"punctuation:no_comma", "keywords:existence"}
    assert seen.fate(1, both[:1]) == "silent_bad", "the second answer has no comma"
    assert seen.fate(1, both) == "clean"
    assert sweep.verdicts(data, (1,), ("small",)).fate(1, both) == "human"


def test_kinds_come_into_force_in_a_seeded_order_one_after_the_other() -> None:
    kinds = sweep.order({"a", "b", "c", "d"})
    assert kinds == sweep.order({"d", "c", "b", "a"})
    assert [len(sweep.first(kinds, part)) for part in sweep.STAGES] == [0, 1, 2, 3, 4]
    assert sweep.first(kinds, 0.25) < sweep.first(kinds, 0.5)


def test_chains_use_each_prompt_at_most_once_a_shuffle() -> None:
    made = chains.chains(range(10), 2)
    assert [len(chain) for chain in made] == [4, 4, 4, 4]
    assert len({key for chain in made[:2] for key in chain}) == 8


def test_faults_hit_the_same_tasks_every_time() -> None:
    assert faults.some(range(100), 0.1, "x") == faults.some(range(100), 0.1, "x")
    assert len(faults.some(range(100), 0.1, "x")) == 10
    assert len(faults.some(range(3), 0.1, "x")) == 1


def test_a_task_file_is_read_back_as_it_was_meant() -> None:
    gate = GateSpec(name="c1", kind="must_include", params={"values": ["é: #", "\u2028"]}, message="Say {it}.")
    task = TaskFile("p-1", "Do: --- this\n\nnow", {"key": 1}, (gate,), playbook="solve")
    read = read_task(task.markdown().encode(), "workspace/inbox/p-1.md")
    assert read.problems == ()
    assert read.document is not None
    assert read.document.text.strip() == "Do: --- this\n\nnow"
    assert read.document.header.gates == (gate,)
    assert (read.document.header.inputs, read.document.header.playbook) == ({"key": 1}, "solve")


def test_a_table_has_one_width_a_column() -> None:
    assert table([("a", "b"), ("long", None)]).splitlines() == ["| a    | b |", "|------|---|", "| long | - |"]
