"""Rule files that repositories have already: what they say, and which of them a task is sent."""

from __future__ import annotations

import hashlib

import pytest

from hqd.codec.native import imports, index_line, read_rule_file
from hqd.daemon.context.library import Library
from hqd.daemon.context.native import IMPORT_DEPTH, Scope, native, reads
from hqd.model.change import Entry
from hqd.model.settings import AgentSettings


class Repository:
    """Ports Tree and History over files in memory; a value that begins with `-> ` is a link."""

    commit = "0" * 40

    def __init__(self, **files: str) -> None:
        self.files = {name.replace("__", "/"): text for name, text in files.items()}
        self.blobs = {self._id(text): text.removeprefix("-> ").encode() for text in self.files.values()}

    def _id(self, text: str) -> str:
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def read(self, path: str) -> bytes | None:
        text = self.files.get(path)
        return text.removeprefix("-> ").encode() if text is not None else None

    def entry(self, path: str) -> Entry | None:
        if path in self.files:
            text = self.files[path]
            return Entry(path.rsplit("/", 1)[-1], "120000" if text.startswith("-> ") else "100644", self._id(text))
        inside = sorted((name, text) for name, text in self.files.items() if not path or name.startswith(path + "/"))
        return Entry(path.rsplit("/", 1)[-1], "040000", self._id(repr((path, inside)))) if inside else None

    def entries(self, folder: str) -> tuple[Entry, ...]:
        prefix = f"{folder}/" if folder else ""
        names = sorted({name[len(prefix) :].split("/")[0] for name in self.files if name.startswith(prefix)})
        return tuple(entry for name in names if (entry := self.entry(prefix + name)) is not None)

    def blob(self, object_id: str) -> bytes:
        return self.blobs[object_id]

    def size(self, object_id: str) -> int:
        return len(self.blobs[object_id])


def found(
    contents: dict[str, str],
    scope: Scope = Scope(),  # noqa: B008
    agent: AgentSettings | None = None,
    *,
    files: bool = True,
) -> dict[str, str]:
    """Source -> `sent`, `index`, `mention` or the problem."""
    repository = Repository()
    repository.files = contents
    repository.blobs = {repository._id(text): text.removeprefix("-> ").encode() for text in contents.values()}
    made = native(repository, Library(repository), scope, reads(agent), files=files)  # type: ignore[arg-type]
    return {each.source: each.problem or (each.form if each.form in ("index", "mention") else "sent") for each in made}


def test_agents_md_of_every_folder_above_the_tasks_paths_the_nearest_last() -> None:
    files = {
        "AGENTS.md": "root",
        "content/AGENTS.md": "content",
        "content/news/AGENTS.md": "news",
        "src/AGENTS.md": "src",
    }
    assert list(found(files, Scope(["content/news/a.md"]))) == [
        "AGENTS.md",
        "content/AGENTS.md",
        "content/news/AGENTS.md",
    ]
    assert list(found(files)) == ["AGENTS.md"]


def test_claude_rules_and_cursor_rules_keep_to_their_paths() -> None:
    files = {
        ".claude/rules/all.md": "Be brief.",
        ".claude/rules/news.md": "---\npaths:\n  - content/news/**\n---\nShort headlines.",
        ".cursor/rules/ts.mdc": "---\nglobs: *.ts, src/**/*.tsx\nalwaysApply: false\n---\nNo any.",
        ".cursor/rules/always.mdc": "---\ndescription: x\nalwaysApply: true\n---\nAlways.",
        ".cursor/rules/manual.mdc": "By hand.",
        ".cursor/rules/asked.mdc": "---\ndescription: How releases are made\n---\nLong text.",
        ".github/instructions/py.instructions.md": '---\napplyTo: "**/*.py"\n---\nTyped.',
    }
    outside = "none of the task's files lie in its scope"
    assert found(files, Scope(["content/news/a.md", "src/deep/x.tsx"])) == {
        ".claude/rules/all.md": "sent",
        ".claude/rules/news.md": "sent",
        ".cursor/rules/ts.mdc": "sent",
        ".cursor/rules/always.mdc": "sent",
        ".cursor/rules/manual.mdc": "only a person calls for it",
        ".cursor/rules/asked.mdc": "index",
        ".github/instructions/py.instructions.md": outside,
    }
    assert found(files, Scope(["a.py"]))[".github/instructions/py.instructions.md"] == "sent"
    assert found(files, Scope(["a.py"]))[".claude/rules/news.md"] == outside


