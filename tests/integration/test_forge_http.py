"""The client that all forges share, over real HTTP: limits, repeats, ETags, pages, time-outs, ways of the token."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hqd.adapters.forges.http import ForgeHttp, Patience
from hqd.adapters.forges.verdict import fault_of, limit_wait, said
from hqd.adapters.secrets import EnvironmentSecrets
from hqd.bootstrap.forge import Forges
from hqd.errors import ForgeRefused, ForgeUnavailable
from hqd.model.review import ReviewRequest
from hqd.model.settings import Settings
from hqd.testing.forge_server import TOKEN
from tests.forge_scene import QUICK, Scene, scene, template

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMIT = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}
PULLS = "/repos/acme/hq/pulls"


class Time:
    """A clock that only `pause` moves. `pauses`: what was waited."""

    def __init__(self) -> None:
        self.seconds, self.pauses = 1000.0, list[float]()
        self.stopping = False

    def clock(self) -> float:
        return self.seconds

    def pause(self, seconds: float) -> bool:
        self.pauses.append(round(seconds, 1))
        self.seconds += seconds
        return self.stopping


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, isolated_environment: None) -> Path:
    return template(tmp_path_factory.mktemp("forge"))


@pytest.fixture
def at(made: Path, tmp_path: Path) -> Iterator[Scene]:
    with scene(made, tmp_path) as found:
        yield found


@pytest.fixture
def client(at: Scene) -> Iterator[Callable[..., ForgeHttp]]:
    """A client of the scene's server; keywords as ForgeHttp takes them."""
    clients: list[ForgeHttp] = []

    def make(**options: Any) -> ForgeHttp:
        options = {"patience": QUICK, **options}
        token = options.pop("token", lambda: TOKEN)
        clients.append(ForgeHttp(options.pop("url", at.server.url), token, **options))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


