"""Comma-separated values of an option."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import click

from medtrain.errors import UsageError

STRATEGIES = ("serial", "ddp", "fsdp", "pipeline")
# Of a study also the pipeline without micro-batches: `scaling.grid.SPLITS`, whose import is heavy.
STUDIED = (*STRATEGIES, "pipeline-naive", "pipeline-alternating")


class Words(click.ParamType[object]):
    """Comma-separated words, each among the known ones."""

    def __init__(self, example: str, *, among: Sequence[str]) -> None:
        self.name = example
        self._among = tuple(among)

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """A tuple without repetitions, in the order given; raises UsageError."""
        if not isinstance(value, str):
            return value
        words = tuple(dict.fromkeys(word.strip() for word in value.split(",") if word.strip()))
        flag = param.opts[0] if param is not None else "the option"
        if not words:
            raise UsageError(f"{flag} names nothing; known: {', '.join(self._among)}")
        for word in words:
            if word not in self._among:
                close = difflib.get_close_matches(word, self._among, n=1)
                known = f"known: {', '.join(self._among)}"
                hint = f"did you mean {close[0]!r}?" if close else known
                raise UsageError(f"{flag}: unknown {word!r}", hint=hint)
        return words


class Numbers(click.ParamType[object]):
    """Comma-separated whole numbers of at least 1."""

    name = "1,2,4"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """A tuple without repetitions, in the order given; raises UsageError."""
        if not isinstance(value, str):
            return value
        words = [word.strip() for word in value.split(",") if word.strip()]
        flag = param.opts[0] if param is not None else "the option"
        if not words or not all(word.isdecimal() and int(word) > 0 for word in words):
            raise UsageError(f"{flag}: expected whole numbers such as {self.name}, got {value!r}")
        return tuple(dict.fromkeys(int(word) for word in words))
