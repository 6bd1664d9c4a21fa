"""Playbooks and settings: every key, every trap, each with the line of the key."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from hqd.codec.playbook import read_playbook
from hqd.codec.settings import PLACEHOLDER, read_settings
from hqd.codec.toml_lines import key_lines, read_toml
from hqd.model.gate import Level
from hqd.model.playbook import Playbook, Rung, StepKind
from hqd.model.problem import Place

PATH = "playbooks/newsletter.toml"

FULL = """\
name = "newsletter"
description = "all of it"
accepts = { tags = ["newsletter"], when = "'weekly' in task.title|lower" }
limits = { cost_usd = 2.0, attempts = 12, wall = "4h" }
schedule = { cron = "0 7 * * MON", tz = "Europe/Berlin", template = "weekly.md", catch_up = "latest", overlap = "skip" }
concurrency = { group = "{{ task.repo }}", max = 1 }
repo = "site"
land = "auto"
gates = ["no-refunds"]
on_fail = ["human"]
on = { timeout = [{ retry = 1 }], gate = ["human"] }

[[context]]
include = ["workspace/context/brand.md"]
required = true

[[steps]]
name = "brief"
on_fail = ["human"]
  [[steps.gates]]
  kind = "has_sections"
  target = "task"
  sections = ["Audience", "Goal"]

[[steps]]
name = "research"
agent = "researcher"
prompt = "newsletter/research.md"
on_fail = [{ retry = 2 }, { fresh = 1 }, { agent = "strong", times = 2 }, { route = "research" }, "human"]
gates = [{ kind = "citations", min = 3, not = true, level = "warn" }, { kind = "word_count", min = 1 }, "no-refunds"]
gates_before = [{ kind = "word_count", max = 9 }]

[[steps]]
name = "critique"
agent = "reviewer"
output = { score = "float", verdict = ["ok", "rework"], issues = "list[str]" }
routes = [{ when = "output.score < 0.7", to = "research", feedback = "output.issues", max = 2, then = "human" }]

[[steps]]
name = "write"
agent = "writer"
prompt_text = "Write."
deliver = "content/{{ task.id }}.md"
overwrite = true
context = [{ outputs = ["research"] }, { decisions = { tags = ["voice"] } }, { similar = 2 }]

[[steps]]
name = "ask_them"
ask = { question = "ok?", choices = ["yes", "no"], to = ["tim"] }

[[steps]]
name = "send"
run = { argv = ["send"], env = { A = "b" }, once = true }

[[steps]]
name = "children"
spawn = { each = "outputs.write.tasks", title = "t", body = "b", max = 12, need = "all" }

