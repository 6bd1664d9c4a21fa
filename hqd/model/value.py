"""The base of everything that is written to or read from a file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value with known keys only: an unknown key in a file is an error that names it.

    `defer_build`: pydantic builds the validator of a class at its first use; no command uses all of them.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        populate_by_name=True,
        defer_build=True,
    )
