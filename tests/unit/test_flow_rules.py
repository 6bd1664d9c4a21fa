"""What `hqd check` says of steps and keys of the flow that are in force: nothing."""

from __future__ import annotations

import pytest

from hqd.check import check_file, check_reader
from hqd.codec.config import read_config
from hqd.gates.registry import Registry
from hqd.model.change import Entry

SETTINGS = """
format = 1
[agents.worker]
provider = "replay"
answers = "a.jsonl"
"""


class Written:
    """An HQ of a few files."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = {"hqd.toml": SETTINGS, **files}

    def read(self, path: str) -> bytes | None:
        found = self.files.get(path)
        return found.encode() if found is not None else None

    def entries(self, folder: str) -> tuple[Entry, ...]:
        inside = {path[len(folder) + 1 :].split("/")[0] for path in self.files if path.startswith(folder + "/")}
        files = {name for name in inside if f"{folder}/{name}" in self.files}
        return tuple(Entry(name, "100644" if name in files else "040000", "0" * 40) for name in sorted(inside))


def faults(steps: str, top: str = "", **more: str) -> list[str]:
    playbook = (
        f'name = "general"\n{top}\n[[steps]]\nname = "plan"\nagent = "worker"\noutput = {{ parts = "list[str]" }}\n'
    )
    files = {"playbooks/general.toml": playbook + steps, **more}
    return [str(problem) for problem in check_reader(Written(files), Registry().check).problems]


@pytest.mark.parametrize(
    "steps",
    [
        '[[steps]]\nname = "well"\nask = { question = "Well?", choices = ["yes", "no"], to = ["tim"] }\n',
        '[[steps]]\nname = "send"\nrun = { argv = ["bin/send", "{{ task.id }}"], once = true }\n',
        '[[steps]]\nname = "parts"\nspawn = { each = "outputs.plan.parts", title = "{{ item }}", body = "x" }\n',
    ],
)
def test_steps_in_force_are_no_news(steps: str) -> None:
    assert faults(steps) == []


def test_a_schedule_is_in_force_and_its_template_is_checked() -> None:
    schedule = 'schedule = { cron = "0 7 * * MON", tz = "Europe/Berlin", template = "plan/weekly.md" }'
    weekly = {"playbooks/plan/weekly.md": "# News of {{ due }}\n"}
    assert faults("", schedule, **weekly) == []
    weekly["playbooks/plan/weekly.md"] = "# News of {{ task.title }}\n"
    assert faults("", schedule, **weekly) == ["playbooks/plan/weekly.md:1: task is not known here; known: due, now"]


@pytest.mark.parametrize(
    ("when", "fault"),
    [
        ("false", "it does not hold, whatever happens"),
        ("1 > 2", "it does not hold, whatever happens"),
        ("output.verdict == 'rewrok'", "output.verdict is one of ok, rework, never 'rewrok'"),
        ("output.score < 0.5 and 'bad' == output.verdict", "output.verdict is one of ok, rework, never 'bad'"),
    ],
)
def test_a_route_that_can_never_be_taken_is_named(when: str, fault: str) -> None:
    step = f'''[[steps]]
name = "judge"
agent = "worker"
output = {{ verdict = ["ok", "rework"], score = "float" }}
routes = [{{ when = "{when}", to = "plan", max = 1 }}]
'''
    said = f"warning: is never taken: {fault}; mend its `when`, or remove it"
    assert faults(step) == [f"playbooks/general.toml:11: steps.judge.routes[0].when: {said}"]


@pytest.mark.parametrize(
    "when",
    [
        "output.verdict == 'rework'",
        "output.verdict == 'bad' or output.score < 1",
        "output.verdict != 'bad'",
        "round > 1",
    ],
)
def test_a_route_that_may_be_taken_is_no_news(when: str) -> None:
    step = f'''[[steps]]
name = "judge"
agent = "worker"
output = {{ verdict = ["ok", "rework"], score = "float" }}
routes = [{{ when = "{when}", to = "plan", max = 1 }}]
'''
    assert faults(step) == []


def test_a_need_of_more_children_than_there_may_be_is_named() -> None:
    spawn = '[[steps]]\nname = "parts"\nspawn = { each = "[1]", title = "x", body = "y", max = 2, need = 3 }\n'
    assert faults(spawn) == [
        "playbooks/general.toml:9: steps.parts.spawn.need: needs 3 of at most 2 children; let it be between 1 and max"
    ]


@pytest.mark.parametrize(
    ("schedule", "fault"),
    [
        ('cron = "61 * * * *"', "schedule.cron: minute: 61 is not between 0 and 59; as in `0 7 * * MON`"),
        (
            'cron = "0 0 31 4 *"',
            "schedule.cron: '0 0 31 4 *' never comes: no month has such a day; as in `0 7 * * MON`",
        ),
        ('cron = "@daily", tz = "Berln"', "schedule.tz: there is no time zone 'Berln'; as in `Europe/Berlin`"),
    ],
)
def test_a_bad_schedule_is_named_at_load(schedule: str, fault: str) -> None:
    top = f'schedule = {{ {schedule}, template = "weekly.md" }}'
    assert faults("", top, **{"playbooks/weekly.md": "# News\n"}) == [f"playbooks/general.toml:2: {fault}"]


def test_needs_are_in_force() -> None:
    config = read_config(Written({}))
    assert check_file("x.md", b"---\nneeds: [other]\n---\n# T\n", config, Registry().check) == ()


def test_the_table_of_what_is_not_in_force_has_no_entry_of_the_flow() -> None:
    from hqd.core.checks.not_in_force import NOT_IN_FORCE

    ours = {"ask", "run", "spawn", "schedule", "needs", "requests_per_minute"}
    assert not [later for later in NOT_IN_FORCE if ours & set(later.place)]
