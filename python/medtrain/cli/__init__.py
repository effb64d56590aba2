"""The command `medtrain`: one small file per verb, heavy imports inside them."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn

import click

from medtrain.cli.evaluate import evaluate
from medtrain.cli.output import print_error
from medtrain.cli.predict import predict
from medtrain.cli.report import report
from medtrain.cli.scale import scale
from medtrain.cli.selftest import selftest
from medtrain.cli.train import ddp, fsdp, pipeline, serial
from medtrain.errors import ExtraMissingError, MedprepError, StorageError

_HELP = """\b
Example:
  medtrain ddp --procs 2 --recipe glaucoma --data shards/ --out runs/first
  medtrain predict runs/first eye.jpg

Train, evaluate and use models from medprep's shards.
"""
_EXIT_CODES = """\
Exit codes: 0 done; 2 wrong use; 3 done, some images could not be read; 4 verification failed;
74 storage trouble; 75 stopped safely, run again to go on; 128 + N ended by signal N (130 Ctrl-C,
137 killed, 141 nobody reads the output any more, 143 SIGTERM); 1 anything else.
"""


# What the extra `train` brings; every verb but `report` and `--help` needs it.
_TRAIN_EXTRA = {"torch", "torchvision", "timm", "safetensors"}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
_BROKEN_PIPE = 128 + signal.SIGPIPE


class _Medtrain(click.Group):
    """The group of verbs; an expected failure is one line and its exit code, no traceback."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401 (click's signature)
        """Run the command line and leave with its exit code."""
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except MedprepError as error:
            fail(str(error), error.exit_code)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _TRAIN_EXTRA:
                raise
            missing = ExtraMissingError(
                f"{error.name} is not installed", hint="pip install 'medprep[train]'"
            )
            fail(str(missing), missing.exit_code)
        except click.ClickException as error:
            fail(one_line(error), error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            sys.exit(130)
        except SystemExit as end:
            # click exits by itself, with 1, where whoever read our output has left; and only there.
            sys.exit(_BROKEN_PIPE if end.code == 1 else end.code)
        except OSError as error:
            if error.filename is None and error.errno not in _FULL:
                raise  # no file's fault: a network error, say
            where = f"{error.filename}: " if error.filename else ""
            fail(f"{where}{error.strerror}", StorageError.exit_code)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(
    cls=_Medtrain,
    help=_HELP,
    epilog=_EXIT_CODES,
    commands=[serial, ddp, fsdp, pipeline, evaluate, predict, report, scale, selftest],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="medprep", prog_name="medtrain")
def main() -> None:
    """Train, evaluate and use models."""


def one_line(error: click.ClickException) -> str:
    """What click says in four lines: the reason, and which help to read."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    where = f"; see `{context.command_path} --help`" if context is not None else ""
    return f"{error.format_message().removesuffix('.')}{where}"


def fail(message: str, code: int) -> NoReturn:
    """One line on stderr, then the exit code; other ranks than the first say who they are."""
    rank = os.environ.get("RANK", "0")
    who = "medtrain" if rank == "0" else f"medtrain [rank {rank}]"
    with suppress(OSError):  # a stream that cannot be written changes neither code nor the other
        click.echo(f"{who}: error: {message}", err=True)
    # Of several processes one speaks: rank 0 under torchrun, the launcher of our own workers.
    if rank == "0" and "--json" in sys.argv[1:] and "MEDTRAIN_PARENT" not in os.environ:
        with suppress(OSError):
            print_error(message, code)
    sys.exit(code)
