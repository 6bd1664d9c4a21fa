"""Secrets in bytes that are about to be committed: found, and struck out. Pure.

Two sources: values that hqd itself handed out (`known`), also where they stand encoded, and forms that tell of a
secret by themselves. What has a form of its own (`sk-ant-…`, `ghp_…`) is found anywhere; anything else only as a
value of high entropy beside a word such as `password` or `api_key`, so that prose, uuids, object ids and the hashes
of lock files stay.

Every search is linear in the data: a form starts only where no character of its own alphabet stands before it, runs
are possessive, and what may come between two marks is bounded.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

KNOWN = "known"
"""The kind of a value that was handed in."""

_SHORTEST_KNOWN = 6  # characters; a shorter value would strike out half of any text
_PRIVATE_KEY_SPAN = 16_384  # bytes in which a private key block ends
_PRIVATE_KEY_OPEN = 4_096  # bytes that are taken for one whose end is missing
_PRIVATE_KEY_BODY = 96  # characters of base64, the end line's letters among them


@dataclass(frozen=True, slots=True)
class Found:
    """One secret. `line` is 1-based; `start` and `end` are byte positions. The secret itself is never kept."""

    kind: str
    line: int
    start: int
    end: int


def scan(data: bytes | str, known: Collection[str] = ()) -> tuple[Found, ...]:
    """All secrets in `data` (text counts as UTF-8), in order, without overlap."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    spans = sorted(
        [*_known(raw, known), *_formed(raw), *_private_keys(raw), *_headers(raw), *_urls(raw), *_assigned(raw)]
    )
    return tuple(_merged(raw, spans))


def redact(data: bytes, known: Collection[str] = ()) -> tuple[bytes, tuple[Found, ...]]:
    """The data with every secret replaced by `[redacted:KIND]`, and what was found (positions in the original)."""
    found = scan(data, known)
    return _struck(data, found), found


def mask(text: str, known: Collection[str]) -> str:
    """The text without the known values, in any of their encodings; other secrets stay for `redact` to judge."""
    return mask_bytes(text.encode("utf-8", "surrogatepass"), known).decode("utf-8", "surrogatepass") if known else text


def mask_bytes(data: bytes, known: Collection[str]) -> bytes:
    """As `mask`, for bytes of any kind."""
    return _struck(data, tuple(_merged(data, sorted(_known(data, known))))) if known else data


def _struck(data: bytes, found: tuple[Found, ...]) -> bytes:
    parts, at = [], 0
    for secret in found:
        parts += [data[at : secret.start], f"[redacted:{secret.kind}]".encode()]
        at = secret.end
    return b"".join([*parts, data[at:]])


_Span = tuple[int, int, int, str]  # start, -end, rank, kind: sorted, the longest and surest of a start comes first


def _merged(data: bytes, spans: list[_Span]) -> Iterator[Found]:
    """Overlaps become one; of two kinds the surer names it."""
    line, counted = 1, 0
    groups: list[list[_Span]] = []
    reach = -1
    for span in spans:
        if span[0] < reach:
            groups[-1].append(span)
        else:
            groups.append([span])
        reach = max(reach, -span[1])
    for group in groups:
        start, end = group[0][0], max(-span[1] for span in group)
        line += data.count(b"\n", counted, start)
        counted = start
        yield Found(min(group, key=lambda span: span[2])[3], line, start, end)


# ---- values that were handed in


def _known(data: bytes, known: Collection[str]) -> Iterator[_Span]:
    for needle in {needle for value in known for needle in _encodings(value)}:
        at = data.find(needle)
        while at >= 0:
            yield at, -(at + len(needle)), 0, KNOWN
            at = data.find(needle, at + len(needle))


def _encodings(value: str) -> Iterator[bytes]:
    """The value as it is, with blanks stripped, as JSON, in a URL, and inside base64 at each of the three offsets."""
    if len(value.strip()) < _SHORTEST_KNOWN:
        return
    raw = value.strip().encode("utf-8", "surrogatepass")
    yield raw
    yield value.encode("utf-8", "surrogatepass")
    yield json.dumps(value)[1:-1].encode()
    yield quote(raw, safe="").encode()
    yield quote_plus(raw).encode()
    for offset in range(3):
        plain = base64.b64encode(b"\0" * offset + raw)
        first = (offset * 8 + 5) // 6  # characters that also carry bits of what stands before
        last = len(plain) - (4 if (offset + len(raw)) % 3 else 0)
        core = plain[first:last]
        if len(core) >= _SHORTEST_KNOWN + 2:
            yield core
            yield core.replace(b"+", b"-").replace(b"/", b"_")


