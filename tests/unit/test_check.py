"""`check`: everything that can be known to be wrong before anything runs, with the line of the key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hqd.check import Report, check_file, check_reader
from hqd.codec.config import Config, read_config
from hqd.codec.schemas import schemas
from hqd.codec.starter import AGENTS, starter_settings
from hqd.core.checks.not_in_force import NOT_IN_FORCE, Later, not_in_force
from hqd.gates.registry import Registry
from hqd.model.change import Entry
from hqd.model.playbook import Playbook
from hqd.model.problem import ProblemLevel
from hqd.model.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
SETTINGS = """\
format = 1
[agents.writer]
provider = "replay"
answers = "x.jsonl"
[agents.strong]
provider = "replay"
answers = "x.jsonl"
[gates.no-refunds]
kind = "must_not_include"
values = ["refund"]
"""
GENERAL = 'name = "general"\n[[steps]]\nname = "work"\nagent = "writer"\n'
NEWS = "playbooks/news.toml"


class Files:
    """A tree that is a dictionary."""

    def __init__(self, files: dict[str, str | bytes]) -> None:
        self.files = {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def entries(self, folder: str) -> tuple[Entry, ...]:
        prefix = f"{folder}/"
        names = {path[len(prefix) :] for path in self.files if path.startswith(prefix)}
        found = {(name.partition("/")[0], "/" in name) for name in names}
        return tuple(Entry(name, "040000" if inner else "100644", "0" * 40) for name, inner in sorted(found))


def check(files: dict[str, str | bytes] | None = None, *, settings: str = SETTINGS) -> Report:
    return check_reader(
        Files({"hqd.toml": settings, "playbooks/general.toml": GENERAL, **(files or {})}), Registry().check
    )


def found(news: str, *, settings: str = SETTINGS, **files: str) -> list[str]:
    """The problems of one playbook, as people read them."""
    beside = {f"playbooks/news/{name}.md": text for name, text in files.items()}
    return [str(problem) for problem in check({NEWS: 'name = "news"\n' + news, **beside}, settings=settings).problems]


AGENT = '[[steps]]\nname = "write"\nagent = "writer"\n'
SECOND = '[[steps]]\nname = "judge"\nagent = "strong"\n'


def test_a_good_configuration_has_no_problems() -> None:
    report = check()
    assert report.problems == ()
    assert report.ok


@pytest.mark.parametrize(
    ("news", "fault"),
    [
        (
            '[[steps]]\nname = "a"\nagent = "writr"\n',
            "4: steps.a.agent: there is no agent writr in hqd.toml; did you mean writer?",
        ),
        (
            AGENT + 'prompt = "news/wrte.md"\n',
            "5: steps.write.prompt: playbooks/news/wrte.md does not exist; there are none",
        ),
        (
            AGENT + 'routes = [{ to = "jugde" }]\n' + SECOND,
            "5: steps.write.routes[0].to: there is no step jugde; did you mean judge?",
        ),
        (
            AGENT + 'routes = [{ to = "done", max = 1, then = "dne" }]\n',
            "5: steps.write.routes[0].then: there is no step dne; did you mean done?",
        ),
        (
            AGENT + SECOND + 'routes = [\n  { when = "true", to = "write" },\n]\n',
            "9: steps.judge.routes[0].to: goes back to write without a bound: it may loop for ever; "
            "add max = 2 (and then = …)",
        ),
        (
            AGENT + 'routes = [{ when = "true", to = "write" }]\n',
            "5: steps.write.routes[0].to: goes back to write without a bound: it may loop for ever; "
            "add max = 2 (and then = …)",
        ),
        (
            AGENT + 'routes = [\n  { to = "done" },\n  { when = "true", to = "human" },\n]\n',
            "7: steps.write.routes[1]: warning: is never taken: route 1 before it always holds; "
            "move it up, or give that one a `when`",
        ),
        (
            AGENT + 'deliver = "x.md"\n',
            "5: steps.write.deliver: delivers a file that nothing lands; "
            'add a review step after it, or write land = "auto" at the top of the playbook',
        ),
        (
            SECOND + '[[steps]]\nname = "ok"\nreview = {}\n' + AGENT + 'deliver = "x.md"\n',
            "11: steps.write.deliver: delivers a file that nothing lands; "
            'add a review step after it, or write land = "auto" at the top of the playbook',
        ),
        (
            AGENT + '[[steps]]\nname = "ok"\n\nreview = { on_changes = "wirte" }\n',
            "8: steps.ok.review.on_changes: wirte is no agent step before this one; did you mean write?",
        ),
        (
            AGENT + 'on_fail = [\n  { retry = 1 },\n  { agent = "stong" },\n]\n',
            "7: steps.write.on_fail[1].agent: there is no agent stong; did you mean strong?",
        ),
        (
            AGENT + 'on_fail = [{ route = "judge" }]\n' + SECOND,
            "5: steps.write.on_fail[0].route: judge is no agent step before this one; there are none",
        ),
        (
            AGENT + SECOND + 'on_fail = [{ route = "judge" }]\n',
            "8: steps.judge.on_fail[0].route: judge is no agent step before this one; known: write",
        ),
        (
            AGENT + 'on_fail = ["human", { retry = 1 }]\n',
            "5: steps.write.on_fail[0]: warning: the rungs after human are never reached; put human last",
        ),
        (
            '[[steps]]\nname = "g"\ngates = ["no-refunds"]\non_fail = [{ retry = 1 }]\n',
            "5: steps.g.on_fail[0]: warning: a gate step has no agent that could try again; "
            'write on_fail = ["human"], or a route',
        ),
        (
            AGENT + 'gates = ["no-refund"]\n',
            "5: steps.write.gates[0]: there is no gate no-refund in hqd.toml; did you mean no-refunds?",
        ),
        (
            AGENT + '[[steps.gates]]\nkind = "word_count"\nminn = 3\n',
            "7: steps.write.gates.word_count.minn: is no parameter of word_count; did you mean min?",
        ),
        (
            AGENT + 'gates = [{ kind = "wrod_count" }]\n',
            "5: steps.write.gates.wrod_count.kind: there is no gate kind 'wrod_count'; did you mean word_count?",
        ),
        (
            AGENT + '[[steps.gates]]\nkind = "regex"\npattern = "("\n',
            "7: steps.write.gates.regex.pattern: ",
        ),
        (
            '[[steps]]\nname = "g"\nprompt_text = "x"\ngates = ["no-refunds"]\n',
            "4: steps.g.prompt_text: means nothing in a gate step; give the step an agent, or remove it",
        ),
        ('[[steps]]\nname = "g"\n', "2: steps.g: does nothing: no agent and no gates; add gates or an agent"),
        (
            AGENT + 'output = { score = "flaot" }\n',
            "5: steps.write.output: score: 'flaot' is no type (str, int, float, bool, dict, any, list[T], "
            "or a list of values)",
        ),
        (AGENT + 'output = "news/s.json"\n', "5: steps.write.output: playbooks/news/s.json does not exist"),
        (
            "[[steps]]\nname = 'ok'\nreview = {}\n",
            "4: steps.ok.review: warning: has nothing to review: no agent works before it",
        ),
        (
            "accepts = {}\n" + AGENT,
            "2: accepts: warning: accepts nothing; give it tags or when",
        ),
        (
            "accepts = { when = \"'x' in task.tittle\" }\n" + AGENT,
            "2: accepts.when: task.tittle does not exist; did you mean title?",
        ),
        (
            'accepts = { when = "output.x" }\n' + AGENT,
            "2: accepts.when: output is not known here; known: inputs, task",
        ),
        (AGENT + 'when = "cost <"\n', "5: steps.write.when: `cost <`: unexpected 'end of template'"),
        (AGENT + 'when = "cots > 1"\n', "5: steps.write.when: cots is not known here; did you mean cost?"),
        (
            AGENT + 'when = "{{ cost }} > 1"\n',
            "5: steps.write.when: `{{ cost }} > 1`: expected token ':', got '}'; write it without braces",
        ),
        (
            AGENT + 'prompt_text = "{{ outputs.judge }}"\n' + SECOND,
            "5: steps.write.prompt_text: outputs.judge: step judge comes later; "
            "what a later step said comes as `findings`; else ask `outputs.judge is defined` first, "
            "or give it `| default('')`",
        ),
        (
            AGENT + 'prompt_text = """\none\n{{ task.titel }}\n"""\n',
            "5: steps.write.prompt_text: in its line 2: task.titel does not exist; did you mean title?",
        ),
        (
            AGENT + 'prompt_text = "{{ outputs.write }}"\n',
            "5: steps.write.prompt_text: outputs.write: it is this step's own, and not there yet; "
            "what a later step said comes as `findings`; else ask `outputs.write is defined` first, "
            "or give it `| default('')`",
        ),
        (
            AGENT + SECOND + 'prompt_text = "{{ outputs.wirte }}"\n',
            "8: steps.judge.prompt_text: outputs.wirte: there is no step wirte; did you mean write?",
        ),
        (
            AGENT + 'when = "cost > 1"\n' + SECOND + 'prompt_text = "{{ outputs.write }}"\n',
            "9: steps.judge.prompt_text: warning: outputs.write: step write has a `when` and may be left out; "
            "ask `outputs.write is defined` first, or give it `| default('')`",
        ),
        (
            AGENT + "routes = [{ when = \"gates.wordcount.status == 'fail'\", to = 'human' }]\n"
            'gates = [{ kind = "word_count", min = 1 }]\n',
            "5: steps.write.routes[0].when: gates.wordcount: no gate of this playbook has that name; "
            "did you mean word_count?",
        ),
        (
            AGENT + 'deliver = "{{ task.idd }}"\n[[steps]]\nname = "ok"\nreview = {}\n',
            "5: steps.write.deliver: task.idd does not exist; did you mean id?",
        ),
        (
            AGENT + 'context = [{ outputs = ["judge"] }]\n' + SECOND,
            "5: steps.write.context[0].outputs[0]: judge is no step before this one; there are none",
        ),
        (
            AGENT + 'context = [{ include = ["../secrets"] }]\n',
            "5: steps.write.context[0].include[0]: ../secrets leaves the repository; name a path inside it",
        ),
        (
            AGENT + 'context = [{ include = ["notes/[z-a].md"] }]\n',
            "5: steps.write.context[0].include[0]: warning: notes/[z-a].md is no glob: bad character range z-a; "
            "it names nothing until mended",
        ),
        (
            AGENT + 'context = [{ children = ["write"] }]\n',
            "5: steps.write.context[0].children[0]: write is no step with `spawn` before this one; there are none",
        ),
        (
            AGENT + "context = [{ lessons = false }, { priority = 2 }]\n",
            "5: steps.write.context[1]: warning: names no source; give it one of include, outputs, children, "
            "decisions, similar, lessons",
        ),
        (
            AGENT + 'context = [{ decisions = { playbooks = ["news", "nosuch"] } }]\n',
            "5: steps.write.context[0].decisions.playbooks[1]: warning: there is no playbook nosuch; "
            "known: general, news",
        ),
        (
            'experiment = { source = "brand.md", holdout = 0.5, effect = 0.15 }\n'
            + AGENT
            + 'context = [{ include = ["notes/prices.md", "style/*.txt"] }, { similar = 2 }]\n',
            "2: experiment.source: warning: no context rule names brand.md: both arms may be sent the same; "
            "name a source as `hqd context` lists it, or add a rule that includes it",
        ),
        (
            "on = { timeout = [{ agent = 'x' }] }\n" + AGENT,
            "2: on.timeout[0].agent: there is no agent x; known: strong, writer",
        ),
        (
            'schedule = { cron = "@daily", template = "writ.md" }\n' + AGENT,
            "2: schedule.template: playbooks/writ.md does not exist; there are none",
        ),
    ],
)
def test_a_fault_of_a_playbook_is_named_once_with_its_line(news: str, fault: str) -> None:
    problems = found(news)
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{NEWS}:{fault}")
    assert problems[0] == f"{NEWS}:{fault}" or fault.endswith(": ")


def test_going_back_with_a_bound_is_fine() -> None:
    assert found(AGENT + SECOND + "routes = [{ when = 'cost > 1', to = 'write', max = 2 }]\n") == []


def test_a_later_output_may_be_used_where_it_is_asked_for_first() -> None:
    text = "{% if outputs.judge is defined %}{{ outputs.judge }}{% endif %}"
    assert found(AGENT + f'prompt_text = "{text}"\n' + SECOND) == []


def test_routes_may_use_their_steps_own_output() -> None:
    assert found(AGENT + "routes = [{ when = 'outputs.write and output', to = 'done' }]\n") == []


def test_a_delivery_lands_by_review_or_by_itself() -> None:
    review = '[[steps]]\nname = "ok"\nreview = {}\n'
    assert found(AGENT + 'deliver = "x.md"\n' + review) == []
    assert found('land = "auto"\n' + AGENT + 'deliver = "x.md"\n') == []


def test_a_fault_in_a_prompt_is_named_in_the_prompts_file() -> None:
    news = AGENT + 'prompt = "news/write.md"\n'
    assert found(news, write="one\ntwo {{ task.titel }}\n") == [
        "playbooks/news/write.md:2: task.titel does not exist; did you mean title?"
    ]
    broken = found(news, write="one\n{% if x %}\n")
    assert len(broken) == 1
    assert broken[0].startswith("playbooks/news/write.md:")
    assert "Unexpected end of template" in broken[0]


def test_a_schema_that_is_no_schema_is_named() -> None:
    news = 'name = "news"\n' + AGENT + 'output = "news/s.json"\n'
    for text, fault in (
        ("{", "is not JSON: "),
        ("[]", "is no JSON Schema: it is not an object"),
        ('{"type": "objekt"}', "is no JSON Schema: 'objekt' is not valid"),
    ):
        problems = check({NEWS: news, "playbooks/news/s.json": text}).problems
        assert len(problems) == 1
        assert str(problems[0]).startswith(f"{NEWS}:5: steps.write.output: playbooks/news/s.json {fault}")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (
            SETTINGS + '[defaults]\nplaybook = "genral"\n',
            "hqd.toml:12: defaults.playbook: there is no playbook genral; did you mean general?",
        ),
        (
            SETTINGS + "[limits]\ncost_usd_per_day = 0\n",
            "hqd.toml:12: limits.cost_usd_per_day: a budget of zero lets nothing run; set a sum, or use `hqd pause`",
        ),
        (
            SETTINGS + '[agents.mine]\nprovider = "command"\nargv = ["x"]\n',
            "hqd.toml:11: agents.mine: warning: tells neither cost nor tokens: only attempts and time bound it; "
            'let it answer with parser = "json"',
        ),
        (
            SETTINGS + '[gates.x]\nkind = "word_count"\nmin = "a"\n',
            "hqd.toml:13: gates.x.min: must be a whole number",
        ),
        (
            SETTINGS + '[defaults]\non_fail = [{ agent = "x" }]\n',
            "hqd.toml:12: defaults.on_fail[0].agent: there is no agent x; known: strong, writer",
        ),
        (
            SETTINGS + '[defaults]\non_fail = [{ route = "x" }]\n',
            "hqd.toml:12: defaults.on_fail[0].route: a route belongs to a playbook: here there are no steps",
        ),
        (
            SETTINGS + '[repos.site]\nurl = "--upload-pack=x"\n',
            "hqd.toml:12: repos.site.url: not a URL of a git repository: '--upload-pack=x'",
        ),
        (
            SETTINGS + '[repos.site]\nurl = "https://ada:pw@example.org/x.git"\n',
            'hqd.toml:12: repos.site.url: a password stands in the URL, and with it in git; use token = "secret:NAME"',
        ),
        (
            SETTINGS + '[repos.site]\nurl = "x"\ntoken = "abc"\n',
            'hqd.toml:13: repos.site.token: a token is no value of hqd.toml; write "secret:NAME"',
        ),
        (
            SETTINGS + '[repos.site]\nurl = "x"\nprotected = ["../x"]\n',
            "hqd.toml:13: repos.site.protected[0]: ../x leaves the repository; name a path inside it",
        ),
        (
            SETTINGS + '[[notify]]\non = ["blocked"]\ncommand = ["x", "{{ task.tilte }}"]\n',
            "hqd.toml:13: notify[0].command[1]: task.tilte does not exist; did you mean title?",
        ),
        (
            SETTINGS.replace(
                'answers = "x.jsonl"\n[agents.strong]', 'answers = "x.jsonl"\npick = "rwo.x"\n[agents.strong]'
            ),
            "hqd.toml:5: agents.writer.pick: rwo is not known here; did you mean row?",
        ),
    ],
)
def test_a_fault_of_the_settings_is_named_once_with_its_line(settings: str, fault: str) -> None:
    assert [str(problem) for problem in check(settings=settings).problems] == [fault]


def test_two_playbooks_of_one_name_are_named() -> None:
    problems = check({NEWS: GENERAL}).problems
    assert [str(problem) for problem in problems] == [
        f"{NEWS}:1: name: a second playbook named general; the first is playbooks/general.toml; choose another name",
        f"{NEWS}:1: name: warning: is general, but the file is named news.toml; let them be the same",
    ]


def test_without_settings_the_rest_is_still_read() -> None:
    report = check_reader(Files({"playbooks/x.toml": "a = "}), Registry().check)
    assert [str(problem) for problem in report.problems] == [
        "hqd.toml: does not exist; make an HQ with `hqd init PATH`",
        "playbooks/x.toml:1: not TOML: invalid value at the end of the file",
    ]
    assert not report.ok


def test_a_broken_default_playbook_is_one_fault_and_not_two() -> None:
    problems = check({"playbooks/general.toml": 'name = "general"\nsteps = 3\n'}).problems
    assert [str(problem) for problem in problems] == [
        "playbooks/general.toml:2: steps: has to be a list; put it in brackets: [ … ]"
    ]


def test_links_and_hidden_files_are_no_configuration() -> None:
    class Linked(Files):
        def entries(self, folder: str) -> tuple[Entry, ...]:
            inner = super().entries(folder)
            return tuple(Entry(e.name, "120000" if e.name == "link.toml" else e.mode, e.id) for e in inner)

    files: dict[str, str | bytes] = {
        "hqd.toml": SETTINGS,
        "playbooks/general.toml": GENERAL,
        "playbooks/link.toml": "../../etc/passwd",
        "playbooks/.hidden.toml": "= broken",
        "playbooks/_draft.toml": "= broken",
        "playbooks/general/p.bin": b"\0\1",
        "lessons/README.md": "not a lesson",
    }
    config = read_config(Linked(files))
    assert list(config.playbooks) == ["playbooks/general.toml"]
    assert config.problems == ()
    assert "general/p.bin" in config.files
    assert "general/p.bin" not in config.texts


# --- single files --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def config() -> Config:
    return check().config


@pytest.mark.parametrize(
    ("path", "text", "faults"),
    [
        ("workspace/inbox/x.md", "# fine\n", []),
        (
            "x.md",
            "---\nplaybook: genral\n---\n# T\n",
            ["x.md:2: playbook: there is no playbook genral; did you mean general?"],
        ),
        (
            "x.md",
            "---\nrepo: site\n---\n# X\n",
            ["x.md:2: repo: there is no repository site in hqd.toml; add [repos.site] with its url"],
        ),
        (
            "x.md",
            "---\ngates:\n- no-refunds\n- no-refund\n- {kind: word_count, minn: 3}\n---\n# T\n",
            [
                "x.md:4: gates[1]: there is no gate no-refund in hqd.toml; did you mean no-refunds?",
                "x.md:5: gates.word_count: minn: is no parameter of word_count; did you mean min?",
            ],
        ),
        (
            "x.md",
            "---\nbudget:\n  cost_usd: 0\n---\n# T\n",
            ["x.md:3: budget.cost_usd: a budget of zero lets nothing run; set a sum"],
        ),
        (
            "x.md",
            "---\nneeds: [other]\n---\n# T\n",
            [],
        ),
        (
            "some/hqd.toml",
            "format = 3\n",
            ["some/hqd.toml:1: format: format 3; this hqd knows formats up to 1; upgrade hqd"],
        ),
        ("p.toml", "steps = []\n", ["p.toml:1: steps: a playbook needs at least one step; add [[steps]]"]),
        ("lessons/L-0001-x.md", "---\nid: L-0001\n---\n", ["lessons/L-0001-x.md:1: status: is missing"]),
    ],
)
def test_one_file_is_checked_by_what_it_is(path: str, text: str, faults: list[str], config: Config) -> None:
    assert [str(problem) for problem in check_file(path, text.encode(), config, Registry().check)] == faults


# --- what ships ----------------------------------------------------------------------------------------------------


class Folder:
    """The starter HQ as it stands in the checkout, with one settings file."""

    def __init__(self, settings: str) -> None:
        self.settings = settings.encode()

    def read(self, path: str) -> bytes | None:
        file = ROOT / path
        return self.settings if path == "hqd.toml" else file.read_bytes() if file.is_file() else None

    def entries(self, folder: str) -> tuple[Entry, ...]:
        items = sorted((ROOT / folder).iterdir()) if (ROOT / folder).is_dir() else []
        return tuple(Entry(item.name, "040000" if item.is_dir() else "100644", "0" * 40) for item in items)


@pytest.mark.parametrize("agent", ["anthropic", "claude", "codex"])
def test_the_starter_has_no_problems(agent: Any) -> None:
    report = check_reader(Folder(starter_settings(agent)), Registry().check)
    assert [str(problem) for problem in report.problems] == []
    assert {"general", "newsletter", "brief"} <= set(report.config.by_name)


def test_the_starter_without_an_agent_works_and_warns() -> None:
    report = check_reader(Folder(starter_settings("none")), Registry().check)
    assert report.ok
    assert {problem.level for problem in report.problems} == {ProblemLevel.WARNING}
    assert sum("is a placeholder" in problem.message for problem in report.problems) == len(AGENTS)


def test_the_example_of_the_lessons_readme_is_a_lesson(config: Config) -> None:
    example = re.findall(r"```markdown\n(.*?)```", (ROOT / "lessons/README.md").read_text(encoding="utf-8"), re.DOTALL)
    problems = check_file("lessons/L-0001-refunds.md", example[0].encode(), config, Registry().check)
    assert [problem for problem in problems if problem.stops] == []


def test_the_examples_of_the_workspace_readme_are_tasks(config: Config) -> None:
    text = (ROOT / "workspace/README.md").read_text(encoding="utf-8")
    examples = re.findall(r"```markdown\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    report = check_reader(Folder(starter_settings("claude")), Registry().check)
    for example in examples:
        assert check_file("workspace/inbox/x.md", example.encode(), report.config, Registry().check) == ()


# --- not in force --------------------------------------------------------------------------------------------------


def places(model: Any, pattern: tuple[str, ...]) -> bool:
    """Whether a place of the table is a key of the model: a struck or renamed key must not linger in the table."""
    schema = model.model_json_schema(by_alias=True)
    nodes = [schema]
    for part in pattern:
        nodes = [inner for node in nodes for inner in _inner(node, part, schema)]
    return bool(nodes)


def _inner(node: dict[str, Any], part: str, schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "$ref" in node:
        yield from _inner(schema["$defs"][node["$ref"].rpartition("/")[2]], part, schema)
    for choice in node.get("anyOf", ()):
        yield from _inner(choice, part, schema)
    if part == "*":
        yield from (node[key] for key in ("items", "additionalProperties") if isinstance(node.get(key), dict))
    elif part in node.get("properties", {}):
        yield node["properties"][part]


def test_the_table_of_what_is_not_in_force_names_keys_that_exist() -> None:
    for later in NOT_IN_FORCE:
        if later.file in ("settings", "playbook"):
            assert places(Settings if later.file == "settings" else Playbook, later.place), later.place


def test_a_use_of_what_is_not_in_force_is_named_where_it_stands() -> None:
    table = (
        Later("playbook", ("steps", "*", "review", "sample"), "samples", lambda value: value != 1),
        Later("settings", ("audit",), "audits"),
    )
    used = {"steps": [{"review": {"sample": 1}}, {"review": {"sample": 0.2}}, {"name": "x"}], "audit": 0.5}
    (problem,) = not_in_force("playbook", "p.toml", used, table)
    assert (problem.place, problem.message, problem.level) == (
        ("steps", 1, "review", "sample"), "samples", ProblemLevel.NOT_IN_FORCE
    )  # fmt: skip
    assert [each.place for each in not_in_force("settings", "hqd.toml", used, table)] == [("audit",)]
    assert not_in_force("settings", "hqd.toml", {"audit": False}, table) == ()


# --- schemas -------------------------------------------------------------------------------------------------------


def wrong(name: str, value: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(schemas(["word_count"])[f"{name}.schema.json"])
    return sorted(".".join(map(str, error.absolute_path)) for error in validator.iter_errors(value))


def test_the_schemas_are_schemas_and_the_same_each_time() -> None:
    for schema in schemas(["b", "a"]).values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert json.dumps(dict(schemas(["b", "a"]))) == json.dumps(dict(schemas(["a", "b"])))


def test_what_ships_fits_the_schemas() -> None:
    for path in sorted((ROOT / "playbooks").glob("*.toml")):
        assert wrong("playbook", tomllib.loads(path.read_text(encoding="utf-8"))) == []
    for agent in ("anthropic", "claude", "codex", "none"):
        assert wrong("hqd", tomllib.loads(starter_settings(agent))) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "paths"),
    [
        ("playbook", {"steps": [{"name": "a", "on_fail": [{"retry": 2}, {"agent": "x", "times": 2}, "human"]}]}, []),
        ("playbook", {"steps": [{"name": "a", "gates": ["x", {"kind": "y", "min": 3, "not": True}]}]}, []),
        ("playbook", {"steps": [{"name": "a", "limits": {"wall": 30, "attempt": "1h30m"}}]}, []),
        ("playbook", {"steps": []}, ["steps"]),
        ("playbook", {"steps": [{"name": "A"}]}, ["steps.0.name"]),
        ("playbook", {"steps": [{"name": "a", "on_fail": ["humen"]}]}, ["steps.0.on_fail.0"]),
        ("playbook", {"steps": [{"name": "a", "on_fail": [{"retry": 1, "fresh": 1}]}]}, ["steps.0.on_fail.0"]),
        ("playbook", {"steps": [{"name": "a", "gates": [{"min": 3}]}]}, ["steps.0.gates.0"]),
        ("playbook", {"steps": [{"name": "a", "limits": {"wall": "soon"}}]}, ["steps.0.limits.wall"]),
        ("playbook", {"steps": [{"name": "a", "promt": "x"}]}, ["steps.0"]),
        ("playbook", {"steps": [{"name": "a"}], "on": {"gat": []}}, ["on"]),
        ("hqd", {"format": 1, "gates": {"x": {"kind": "y", "values": [1]}}}, []),
        ("hqd", {"format": 2}, ["format"]),
        ("hqd", {"format": 1, "agents": {"a": {"provider": "no"}}}, ["agents.a.provider"]),
        ("task", {"title": "x", "tags": "a", "mine": 1, "gates": ["x", {"kind": "y", "min": 3}]}, []),
        ("task", {"priority": "high"}, ["priority"]),
        ("lesson", {"id": "L-0001", "status": "shadow", "gate": {"kind": "x", "values": ["y"]}}, []),
        ("lesson", {"id": "X", "status": "shadw"}, ["id", "status"]),
    ],
)
def test_the_schemas_take_the_written_form(name: str, value: Any, paths: list[str]) -> None:
    assert wrong(name, value) == paths


FORGED = (
    SETTINGS
    + """\
