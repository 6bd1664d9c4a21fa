"""Secrets are found and struck out; what only looks odd stays.

No secret stands here as one literal: forges refuse a push that holds one, and rightly so.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import random
import string
import time
import uuid
from pathlib import Path
from urllib.parse import quote

import pytest

from hqd.core.secret_scan import mask, redact, scan

ALNUM = string.ascii_letters + string.digits
RANDOM = random.Random(20261122)


def noise(length: int, alphabet: str = ALNUM) -> str:
    return "".join(RANDOM.choice(alphabet) for _ in range(length))


FORMS = {
    "anthropic": "sk-ant-" + "api03-" + noise(93, ALNUM + "-_"),
    "openai": "sk-" + "proj-" + noise(64, ALNUM + "-_"),
    "github": "gh" + "p_" + noise(36),
    "gitlab": "gl" + "pat-" + noise(20),
    "aws": "AK" + "IA" + noise(16, string.ascii_uppercase + "234567"),
    "google": "AI" + "za" + noise(35),
    "slack": "xo" + "xb-" + noise(12, string.digits) + "-" + noise(24),
    "stripe": "sk" + "_live_" + noise(24),
    "npm": "np" + "m_" + noise(36),
    "pypi": "py" + "pi-AgE" + noise(60),
    "jwt": ".".join(
        base64.urlsafe_b64encode(part.encode()).decode().rstrip("=")
        for part in ('{"alg":"HS256"}', '{"sub":"1234567890","name":"x"}', noise(32))
    ),
}


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("around", ["{}", "key={}\n", 'env: {{"K": "{}"}}', "see `{}`.", "a,{},b", "\x00{}\xff"])
def test_forms_of_the_well_known_issuers_are_found_anywhere(kind: str, around: str) -> None:
    text = "# A note\n\n" + around.format(FORMS[kind]) + "\nmore prose\n"

    clean, found = redact(text.encode())

    assert [secret.kind for secret in found] == [kind]
    assert found[0].line == 3
    assert FORMS[kind].encode() not in clean
    assert clean.decode().count(f"[redacted:{kind}]") == 1
    assert scan(clean) == ()


@pytest.mark.parametrize("form", ["gh" + "o_", "gh" + "s_", "github" + "_pat_"])
def test_other_tokens_of_github(form: str) -> None:
    assert [secret.kind for secret in scan(form + noise(60))] == ["github"]


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_a_private_key_is_struck_out_whole(kind: str) -> None:
    body = "\n".join(noise(64, ALNUM + "+/") for _ in range(8))
    block = f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"

    assert redact(f"before\n{block}\nafter".encode())[0] == b"before\n[redacted:private_key]\nafter"
    assert redact(json.dumps({"key": block}).encode())[0] == b'{"key": "[redacted:private_key]"}'


def test_a_private_key_without_its_end_is_struck_out_too() -> None:
    body = "\n".join(noise(64, ALNUM + "+/") for _ in range(4))

    assert noise(8).encode() not in redact(f"-----BEGIN PRIVATE KEY-----\n{body}".encode())[0]
    assert body[:64].encode() not in redact(f"-----BEGIN PRIVATE KEY-----\n{body}".encode())[0]


VALUE = "q7Zp" + noise(28)


@pytest.mark.parametrize(
    "line",
    [
        'password = "{}"',
        "DB_PASSWORD={}",
        'api_key: "{}"',
        '"apiKey": "{}",',
        "export SERVICE_TOKEN='{}'",
        "client_secret := `{}`",
        "auth-token => '{}'",
        '{{\\"token\\": \\"{}\\"}}',
        "Authorization: Bearer {}",
        "postgres://app:{}@db.example.org/x",
    ],
)
def test_a_random_value_beside_a_telling_word_is_found(line: str) -> None:
    clean, found = redact(("one\n" + line.format(VALUE) + "\n").encode())

    assert len(found) == 1
    assert found[0].line == 2
    assert VALUE.encode() not in clean


def test_an_aws_secret_key_is_named_as_such() -> None:
    secret = noise(20, ALNUM) + "/" + noise(10, ALNUM) + "+" + noise(8)

    assert [found.kind for found in scan(f"aws_secret_access_key = {secret}")] == ["aws"]


@pytest.mark.parametrize(
    "line",
    [
        "The password must be changed every year; a token costs money: see below.",
        "password: at least 12 characters",
        'password = os.environ["DB_PASSWORD_2"]',
        "token = get_token_from_environment_v2",
        "token: ${{ secrets.GITHUB_TOKEN }}",
        'token = "secret:github_2026_token"',
        "api_key = settings.agents.researcher.api_key2",
        'api_key = "your-api-key-goes-here-123"',
        'password = "changeme-1234567890"',
        "secret = 'xxxxxxxxxxxxxxxxxxxxxxxxxxxx1'",
        f"token: {uuid.UUID(int=RANDOM.getrandbits(128))}",
        f"token_id = {uuid.UUID(int=RANDOM.getrandbits(128))}",
        "max_tokens: 1000000, tokens = 12345678901234567890",
        "https://user:password@example.org/ and https://user:$PASSWORD@example.org",
        "sk-ant-... and sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "basic understanding of bearer authentication1",
        "risk-assessment-for-the-whole-of-the-next-quarter-2026",
        "secret_key_base is read by ActiveSupport::MessageEncryptor2",
        "--token-file=/etc/hqd/credentials/github_token_2",
    ],
)
def test_prose_placeholders_and_references_stay(line: str) -> None:
    assert scan(line) == ()


def test_object_ids_and_lock_files_stay() -> None:
    """Hundreds of hashes, none beside a telling word."""
    lines = []
    for number in range(300):
        digest = hashlib.sha512(str(number).encode())
        lines += [
            f"commit {digest.hexdigest()[:40]}",
            f"index {digest.hexdigest()[:7]}..{digest.hexdigest()[7:14]} 100644",
            f'"integrity": "sha512-{base64.b64encode(digest.digest()).decode()}",',
            f'{{ file = "x-1.0.tar.gz", hash = "sha256:{digest.hexdigest()[:64]}" }}',
            f"golang.org/x/text v0.3.0 h1:{base64.b64encode(digest.digest()[:32]).decode()}",
            f"id = {uuid.UUID(bytes=digest.digest()[:16])}",
        ]

    assert scan("\n".join(lines)) == ()


def test_the_source_of_hqd_itself_holds_no_secret() -> None:
    """Nine thousand lines that speak of tokens, keys and passwords all the time."""
    faults = {
        str(path): found
        for path in sorted(Path(__file__).parents[2].joinpath("hqd").rglob("*.py"))
        if (found := scan(path.read_bytes()))
    }

    assert faults == {}


def test_known_values_are_found_in_every_encoding() -> None:
    value = "s3cr+t/välue&more"
    for offset in range(3):
        encoded = base64.b64encode(b"u" * offset + value.encode() + b"tail").decode()
        assert scan(f"x {encoded} y", [value]), offset
    for text in (value, quote(value, safe=""), json.dumps(value), base64.urlsafe_b64encode(value.encode()).decode()):
        found = scan(f"\n\n{text}", [value])
        assert [(secret.kind, secret.line) for secret in found] == [("known", 3)], text
    assert scan("nothing here", [value]) == ()


def test_a_known_value_names_the_finding_even_where_a_form_fits_too() -> None:
    clean, found = redact(f"token = {FORMS['github']}".encode(), [FORMS["github"]])

    assert clean == b"token = [redacted:known]"
    assert len(found) == 1


def test_a_known_value_too_short_to_tell_is_left_alone() -> None:
    assert scan("yes, yes", ["yes", ""]) == ()


def test_mask_strikes_out_known_values_only() -> None:
    text = f"a {FORMS['github']} and tiger-lily-7"

    assert mask(text, ["tiger-lily-7"]) == f"a {FORMS['github']} and [redacted:known]"
    assert mask(text, []) == text


def test_positions_are_bytes_and_nothing_overlaps() -> None:
    text = f"é {FORMS['npm']} é\n{FORMS['npm']}{FORMS['jwt']}\npassword={FORMS['slack']}"
    found = scan(text)

    assert text.encode()[found[0].start : found[0].end].decode() == FORMS["npm"]
    assert all(before.end <= after.start for before, after in itertools.pairwise(found))
    assert found[-1].line == 3


HOSTILE = {
    "jwt starts": "eyJ",
    "dotted jwt": "eyJaaaaaaaaaa.",
    "key begins": "-----BEGIN PRIVATE KEY-----",
    "key begins with gaps": "-----BEGIN RSA PRIVATE KEY-----" + "A" * 5000,
    "words": "password",
    "words and colons": "token:",
    "open quotes": 'api_key="',
    "addresses": "://a:",
    "long user": "://" + "a" * 70 + ":" + "b" * 130,
    "prefixes": "sk-ant-gh" + "p_npm_xoxb-",
    "dashes": "sk-proj-",
    "blanks": "password          ",
    "letters": "a",
    "bearers": "Bearer ",
    "newlines": "\n",
    "slack": "xoxb-1-",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_takes_no_more_than_linear_time(name: str) -> None:
    """A quadratic search of two megabytes would take hours; the bound leaves room for a busy machine."""
    data = (HOSTILE[name] * (2_000_000 // len(HOSTILE[name]) + 1)).encode()
    began = time.process_time()

    scan(data, ["some-known-value"])

    assert time.process_time() - began < 10
