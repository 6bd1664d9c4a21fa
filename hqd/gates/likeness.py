"""Is it like something else? Kinds of the group `likeness`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

from pydantic import Field

from hqd.gates import globs
from hqd.gates.kind import CannotJudge, GateKind, Params, Piece, Verdict, View, each, shorten, together
from hqd.gates.targets import text_of
from hqd.model.gate import Subject

_WORD = re.compile(r"\w+")
SHINGLE = 3
"""Words in a row that `jaccard` compares."""

LONGEST = 100_000
"""Characters of a text that are compared: edit distance grows with the square."""

Metric = Literal["levenshtein", "token_set", "jaccard"]


class _Compared(Params):
    to: str = Field(min_length=1, description="a text, `task`, `outputs.STEP`, or `file:GLOB`")
    metric: Metric = Field(default="levenshtein", description="levenshtein, token_set or jaccard")


class Similar(_Compared):
    """Passes when the text is at least `min` similar (0 to 1) to `to`; of several files, to the most similar one.

    `levenshtein`: 1 - edits / length of the longer text. `token_set`: words in common, whatever their order and
    number (rapidfuzz `token_set_ratio`). `jaccard`: share of runs of 3 words that both have, of all that either has.
    Compared in lower case, with single spaces, up to the first 100,000 characters.
    """

    min: float = Field(gt=0, le=1, description="least similarity that passes")


class NotSimilar(_Compared):
    """Passes when the text is at most `max` similar to `to` (metrics as in `similar`)."""

    max: float = Field(ge=0, lt=1, description="greatest similarity that passes")


def similar(params: Similar, view: View) -> Verdict:
    references = reference_texts(params.to, view.subject)
    return together(tuple((piece, _like(params, piece, references)) for piece in view.pieces))


def _like(params: Similar, piece: Piece, references: tuple[tuple[str, str], ...]) -> Verdict:
    score, name = _best(piece.text, references, params.metric)
    if score >= params.min:
        return Verdict(True, f"{score:.2f} similar to {name}", (), score, params.min)
    message = f"Only {score:.2f} similar to {name} ({params.metric}); at least {params.min:g} is asked for."
    return Verdict(False, message, (), score, params.min)


def not_similar(params: NotSimilar, view: View) -> Verdict:
    references = reference_texts(params.to, view.subject)
    return together(tuple((piece, _unlike(params, piece, references)) for piece in view.pieces))


def _unlike(params: NotSimilar, piece: Piece, references: tuple[tuple[str, str], ...]) -> Verdict:
    score, name = _best(piece.text, references, params.metric)
    if score <= params.max:
        return Verdict(True, f"{score:.2f} similar to {name}", (), score, params.max)
    message = f"Too similar to {name}: {score:.2f} ({params.metric}); at most {params.max:g} is allowed. Write it anew."
    return Verdict(False, message, (), score, params.max)


class NotDuplicate(Params):
    """Passes when the text is at most `max` similar to each of the last `within` accepted outputs of the same step.

    It sees only outputs that were accepted before, none of this task's own attempts. Metrics as in `similar`.
    """

    within: int = Field(default=100, ge=1, le=10_000, description="how many earlier outputs are compared, newest first")
    max: float = Field(default=0.8, ge=0, lt=1, description="greatest similarity that passes")
    metric: Metric = Field(default="jaccard", description="levenshtein, token_set or jaccard")


def not_duplicate(params: NotDuplicate, view: View) -> Verdict:
    earlier = view.subject.accepted[: params.within]
    if not earlier:
        return Verdict(True, "nothing was accepted before", (), 0.0, params.max)

    def judge(_: NotDuplicate, piece: Piece) -> Verdict:
        score, task = _best(piece.text, earlier, params.metric)
        if score <= params.max:
            return Verdict(
                True, f"at most {score:.2f} similar to {len(earlier)} earlier outputs", (), score, params.max
            )
        message = f"A duplicate: {score:.2f} similar to the accepted output of task {task}; at most {params.max:g}"
        return Verdict(False, message + " is allowed. Write something new.", (piece.at(0),), score, params.max)

    return each(judge)(params, view)


def _best(text: str, references: tuple[tuple[str, str], ...], metric: Metric) -> tuple[float, str]:
    """The greatest similarity, rounded to 4 places, and to what."""
    mine = _even(text)
    scored = [(_METRICS[metric](mine, _even(other)), name) for name, other in references]
    score, name = max(scored, key=lambda pair: pair[0])
    return round(score, 4), name


def _even(text: str) -> str:
    return " ".join(text[:LONGEST].split()).casefold()


def _levenshtein(one: str, other: str) -> float:
    from rapidfuzz.distance import Levenshtein  # here: the other kinds need not wait for it

    return Levenshtein.normalized_similarity(one, other)


def _token_set(one: str, other: str) -> float:
    from rapidfuzz import fuzz

    return fuzz.token_set_ratio(_words(one), _words(other)) / 100


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text))


def _jaccard(one: str, other: str) -> float:
    mine, theirs = _shingles(one), _shingles(other)
    union = len(mine | theirs)
    return len(mine & theirs) / union if union else 1.0


@lru_cache(maxsize=128)
def _shingles(text: str) -> frozenset[int]:
    found = _WORD.findall(text)
    if len(found) < SHINGLE:
        return frozenset({hash(tuple(found))}) if found else frozenset()
    return frozenset(map(hash, zip(*(found[shift:] for shift in range(SHINGLE)), strict=False)))


_METRICS: Mapping[str, Callable[[str, str], float]] = {
    "levenshtein": _levenshtein,
    "token_set": _token_set,
    "jaccard": _jaccard,
}


def reference_texts(to: str, subject: Subject) -> tuple[tuple[str, str], ...]:
    """(name, text) of what a text is compared with. Raises CannotJudge where it is not there."""
    if to == "task":
        return (("the task", subject.task_text),)
    if to.startswith("outputs.") and " " not in to:
        return ((to, earlier_output(to, subject)),)
    if to.startswith("file:"):
        return _files(to[5:], subject)
    return ((f'"{shorten(to, 60)}"', to),)


def earlier_output(name: str, subject: Subject) -> str:
    """The output of an earlier step, as text: `outputs.STEP`. Raises CannotJudge."""
    outputs = subject.facts.get("outputs")
    step = name.removeprefix("outputs.")
    if not isinstance(outputs, Mapping) or step not in outputs:
        raise CannotJudge(f"there is no output of a step {step!r}")
    return str(outputs[step])


def _files(glob: str, subject: Subject) -> tuple[tuple[str, str], ...]:
    for store in (subject.sources, subject.files):
        if store is None:
            continue
        found = [(path, store.read(path)) for path in globs.select(store.paths(), (glob,))]
        texts = tuple((path, text_of(raw)) for path, raw in found if raw is not None)
        if texts:
            return texts
    raise CannotJudge(f"to: there is no file {glob}")


_READS = ("sources", "files", "task_text", "outputs")
KINDS = (
    GateKind("similar", "likeness", Similar, similar, reads=_READS),
    GateKind("not_similar", "likeness", NotSimilar, not_similar, reads=_READS),
    GateKind("not_duplicate", "likeness", NotDuplicate, not_duplicate, reads=("accepted",)),
)
