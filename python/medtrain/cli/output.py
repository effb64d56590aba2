"""The result object of a command that failed."""

from __future__ import annotations

import json

import click


def print_error(message: str, code: int) -> None:
    """`--json` after a failure: one object with `error` and `exit_code`, last on stdout."""
    click.echo(json.dumps({"error": message, "exit_code": code}))
