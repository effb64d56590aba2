"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

as_json = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object as the last line of stdout."
)
verbose = click.option("-v", "--verbose", count=True, help="Say more; repeatable.")
quiet = click.option("-q", "--quiet", count=True, help="Say less; repeatable.")


def common(command: F) -> F:
    """--json, -v and -q."""
    return as_json(verbose(quiet(command)))
