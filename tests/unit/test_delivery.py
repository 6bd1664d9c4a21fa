"""Which paths a step may deliver to."""

from __future__ import annotations

import pytest

from hqd.codec.layout import PROTECTED
from hqd.core.steps.delivery import folded, path_fault


@pytest.mark.parametrize(
    "path",
    [
        "content/letter.md", "a", "docs/ü/✓ and spaces.md", "playbooks.md", "workspaces/x", "src/hqd.toml",
        ".github/x.yml", "a/.gitignore", "dot./x", "...", "git/x", "x.git",
    ],
)  # fmt: skip
def test_ordinary_paths_are_fine(path: str) -> None:
    assert path_fault(path, PROTECTED) is None


@pytest.mark.parametrize(
    "path",
    [
        "", "/etc/passwd", "a//b", "a/", "./a", "a/./b", "../a", "a/../../b", "..", "a\\b", "a\nb", "a\0b", "a\x7f",
        ".git/config", "a/.GIT/hooks/x", ".git", ".git /x", ".git./x", "git~1/x", ".g\u200cit/x",
        ".git::$INDEX_ALLOCATION/x", "workspace/queue/x.md", "Workspace/x", "WORKSPACE/x", "workspace",
        "work\u200dspace/x", "playbooks/x.toml", "lessons/x", "lessons", "hqd.toml", "HQD.TOML", "hqd.toml ",
        ".gitattributes", "a/b/.gitattributes", ".GitAttributes",
        "x" * 256, "é" * 128, "/".join(["abc"] * 300), "a\udcff",
    ],
)  # fmt: skip
def test_paths_that_lead_elsewhere_or_are_protected_are_refused(path: str) -> None:
    assert path_fault(path, PROTECTED) is not None


def test_names_are_compared_as_a_file_system_without_case_sees_them() -> None:
    assert folded("Stra\u00dfe.MD") == folded("STRASSE.md")
    assert folded("e\u0301") == folded("\u00c9")
    assert folded("a") != folded("b")