def test_a_skill_is_a_line_until_the_task_names_it() -> None:
    files = {
        ".claude/skills/invoices/SKILL.md": "---\nname: invoices\ndescription: Writes invoices.\n---\nThe long way."
    }
    assert set(found(files).values()) == {"index"}
    assert set(found(files, Scope(words="Please use the invoices skill.")).values()) == {"sent"}
    assert set(found(files, Scope(words="many-invoices-ago")).values()) == {"index"}
    path, text = next(iter(files.items()))
    assert index_line(path, read_rule_file(text.encode(), path)).startswith("invoices: Writes invoices.\nIt is in the")
    blind = found(files, files=False)
    assert set(blind.values()) == {"mention"}
    assert "read that" not in index_line(path, read_rule_file(text.encode(), path), files=False)


def test_a_skill_of_several_words_is_named_by_them_and_each_agent_reads_its_own_folder() -> None:
    text = "---\nname: pdf-forms\ndescription: Fills forms.\n---\nThe long way."
    files = {
        f"{folder}/pdf-forms/SKILL.md": f"{text} {folder}" for folder in (".claude/skills", ".agents/skills", "skills")
    }
    assert set(found(files, Scope(words="Fill the PDF forms.")).values()) == {"sent"}
    for preset, own in (("claude", ".claude/skills"), ("codex", ".agents/skills")):
        agent = AgentSettings(provider="command", preset=preset)
        mine = {path for path, what in found(files, agent=agent).items() if "by itself" in what}
        assert mine == {f"{own}/pdf-forms/SKILL.md"}


def test_a_rule_that_only_somebody_calls_for_is_sent_where_the_task_does() -> None:
    files = {
        ".cursor/rules/deploys.mdc": "---\ndescription: On deploys\nglobs:\nalwaysApply: false\n---\nNot on Fridays.\n",
        ".cursor/rules/style.mdc": "---\nalwaysApply: false\n---\nBe brief.\n",
    }
    plain = found(files, Scope(words="Style the deploys."))
    assert plain == {".cursor/rules/deploys.mdc": "index", ".cursor/rules/style.mdc": "only a person calls for it"}
    assert set(found(files, Scope(words="Follow @style, see deploys.mdc")).values()) == {"sent"}


@pytest.mark.parametrize("everything", ["**", "**/*", "'**/*.py,**'"])
def test_rules_for_all_files_are_sent_to_tasks_without_any(everything: str) -> None:
    path = ".github/instructions/all.instructions.md"
    assert found({path: f"---\napplyTo: {everything}\n---\nBe brief."}) == {path: "sent"}


