"""Finding sufficiency: can an answer be mended by one who sees nothing but the findings and the failed answer?

The repairer is a program of rules from findings to edits. It is sent what an agent is sent on a retry, but for the
task: no constraint, no gate, no parameter reaches it. What it mends is the form; whether the text still says something
sensible is not asked, and there is no stored verdict of a mended text: the gates judge it.
"""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench import ifeval
from bench.gates_truth import share
from bench.proof.arms import settings
from bench.proof.data import Recorded, sample
from bench.proof.scene import Ended, TaskFile, scene
from hqd.gates.plugins import module
from hqd.gates.registry import Registry
from hqd.model.attempt import Answer, Question
from hqd.model.failure import Failure
from hqd.model.gate import GateSpec, GateStatus, Subject
from hqd.model.task import State

TRIES = 6
NO_RULE = {
    "combination:two_responses": "a second answer has to be written",
    "language:response_language": "the text has to be translated",
}
"""Constraints that no rule can mend, and why; fixed before the first run."""

_FILL = "it is"
_SINGULAR = re.compile(r"^(paragraph|bullet point|word|time|occurrence|sentence|placeholder|passage)(?=[ ,]|$)")
"""One thing is counted as one; the rules know what is counted by its plural."""
_QUOTED = re.compile(r'"([^"]*)"')
_ANSWER = re.compile(r"# Your previous answer\n\n(.*)\n\n\n# What is wrong with it\n\n(.*)\n\nAnswer again,", re.DOTALL)
_BULLET = re.compile(r"^([ \t]*)[-*+][ \t]+(?=\S)", re.MULTILINE)
_STARS = re.compile(r"(?<!\S)\*\*\*(?!\S)")


def mended(prompt: str) -> str | None:
    """The answer with the edits that its findings call for; None where the prompt carries no failed answer."""
    seen = _ANSWER.search(prompt)
    if seen is None:
        return None
    text = seen[1]
    for pattern, edit in RULES:
        for found in re.finditer(pattern, seen[2], re.DOTALL | re.MULTILINE):
            text = edit(text, found)
    return text


# -- where things are put -------------------------------------------------------------------------------------


def cased(addition: str, text: str) -> str:
    """The addition in the case that the whole text is in."""
    if text == text.lower():
        return addition.lower()
    return addition.upper() if text == text.upper() else addition


