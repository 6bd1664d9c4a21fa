"""What does not belong in a text: invisible characters, and phrases by which a text tries to steer a model. Pure.

Heuristics, not proofs: text *about* such attacks is found too, and new wordings are not.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

SUSPECT = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"
    "\U000e0000-\U000e0fff]"
)
_JOINERS = "\u200c\u200d"
_VARIATIONS = tuple(chr(code) for code in range(0xFE00, 0xFE10))
_MARKS = "\u200e\u200f\u061c"
_FLAG = "\U0001f3f4"
_JOINING_SCRIPTS = re.compile(
    "[\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff\u1800-\u18af\ufb50-\ufdff\ufe70-\ufefc]"
)
_RTL = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")

HEURISTICS: tuple[tuple[str, str], ...] = (
    (
        "tells to ignore instructions",
        r"\b(?:ignore|disregard|forget|override|bypass)\b(?:\s+\w+){0,4}?\s+(?:previous|prior|above|earlier|preceding|"
        r"system|your|existing)\s+(?:\w+\s+)?(?:instructions?|prompts?|rules?|directions?|guidelines?|messages?)",
    ),
    (
        "speaks as the system",
        r"^[ \t]*+(?:<\|?(?:system|im_start|start_header_id)\|?>|\[/?(?:INST|SYSTEM)\]|<<SYS>>)",
    ),
    (
        "speaks as the system",
        r"^[ \t]*+#{0,4}\s*(?:system|developer)\s*(?:prompt|message|instructions?)?\s*:\s*you\b",
    ),
    ("gives a new role", r"\byou\s+are\s+(?:now|no\s+longer)\s+(?:an?|the|in|bound)\b|\bfrom\s+now\s+on,?\s+you\b"),
    (
        "asks for the prompt",
        r"\b(?:reveal|print|repeat|show|leak|output)\b.{0,30}\b(?:system\s+prompt|your\s+(?:prompt|instructions))",
    ),
    (
        "asks to keep a secret",
        r"\b(?:do\s+not|don't|never)\s+(?:tell|inform|mention|reveal)\b.{0,40}\b(?:the\s+)?(?:user|human|operator)\b",
    ),
    (
        "sends data away",
        r"\b(?:curl|wget|fetch|send|post|upload)\b.{0,80}"
        r"\b(?:api[_ ]?keys?|credentials?|secrets?|tokens?|\.env|passwords?)\b",
    ),
    (
        "gives orders to an AI",
        r"\b(?:ai|llm|language\s+model|assistant|agent)s?\b.{0,20}\b(?:must|should|has\s+to|please)\b.{0,40}\b(?:approve|merge|execute|run|click|visit)\b",
    ),
    (
        "hides orders in a comment",
        r"<!--(?:(?!-->).)*\b(?:ignore|instructions?|assistant|execute|you\s+must)\b(?:(?!-->).)*-->",
    ),
)
"""(what it does, pattern); for the flags i and m."""


def ordinary(text: str, at: int) -> bool:
    """Whether a suspect character has its ordinary use here."""
    char = text[at]
    before = text[at - 1] if at else ""
    after = text[at + 1] if at + 1 < len(text) else ""
    if char == "\ufeff":
        return at == 0
    if char in _VARIATIONS:
        return bool(before) and (unicodedata.category(before) in ("So", "Sm", "Po", "Sk") or before in "0123456789#*")
    if char in _JOINERS:
        return bool(_JOINING_SCRIPTS.match(before) or (char == "\u200d" and _is_emoji(before) and _is_emoji(after)))
    if char in _MARKS:
        return bool(_RTL.match(before) or _RTL.match(after))
    if "\U000e0020" <= char <= "\U000e007f":
        return _FLAG in text[max(0, at - 8) : at]
    return False


def _is_emoji(char: str) -> bool:
    return bool(char) and (char in _VARIATIONS or unicodedata.category(char) in ("So", "Sk"))


@lru_cache(maxsize=1)
def _compiled() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((name, re.compile(source, re.I | re.M)) for name, source in HEURISTICS)


def hidden(text: str) -> list[int]:
    """Where characters stand that nobody sees and that have no ordinary use there."""
    if text.isascii() and not SUSPECT.search(text):
        return []
    return [match.start() for match in SUSPECT.finditer(text) if not ordinary(text, match.start())]


def flags(text: str) -> tuple[str, ...]:
    """What is suspicious about a text, in words with the line, the first of each sort; empty: nothing."""
    found = []
    places = hidden(text)
    if places:
        first = places[0]
        found.append(
            f"{len(places)} hidden character{'s' * (len(places) > 1)}, the first U+{ord(text[first]):04X} "
            f"on line {text.count(chr(10), 0, first) + 1}"
        )
    seen: set[str] = set()
    for name, steering in _compiled():
        match = steering.search(text)
        if match is not None and name not in seen:
            seen.add(name)
            found.append(f"{name} (line {text.count(chr(10), 0, match.start()) + 1})")
    return tuple(found)