def test_only_accepted_decisions_are_sent() -> None:
    files = {
        "docs/adr/0001.md": "# Use git\n\n## Status\n\nAccepted\n",
        "docs/adr/0002.md": "---\nstatus: superseded by 0003\n---\n# Use a database\n",
        "docs/decisions/0003.md": "---\nstatus: accepted\n---\n# Use files\n",
        "docs/adr/README.md": "# Our decisions\n",
        "docs/architecture/decisions/0004-x.md": "# Use nothing\n\nNobody says whether.\n",
    }
    assert found(files) == {
        "docs/adr/0001.md": "sent",
        "docs/adr/0002.md": "its status is superseded by 0003, not accepted",
        "docs/decisions/0003.md": "sent",
        "docs/architecture/decisions/0004-x.md": "it has no status",
    }


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (
            "# Nygard\n\nDate: 2020-01-01\n\n## Status\n\nAccepted\n\n## Context\n\nIt was rejected before.\n",
            "accepted",
        ),
        (
            "## Status\n\nAccepted\n\nSuperceded by [3. Files](0003-files.md)\n",
            "superceded by [3. files](0003-files.md)",
        ),
        ("## Status\n\nAccepted. Supersedes [2. Git](0002-git.md)\n", "accepted"),
        ("Status\n------\n\n**Proposed**\n", "proposed"),
        ("# MADR 2\n\n* Status: accepted\n* Deciders: Ada\n", "accepted"),
        ("- **Status:** Accepted (2020-01-01)\n", "accepted"),
        ("| Status | Deprecated |\n| --- | --- |\n", "deprecated"),
        ("---\nstatus: 'accepted, 2024-01-01'\n---\n# MADR 4\n", "accepted"),
        ("---\nstatus: '{proposed | rejected | accepted}'\n---\n", "{proposed | rejected | accepted}"),
        ("```\nStatus: accepted\n```\n", ""),
    ],
)
def test_what_a_decision_record_says_of_its_status_is_read_in_all_its_forms(text: str, status: str) -> None:
    assert read_rule_file(text.encode(), "docs/adr/0001.md").status == status


def test_imports_are_followed_to_a_depth_and_never_in_a_circle() -> None:
    chain = {f"docs/{n}.md": f"Number {n}. @{n + 1}.md" for n in range(1, 9)}
    seen = found({"CLAUDE.md": "@docs/1.md", **chain, "docs/9.md": "end"})
    sent = [source for source, what in seen.items() if what == "sent"]
    assert len(sent) == 1 + IMPORT_DEPTH
    assert any("deep" in what for what in seen.values())
    circle = found({"CLAUDE.md": "@a.md", "a.md": "@b.md", "b.md": "@a.md and @missing.md"})
    assert circle["b.md -> a.md"] == "an import in a circle: a.md -> b.md -> a.md"
    assert circle["b.md -> missing.md"] == "there is no such file"


def test_code_and_addresses_are_no_imports() -> None:
    text = "Mail a@b.org, ask @ada.\n`@code.md` and\n```\n@fenced.md\n```\nSee @docs/x.md.\n"
    assert imports(text) == ("docs/x.md",)


@pytest.mark.parametrize(
    ("link", "problem"),
    [("-> AGENTS.md", "sent"), ("-> ../../etc/passwd", "out of the repository"), ("-> CLAUDE.md", "in a circle")],
)
def test_links_are_followed_inside_the_repository_only(link: str, problem: str) -> None:
    assert problem in found({"AGENTS.md": "Rules.", "CLAUDE.md": link})["CLAUDE.md"]


def test_what_an_agent_reads_by_itself_is_named_and_not_sent() -> None:
    files = {
        "AGENTS.md": "Rules.",
        "CLAUDE.md": "-> AGENTS.md",
        ".cursor/rules/a.mdc": "---\nalwaysApply: true\n---\nCursor.",
    }
    by_itself = "the agent reads it by itself"
    claude = AgentSettings(provider="command", preset="claude")
    assert found(files, agent=claude) == {"AGENTS.md": by_itself, "CLAUDE.md": by_itself, ".cursor/rules/a.mdc": "sent"}
    everything = AgentSettings(provider="command", argv=("x",), native_context=True)
    assert set(found(files, agent=everything).values()) == {by_itself}
    nothing = AgentSettings(provider="command", preset="claude", native_context=False)
    assert set(found(files, agent=nothing).values()) == {"sent"}


@pytest.mark.parametrize(
    "text", ["---\nglobs: [\n---\nBody", "---\nno: end\n", "---\n: : :\n---\nBody\n", "\ufeff---\n"]
)
def test_front_matter_that_cannot_be_read_is_a_rule_file_all_the_same(text: str) -> None:
    rule = read_rule_file(text.encode(), "a.mdc")
    assert rule.globs is None or rule.globs == ()
