"""A command whose help opens with an example."""

from __future__ import annotations

from typing import Any

import click


class Verb(click.Command):
    """Shows `example` above the usage line; a line each."""

    def __init__(self, *args: Any, example: str, **kwargs: Any) -> None:  # noqa: ANN401 (click's)
        super().__init__(*args, **kwargs)
        self.example = example

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write example, usage, description and options."""
        formatter.write("Example:\n")
        for line in self.example.splitlines():
            formatter.write(f"  {line}\n")
        formatter.write_paragraph()
        super().format_help(ctx, formatter)
