"""The `medprep` command: one small file per verb, imported when the verb is used."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from medprep.cli.command import ExampleGroup
from medprep.errors import MedprepError, StorageError

VERBS: dict[str, str] = {
    # verb -> one line of help; its command is the function of that name in medprep.cli.<verb>
    "synth": "Make up a learnable image collection with patients and labels.",
    "scan": "Explore a collection: counts, classes, sizes, captions, unreadable files.",
    "subset": "Link a reproducible, group-safe part of a collection.",
    "plan": "List, look at headers, split; write the plan and stop.",
    "shard": "Turn an image collection into verified shards: the main job.",
    "verify": "Check every byte of a data set against its manifest.",
    "merge": "Make the manifest of a run that was done in parts.",
    "inspect": "Show what is in a data set.",
    "bench": "Compare engines and kernels on your images.",
    "doctor": "Check what this machine offers.",
}
HELP = """\
Example: medprep shard photos/ shards/ --preset glaucoma

Turn a medical image collection into verified, memory-mappable NPZ shards.
`medprep VERB --help` shows examples and options of a verb."""
EXIT_CODES = """\
Exit codes: 0 done; 2 wrong use; 3 done, some inputs quarantined (or no usable input);
4 verification failed; 5 privacy gate; 6 leakage gate; 74 storage trouble; 75 stopped safely,
run again to go on; 130/143 signals; 1 anything else."""
_FRAMES = 4  # of a traceback: enough to find the line
_BROKEN_PIPE = 128 + signal.SIGPIPE


class VerbGroup(ExampleGroup):
    """Imports a verb when it is called; expected failures become a line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, imported now."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f"medprep.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion for a mistyped verb."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            close = get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" Verbs: {', '.join(VERBS)}."
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table itself: help must not import the verbs."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def main(
        self,
        args: Sequence[str] | None = None,
        *rest: Any,  # noqa: ANN401 (passed on)
        **extra: Any,  # noqa: ANN401 (passed on)
    ) -> NoReturn:
        """Run and exit; tracebacks are shown to those only who ask for them."""
        words = list(sys.argv[1:] if args is None else args)
        extra = {"prog_name": "medprep", **extra, "standalone_mode": False}
        sys.exit(exit_code_of(lambda: super(VerbGroup, self).main(words, *rest, **extra), words))


def exit_code_of(call: Any, words: Sequence[str]) -> int:  # noqa: ANN401 (whatever click returns)
    """Run a command; expected failures become one line on stderr and their exit code."""
    try:
        code = call()
        if sys.stdout is not None:  # None when the caller closed it
            sys.stdout.flush()
    except click.ClickException as error:
        return _report_error(one_line(error), error.exit_code, words)
    except click.exceptions.Exit as done:
        return int(done.exit_code)
    except MedprepError as error:
        return _report_error(str(error), error.exit_code, words)
    except (KeyboardInterrupt, click.Abort) as error:
        # A second signal (medprep.cli.signals says which; click wraps it), or one outside a run.
        return 128 + int(getattr(error.__cause__ or error, "signum", signal.SIGINT))
    except (BrokenPipeError, SystemExit):
        # The reader of our output went away; click exits by itself then, and only then.
        _discard_stdout()
        return int(_BROKEN_PIPE)
    except OSError as error:
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _report_error(message, StorageError.exit_code, words)
    except Exception as error:
        if os.environ.get("MEDPREP_TRACEBACK") == "1":
            raise
        return _report_error(_internal_error(error), MedprepError.exit_code, words)
    return code if isinstance(code, int) else 0


def _internal_error(error: Exception) -> str:
    """Where it happened. The exception's own words may quote a patient's name."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = [f"{Path(f.filename).parent.name}/{Path(f.filename).name}:{f.lineno}" for f in frames]
    return (
        f"internal error, please report it: {type(error).__name__} at {', '.join(places)}; "
        "MEDPREP_TRACEBACK=1 shows its words, which may name a file or a patient"
    )


def one_line(error: click.ClickException) -> str:
    """What click says in four lines: the reason, and which help to read."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    where = f"; see `{context.command_path} --help`" if context is not None else ""
    return f"{error.format_message().removesuffix('.')}{where}"


def _report_error(message: str, code: int, words: Sequence[str]) -> int:
    click.echo(f"medprep: {message}", err=True)
    if "--json" in words:
        try:
            click.echo(json.dumps({"error": message, "exit_code": code}, ensure_ascii=False))
        except OSError:  # stdout is what failed; stderr has the reason
            _discard_stdout()
    return code


def _discard_stdout() -> None:
    """Let what is still buffered go nowhere: closing stdout at exit must not fail again."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=VerbGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=HELP,
    epilog=EXIT_CODES,
)
@click.version_option(package_name="medprep", prog_name="medprep")
def main() -> None:
    """Hold the verbs; calling it is the console script."""
