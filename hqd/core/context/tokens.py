"""How many tokens a text is: an estimate, or whatever a provider's own counter says."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

Counter = Callable[[str], int]
"""Tokens of a text. A provider's counter may say anything; the assembler believes it."""

Whole = Callable[[str, str], int]
"""Tokens of a whole request, from the stable part of its prompt and the rest."""

CHARS_PER_TOKEN = 3.5
"""A careful estimate for English prose and code: real tokenizers give 3.5 to 4.5."""

TOKENS_PER_OTHER = 1.5
"""Of a character outside ASCII: one token or two in the scripts that tokenizers know least."""

ESTIMATE = "estimate: characters / 3.5, 1.5 a character outside ASCII"


@lru_cache(maxsize=512)
def estimate_tokens(text: str) -> int:
    """Tokens by length; marked as an estimate wherever it is shown. A text's parts never add up to less than it."""
    if not text:
        return 0
    plain = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
    return int(plain / CHARS_PER_TOKEN + (len(text) - plain) * TOKENS_PER_OTHER) + 1
