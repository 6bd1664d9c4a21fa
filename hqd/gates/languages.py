"""Which language a text is in: by its script, and within a script by its commonest words and letters.

Small, offline, and the same answer every time. Good for texts of some 8 words or more of one of the languages named
here; it tells the languages of a text of prose apart, not dialects, and says nothing about mixed texts but which
language most of it is in.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources

SAMPLE = 3000
"""Characters of a text that are looked at; more prose changes nothing."""
LEAST = 20
"""Letters without which nothing is said."""

_SCRIPTS: tuple[tuple[str, str], ...] = (
    ("latin", "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"),
    ("greek", "\u0370-\u03ff\u1f00-\u1fff"),
    ("cyrillic", "\u0400-\u052f"),
    ("armenian", "\u0530-\u058f"),
    ("hebrew", "\u0590-\u05ff"),
    ("arabic", "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc"),
    ("devanagari", "\u0900-\u097f"),
    ("bengali", "\u0980-\u09ff"),
    ("gurmukhi", "\u0a00-\u0a7f"),
    ("gujarati", "\u0a80-\u0aff"),
    ("oriya", "\u0b00-\u0b7f"),
    ("tamil", "\u0b80-\u0bff"),
    ("telugu", "\u0c00-\u0c7f"),
    ("kannada", "\u0c80-\u0cff"),
    ("malayalam", "\u0d00-\u0d7f"),
    ("sinhala", "\u0d80-\u0dff"),
    ("thai", "\u0e00-\u0e7f"),
    ("lao", "\u0e80-\u0eff"),
    ("burmese", "\u1000-\u109f"),
    ("georgian", "\u10a0-\u10ff"),
    ("ethiopic", "\u1200-\u137f"),
    ("khmer", "\u1780-\u17ff"),
    ("kana", "\u3040-\u30ff"),
    ("hangul", "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"),
    ("han", "\u3400-\u4dbf\u4e00-\u9fff"),
)
_LETTERS = re.compile("|".join(f"(?P<{name}>[{letters}]+)" for name, letters in _SCRIPTS))

_ONE_SCRIPT: Mapping[str, str] = {
    "greek": "el", "armenian": "hy", "hebrew": "he", "bengali": "bn", "gurmukhi": "pa", "gujarati": "gu", "oriya": "or",
    "tamil": "ta", "telugu": "te", "kannada": "kn", "malayalam": "ml", "sinhala": "si", "thai": "th", "lao": "lo",
    "burmese": "my", "georgian": "ka", "ethiopic": "am", "khmer": "km", "kana": "ja", "hangul": "ko", "han": "zh",
}  # fmt: skip


def _read() -> tuple[Mapping[str, Mapping[str, frozenset[str]]], Mapping[str, frozenset[str]]]:
    """Commonest words by script and language, and each language's own letters."""
    text = resources.files(__package__).joinpath("languages.toml").read_text(encoding="utf-8")
    words: dict[str, dict[str, frozenset[str]]] = {}
    own: dict[str, frozenset[str]] = {}
    for code, entry in tomllib.loads(text).items():
        words.setdefault(entry["script"], {})[code] = frozenset(entry["words"].split())
        own[code] = frozenset(entry["letters"])
    return words, own


_TABLE, _OWN = _read()
_SAME: Mapping[str, str] = {"nb": "no", "nn": "no", "fil": "tl", "iw": "he", "in": "id", "bs": "hr", "cmn": "zh"}

KNOWN = frozenset(_OWN) | frozenset(_ONE_SCRIPT.values())
"""ISO 639-1 codes of the languages that are told apart."""

_NOISE = re.compile(r"https?://\S+|<[^<>]{1,200}>|\S{1,64}@\S{1,64}")
_TOKEN = re.compile(r"[^\W\d_]+(?:[\u0900-\u0dff\u0300-\u036f][^\W\d_]*)*")


def code_of(name: str) -> str | None:
    """The code as it is used here: `de-AT` and `DE` are `de`, `nb` is `no`; None for a language not known here."""
    code = name.strip().casefold().replace("_", "-").split("-")[0]
    code = _SAME.get(code, code)
    return code if code in KNOWN else None


def ranked(text: str) -> tuple[tuple[str, float], ...]:
    """Languages, likeliest first, with shares that add up to at most 1; empty where nothing can be told."""
    return _ranked(text[:SAMPLE])


@lru_cache(maxsize=256)
def _ranked(start: str) -> tuple[tuple[str, float], ...]:
    sample = _NOISE.sub(" ", start)
    scripts: Counter[str] = Counter()
    for match in _LETTERS.finditer(sample):
        scripts[match.lastgroup or ""] += match.end() - match.start()
    total = sum(scripts.values())
    if total < LEAST:
        return ()
    if scripts["kana"] * 10 > scripts["kana"] + scripts["han"]:
        scripts["kana"] += scripts.pop("han", 0)  # Japanese writes both
    if scripts["hangul"] > scripts["han"]:
        scripts["hangul"] += scripts.pop("han", 0)
    found: Counter[str] = Counter()
    words = Counter(_TOKEN.findall(sample.casefold())) if any(scripts[name] for name in _TABLE) else Counter[str]()
    for script, count in scripts.items():
        if script in _ONE_SCRIPT:
            found[_ONE_SCRIPT[script]] += count / total  # type: ignore[assignment]
        elif script in _TABLE:
            for code, share in _within(_TABLE[script], words, sample):
                found[code] += share * count / total  # type: ignore[assignment]
    return tuple(found.most_common())


def _within(table: Mapping[str, frozenset[str]], words: Counter[str], sample: str) -> list[tuple[str, float]]:
    """Shares of the languages of one script."""
    lowered = Counter(sample.casefold())
    scores = {}
    for code, common in table.items():
        own = sum(lowered[letter] for letter in _OWN[code])
        scores[code] = sum(words[word] for word in common) + 0.25 * own
        if own == 0 and len(_OWN[code]) >= 3 and sum(words.values()) >= 15:
            scores[code] *= 0.5  # a text of some length would have some of its letters
    total = sum(scores.values())
    return [(code, score / total) for code, score in scores.items() if score] if total else []
