"""Commands whose help opens with an example, before everything else."""

from __future__ import annotations

import click


def _split_example(text: str) -> tuple[str, str]:
    """(the `Example: ...` lines that the help begins with, the rest)."""
    example, _, rest = text.strip().partition("\n\n")
    return example, rest


def _write_help(command: click.Command, ctx: click.Context, out: click.HelpFormatter) -> None:
    example, rest = _split_example(command.help or "")
    out.write(f"{example}\n\n")
    command.format_usage(ctx, out)
    shown, command.help = command.help, rest
    try:
        command.format_help_text(ctx, out)
    finally:
        command.help = shown
    command.format_options(ctx, out)
    command.format_epilog(ctx, out)


class VerbCommand(click.Command):
    """A verb. Its `help` begins with `Example: medprep VERB ...` and a blank line."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example, the usage, then the rest."""
        _write_help(self, ctx, formatter)


class ExampleGroup(click.Group):
    """The group of the verbs, with the same order in its help."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example, the usage, then the rest."""
        _write_help(self, ctx, formatter)