def inserted(text: str, addition: str) -> str:
    """In the middle, between two words of a plain line: start, end and paragraphs stay what they are."""
    places = [match.start() for match in re.finditer(r"(?<=\w) (?=\w)", text)]
    plain = [at for at in places if not set("*[]<>{}#") & set(_line(text, at))]
    if not places:
        return f"{text} {addition}"
    spots = plain or places
    at = spots[len(spots) // 2]
    return f"{text[:at]} {addition}{text[at:]}"


def _line(text: str, at: int) -> str:
    end = text.find("\n", at)
    return text[text.rfind("\n", 0, at) + 1 : len(text) if end < 0 else end]


def _without(text: str, spans: Sequence[tuple[int, int]], put: str = "") -> str:
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + put + text[end:]
    return text


# -- more of something ----------------------------------------------------------------------------------------


def _more(text: str, found: re.Match[str]) -> str:
    what, count = _SINGULAR.sub(r"\1s", found["what"]), int(found["by"])
    quoted = _QUOTED.search(what)
    if what.startswith("paragraphs"):
        return _more_paragraphs(text, count, "***" in what)
    if what == "bullet points":
        return _more_bullets(text, count)
    if what.startswith("words in capital"):
        return re.sub(r"\b[a-z]{2,}\b", lambda match: match[0].upper(), text, count=count)
    if what.startswith("times the letter") and quoted:
        return inserted(text, cased(quoted[1] * count, text))
    unit = quoted[1] if what.startswith("occurrences") and quoted else _UNITS.get(what.split()[0], _FILL)
    return inserted(text, " ".join([cased(unit, text)] * count))


_UNITS = {"words": "it", "sentences": "It is.", "placeholders": "[it]", "passages": "*it*"}


def _more_paragraphs(text: str, count: int, stars: bool) -> str:
    fill = cased(_FILL, text)
    if not stars:
        head, _, tail = text.rpartition("\n\n")
        return "\n\n".join([*([head] if head else []), *[fill] * count, tail])
    pieces = re.split(r"\n[ \t]*\n", text)
    for at in range(1, len(pieces)):
        if count and not _STARS.search(pieces[at]) and not _STARS.search(pieces[at - 1]):
            pieces[at] = f"***\n\n{pieces[at]}"
            count -= 1
    return "\n\n".join([*pieces, *[f"***\n\n{fill}"] * count])


def _more_bullets(text: str, count: int) -> str:
    lines = text.split("\n")
    last = max((at for at, line in enumerate(lines) if _BULLET.match(line)), default=len(lines) - 1)
    return "\n".join([*lines[: last + 1], *[f"* {cased(_FILL, text)}"] * count, *lines[last + 1 :]])


# -- less of something ----------------------------------------------------------------------------------------


def _less(text: str, found: re.Match[str]) -> str:
    what, count = _SINGULAR.sub(r"\1s", found["what"]), int(found["by"])
    quoted = _QUOTED.search(what)
    if what.startswith("paragraphs"):
        breaks = list(_STARS.finditer(text) if "***" in what else re.finditer(r"\n[ \t]*\n", text))
        return _without(text, [match.span() for match in breaks[-count:]], "" if "***" in what else "\n")
    if what == "bullet points":
        return _without(text, [(m.end(1), m.end()) for m in list(_BULLET.finditer(text))[-count:]])
    if what.startswith("words in capital"):
        shouted = [m for m in re.finditer(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*", text) if m[0].isupper()][:count]
        for match in shouted:
            text = text[: match.start()] + match[0].lower() + text[match.end() :]
        return text
    if what.startswith("times the letter") and quoted:
        return _fewer_letters(text, quoted[1], count)
    if what.startswith("occurrences") and quoted:
        hits = list(re.finditer(re.escape(quoted[1]), text, re.IGNORECASE))[:count]
        return _without(text, [match.span() for match in hits])
    return _fewer_sentences(text, count) if what == "sentences" else _fewer_words(text, count)


def _fewer_letters(text: str, letter: str, count: int) -> str:
    spans = []
    for match in re.finditer(r"\S+", text):
        here = match[0].lower().count(letter.lower())
        if count > 0 and here:
            spans.append(match.span())
            count -= here
    return _without(text, spans)


def _fewer_words(text: str, count: int) -> str:
    words = list(re.finditer(r"[ \t]*(?:[^\W_]|['’\-])+", text))
    start = max(0, (len(words) - count) // 2)
    return _without(text, [match.span() for match in words[start : start + count]])


def _fewer_sentences(text: str, count: int) -> str:
    """Full stops go, but for the last; numbers of list items go first, as each starts a sentence."""
    text, gone = re.subn(r"(?m)^[ \t]*\d{1,3}[.)][ \t]+", "", text)
    ends = list(re.finditer(r"[.!?…]+(?=[\"'”’)\]*_]*\s)", text))
    return _without(text, [match.span() for match in ends[: max(0, count) if not gone else count]])


# -- single things --------------------------------------------------------------------------------------------


def _each_missing(text: str, found: re.Match[str]) -> str:
    for value in _QUOTED.findall(found["list"]):
        text = inserted(text, cased(value, text))
    return text


def _none_of(text: str, found: re.Match[str]) -> str:
    for value in _QUOTED.findall(found["list"]):
        body = re.escape(value)
        edge = rf"(?<!\w){body}(?!\w)" if value[:1].isalnum() else body
        text = re.sub(edge, "", text, flags=re.IGNORECASE)
    return text


def _first_word(text: str, found: re.Match[str]) -> str:
    breaks = [0, *(match.end() for match in re.finditer(r"\n[ \t]*\n\s*", text))]
    at = breaks[min(int(found["nth"]), len(breaks)) - 1]
    return f"{text[:at]}{cased(found['word'], text)} {text[at:]}"


def _sections(text: str, found: re.Match[str]) -> str:
    parts = [f"{cased(found['word'], text)} {number}\n{cased(_FILL, text)}" for number in range(1, int(found["n"]) + 1)]
    return "\n\n".join([text, *parts])


Edit = Callable[[str, re.Match[str]], str]
RULES: tuple[tuple[str, Edit], ...] = (
    (r"^- (?:\d+) (?P<what>[^\n]+?) found; at most \d+ (?:is|are) allowed \((?P<by>\d+) fewer\)", _less),
    (r"^- (?:\d+) (?P<what>[^\n]+?) found; at least \d+ (?:is|are) asked for \((?P<by>\d+) more\)", _more),
    (r"Must not be in the text: (?P<list>[^\n]+?) \(line", _none_of),
    (r"Missing from the text: (?P<list>[^\n]+?)\. Use each", _each_missing),
    (
        r"None of these is in the text: (?P<list>\"[^\"]*\")[^\n]*Use at least one",
        lambda text, f: inserted(text, f["list"][1:-1]),
    ),
    (r"such as <<A title>>", lambda text, _: inserted(text, cased("<<A title>>", text))),
    (r"Mark at least (?P<n>\d+) sections.*?such as \"(?P<word>.+?) 1\"", _sections),
    (r"Paragraph (?P<nth>\d+) must start with the word \"(?P<word>.+?)\"", _first_word),
    (
        r"Add a postscript.*?starts with \"(?P<mark>.+?)\"",
        lambda text, f: f"{text}\n\n{f['mark']} {cased(_FILL, text)}",
    ),
    (r"All letters must be lower case", lambda text, _: text.lower()),
    (r"All letters must be upper case", lambda text, _: text.upper()),
    (r"Must start with \"(?P<value>.+)\"; starts with \"", lambda text, f: f"{f['value']}\n\n{text}"),
    (r"Must end with \"(?P<value>.+)\" and nothing after it", lambda text, f: f"{text} {f['value']}"),
    (r"Put the whole answer in double quotation marks", lambda text, _: f'"{text}"'),
    (r"JSON", lambda text, _: json.dumps(text, ensure_ascii=False)),
)
"""From a finding's words to an edit, in the order in which they are made."""


class Repairer:
    """The rules as an agent of the daemon. Port Agent."""

    def answer(self, question: Question, stop: threading.Event, progress: Callable[[str], None]) -> Answer:
        text = mended(question.text)
        if text is None:
            return Answer(text="", raw=b"", failure=Failure.EMPTY, message="there is no answer to mend")
        return Answer(text=text, raw=text.encode("utf-8", "surrogatepass"), model="repairer")


AGENTS = """
[agents.author]
provider = "replay"
answers = {rows}
pick = "row.key == inputs.key and row.model == inputs.model"
[agents.repairer]
provider = "anthropic"
model = "repairer"
"""
PLAYBOOK = f"""
[[steps]]
name = "solve"
agent = "author"
prompt_text = "Mend the answer below.{{# task.text is left out on purpose #}}"
on_fail = [{{ agent = "repairer", times = {TRIES} }}, "human"]
"""


def run(data: Recorded, most: int) -> dict[str, Any]:
    """Runs bad answers through the daemon, with the repairer on the ladder."""
    bad = [pair for pair in sorted(data.answers) if not data.answers[pair].follows_all]
    pairs = sample(bad, most)
    tasks = [
        TaskFile(f"r-{at}", data.prompts[key].text, {"key": key, "model": model}, data.prompts[key].gates)
        for at, (key, model) in enumerate(pairs)
    ]
    more = AGENTS.format(rows=json.dumps(str(data.rows)))
    with scene(settings(data, more), {"solve": PLAYBOOK}, tasks) as made:
        made.run({"anthropic": Repairer()})
        ended = made.ended()
        return {
            **counted(data, [(key, ended[f"r-{at}"]) for at, (key, _) in enumerate(pairs)]),
            "seconds": round(made.seconds, 1),
        }


def counted(data: Recorded, tasks: Sequence[tuple[int, Ended]]) -> dict[str, Any]:
    """Shares of what was stopped at first and passes at last, by constraint; odd keys also apart.

    `possible` leaves out prompts that contradict themselves: nobody can answer those to the gates' content.
    """
    kinds: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    possible: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    whole: list[tuple[bool, bool]] = []
    clashing = 0
    for key, task in tasks:
        judged = [each for each in task.attempts if each.failing or each.outcome == "passed"]
        if not judged or not judged[0].failing:
            continue  # a bad answer that the gates miss, or an empty one: nothing to mend
        first, last = judged[0], judged[-1]
        contradicts = contradictory(data.prompts[key].gates)
        clashing += contradicts
        odd = data.prompts[key].odd
        names = {f"c{place}": kind for place, kind in enumerate(data.prompts[key].constraints, start=1)}
        for name in first.failing:
            kind, passes = names.get(name, name), task.state is State.DONE or name not in last.failing
            kinds[kind].append((odd, passes))
            if not contradicts:
                possible[kind].append((odd, passes))
        if not contradicts and not {names.get(name) for name in first.failing} & NO_RULE.keys():
            whole.append((odd, task.state is State.DONE))
    ruled = [each for kind, found in possible.items() if kind not in NO_RULE for each in found]
    return {
        "tasks": len(tasks),
        "stopped": sum(bool(task.attempts[0].failing) for _, task in tasks),
        "attempts": sum(len(task.attempts) for _, task in tasks),
        "where_a_rule_can_repair": _both(ruled),
        "whole_answers_where_a_rule_can_repair": _both(whole),
        "kinds": {kind: {**_both(kinds[kind]), "possible": _both(possible[kind])} for kind in sorted(kinds)},
        "no_rule": NO_RULE,
        "of_prompts_that_contradict_themselves": clashing,
    }


_REGISTRY = Registry(plugins=(module(ifeval.PLUGIN),))
_CEILINGS = frozenset({"must_not_include", "occurs", "letter_count", "capital_words"})


def contradictory(gates: Sequence[GateSpec]) -> bool:
    """Whether the text that an answer must start with already breaks another gate: then no answer passes both.

    Only gates that more text cannot mend are asked: a ceiling, or something forbidden.
    """
    starts = [gate.params["value"] for gate in gates if gate.kind == "starts_with"]
    ceilings = [
        gate for gate in gates if gate.kind in _CEILINGS and (gate.kind == "must_not_include" or "max" in gate.params)
    ]
    return any(
        result.status is GateStatus.FAIL for text in starts for result in _REGISTRY.run(ceilings, Subject(output=text))
    )


def _both(found: Sequence[tuple[bool, bool]]) -> Mapping[str, Any]:
    odd = [mended for is_odd, mended in found if is_odd]
    return {**share(sum(mended for _, mended in found), len(found)), "odd": share(sum(odd), len(odd))}
