"""What tokens cost, and what an error of the API means for a retry."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hqd.adapters.agents.api_errors import fault_of, lacks_structured_output
from hqd.adapters.agents.prices import cost, price_of, priced, table
from hqd.model.failure import Failure
from hqd.model.record import Usage
from hqd.model.settings import AgentSettings, Price

PLAIN = AgentSettings(provider="anthropic", model="claude-sonnet-4-5")


def test_every_price_of_the_table_is_one() -> None:
    assert len(table()) > 10
    assert all(0 < price.input < price.output for price in table().values())


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        ("claude-sonnet-4-5", 3.0),
        ("claude-sonnet-4-5-20250929", 3.0),
        ("claude-opus-4-5-20251101", 5.0),
        ("claude-opus-4-1-20250805", 15.0),
        ("claude-opus-5-5", 4.0),
        ("claude-haiku-4-5", 1.0),
        ("claude-sonnet", None),
        ("claude-sonnet-45", None),
        ("llama-3", None),
    ],
)
def test_a_model_is_found_by_the_longest_beginning_of_its_name(model: str, dollars: float | None) -> None:
    price = price_of(model, PLAIN, {})

    assert (None if price is None else price.input) == dollars


def test_the_agents_price_then_the_settings_then_the_table() -> None:
    own = PLAIN.model_copy(update={"price": Price(input=9, output=9)})
    overrides = {"claude-sonnet-4-5": Price(input=8, output=8)}

    prices = [price_of("claude-sonnet-4-5", own, overrides), price_of("claude-sonnet-4-5", PLAIN, overrides)]

    assert [price.input for price in prices if price] == [9, 8]


def test_all_four_kinds_of_tokens_are_paid() -> None:
    usage = Usage(in_=1_000_000, out=1_000_000, cached=1_000_000, cache_write=1_000_000)

    assert cost(usage, Price(input=10, output=50)) == pytest.approx(10 + 50 + 1 + 12.5)
    assert cost(usage, Price(input=10, output=50, cache_read=0.25, cache_write=20)) == pytest.approx(80.25)
    assert cost(usage, None) is None


def test_a_cost_that_the_provider_gave_stands_and_no_tokens_have_no_price() -> None:
    assert priced(Usage(in_=5, cost=0.5), "claude-sonnet-4-5", PLAIN, {}).cost == 0.5
    assert priced(Usage(), "claude-sonnet-4-5", PLAIN, {}).cost is None


class ApiError(Exception):
    """Has what the SDK's errors have."""

    def __init__(self, status: int, message: str = "", kind: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status_code, self.api_message, self.type = status, message, kind
        self.response = type(
            "Response", (), {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}
        )


NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("Sun, 22 Nov 2026 12:01:00 GMT", 60.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    fault = fault_of(ApiError(429, "slow down", retry_after=value), NOW)

    assert (fault.failure, fault.retry_after) == (Failure.TRANSIENT, seconds)


def test_only_a_transient_fault_says_when_to_come_back() -> None:
    assert fault_of(ApiError(401, retry_after="5"), NOW).retry_after is None


def test_an_error_inside_a_stream_is_told_by_its_type() -> None:
    assert fault_of(ApiError(200, "Overloaded", "overloaded_error")).failure is Failure.TRANSIENT
    assert fault_of(ApiError(200, "no", "authentication_error")).failure is Failure.CREDENTIALS


def test_whatever_has_no_status_is_a_broken_connection() -> None:
    fault = fault_of(ConnectionError("reset by peer"))

    assert (fault.failure, fault.message) == (Failure.TRANSIENT, "ConnectionError: reset by peer")


def test_a_server_that_knows_no_structured_output_is_told_from_other_faults() -> None:
    assert lacks_structured_output(ApiError(400, "output_config: Extra inputs are not permitted"))
    assert not lacks_structured_output(ApiError(400, "max_tokens: too high"))
    assert not lacks_structured_output(None)
