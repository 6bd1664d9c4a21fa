"""A report as plain data for --json, and as markdown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from typing import Any

from hqd.core.report.page import Report, headline, sections
from hqd.core.report.share import Share


def plain(value: Any) -> Any:
    """Dataclasses as tables, shares with rate and interval, times as ISO 8601."""
    if isinstance(value, Share):
        return value.facts()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value.isoformat() if isinstance(value, date) else value


def markdown(report: Report, title: str) -> str:
    """The report as GitHub-flavoured markdown; nothing that a task or a model says becomes markup."""
    lines = [f"# {_cell(title)}", ""]
    lines += ["| | |", "| --- | --- |", *(f"| {_cell(name)} | {_cell(value)} |" for name, value in headline(report))]
    for section in sections(report):
        lines += ["", f"## {_cell(section.title)}", ""]
        lines += [f"{_cell(note)}\n" for note in section.notes]
        if section.rows:
            lines.append("| " + " | ".join(map(_cell, section.heads)) + " |")
            lines.append("|" + " --- |" * len(section.heads))
            lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in section.rows]
    if report.remarks:
        lines += ["", "## What is missing", "", *(f"- {_cell(remark)}" for remark in report.remarks)]
    return "\n".join(lines) + "\n"


_MARKUP = str.maketrans({char: f"\\{char}" for char in "\\`*_[]|#!~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


def _cell(text: str) -> str:
    return " ".join(text.split()).translate(_MARKUP)
