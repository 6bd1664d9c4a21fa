"""Placeholder until its commands exist."""

import typer


def register(app: typer.Typer) -> None:
    return
