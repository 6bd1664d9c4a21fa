"""What tokens cost: a table in the package, prices of hqd.toml before it."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources

from hqd.model.record import Usage
from hqd.model.settings import AgentSettings, Price

_MILLION = 1_000_000
_CACHE_READ = 0.1  # of the input price, where the table says nothing
_CACHE_WRITE = 1.25


@functools.cache
def table() -> Mapping[str, Price]:
    """The package's own prices: model, or the beginning of a model's name, to its price."""
    text = resources.files(__package__).joinpath("prices.toml").read_text(encoding="utf-8")
    return {model: Price(**row) for models in tomllib.loads(text).values() for model, row in models.items()}


def price_of(model: str | None, settings: AgentSettings, prices: Mapping[str, Price]) -> Price | None:
    """The agent's own price, else hqd.toml's for the model, else the package's; None: not known."""
    if settings.price is not None:
        return settings.price
    if model is None:
        return None
    return _longest(model, prices) or _longest(model, table())


def _longest(model: str, prices: Mapping[str, Price]) -> Price | None:
    """By exact name, else by the longest key that is the name up to a dash: a dated name has its model's price."""
    fitting = [key for key in prices if model == key or model.startswith(key + "-")]
    return prices[max(fitting, key=len)] if fitting else None


def cost(usage: Usage, price: Price | None) -> float | None:
    """Dollars; None where there is no price. `usage.cached` and `.cache_write` are not part of `.in_`."""
    if price is None:
        return None
    read = price.cache_read if price.cache_read is not None else price.input * _CACHE_READ
    write = price.cache_write if price.cache_write is not None else price.input * _CACHE_WRITE
    dollars = usage.in_ * price.input + usage.out * price.output + usage.cached * read + usage.cache_write * write
    return dollars / _MILLION


def priced(usage: Usage, model: str | None, settings: AgentSettings, prices: Mapping[str, Price]) -> Usage:
    """The usage with its cost: as the provider gave it, else from the tokens, else None."""
    if usage.cost is not None or usage.tokens == 0:
        return usage
    return usage.model_copy(update={"cost": cost(usage, price_of(model, settings, prices))})
