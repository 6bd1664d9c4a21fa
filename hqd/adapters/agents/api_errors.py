"""What ended a request to the Messages API, as a failure class. Pure; reads the SDK's errors by their attributes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from hqd.codec.own_words import one_line
from hqd.model.failure import Failure

_SPENT = re.compile(r"credit balance|billing|spend(?:ing)? limit|usage limit|quota|payment", re.I)
_TOO_LONG = re.compile(r"too long|too large|exceeds? (?:the )?(?:context|maximum)|context (?:limit|window)", re.I)
_SPENT_CODES = re.compile(r"spend_limit|billing|organization_on_hold")
_NO_FORMAT = re.compile(r"output_config|output_format|structured output", re.I)
_BY_TYPE = {
    "authentication_error": Failure.CREDENTIALS,
    "permission_error": Failure.CREDENTIALS,
    "billing_error": Failure.PROVIDER,
    "not_found_error": Failure.PROVIDER,
    "rate_limit_error": Failure.TRANSIENT,
    "timeout_error": Failure.TRANSIENT,
    "overloaded_error": Failure.TRANSIENT,
    "api_error": Failure.TRANSIENT,
    "conflict_error": Failure.TRANSIENT,
}
_BY_STATUS = {
    401: Failure.CREDENTIALS,
    402: Failure.PROVIDER,
    403: Failure.CREDENTIALS,
    404: Failure.PROVIDER,
    408: Failure.TRANSIENT,
    409: Failure.TRANSIENT,
    413: Failure.CONTEXT,
    429: Failure.TRANSIENT,
}


@dataclass(frozen=True, slots=True)
class Fault:
    failure: Failure
    message: str
    retry_after: float | None = None  # seconds


def fault_of(error: BaseException, now: datetime | None = None) -> Fault:
    """The class of an SDK error; whatever has no HTTP status is a broken connection or answer, and transient."""
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        name = type(error).__name__
        return Fault(Failure.TRANSIENT, one_line(f"{name}: {error}" if str(error) else name))
    text = str(getattr(error, "api_message", None) or error)
    wait = _retry_after(error, now or datetime.now(UTC))
    failure = _class(status, error, text, wait)
    return Fault(failure, one_line(f"{status} {text}"), wait if failure is Failure.TRANSIENT else None)


def lacks_structured_output(error: BaseException | None) -> bool:
    """Whether a server refuses `output_config`, which not every one that speaks the Messages API knows."""
    return getattr(error, "status_code", None) == 400 and _NO_FORMAT.search(str(error)) is not None


def _class(status: int, error: BaseException, text: str, wait: float | None) -> Failure:
    if _SPENT_CODES.search(str(getattr(error, "error_code", None) or "")):
        return Failure.PROVIDER
    kind = str(getattr(error, "type", None) or "")
    if status < 400:  # an `error` event inside a stream that began well
        return _BY_TYPE.get(kind, Failure.TRANSIENT)
    if status in (400, 429) and wait is None and (kind == "billing_error" or _SPENT.search(text)):
        return Failure.PROVIDER
    if status in (400, 413) and _TOO_LONG.search(text):
        return Failure.CONTEXT
    if status >= 500:
        return Failure.TRANSIENT
    return _BY_STATUS.get(status, Failure.AGENT_ERROR)


def _retry_after(error: Any, now: datetime) -> float | None:
    """Seconds, from a number or an HTTP date."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    value = headers.get("retry-after")
    if value is None:
        return None
    if re.fullmatch(r"\d{1,7}(?:\.\d+)?", value.strip()):
        return float(value)
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (then - now).total_seconds()) if then.tzinfo is not None else None
