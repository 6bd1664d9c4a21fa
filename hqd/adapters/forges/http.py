"""The one client that speaks to forges: limits, time-outs, repeats, paging and ETags, the same for all of them.

- A repeat is safe or it is looked up. Reads and writes whose repetition does no harm are simply sent again. What
  creates something is sent again only after a look whether the forge has done it and then failed to say so.
- The token stands in one header of requests to one origin: never in an address, a message, or a request to where a
  server's own links or redirects lead.
- A limit that would take longer than `Patience.total` is not waited for: it is an error at once, and until it has
  passed nothing is sent, so that a wait does not turn into a ban.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

from hqd.adapters.forges import verdict
from hqd.adapters.forges.answer import Answer, Json, unreadable
from hqd.core.secret_scan import mask
from hqd.errors import ForgeRefused, ForgeUnavailable, Misconfigured
from hqd.model.review import RateState

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
_LONGEST_LINK = 8000
Params = Mapping[str, str | int]


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


@dataclass(frozen=True, slots=True)
class Patience:
    """Bounds of one call, in seconds, bytes and counts. `spacing`: least time between two writes."""

    tries: int = 4
    total: float = 45.0  # a call with all its repeats and waits
    connect: float = 10.0
    silence: float = 20.0  # longest time without a byte of an answer
    answer: float = 40.0  # a whole answer
    first_wait: float = 1.0
    spacing: float = 0.0
    largest: int = 20_000_000
    pages: int = 100  # of one list


@dataclass(frozen=True, slots=True)
class _Kept:
    etag: str
    data: Any
    headers: Mapping[str, str]


@dataclass(slots=True)
class _Limits:
    """What the forge has told so far. Written under the client's lock."""

    limit: int | None = None
    remaining: int | None = None
    resets: datetime | None = None
    blocked: dict[str, float] = field(default_factory=dict)  # resource -> monotonic time
    last_write: float = float("-inf")
    requests: int = 0
    unchanged: int = 0


