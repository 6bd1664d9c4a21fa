"""Is there something that must not be there? Kinds of the group `safety`."""

from __future__ import annotations

import re
import unicodedata

from pydantic import Field, field_validator

from hqd.core import secret_scan
from hqd.core.screen import HEURISTICS, SUSPECT, ordinary
from hqd.gates import patterns
from hqd.gates.kind import GateKind, Params, Piece, Scope, Verdict, View, each, together
from hqd.model.gate import Evidence, Level


class Secrets(Params):
    """Passes when no secret stands in the output or in a file that the attempt changed.

    Found by form (keys of known providers, private keys, tokens, passwords beside such a word) and by value (what hqd
    itself handed out, also encoded). The message names kind and place, never the secret.
    """


def secrets(_: Secrets, view: View) -> Verdict:
    return together(tuple((piece, _secret_free(piece, view.doors.known_secrets)) for piece in view.pieces))


def _secret_free(piece: Piece, known: tuple[str, ...]) -> Verdict:
    found = secret_scan.scan(piece.raw, known)
    if not found:
        return Verdict(True, "no secret found")
    evidence = tuple(
        Evidence(path=piece.path, line=piece.line_number(one.line), excerpt=one.kind) for one in found[:10]
    )
    places = ", ".join(f"{item.excerpt} on line {item.line}" for item in evidence)
    message = f"There are secrets: {places}. Remove them, and name them by a variable instead."
    return Verdict(False, message, evidence, float(len(found)), 0.0)


class HiddenUnicode(Params):
    """Passes when no invisible or steering characters stand in the output or in a file that the attempt changed.

    Those are: control characters but tab and line ends; zero-width and other invisible characters; marks that turn
    the direction of writing; tag characters; variation selectors. Allowed where they have their ordinary use: joiners
    inside emoji and in scripts that join letters, a variation selector after a sign, direction marks next to letters
    written from right to left, a byte order mark at the very start, tags of a flag. `allow` lists further ones.
    """

    allow: tuple[str, ...] = Field(default=(), description="characters that may stand, such as U+00AD")

    @field_validator("allow")
    @classmethod
    def _code_points(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if re.fullmatch(r"U\+[0-9A-Fa-f]{4,6}", one) is None:
                raise ValueError(f"{one!r} is no code point; write U+00AD")
        return value


def hidden_unicode(params: HiddenUnicode, piece: Piece) -> Verdict:
    if piece.text.isascii() and not SUSPECT.search(piece.text):
        return Verdict(True, "none")
    allowed = {chr(int(one[2:], 16)) for one in params.allow}
    found = [
        match.start()
        for match in SUSPECT.finditer(piece.text)
        if match[0] not in allowed and not ordinary(piece.text, match.start())
    ]
    if not found:
        return Verdict(True, "none")
    evidence = tuple(
        Evidence(path=piece.path, line=piece.line_at(at), excerpt=_named(piece.text[at])) for at in found[:10]
    )
    places = ", ".join(f"{item.excerpt} on line {item.line}" for item in evidence)
    message = f"{len(found)} hidden characters: {places}. Write the text without them."
    return Verdict(False, message, evidence, float(len(found)), 0.0)


def _named(char: str) -> str:
    return f"U+{ord(char):04X} {unicodedata.name(char, 'control character')}"


class PromptInjection(Params):
    """Passes when the text has none of the phrases by which texts try to steer a model. A heuristic, not a proof.

    It looks for orders to ignore instructions, text that poses as the system, new roles, requests for the prompt, for
    silence towards the user or for credentials, and orders in comments. Text *about* such attacks is found too, and
    new wordings are not: so it starts as `warn`, and may not enforce without a calibration.
    """

    threshold: int = Field(default=1, ge=1, description="how many findings make it fail")


def prompt_injection(params: PromptInjection, piece: Piece) -> Verdict:
    found = [
        (match.start(), name)
        for name, pattern in HEURISTICS
        for match in patterns.find_all(pattern, ("i", "m"), piece.text, 100)
    ]
    score, threshold = float(len(found)), float(params.threshold)
    if len(found) < params.threshold:
        return Verdict(True, "nothing suspicious (heuristic)", (), score, threshold)
    evidence = tuple(piece.at(at) for at, _ in found[:10])
    places = ", ".join(f"{name} (line {piece.line_at(at)})" for at, name in found[:10])
    message = f"Looks like an attempt to steer a model: {places}. This is a heuristic: a person should look."
    return Verdict(False, message, evidence, score, threshold)


KINDS = (
    GateKind("secrets", "safety", Secrets, secrets, scope=Scope.WORK, pure=False),
    GateKind("hidden_unicode", "safety", HiddenUnicode, each(hidden_unicode), scope=Scope.WORK),
    GateKind(
        "prompt_injection",
        "safety",
        PromptInjection,
        each(prompt_injection),
        scope=Scope.WORK,
        default_level=Level.WARN,
        needs_calibration=True,
    ),
)
