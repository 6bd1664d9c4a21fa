"""`.git/hqd/forge.json`: what was last heard of each pull request. For people, and so that a restart asks little."""

from __future__ import annotations

from pathlib import Path

from hqd.model.forge_news import FILE, ForgeNews


def read(private: Path) -> ForgeNews:
    """What is kept; nothing where there is none, or where another version wrote it."""
    try:
        return ForgeNews.model_validate_json((private / FILE).read_bytes())
    except (OSError, ValueError):
        return ForgeNews()


def write(private: Path, news: ForgeNews) -> None:
    """Whole or not at all, and not for certain: it may be lost."""
    temporary = private / f".{FILE}.tmp"
    try:
        temporary.write_text(news.model_dump_json(exclude_defaults=True), "utf-8")
        temporary.replace(private / FILE)
    except OSError:
        return
