"""What a pull request says of a task. Pure text."""

from __future__ import annotations

from collections.abc import Collection

from hqd.daemon.forge.story import Story
from hqd.model.opening import Brief


def brief(story: Story, known: Collection[str] = ()) -> Brief:
    return Brief(title=story.task.document.title, body="", comment="")
