"""Train, evaluate and use models from medprep's shards: one loop, the same numbers anywhere.

`train` and `load` take the same words as the command line. Importing this package is cheap;
torch is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medtrain.api import load, train

__all__ = ["load", "train"]


def __getattr__(name: str) -> object:
    """Import the interface when it is first used."""
    if name in __all__:
        from medtrain import api

        return getattr(api, name)
    raise AttributeError(f"module 'medtrain' has no attribute {name!r}")
