"""What a command says: chatter on stderr, the result on stdout, a JSON object when asked for."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Decides by verbosity; callers only say what there is to say.

    verbosity: count of -v minus count of -q.
    """

    as_json: bool = False
    verbosity: int = 0

    def say(self, line: str) -> None:
        """Tell people something; -q silences it."""
        if self.verbosity >= 0:
            click.echo(line, err=True)

    def detail(self, line: str) -> None:
        """Tell people something that only -v shows."""
        if self.verbosity >= 1:
            click.echo(line, err=True)

    def warn(self, line: str) -> None:
        """Tell people something that only -qq silences."""
        if self.verbosity >= -1:
            click.echo(f"warning: {line}", err=True)

    def result(self, summary: str, data: Mapping[str, Any]) -> None:
        """End the command: the summary line, and with --json the object as stdout's last line."""
        if self.as_json:
            self.say(summary)
            click.echo(json.dumps(data, ensure_ascii=False, allow_nan=False))
        elif self.verbosity >= -1:
            click.echo(summary)


def output_options(command: Command) -> Callable[..., Any]:
    """Add --json, -v and -q, and pass them to the command as `output: Output`."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object as last line.")
    @click.option("-v", "--verbose", count=True, help="Say more; may be repeated.")
    @click.option("-q", "--quiet", count=True, help="Say less; may be repeated.")
    @functools.wraps(command)
    def with_output(as_json: bool, verbose: int, quiet: int, **arguments: object) -> object:
        return command(output=Output(as_json=as_json, verbosity=verbose - quiet), **arguments)

    return with_output