class ForgeHttp:
    """One repository's server. `api`: the address of its API; `header`: name of the token's header and what precedes.

    `token` is asked before each request, so that a renewed credential counts at once. `pause(seconds)` waits and says
    whether hqd is stopping meanwhile. `where`: what a person does about a token that is missing. `refused` is told that
    the forge does not take the token, or that it does not let it do something. Safe to use from several threads.
    """

    def __init__(
        self,
        api: str,
        token: Callable[[], str | None],
        header: tuple[str, str] = ("Authorization", "Bearer "),
        headers: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        *,
        proxy: str | None = None,
        ca_file: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], bool] = _sleep,
        kept: int = 2000,
        where: str = "put it where [forge] `token` says",
        refused: Callable[[], object] = lambda: None,
    ) -> None:
        self._base = _checked(api)
        self._token, self._where, self._header, self._refused = token, where, header, refused
        self._headers = {"Accept": "application/json", "User-Agent": "hqd", **(headers or {})}
        self._patience = patience or Patience()
        self._proxy, self._ca_file = proxy, ca_file
        self._now, self._clock, self._pause = now, clock, pause
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._most_kept = kept
        self._limits = _Limits()
        self._made: httpx.Client | None = None

    @property
    def base(self) -> str:
        """The address of the API, without a slash at its end."""
        return self._base

    def get(self, path: str, params: Params | None = None) -> Answer:
        """One read; where an earlier answer is known, conditional."""
        return self._ask("GET", self._url(path, params), None, _never)

    def find(self, path: str, params: Params | None = None) -> Answer | None:
        """Like `get`; None where there is no such thing."""
        try:
            return self.get(path, params)
        except ForgeRefused as refused:
            if refused.cause != "missing":
                raise
            return None

    def pages(self, path: str, params: Params | None = None, rows: str = "") -> Iterator[Json]:
        """The elements of a list, over all its pages as `Link` names them; `rows`: the key that holds them."""
        url: str | None = self._url(path, params)
        for _page in range(self._patience.pages):
            if url is None:
                return
            answer = self._ask("GET", url, None, _never)
            yield from answer.said.rows(rows)
            url = self._next(url, answer.headers.get("link", ""))
        if url is not None:
            raise ForgeRefused("invalid", f"the list {path} has more than {self._patience.pages} pages")

    def write(self, method: str, path: str, body: Any = None) -> Answer:
        """One change that may be sent twice without harm (the caller vouches for it)."""
        return self._write(method, path, body, _never)

    def create(self, path: str, body: Any, done: Callable[[], T | None], read: Callable[[Json], T]) -> T:
        """One change that must not happen twice. `done` looks whether it has happened; asked before each repeat, and
        where the answer cannot be read."""
        answer = self._write("POST", path, body, done)
        if not isinstance(answer, Answer):
            return answer
        try:
            return read(answer.said)
        except ForgeUnavailable:
            found = done()
            if found is None:
                raise
            return found

    def rate(self) -> RateState:
        with self._lock:
            known, left = self._limits, max(self._limits.blocked.values(), default=0.0) - self._clock()
            return RateState(
                limit=known.limit, remaining=known.remaining, resets=known.resets,
                blocked_until=self._now() + timedelta(seconds=left) if left > 0 else None,
                requests=known.requests, unchanged=known.unchanged,
            )  # fmt: skip

    def close(self) -> None:
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()

    def _write(self, method: str, path: str, body: Any, done: Callable[[], T | None]) -> Answer | T:
        with self._writing:
            rest = self._limits.last_write + self._patience.spacing - self._clock()
            if rest > 0 and self._pause(rest):
                raise ForgeUnavailable("down", "hqd is stopping")
            try:
                return self._ask(method, self._url(path, None), body, done)
            finally:
                self._limits.last_write = self._clock()

    def _ask(self, method: str, url: str, body: Any, done: Callable[[], T | None]) -> Answer | T:
        """An Answer, or what `done` found. Raises ForgeRefused and ForgeUnavailable."""
        deadline = self._clock() + self._patience.total
        for number in range(1, self._patience.tries + 1):
            try:
                return self._once(method, url, body)
            except ForgeUnavailable as trouble:
                self._wait_or_give_up(trouble, number, deadline)
            found = done()
            if found is not None:
                return found
        raise AssertionError("the last try gives up")

    def _wait_or_give_up(self, trouble: ForgeUnavailable, number: int, deadline: float) -> None:
        wait = trouble.wait if trouble.wait is not None else self._patience.first_wait * 2 ** (number - 1)
        if trouble.cause == "limit" and number > 1:
            wait *= 2 ** (number - 1)  # a secondary limit that still holds wants more than it said
        if number == self._patience.tries or self._clock() + wait > deadline or self._pause(wait):
            raise trouble

    def _once(self, method: str, url: str, body: Any) -> Answer:
        resource = "graphql" if urlsplit(url).path.endswith("/graphql") else "core"
        self._heed(resource)
        token = self._secret()
        with self._lock:
            kept = self._kept.get(url) if method == "GET" else None
        asked = mask(f"{method} {urlsplit(url).path}", {token})
        try:
            status, headers, raw = self._exchange(method, url, body, token, kept)
            data = _json(raw, status, asked)
        except ForgeUnavailable as trouble:
            message = mask(trouble.message, {token})
            raise ForgeUnavailable(trouble.cause, message, wait=trouble.wait, remedy=trouble.remedy) from None
        fault = verdict.fault_of(status, headers, data, self._now())
        self._learn(resource, status, headers, fault)
        if fault is not None:
            fault.message = mask(f"{asked}: {fault.message}", {token})
            fault.args = (fault.message,)
            if fault.cause in ("credentials", "rights"):
                self._refused()
            raise fault
        if status == 304:
            if kept is None:
                raise unreadable(asked, "it says that nothing has changed, and was not asked that")
            return Answer(
                status, Json(kept.data, asked, unread=lambda: self._forget(url)), kept.headers, unchanged=True
            )
        if method == "GET" and headers.get("etag"):
            self._keep(url, _Kept(headers["etag"], data, {"link": headers.get("link", "")}))
        return Answer(status, Json(data, asked, unread=lambda: self._forget(url)), headers)

    def _heed(self, resource: str) -> None:
        with self._lock:
            left = self._limits.blocked.get(resource, 0.0) - self._clock()
        if left > 0.05:
            raise ForgeUnavailable(
                "limit",
                f"the forge has asked to wait; {left:.0f} s are left",
                wait=left,
                remedy="hqd goes on by itself",
            )

    def _learn(self, resource: str, status: int, headers: Mapping[str, str], fault: verdict.Fault | None) -> None:
        limit, remaining = verdict.limits(headers)
        spent = verdict.spent_until(headers, self._now())
        wait = fault.wait if isinstance(fault, ForgeUnavailable) and fault.cause == "limit" else spent
        with self._lock:
            self._limits.requests += 1
            self._limits.unchanged += status == 304
            if limit is not None and resource == "core":
                self._limits.limit, self._limits.remaining = limit, remaining
                self._limits.resets = verdict.resets_at(headers)
            if wait is not None:
                self._limits.blocked[resource] = self._clock() + wait

    def _keep(self, url: str, kept: _Kept) -> None:
        with self._lock:
            self._kept[url] = kept
            self._kept.move_to_end(url)
            while len(self._kept) > self._most_kept:
                self._kept.popitem(last=False)

    def _forget(self, url: str) -> None:
        """An answer that could not be read is asked for whole the next time, whatever its ETag says."""
        with self._lock:
            self._kept.pop(url, None)

    def _secret(self) -> str:
        token = (self._token() or "").strip()
        if not token:
            raise ForgeRefused("credentials", "there is no token for the forge", remedy=self._where)
        if not (token.isascii() and token.isprintable()):
            raise ForgeRefused("credentials", "the token for the forge holds characters that no token has")
        return token

    def _exchange(
        self, method: str, url: str, body: Any, token: str, kept: _Kept | None
    ) -> tuple[int, dict[str, str], bytes]:
        import httpx

        headers = {**self._headers, self._header[0]: self._header[1] + token}
        if kept is not None:
            headers["If-None-Match"] = kept.etag
        try:
            with self._client().stream(method, url, json=body, headers=headers) as response:
                raw = self._whole(response, f"{method} {urlsplit(url).path}")
                return response.status_code, {key.lower(): value for key, value in response.headers.items()}, raw
        except httpx.TimeoutException as late:
            raise ForgeUnavailable("timeout", f"the forge did not answer in time ({type(late).__name__})") from late
        except (httpx.TransportError, httpx.DecodingError) as broken:
            raise ForgeUnavailable(
                "down", f"the forge cannot be reached: {broken or type(broken).__name__}"
            ) from broken

    def _whole(self, response: httpx.Response, asked: str) -> bytes:
        """The body, within bounds of size and time: httpx itself bounds only the silence between two pieces."""
        until, raw = self._clock() + self._patience.answer, bytearray()
        for piece in response.iter_bytes():
            raw += piece
            if len(raw) > self._patience.largest:
                raise unreadable(asked, f"it is longer than {self._patience.largest} bytes")
            if self._clock() > until:
                raise ForgeUnavailable("timeout", "the forge's answer took too long")
        return bytes(raw)

    def _client(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._made is None:
                wait = httpx.Timeout(self._patience.silence, connect=self._patience.connect)
                verify: Any = self._base.startswith("https:")  # without TLS no certificates are loaded
                if verify and self._ca_file is not None:
                    import ssl

                    verify = ssl.create_default_context(cafile=self._ca_file)
                self._made = httpx.Client(
                    timeout=wait, verify=verify, trust_env=False, proxy=self._proxy, follow_redirects=False
                )
            return self._made

    def _url(self, path: str, params: Params | None) -> str:
        query = f"?{urlencode(sorted(params.items()))}" if params else ""
        if path.startswith("//"):  # from the root of the same server, not of the API
            return urljoin(self._base, path[1:]) + query
        return self._base + path + query

    def _next(self, url: str, links: str) -> str | None:
        """The next page, always on the server that the token is for, whatever name the link gives it."""
        for link in links.split(","):
            address, _, relation = link.partition(";")
            if 'rel="next"' in relation:
                return _beside(url, address.strip().strip("<>"))
        return None


def _beside(url: str, link: str) -> str:
    """The link's path and query on this address's server. Raises ForgeUnavailable where it is no link."""
    asked = f"GET {urlsplit(url).path}"
    if len(link) > _LONGEST_LINK or not (link.isascii() and link.isprintable()):
        raise unreadable(asked, "its link to the next page is none")
    try:
        there = urlsplit(urljoin(url, link))
    except ValueError:
        raise unreadable(asked, "its link to the next page is none") from None
    found = urlsplit(url)._replace(path=there.path, query=there.query).geturl()
    if found == url:
        raise unreadable(asked, "its next page is itself")
    return found


def _never() -> Answer | None:
    """For what may be repeated without a look."""
    return None


def _checked(api: str) -> str:
    parts = urlsplit(api)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.password or parts.query:
        raise Misconfigured(
            "`api_url` in [forge] is no address of an API, or holds a user or password",
            remedy="write it like https://forge.example.org/api/v3; the token goes in `token`",
        )
    return api.rstrip("/")


def _json(raw: bytes, status: int, asked: str) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as fault:
        if 200 <= status < 300:
            kind = "nested too deeply" if isinstance(fault, RecursionError) else "no JSON"
            raise unreadable(asked, f"it is {kind}") from None
        return None  # a proxy's error page says nothing that its status does not