def test_a_second_read_is_conditional_and_a_304_costs_nothing(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    http, left = client(), at.server.remaining
    first, second = http.get(PULLS), http.get(PULLS)
    assert (first.unchanged, second.unchanged) == (False, True)
    assert second.data == first.data
    assert at.server.remaining == left - 1
    assert at.server.requests[1].headers["if-none-match"]
    rate = http.rate()
    assert (rate.requests, rate.unchanged, rate.remaining) == (2, 1, left - 1)


def test_a_change_is_seen_in_spite_of_the_etag(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    http = client()
    assert http.get(PULLS).data == []
    at.opened()
    answer = http.get(PULLS)
    assert not answer.unchanged
    assert [pull["number"] for pull in answer.data] == [1]


def test_pages_of_a_list_stay_whole_when_all_are_304(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    number = at.opened().number
    for count in range(25):
        at.forge.say(number, f"comment {count}", by="tim")
    http, path = client(), f"/repos/acme/hq/issues/{number}/comments"
    first = [each.text("body") for each in http.pages(path, {"per_page": 10})]
    assert first == [f"comment {count}" for count in range(25)]
    left = at.server.remaining
    assert [each.text("body") for each in http.pages(path, {"per_page": 10})] == first
    assert at.server.remaining == left


def test_a_list_without_end_is_refused(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    number = at.opened().number
    for count in range(5):
        at.forge.say(number, f"comment {count}", by="tim")
    http = client(patience=dataclasses.replace(QUICK, pages=3))
    with pytest.raises(ForgeRefused, match="more than 3 pages"):
        list(http.pages(f"/repos/acme/hq/issues/{number}/comments", {"per_page": 1}))


def test_remembered_answers_are_bounded(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    http = client(kept=2)
    for page in (1, 2, 3, 3, 1):
        http.get(PULLS, {"page": page})
    conditional = ["if-none-match" in seen.headers for seen in at.server.requests]
    assert conditional == [False, False, False, True, False]


@pytest.mark.parametrize("name", ["other.example", "127.0.0.1:1"])
def test_the_next_page_is_asked_of_the_same_server_whatever_the_link_says(
    at: Scene, client: Callable[..., ForgeHttp], name: str
) -> None:
    link = f'<https://{name}{PULLS}?page=2>; rel="next"'
    at.server.fail(path=PULLS, status=200, body=[{"number": 9}], headers={"link": link})
    assert [row.number("number") for row in client().pages(PULLS)] == [9]
    assert [seen.path for seen in at.server.requests] == [PULLS, f"{PULLS}?page=2"]


def test_a_redirect_is_not_followed_and_named_as_a_move(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    """A renamed repository answers 301: following it would carry the token to wherever that leads."""
    at.server.fail(path=PULLS, status=301, headers={"location": "http://127.0.0.1:1/x"}, body={"message": "Moved"})
    with pytest.raises(ForgeRefused, match="another address") as refused:
        client().get(PULLS)
    assert refused.value.cause == "moved"
    assert "new name" in refused.value.remedy
    assert len(at.server.requests) == 1


def test_retry_after_is_heeded(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    when = Time()
    http = client(patience=Patience(tries=3, total=60), clock=when.clock, pause=when.pause)
    at.server.fail(path=PULLS, status=429, headers={"retry-after": "7"})
    assert http.get(PULLS).data == []
    assert when.pauses == [7.0]


def test_a_server_in_trouble_may_name_a_time_too(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    when = Time()
    http = client(patience=Patience(tries=3, total=60), clock=when.clock, pause=when.pause)
    at.server.fail(path=PULLS, status=503, headers={"retry-after": "11"})
    http.get(PULLS)
    assert when.pauses == [11.0]


def test_a_secondary_limit_waits_longer_each_time(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    when = Time()
    http = client(patience=Patience(tries=4, total=3600), clock=when.clock, pause=when.pause)
    at.server.fail(path=PULLS, times=2, status=403, body=LIMIT)
    http.get(PULLS)
    assert when.pauses == [60.0, 120.0]


def test_a_limit_longer_than_the_patience_is_told_at_once_and_nothing_is_sent_before(
    at: Scene, client: Callable[..., ForgeHttp]
) -> None:
    when = Time()
    http = client(patience=Patience(total=45), clock=when.clock, pause=when.pause, now=lambda: NOW)
    at.server.fail(path=PULLS, status=403, body=LIMIT)
    with pytest.raises(ForgeUnavailable) as limited:
        http.get(PULLS)
    assert (limited.value.cause, limited.value.wait) == ("limit", 60.0)
    with pytest.raises(ForgeUnavailable, match="60 s are left"):
        http.get(PULLS)
    assert (len(at.server.requests), when.pauses) == (1, [])
    assert http.rate().blocked_until == NOW + timedelta(seconds=60)
    when.seconds += 61
    assert http.get(PULLS).data == []


def test_when_nothing_is_left_of_the_primary_limit_nothing_is_asked_until_it_is_renewed(
    made: Path, tmp_path: Path
) -> None:
    with scene(made, tmp_path, limit=2) as at:
        http = ForgeHttp(at.server.url, lambda: TOKEN, patience=QUICK)
        http.get(PULLS)
        http.get(PULLS + "?page=2")
        with pytest.raises(ForgeUnavailable) as limited:
            http.get(PULLS + "?page=3")
        assert limited.value.cause == "limit"
        assert 3500 < (limited.value.wait or 0) <= 3602
        assert len(at.server.requests) == 2
        http.close()


def test_a_limit_is_measured_by_the_servers_own_clock() -> None:
    """A clock here that is an hour wrong must not turn a minute into an hour, or into nothing."""
    headers = {
        "date": format_datetime(NOW, usegmt=True),
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(int(NOW.timestamp()) + 90),
    }
    for wrong in (-3600, 0, 3600):
        assert limit_wait(headers, NOW + timedelta(seconds=wrong)) == 91.0


def test_retry_after_may_be_a_date() -> None:
    headers = {"retry-after": format_datetime(NOW + timedelta(seconds=30), usegmt=True)}
    assert limit_wait(headers, NOW) == 30.0


@pytest.mark.parametrize("text", ["soon", "-5", "1e9", "99999999999999999999", "", "²"])
def test_a_wait_that_is_none_becomes_a_minute(text: str) -> None:
    assert limit_wait({"retry-after": text, "x-ratelimit-reset": text, "x-ratelimit-remaining": "0"}, NOW) == 60.0


@pytest.mark.parametrize(
    ("status", "headers", "cause"),
    [
        (401, {}, "credentials"),
        (403, {"x-ratelimit-remaining": "12"}, "rights"),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, "limit"),
        (403, {"retry-after": "5"}, "limit"),
        (404, {}, "missing"),
        (405, {}, "blocked"),
        (409, {}, "conflict"),
        (418, {}, "invalid"),
        (422, {}, "invalid"),
        (429, {}, "limit"),
        (502, {}, "down"),
        (308, {}, "moved"),
    ],
)
def test_every_status_has_a_cause(status: int, headers: dict[str, str], cause: str) -> None:
    fault = fault_of(status, headers, None, NOW)
    assert fault is not None
    assert fault.cause == cause
    assert fault.message


def test_a_servers_words_come_in_one_clean_bounded_line() -> None:
    line = said({"message": "no\x1b[31m\n\u202ered" + "x" * 5000, "errors": [{"field": "head", "code": "invalid"}]})
    assert line.startswith("no [31m redx")
    assert len(line) <= 300
    assert said({"message": "Validation Failed", "errors": [{"field": "head", "code": "invalid"}]}) == (
        "Validation Failed; head invalid"
    )


@pytest.mark.parametrize(
    "how", [{"status": 500}, {"status": 503, "how": "html"}, {"how": "cut"}, {"how": "garbage", "status": 200}]
)
def test_a_read_is_repeated_with_growing_waits_and_then_given_up(
    at: Scene, client: Callable[..., ForgeHttp], how: dict[str, Any]
) -> None:
    when = Time()
    http = client(patience=Patience(tries=4, total=60, first_wait=1.0), clock=when.clock, pause=when.pause)
    at.server.fail(path=PULLS, times=3, **how)
    assert http.get(PULLS).data == []
    assert when.pauses == [1.0, 2.0, 4.0]
    at.server.fail(path=PULLS, times=4, **how)
    with pytest.raises(ForgeUnavailable) as down:
        http.get(PULLS)
    assert down.value.cause == ("answer" if how.get("how") == "garbage" else "down")


def test_repeats_end_with_the_time_of_the_whole_call(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    when = Time()
    http = client(patience=Patience(tries=50, total=20, first_wait=4.0), clock=when.clock, pause=when.pause)
    at.server.fail(path=PULLS, times=99, status=500)
    with pytest.raises(ForgeUnavailable):
        http.get(PULLS)
    assert when.pauses == [4.0, 8.0]


def test_a_stop_ends_the_waiting(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    when = Time()
    when.stopping = True
    at.server.fail(path=PULLS, times=9, status=500)
    with pytest.raises(ForgeUnavailable):
        client(clock=when.clock, pause=when.pause).get(PULLS)
    assert len(at.server.requests) == 1


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_silence_and_an_answer_without_end_are_both_bounded(
    at: Scene, client: Callable[..., ForgeHttp], how: str
) -> None:
    http = client(patience=dataclasses.replace(QUICK, tries=1, silence=0.3, answer=0.3))
    at.server.fail(path=PULLS, how=how)
    began = time.monotonic()
    with pytest.raises(ForgeUnavailable) as late:
        http.get(PULLS)
    assert late.value.cause == "timeout"
    assert time.monotonic() - began < 5


def test_an_answer_too_large_is_not_read_to_its_end(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    at.server.fail(path=PULLS, times=9, status=200, body=["x" * 100_000])
    with pytest.raises(ForgeUnavailable, match="longer than 5000 bytes") as late:
        client(patience=dataclasses.replace(QUICK, largest=5000)).get(PULLS)
    assert late.value.cause == "answer"


def test_an_answer_that_could_not_be_read_is_not_kept(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    """Else a 304 would bring it back for ever."""
    at.opened()
    http, whole = client(), client().get(f"{PULLS}/1")
    at.server.fail(path=PULLS, status=200, body={}, headers={"etag": whole.headers["etag"]})
    with pytest.raises(ForgeUnavailable, match="`number` is missing"):
        http.get(f"{PULLS}/1").said.number("number")
    answer = http.get(f"{PULLS}/1")
    assert (answer.unchanged, answer.said.number("number")) == (False, 1)
    assert http.get(f"{PULLS}/1").unchanged


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("http://[::1", "its link to the next page is none"),
        (f"{PULLS}?page=\x7f", "its link to the next page is none"),
        ("/" + "x" * 9000, "its link to the next page is none"),
        (PULLS, "its next page is itself"),
    ],
)
def test_a_next_page_that_is_none_is_an_expected_error(
    at: Scene, client: Callable[..., ForgeHttp], link: str, words: str
) -> None:
    at.server.fail(path=PULLS, times=9, status=200, body=[], headers={"link": f'<{link}>; rel="next"'})
    with pytest.raises(ForgeUnavailable, match=words) as fault:
        list(client().pages(PULLS))
    assert fault.value.cause == "answer"
    assert len(at.server.requests) == 1


@pytest.mark.parametrize("status", [200, 400, 500])
def test_json_without_end_in_it_is_an_expected_error(at: Scene, client: Callable[..., ForgeHttp], status: int) -> None:
    deep: Any = "bottom"
    for _ in range(400):
        deep = [{"message": deep}]
    at.server.fail(path=PULLS, times=9, status=status, body={"errors": [deep] * 500, "message": deep})
    with pytest.raises((ForgeUnavailable, ForgeRefused)) as fault:
        client().get(PULLS).said.rows()
    assert len(fault.value.message) < 500


def test_a_server_that_is_not_there_is_said(client: Callable[..., ForgeHttp]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        http = client(url=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(ForgeUnavailable, match="cannot be reached") as down:
            http.get(PULLS)
    assert down.value.cause == "down"


def test_a_create_whose_look_fails_is_not_repeated(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    """Not knowing whether it was done is no reason to do it again."""
    at.opened()
    comments = "/repos/acme/hq/issues/1/comments"
    http = client()
    at.server.fail(method="POST", path=comments, status=502, done=True)
    at.server.fail(method="GET", path=comments, times=9, status=502)
    with pytest.raises(ForgeUnavailable):
        http.create(comments, {"body": "once"}, lambda: http.get(comments).data or None, lambda row: row)
    assert [said.body for said in at.forge.comments] == ["once"]


def test_a_refusal_is_not_repeated(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    with pytest.raises(ForgeRefused):
        client().write("PATCH", "/repos/acme/hq/pulls/77", {"title": "x"})
    assert len(at.server.requests) == 1


def test_writes_keep_their_distance(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    number = at.opened().number
    when = Time()
    http = client(patience=Patience(spacing=1.0), clock=when.clock, pause=when.pause)
    for _ in range(3):
        http.write("POST", f"/repos/acme/hq/issues/{number}/labels", {"labels": ["a"]})
    http.get(PULLS)
    assert when.pauses == [1.0, 1.0]


def test_writes_of_several_threads_go_one_after_the_other(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    number = at.opened().number
    http, faults = client(patience=dataclasses.replace(QUICK, spacing=0.05)), list[Exception]()

    def write() -> None:
        try:
            http.write("POST", f"/repos/acme/hq/issues/{number}/labels", {"labels": ["a"]})
        except Exception as fault:  # noqa: BLE001 - shown below
            faults.append(fault)

    threads = [threading.Thread(target=write) for _ in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    times = [seen.at for seen in at.server.requests if seen.path.endswith("/labels")]
    assert faults == []
    assert len(times) == 5
    assert min(later - earlier for earlier, later in pairwise(times)) >= 0.045


@pytest.mark.parametrize("token", [None, "", "  ", "two\nlines", "snow☃man"])
def test_a_token_that_is_none_is_said_before_anything_is_sent(
    at: Scene, client: Callable[..., ForgeHttp], token: str | None
) -> None:
    with pytest.raises(ForgeRefused) as refused:
        client(token=lambda: token).get(PULLS)
    assert refused.value.cause == "credentials"
    assert at.server.requests == []


def test_a_renewed_token_counts_at_once(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    tokens = iter(["old", TOKEN])
    http = client(token=lambda: next(tokens))
    with pytest.raises(ForgeRefused):
        http.get(PULLS)
    assert http.get(PULLS).data == []


@pytest.mark.parametrize("how", [{"status": 400}, {"status": 500}, {"status": 403}, {"status": 404}])
def test_a_token_that_a_server_repeats_is_masked(
    at: Scene, client: Callable[..., ForgeHttp], how: dict[str, Any]
) -> None:
    at.server.fail(path=PULLS, times=9, body={"message": f"bad header: Bearer {TOKEN}"}, **how)
    with pytest.raises((ForgeRefused, ForgeUnavailable)) as fault:
        client().get(PULLS)
    shown = f"{fault.value} {fault.value.message} {fault.value.args} {fault.value.remedy} {fault.getrepr()}"
    assert "bad header" in shown
    assert TOKEN not in shown


def test_the_token_stands_in_one_header_and_in_no_log_or_address(at: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    at.push("hqd/T-1", {"b.txt": "b\n"})
    at.remote.open_review(ReviewRequest(branch="hqd/T-1", base="main", title="A title"))
    assert at.server.requests
    for seen in at.server.requests:
        assert TOKEN not in seen.path
        assert TOKEN not in repr(seen.body)
        assert [name for name, value in seen.headers.items() if TOKEN in value] == ["authorization"]
    assert TOKEN not in caplog.text


def test_proxies_and_passwords_of_the_environment_are_not_taken(
    at: Scene, client: Callable[..., ForgeHttp], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only the command line reads the environment; httpx left alone would read proxies and ~/.netrc."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hidden\n", encoding="utf-8")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert client().get(PULLS).data == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_is_checked_and_a_companys_own_may_be_named(
    at: Scene, client: Callable[..., ForgeHttp], tmp_path: Path
) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-days", "2", "-subj", "/CN=forge", "-addext", "subjectAltName=IP:127.0.0.1"]
    argv += ["-keyout", str(key), "-out", str(cert), *names]
    subprocess.run(argv, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    at.server._http.socket = context.wrap_socket(at.server._http.socket, server_side=True)
    url = at.server.url.replace("http:", "https:")
    with pytest.raises(ForgeUnavailable, match="cannot be reached"):
        client(url=url).get(PULLS)
    assert at.server.requests == []
    assert client(url=url, ca_file=str(cert)).get(PULLS).data == []


def test_a_304_that_nobody_asked_for_is_trouble_not_data(at: Scene, client: Callable[..., ForgeHttp]) -> None:
    at.server.fail(path=PULLS, times=3, status=304)
    with pytest.raises(ForgeUnavailable, match="was not asked"):
        client().get(PULLS)


@pytest.mark.parametrize("kind", ["github", "gitlab", "gitea"])
def test_a_token_that_is_missing_is_asked_for_by_the_name_of_its_own_variable(kind: str) -> None:
    forge = {"kind": kind, "repo": "acme/hq", "token": "secret:acme-bot", "api_url": "https://127.0.0.1:9/api"}
    settings = Settings.model_validate({"format": 1, "forge": forge})
    forges = Forges(lambda: settings, EnvironmentSecrets({}), threading.Event())
    try:
        server, _token = forges.server(settings.forge, "acme/hq")
        with pytest.raises(ForgeRefused, match="no token") as refused:
            server.review(1)
    finally:
        forges.close()
    assert refused.value.remedy == "put it into $CREDENTIALS_DIRECTORY/acme-bot or HQD_SECRET_ACME_BOT"