[[steps]]
name = "approve"
review = { reviewers = ["tim"], on_changes = "write", land = "on_merge", remind = "24h" }
"""


def faults(text: str) -> list[str]:
    return [str(problem) for problem in read_playbook(text.encode(), PATH).problems]


def good(text: str) -> Playbook:
    read = read_playbook(text.encode(), PATH)
    assert read.playbook is not None, [str(problem) for problem in read.problems]
    return read.playbook


def test_every_key_of_a_playbook_is_read() -> None:
    playbook = good(FULL)
    kinds = [step.kind for step in playbook.steps]
    assert kinds == [
        StepKind.GATE,
        StepKind.AGENT,
        StepKind.AGENT,
        StepKind.AGENT,
        StepKind.ASK,
        StepKind.RUN,
        StepKind.SPAWN,
        StepKind.REVIEW,
    ]
    research = playbook.step("research")
    assert research.on_fail == (
        Rung(retry=2),
        Rung(fresh=1),
        Rung(agent="strong", times=2),
        Rung(route="research"),
        Rung(human=True),
    )
    citations, words, named = research.gates
    assert not isinstance(citations, str)
    assert (citations.name, citations.level, citations.negate, citations.params) == (
        "citations",
        Level.WARN,
        True,
        {"min": 3},
    )
    assert not isinstance(words, str)
    assert words.name == "word_count_2"  # the gate before the step has the bare name
    assert named == "no-refunds"
    assert playbook.on == {"timeout": (Rung(retry=1),), "gate": (Rung(human=True),)}


def test_a_playbook_without_a_name_is_called_after_its_file() -> None:
    assert good('[[steps]]\nname = "a"\nagent = "x"\n').name == "newsletter"


STEP = '[[steps]]\nname = "write"\nagent = "x"\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            STEP + '  [[steps.gates]]\n  kind = "word_count"\n  min = 3\n\non_fail = ["human"]\n',
            "8: steps.write.on_fail: belongs to the step, but stands under its gate table; "
            "move it above [[steps.gates]]",
        ),
        (
            STEP + 'gates = [{ kind = "word_count", on_fail = ["human"] }]\n',
            "4: steps.write.on_fail: belongs to the step, but stands under its gate table; "
            "move it out of the gate's braces",
        ),
        (
            STEP + '[[steps.gates_before]]\nkind = "word_count"\nroutes = []\n',
            "6: steps.write.routes: belongs to the step, but stands under its gate table; "
            "move it above [[steps.gates_before]]",
        ),
        (
            STEP + '[[steps.routes]]\nto = "done"\ndeliver = "x"\n',
            "6: steps.write.deliver: belongs to the step, but stands under its routes table; "
            "move it above [[steps.routes]]",
        ),
        (
            '[[context]]\ninclude = ["x"]\nname = "n"\n' + STEP,
            "3: name: belongs to the playbook, but stands under [[context]]; move it above [[context]]",
        ),
        (
            '[[steps]]\nname = "Big Step"\nagent = "x"\n',
            "2: steps.Big Step.name: 'Big Step' is no name for a step; use a-z, 0-9 and _, beginning with a letter",
        ),
        (
            '[[steps]]\nname = "2nd"\nagent = "x"\n',
            "2: steps.2nd.name: '2nd' is no name for a step; use a-z, 0-9 and _, beginning with a letter",
        ),
        (
            '[[steps]]\nname = "done"\nagent = "x"\n',
            "2: steps.done.name: done is reserved for routes; choose another name",
        ),
        (
            '[[steps]]\nname = "human"\nagent = "x"\n',
            "2: steps.human.name: human is reserved for routes; choose another name",
        ),
        (
            STEP + STEP,
            "5: steps.write.name: a second step named write (the first in line 2); choose another name",
        ),
        ('[[steps]]\nagent = "x"\n', "1: steps[0].name: is missing"),
        (
            STEP + "review = { on_changes = 'write' }\n",
            "1: steps.write: a step is one thing, not agent and review; make two steps of it",
        ),
        (
            STEP + 'prompt = "a"\nprompt_text = "b"\n',
            "5: steps.write.prompt_text: stands beside prompt; keep one of the two",
        ),
        (STEP + "promt = 'x'\n", "4: steps.write.promt: unknown key; did you mean prompt?"),
        (
            STEP + '\nroutes = [\n  { to = "done" },\n  { to = "done", maxx = 3 },\n]\n',
            "7: steps.write.routes[1].maxx: unknown key; did you mean max?",
        ),
        (
            STEP + 'gates = [\n  "a",\n  { kind = "b", level = "wran" },\n]\n',
            "6: steps.write.gates.b.level: has to be shadow, warn or enforce",
        ),
        (STEP + "gates = [{ min = 3 }]\n", "4: steps.write.gates[0].kind: is missing"),
        (STEP + "gates = [3]\n", "4: steps.write.gates[0]: a gate is a name or a table with a kind"),
        (
            STEP + 'gates = ["a", { kind = "b", name = "a" }]\n',
            "4: steps.write.gates.a.name: a second gate named a; give each its own name",
        ),
        (
            STEP + 'gates = [{ kind = "b", name = "a b" }]\n',
            "4: steps.write.gates.a b: 'a b' is no name for a gate; use letters, digits, _ . -",
        ),
        (
            STEP + 'on_fail = ["humen"]\n',
            "4: steps.write.on_fail[0]: 'humen' is no rung; "
            'write on_fail = [{ retry = 2 }, { fresh = 1 }, { agent = "NAME" }, { route = "STEP" }, "human"]',
        ),
        (
            STEP + 'on_fail = "human"\n',
            "4: steps.write.on_fail: has to be a list of rungs; "
            'write on_fail = [{ retry = 2 }, { fresh = 1 }, { agent = "NAME" }, { route = "STEP" }, "human"]',
        ),
        (
            STEP + "on_fail = [{ retry = 2, fresh = 1 }]\n",
            "4: steps.write.on_fail[0]: a rung has exactly one of retry, fresh, agent, route, or is human; "
            'write on_fail = [{ retry = 2 }, { fresh = 1 }, { agent = "NAME" }, { route = "STEP" }, "human"]',
        ),
        (
            STEP + "on_fail = [\n  { retry = 2 },\n  { retry = 0 },\n]\n",
            "6: steps.write.on_fail[1].retry: has to be greater than or equal to 1",
        ),
        (STEP + "limits = { cost_usd = 0 }\n", "4: steps.write.limits.cost_usd: has to be greater than 0"),
        (
            STEP + 'limits = { wall = "soon" }\n',
            "4: steps.write.limits.wall: not a duration: 'soon' (write 30s, 5m, 1h30m, 2d)",
        ),
        (STEP + "when = 3\n", "4: steps.write.when: has to be text"),
        ("[on]\ngat = ['human']\n" + STEP, "2: on.gat: no class of failure; did you mean gate?"),
        ('name = "x"\n', "1: steps: a playbook needs at least one step; add [[steps]]"),
        ("steps = 3\n", "1: steps: has to be a list; put it in brackets: [ … ]"),
        (
            'name = "a/b"\n' + STEP,
            "1: name: 'a/b' is no name; use letters, digits, _ . - (it names an inbox folder)",
        ),
        ('name = "x\n', "1: not TOML: illegal character '\\n'"),
        ("a = 1\n\na = 2\n", "3: not TOML: cannot overwrite a value"),
        ("a = [\n", "1: not TOML: invalid value at the end of the file"),
        ("a = " + "[" * 5000, " not TOML: nested too deeply"),
    ],
)
def test_a_trap_is_named_with_the_line_of_the_key(text: str, fault: str) -> None:
    assert faults(text) == [f"{PATH}:{fault}"]
    assert read_playbook(text.encode(), PATH).playbook is None


def test_bytes_that_are_no_text_are_named() -> None:
    problems = read_playbook(b"name = 'x'\n\xff", PATH).problems
    assert [str(problem) for problem in problems] == [f"{PATH}:2: a byte that is not UTF-8; save the file as UTF-8"]


# --- settings ------------------------------------------------------------------------------------------------------


def setting_faults(text: str) -> list[str]:
    return [str(problem) for problem in read_settings(text.encode()).problems]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[hq]\n", "1: format: is missing; write format = 1 as the first line"),
        ("format = 2\nwhatever = 3\n", "1: format: format 2; this hqd knows formats up to 1; upgrade hqd"),
        ("format = 0\n", "1: format: has to be 1"),
        ("format = 1\n\n[agentss.x]\n", "3: agentss: unknown key; did you mean agents?"),
        (
            'format = 1\n[agents.a]\nprovider = "anthropic"\nmodell = "x"\n',
            "4: agents.a.modell: unknown key; did you mean model?",
        ),
        (
            'format = 1\n[agents.a]\nprovider = "anthropic"\n',
            '2: agents.a: an anthropic agent needs a model; write model = "claude-sonnet-4-5"',
        ),
        (
            'format = 1\n[agents.a]\nprovider = "anthropic"\nmodel = "m"\nargv = ["x"]\n',
            "5: agents.a.argv: means nothing to provider anthropic; remove it",
        ),
        (
            'format = 1\n[agents.a]\nprovider = "command"\n',
            '2: agents.a: a command agent needs exactly one of preset and argv; write argv = ["PROGRAM", "…"]',
        ),
        (
            'format = 1\n[agents.a]\nprovider = "comand"\n',
            "3: agents.a.provider: has to be anthropic, command or replay",
        ),
        ("format = 1\n[gates.x]\nvalues = []\n", "2: gates.x.kind: is missing"),
        ('format = 1\n[limits]\ncost_usd_per_task = "x"\n', "3: limits.cost_usd_per_task: has to be a number"),
        ("format = 1\n[limits]\ncost_usd_per_task = inf\n", "3: limits.cost_usd_per_task: has to be a finite number"),
        (
            'format = 1\n[[notify]]\non = ["blokced"]\ncommand = ["x"]\n',
            "3: notify[0].on[0]: blokced is nothing to be told of; did you mean blocked?",
        ),
        (
            'format = 1\n[[notify]]\non = ["blocked"]\n',
            "2: notify[0]: needs exactly one of command and webhook",
        ),
        (
            'format = 1\n[inbox]\nsettle = "soon"\n',
            "3: inbox.settle: not a duration: 'soon' (write 30s, 5m, 1h30m, 2d)",
        ),
        (
            'format = 1\n[defaults]\non_fail = ["no"]\n',
            "3: defaults.on_fail[0]: 'no' is no rung; "
            'write on_fail = [{ retry = 2 }, { fresh = 1 }, { agent = "NAME" }, { route = "STEP" }, "human"]',
        ),
    ],
)
def test_a_fault_in_the_settings_is_named_with_the_line_of_the_key(text: str, fault: str) -> None:
    assert setting_faults(text) == [f"hqd.toml:{fault}"]
    assert read_settings(text.encode()).settings is None


def test_a_newer_format_is_told_from_a_broken_one() -> None:
    assert read_settings(b"format = 2\n").newer
    assert not read_settings(b"format = 0\n").newer


def test_a_placeholder_warns_and_leaves_the_settings_usable() -> None:
    read = read_settings(f'format = 1\n[agents.a]\nprovider = "command"\nargv = ["{PLACEHOLDER}"]\n'.encode())
    assert read.settings is not None
    assert [str(problem) for problem in read.problems] == [
        "hqd.toml:4: agents.a.argv: warning: is a placeholder: no work can be done; "
        "put the program that does the work; it gets the prompt on standard input"
    ]


# --- lines ---------------------------------------------------------------------------------------------------------


def test_lines_in_every_form_of_toml() -> None:
    text = (
        "a.b.c = 1 # x\n"  # 1
        '"quoted key".d = 2\n'  # 2
        "s = '''\n"  # 3
        "[not.a.table]\n"
        "x = 1\n"
        "'''\n"
        "[t]\n"  # 7
        'long = """\n'  # 8
        'quotes "" and \\""" inside""""\n'
        "list = [ # comment ]\n"  # 10
        "  1,\n"  # 11
        "  { k = [2,\n"  # 12
        "    3], j = 'x' },\n"  # 13
        "]\n"
        "[[t.u]]\n"  # 15
        "n = 1979-05-27T07:32:00Z\n"  # 16
        "[[t.u]]\n"  # 17
        "  [[t.u.v]]\n"  # 18
        "  m = -inf\n"  # 19
        "  [t.u.w]\n"  # 20
        "  m = 0x1F\n"  # 21
    )
    lines = key_lines(text)
    assert tomllib.loads(text)["t"]["long"].endswith('"')
    wanted: dict[Place, int] = {
        ("a", "b", "c"): 1,
        ("quoted key", "d"): 2,
        ("s",): 3,
        ("t",): 7,
        ("t", "long"): 8,
        ("t", "list"): 10,
        ("t", "list", 0): 11,
        ("t", "list", 1): 12,
        ("t", "list", 1, "k"): 12,
        ("t", "list", 1, "k", 1): 13,
        ("t", "list", 1, "j"): 13,
        ("t", "u"): 15,
        ("t", "u", 0): 15,
        ("t", "u", 0, "n"): 16,
        ("t", "u", 1): 17,
        ("t", "u", 1, "v", 0, "m"): 19,
        ("t", "u", 1, "w"): 20,
        ("t", "u", 1, "w", "m"): 21,
    }
    assert {place: lines[place] for place in wanted} == wanted
    assert key_lines(text.replace("\n", "\r\n")) == lines