# ---- forms of their own


def _form(
    kind: str, mark: bytes, pattern: bytes, alphabet: bytes = rb"A-Za-z0-9_\-"
) -> tuple[str, bytes, re.Pattern[bytes]]:
    return kind, mark, re.compile(rb"(?<![" + alphabet + rb"])" + pattern)


_FORMS = (
    _form("anthropic", b"sk-ant-", rb"sk-ant-[a-z0-9]{2,12}-[A-Za-z0-9_\-]{20,}+"),
    _form("openai", b"sk-", rb"sk-(?!ant-)(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_\-]{20,}+|[A-Za-z0-9]{32,}+)"),
    _form("github", b"gh", rb"gh[pousr]_[A-Za-z0-9]{36,}+"),
    _form("github", b"github_pat_", rb"github_pat_[A-Za-z0-9_]{22,}+"),
    _form("gitlab", b"gl", rb"gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent)-[A-Za-z0-9_\-]{20,}+"),
    _form("aws", b"A", rb"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9_\-])"),
    _form("google", b"AIza", rb"AIza[A-Za-z0-9_\-]{35}(?![A-Za-z0-9_\-])"),
    _form("google", b"GOCSPX-", rb"GOCSPX-[A-Za-z0-9_\-]{28}"),
    _form("google", b"ya29.", rb"ya29\.[A-Za-z0-9_\-]{30,}+"),
    _form("slack", b"xox", rb"xox[abeoprs]-(?:[0-9]+-)?+[A-Za-z0-9\-]{16,}+"),
    _form("slack", b"xapp-", rb"xapp-[0-9]-[A-Z0-9]{8,}+-[0-9]++-[a-f0-9]{32,}+"),
    _form(
        "slack",
        b"hooks.slack.com",
        rb"hooks\.slack\.com/services/T[A-Z0-9]{6,}+/B[A-Z0-9]{6,}+/[A-Za-z0-9]{16,}+",
        rb".",
    ),
    _form("stripe", b"k_live_", rb"[sr]k_live_[A-Za-z0-9]{16,}+"),
    _form("stripe", b"whsec_", rb"whsec_[A-Za-z0-9+/=]{24,}+"),
    _form("npm", b"npm_", rb"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9_\-])"),
    _form("pypi", b"pypi-AgE", rb"pypi-AgE[A-Za-z0-9_\-]{50,}+"),
    _form("huggingface", b"hf_", rb"hf_[A-Za-z]{30,}+"),
    _form("sendgrid", b"SG.", rb"SG\.[A-Za-z0-9_\-]{20,24}\.[A-Za-z0-9_\-]{39,50}", rb"A-Za-z0-9_.\-"),
    _form("digitalocean", b"_v1_", rb"do[opr]_v1_[a-f0-9]{64}"),
    _form("age", b"AGE-SECRET-KEY-1", rb"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    _form("jwt", b"eyJ", rb"eyJ[A-Za-z0-9_\-]{8,}+\.eyJ[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]{16,}+"),
)


def _formed(data: bytes) -> Iterator[_Span]:
    for kind, mark, pattern in _FORMS:
        if mark in data:
            for found in pattern.finditer(data):
                if len(set(found[0])) > 8:  # `sk-xxxxxxxx…` is a placeholder
                    yield found.start(), -found.end(), 1, kind


_BEGIN = re.compile(rb"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(rb"-----END (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_KEY_BODY = re.compile(rb"[A-Za-z0-9+/=]")


def _private_keys(data: bytes) -> Iterator[_Span]:
    """A block with a body; one without its end reaches as far as a key would."""
    at = 0
    while begin := _BEGIN.search(data, at):
        following = _BEGIN.search(data, begin.end(), begin.end() + _PRIVATE_KEY_SPAN)
        limit = following.start() if following else begin.end() + _PRIVATE_KEY_SPAN
        end = _END.search(data, begin.end(), limit)
        stop = end.end() if end else min(len(data), limit, begin.end() + _PRIVATE_KEY_OPEN)
        if len(_KEY_BODY.findall(data, begin.end(), stop)) >= _PRIVATE_KEY_BODY:
            yield begin.start(), -stop, 1, "private_key"
        at = stop


# ---- headers and addresses

_HEADER = re.compile(rb"(?i:\b(bearer|basic))[ ]([A-Za-z0-9._~+/\-]{16,}+=*+)")
_MARKS_OF_HEADERS = (b"earer ", b"asic ", b"EARER ", b"ASIC ")


def _headers(data: bytes) -> Iterator[_Span]:
    if any(mark in data for mark in _MARKS_OF_HEADERS):
        for found in _HEADER.finditer(data):
            bearer = found[1].lower() == b"bearer"
            if _is_random(found[2], least=20) if bearer else _is_basic(found[2]):
                yield found.start(2), -found.end(2), 2, "authorization"


def _is_basic(value: bytes) -> bool:
    try:
        decoded = base64.b64decode(value, validate=True)
    except ValueError:
        return False
    _, colon, password = decoded.partition(b":")
    return bool(colon) and len(password) >= 6 and decoded.isascii() and decoded.decode("ascii").isprintable()


_URL_PASSWORD = re.compile(rb"://[^\s:/@?#\"'<>{}\[\]]{0,64}+:([^\s:/@?#\"'<>{}\[\]$*]{8,128}+)@")


def _urls(data: bytes) -> Iterator[_Span]:
    for found in _URL_PASSWORD.finditer(data):
        if _has_digit_and_letter(found[1]) and not _PLACEHOLDER.search(found[1]):
            yield found.start(1), -found.end(1), 2, "url_password"


# ---- a word such as `password`, and a value

_WORDS = (
    *(b"password", b"passwd", b"passphrase", b"secret", b"token", b"apikey", b"api_key", b"api-key", b"credential"),
    *(b"access_key", b"accesskey", b"secret_key", b"secretkey", b"private_key", b"access-key", b"auth_key"),
)
_VALUE = re.compile(
    rb"""(?:["']|\\")?[ \t]{0,8}(?::=|=>|==?|:)[ \t]{0,8}"""
    rb"""(?:(?P<quote>\\?["'`])(?P<quoted>[^\s"'`\\<>{}()$]{12,512}+)(?P=quote)|(?P<bare>[A-Za-z0-9+/_.~\-]{16,512}+=*+)(?![("'`{\[]))"""
)
_AWS_SECRET = re.compile(rb"[A-Za-z0-9/+]{40}")
_PLACEHOLDER = re.compile(rb"(?i)example|placeholder|changeme|change-me|your[_-]|dummy|redacted|xxxx|\*\*\*|secret:")
_UUID = re.compile(rb"(?i)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_DIGEST = re.compile(rb"(?i)(?:sha\d{1,3}|md5|blake\w{1,4})[-:=]")
_SEPARATORS = re.compile(rb"[_\-./:+=~@,;!?#%&|*^]")
_WORDLIKE = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+|\d{1,4}|[A-Za-z]?\d{1,3}|v\d+")
_CAMEL = re.compile(rb"(?:[A-Z]?[a-z]{2,}|[A-Z]{2,}(?![a-z])){1,}\d{0,3}")


def _assigned(data: bytes) -> Iterator[_Span]:
    lower = data.lower()
    for word in _WORDS:
        at = lower.find(word)
        while at >= 0:
            after = at + len(word)
            found = _VALUE.match(data, after)
            if found is not None:
                name = "quoted" if found["quoted"] is not None else "bare"
                kind = _kind_of_value(found[name], word, quoted=name == "quoted")
                if kind is not None:
                    yield found.start(name), -found.end(name), 3, kind
            at = lower.find(word, after)


def _kind_of_value(value: bytes, word: bytes, *, quoted: bool) -> str | None:
    if _AWS_SECRET.fullmatch(value) and b"key" in word and _is_random(value, least=40):
        return "aws"
    if b"pass" in word:
        return "password" if _is_random(value, least=12 if quoted else 16) else None
    return "generic" if _is_random(value, least=16) else None


def _is_random(value: bytes, least: int) -> bool:
    """High entropy for its length, letters and digits mixed, and neither words, a uuid, a digest nor a placeholder."""
    if len(value) < least or not _has_digit_and_letter(value):
        return False
    if _UUID.fullmatch(value) or _DIGEST.match(value) or _PLACEHOLDER.search(value):
        return False
    parts = [part for part in _SEPARATORS.split(value) if part]
    if all(_WORDLIKE.fullmatch(part) or _CAMEL.fullmatch(part) for part in parts):
        return False
    return _entropy(value) >= min(3.5, 0.8 * math.log2(len(value)))


def _has_digit_and_letter(value: bytes) -> bool:
    return any(48 <= byte <= 57 for byte in value) and any(chr(byte).isalpha() for byte in value)


def _entropy(value: bytes) -> float:
    """Bits per byte, by Shannon."""
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values())
