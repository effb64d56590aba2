"""Every command that exists explains itself, with an example first, without importing torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from medprep.cli import main as medprep
from medtrain.cli import main as medtrain


def commands() -> Iterator[tuple[str, click.Command]]:
    for name, group in (("medprep", medprep), ("medtrain", medtrain)):
        assert isinstance(group, click.Group)
        context = click.Context(group, info_name=name)
        for verb in group.list_commands(context):
            command = group.get_command(context, verb)
            assert command is not None, f"{name} {verb} is listed but does not load"
            yield f"{name} {verb}", command


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_opens_with_an_example_of_itself(name: str) -> None:
    command = COMMANDS[name]
    text = command.get_help(click.Context(command, info_name=name))
    first = next(line.strip() for line in text.splitlines() if line.strip())
    assert first.startswith("Example"), first
    assert f"{name} " in text.split("Usage:")[0], "the example shows the command itself"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]} has no help"


@pytest.mark.parametrize("package", ["medprep", "medtrain"])
def test_help_needs_no_torch(package: str) -> None:
    code = (
        f"import sys, {package}.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'matplotlib', 'cv2', 'dask'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