def places(value: Any, place: Place = ()) -> list[Place]:
    found = [place] if place else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += places(inner, (*place, index))
    return found


LEAVES = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=12), st.dates(), st.times()
)
NAMES = st.text(max_size=5)


def tables(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.one_of(st.lists(LEAVES, max_size=3), st.lists(inner, max_size=3))
    return st.dictionaries(NAMES, st.one_of(LEAVES, inner, lists), max_size=4)


TABLES = st.recursive(st.dictionaries(NAMES, LEAVES, max_size=3), tables, max_leaves=10)


@settings(deadline=None, max_examples=300)
@given(TABLES, st.booleans())
def test_every_key_of_any_toml_has_a_line_on_which_it_stands(values: dict[str, Any], multiline: bool) -> None:
    text = tomli_w.dumps(values, multiline_strings=multiline)
    toml = read_toml(text.encode("utf-8", "replace"), PATH)
    lines = text.encode("utf-8", "replace").decode().split("\n")
    for place in places(toml.values):
        assert place in toml.lines
        key = place[-1]
        if isinstance(key, str):
            written = tomli_w.dumps({key: 1}).partition(" = ")[0]
            assert written in lines[toml.lines[place] - 1]


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="abnme=[]{}.,\"'#\n \\123", max_size=80))
def test_any_text_is_a_playbook_or_problems(text: str) -> None:
    read = read_playbook(text.encode(), PATH)
    assert (read.playbook is None) == any(problem.stops for problem in read.problems)
    with suppress(tomllib.TOMLDecodeError):
        known = key_lines(text) if tomllib.loads(text) is not None else {}
        assert set(places(tomllib.loads(text))) <= set(known)