[forge]
kind = "github"
repo = "acme/hq"
token = "secret:forge"
[gates.ci]
kind = "forge_checks"
names = ["build"]
"""
)
REVIEW = AGENT + '[[steps]]\nname = "ok"\nreview = {}\n'


@pytest.mark.parametrize(
    ("news", "fault"),
    [
        (REVIEW + 'gates = ["ci"]\n', []),
        (
            AGENT + 'gates = ["ci"]\n',
            ["5: steps.write.gates[0]: warning: forge_checks is skipped here: the forge checks what is up for review; "
             "put it among the gates of a review step"],
        ),
        (
            REVIEW + 'gates = [{ kind = "forge_checks", names = ["x"], when = "false" }]\n',
            ["8: steps.ok.gates.forge_checks.when: warning: has no effect on forge_checks: its checks are "
             "waited for in any case; remove it"],
        ),
        (
            REVIEW + 'gates = [{ kind = "forge_checks", names = ["x"], not = true }]\n',
            ["8: steps.ok.gates.forge_checks.not: warning: has no effect on forge_checks: its checks are "
             "waited for in any case; remove it"],
        ),
        (
            REVIEW + 'gates = [{ kind = "forge_checks", names = ["x"], level = "warn" }]\n',
            ["8: steps.ok.gates.forge_checks.level: warning: forge_checks that does not enforce is not waited for, and "
             'shows nothing; write level = "enforce"'],
        ),
        (
            REVIEW + 'gates = [{ kind = "any_of", gates = ["no-refunds", { kind = "all_of", gates = ["ci"] }] }]\n',
            ["8: steps.ok.gates.any_of: warning: forge_checks inside another gate is skipped; "
             "put it among the gates of a review step, by itself"],
        ),
        (REVIEW + 'gates = [{ kind = "must_include", values = ["ci"] }]\n', []),
    ],
)  # fmt: skip
def test_a_gate_on_the_forges_checks_that_nobody_waits_for_is_named(news: str, fault: list[str]) -> None:
    assert found(news, settings=FORGED) == [f"{NEWS}:{each}" for each in fault]


def test_the_forges_checks_without_a_forge_and_a_drafter_that_is_no_agent_are_named() -> None:
    local = FORGED.replace('kind = "github"\nrepo = "acme/hq"\ntoken = "secret:forge"\n', "")
    assert "there is no forge" in "".join(found(REVIEW + 'gates = ["ci"]\n', settings=local))
    drafted = SETTINGS + '[lessons]\ndrafter = "writr"\n'
    assert [str(each) for each in check(settings=drafted).problems] == [
        "hqd.toml:12: lessons.drafter: there is no agent writr; did you mean writer?"
    ]


def test_gates_inside_gates_may_be_named_as_in_hqd_toml_also_when_those_are_made_of_gates() -> None:
    both = SETTINGS + '[gates.both]\nkind = "all_of"\ngates = ["no-refunds", { kind = "word_count", min = 3 }]\n'
    assert found(AGENT + 'gates = [{ kind = "any_of", gates = ["both", "no-refunds"] }]\n', settings=both) == []
    (wrong,) = found(AGENT + 'gates = [{ kind = "any_of", gates = ["both", "no-refnds"] }]\n', settings=both)
    assert "there is no gate kind 'no-refnds'" in wrong
    circle = SETTINGS + '[gates.a]\nkind = "any_of"\ngates = ["a"]\n'
    assert "gates inside each other" in "".join(str(each) for each in check(settings=circle).problems)


def test_a_typo_inside_a_table_is_all_that_is_told_where_the_key_could_be_something_else_too() -> None:
    wrong = found('[[context]]\ndecisions = { tag = ["voice"] }\n' + AGENT)
    assert wrong == [f"{NEWS}:3: context[0].decisions.tag: unknown key; did you mean tags?"]
