"""The documents say what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from typer.main import get_command

from hqd.cli.app import app
from hqd.core.batch import blob_id
from hqd.core.recovery import DEFAULTS
from hqd.model.failure import Failure, ParkReason

ROOT = Path(__file__).resolve().parents[1]
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


def first_cells(section: str) -> list[str]:
    """The codes in the first column of the tables of one section of docs/operations.md."""
    text = OPERATIONS.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE)


def test_every_reason_to_park_is_documented_once() -> None:
    assert sorted(first_cells("Parks")) == sorted(ParkReason)


def test_every_class_of_failure_is_documented_once() -> None:
    assert set(DEFAULTS) == set(Failure)
    assert sorted(first_cells("When an attempt fails")) == sorted(Failure)


def test_generated_parts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/generate.py", "--check"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_command_that_a_document_tells_of_exists() -> None:
    """In code only: `hqd WORD`, at the start or after a shell's connective."""
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    unknown = []
    for document in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")):
        text = document.read_text(encoding="utf-8")
        code = re.findall(r"```sh\n(.*?)```|`(hqd [^`]*)`", text, re.DOTALL)
        for words in re.findall(
            r"(?m)(?:^|&& |-- )hqd (?:--hq \S+ )?([a-z][a-z-]*)", "\n".join(a or b for a, b in code)
        ):
            unknown += [f"{document.name}: hqd {words}"] if words not in known else []
    assert unknown == []


def test_links_between_documents_lead_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    broken = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in documents
        for target in LINK.findall(document.read_text(encoding="utf-8"))
        if not (document.parent / target).exists()
    ]
    assert len(documents) >= 6
    assert broken == []


def test_this_projects_pages_pass_its_own_gates() -> None:
    """As CI asks (scripts/check); here too, since whoever writes a page runs the tests (lessons/L-0004)."""
    pages = ["README.md", "AGENTS.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
    done = subprocess.run(
        [sys.executable, "-m", "hqd", "--hq", ROOT, "gate", "docs/pages", *pages],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    red = [line for line in done.stdout.splitlines() if re.match(r"\s*fail", line)]
    assert (done.returncode, red, done.stderr) == (0, [], "")


def test_the_evidence_of_this_projects_lessons_is_in_its_tree() -> None:
    """A shallow clone has no history: `hqd lessons check` finds the blobs in lessons/cases/ there."""
    named = set[str]()
    for path in (ROOT / "lessons").glob("L-*.md"):
        found = re.findall(r"blob: ([0-9a-f]{40})$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(found) >= 2, f"{path.name}: something that was wrong, and what took its place"
        named |= set(found)
    there = {blob_id(path.read_bytes()) for path in (ROOT / "lessons/cases").iterdir()}
    assert named == there


def test_the_readme_has_two_set_up_commands() -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Two commands")[2].partition("\n## ")[0]
    block = section.partition("```sh\n")[2].partition("```")[0]
    commands = [line.split("#")[0].strip() for line in block.splitlines()]
    assert commands == ["scripts/demo", "scripts/test"]
    assert section.count("```") == 2
    for command in commands:
        assert (ROOT / command).stat().st_mode & 0o111
